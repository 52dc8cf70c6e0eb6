"""RFC 9113 sections 6.5 to 6.8: SETTINGS, PUSH_PROMISE, PING, GOAWAY; and how a connection ends."""

import pytest

from tests.support import frames as f
from tests.support.peer import GET, OK, POST, kinds, of
from tests.support.ws_frames import CLOSE, close_frame, read_ws_frames

row = pytest.mark.row


# -- SETTINGS: section 6.5 ---------------------------------------------------------------------


@row("9113-6.5-1")
@pytest.mark.parametrize("stream_id", [1, 2, 0x7FFFFFFF])
@pytest.mark.parametrize("flags", [0, f.ACK], ids=["settings", "ack"])
def test_settings_on_a_stream(either, stream_id, flags):
    peer = either()
    peer.feed(f.frame(f.SETTINGS, flags, stream_id))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9113-6.5-2")
@pytest.mark.parametrize("length", [1, 6, 12])
def test_settings_acknowledgement_with_a_payload(either, length):
    peer = either()
    peer.feed(f.frame(f.SETTINGS, f.ACK, 0, bytes(length)))
    peer.expect_connection_error(f.FRAME_SIZE_ERROR)


@row("9113-6.5-2")
@pytest.mark.parametrize("length", [1, 5, 7, 11, 20])
def test_settings_of_a_broken_length(either, length):
    peer = either()
    peer.feed(f.frame(f.SETTINGS, 0, 0, bytes(length)))
    peer.expect_connection_error(f.FRAME_SIZE_ERROR)


@row("9113-6.5-3")
def test_each_settings_is_acknowledged_once_and_in_order(server):
    peer = server(peer_settings=[(f.INITIAL_WINDOW_SIZE, 0)])
    stream_id = peer.get()
    peer.conn.respond(stream_id, OK)
    peer.conn.send_data(stream_id, b"0123456789")
    peer.sent()
    peer.feed(
        f.settings((f.INITIAL_WINDOW_SIZE, 3)),
        f.settings(),
        f.settings((f.INITIAL_WINDOW_SIZE, 1), (f.INITIAL_WINDOW_SIZE, 5)),
    )
    frames = peer.sent()
    assert [x.kind for x in frames[:3]] == [f.SETTINGS] * 3
    assert all(x.ack and x.payload == b"" for x in frames[:3])
    assert b"".join(x.payload for x in frames[3:]) == b"01234"
    assert [e.settings for e in of(peer.events, "SettingsChanged")] == [
        {f.INITIAL_WINDOW_SIZE: 3},
        {},
        {f.INITIAL_WINDOW_SIZE: 5},
    ]


@row("9113-6.5-3")
def test_our_settings_acknowledged_is_told(either):
    peer = either(handshake=False)
    peer.sent()
    peer.feed(*([f.MAGIC] if peer.role == "server" else []), f.settings())
    assert not of(peer.events, "SettingsAcknowledged")
    peer.feed(f.settings_ack())
    assert kinds(peer.events) == ["SettingsChanged", "SettingsAcknowledged"]


@row("9113-6.5-4")
@pytest.mark.parametrize("value", [0, 1, 0xFFFFFFFF])
def test_unknown_settings_are_ignored(either, value):
    peer = either()
    peer.feed(f.settings((0xABCD, value), (0, value), (7, value), (0xFFFF, value)))
    assert [(x.kind, x.flags) for x in peer.sent()] == [(f.SETTINGS, f.ACK)]
    peer.expect_alive()


@row("9113-6.5-5")
def test_settings_that_are_never_acknowledged_time_out(either):
    peer = either(handshake=False, limits={"settings_timeout_s": 5.0})
    peer.sent()
    peer.feed(*([f.MAGIC] if peer.role == "server" else []), f.settings())
    peer.sent()
    assert peer.conn.next_timeout() is not None
    peer.tick(4.9)
    assert not peer.conn.terminated
    peer.tick(0.2)
    peer.expect_connection_error(f.SETTINGS_TIMEOUT)


@row("9113-6.5-5")
def test_acknowledged_settings_never_time_out(either):
    peer = either()
    peer.websocket()
    assert peer.tick(10_000) == []
    assert not peer.conn.terminated


@row("9113-6.5-6")
def test_acknowledgement_of_nothing(either):
    peer = either()
    peer.feed(f.settings_ack())
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9113-6.5.2-1")
@pytest.mark.parametrize("value", [2, 0x80000001, 0xFFFFFFFF])
def test_enable_push_of_another_value(either, value):
    peer = either()
    peer.feed(f.settings((f.ENABLE_PUSH, value)))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9113-6.5.2-1")
def test_server_may_not_enable_push(client):
    peer = client()
    peer.feed(f.settings((f.ENABLE_PUSH, 1)))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9113-6.5.2-1")
def test_legal_values_of_enable_push(make):
    peer = make("client")
    peer.feed(f.settings((f.ENABLE_PUSH, 0)))
    peer.sent()
    peer.expect_alive()
    peer = make("server")
    peer.feed(f.settings((f.ENABLE_PUSH, 1)), f.settings((f.ENABLE_PUSH, 0)))
    peer.sent()
    peer.expect_alive()


@row("9113-6.5.2-2")
@pytest.mark.parametrize("value", [0, 1, 16383, 16777216, 0xFFFFFFFF])
def test_max_frame_size_out_of_range(either, value):
    peer = either()
    peer.feed(f.settings((f.MAX_FRAME_SIZE, value)))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9113-6.5.2-2")
@pytest.mark.parametrize("value", [16384, 16777215])
def test_max_frame_size_in_range(either, value):
    peer = either()
    peer.feed(f.settings((f.MAX_FRAME_SIZE, value)))
    peer.sent()
    peer.expect_alive()


@row("9113-6.5.2-3")
def test_smaller_header_table_is_announced_in_the_next_block(server):
    peer = server()
    first, second = peer.get(), peer.get()
    peer.conn.respond(first, [*OK, ("x-repeated", "again and again")], end_stream=True)
    peer.sent()
    peer.decoder.header_table_size = 0
    peer.feed(f.settings((f.HEADER_TABLE_SIZE, 0)))
    peer.conn.respond(second, [*OK, ("x-repeated", "again and again")], end_stream=True)
    ack, answer = peer.sent()
    assert ack.ack
    assert answer.payload[0] == 0x20  # the size update to 0
    assert answer.get("x-repeated") == "again and again"
    assert len(answer.payload) > 12  # nothing to refer to


@row("9113-6.5.2-3")
def test_table_that_was_small_for_a_while_is_announced_twice(server):
    peer = server()
    stream_id = peer.get()
    peer.feed(f.settings((f.HEADER_TABLE_SIZE, 0)), f.settings((f.HEADER_TABLE_SIZE, 4096)))
    peer.conn.respond(stream_id, OK, end_stream=True)
    answer = peer.sent()[-1]
    assert answer.payload.startswith(bytes.fromhex("203fe11f"))


@row("9113-6.5.2-4")
def test_peers_header_list_limit_is_kept_when_sending(client):
    peer = client(peer_settings=[(f.MAX_HEADER_LIST_SIZE, 250)])
    small = sum(len(name) + len(value) + 32 for name, value in GET)
    fits = [*GET, ("x", "y" * (250 - small - 33))]
    with pytest.raises((ValueError, peer.errors.LocalProtocolError)):
        peer.conn.request([*fits[:-1], ("x", fits[-1][1] + "y")])
    assert peer.sent() == []
    assert peer.conn.request(fits) == 1
    assert [x.kind for x in peer.sent()] == [f.HEADERS]


@row("9113-6.5.2-4")
def test_header_list_above_our_limit_is_answered_431(server):
    peer = server(settings={"max_header_list_size": 1000})
    block = peer.block([*GET, ("x-long", "y" * 1000), ("x-mark", "indexed")])
    peer.feed(f.headers(1, block, end_stream=True))
    assert of(peer.events, "Requested") == []
    answer = next(x for x in peer.sent() if x.kind == f.HEADERS)
    assert (answer.stream_id, answer.get(":status")) == (1, "431")
    peer.open([*GET, ("x-mark", "indexed")], 3, end_stream=True)
    assert peer.events[-1].headers == [(b"x-mark", b"indexed")]
    peer.expect_alive()


@row("9113-6.5.2-4")
def test_response_above_our_limit_is_a_stream_error(client):
    peer = client(settings={"max_header_list_size": 1000})
    stream_id = peer.conn.request(GET)
    peer.sent()
    peer.feed(peer.headers(stream_id, [*OK, ("x-long", "y" * 1000)]))
    assert of(peer.events, "Responded") == []
    (reset,) = of(peer.events, "Reset")
    assert (reset.stream_id, reset.remote) == (stream_id, False)
    peer.expect_stream_error(stream_id, reset.error_code)


@row("9113-6.5.2-5")
def test_client_disables_push(make):
    first = make("client", handshake=False).sent()[0]
    assert (f.ENABLE_PUSH, 0) in first.settings
    assert f.ENABLE_PUSH not in dict(make("server", handshake=False).sent()[0].settings)


@row("9113-6.5-3", "9113-3.4-1", "9113-3.4-2")
def test_settings_that_are_advertised(make):
    chosen = {
        "header_table_size": 8192,
        "initial_window_size": 100_000,
        "max_frame_size": 20_000,
        "max_header_list_size": 30_000,
        "connection_window": 200_000,
    }
    for role in ("server", "client"):
        peer = make(role, handshake=False, settings=chosen)
        first, update = peer.sent()
        assert len(dict(first.settings)) == len(first.settings)
        sent = dict(first.settings)
        assert sent[f.HEADER_TABLE_SIZE] == 8192
        assert sent[f.INITIAL_WINDOW_SIZE] == 100_000
        assert sent[f.MAX_FRAME_SIZE] == 20_000
        assert sent[f.MAX_HEADER_LIST_SIZE] == 30_000
        assert sent[f.NO_RFC7540_PRIORITIES] == 1
        assert sent.get(f.ENABLE_CONNECT_PROTOCOL) == (1 if role == "server" else None)
        assert sent.get(f.MAX_CONCURRENT_STREAMS) == (1000 if role == "server" else None)
        assert update == f.Frame(f.WINDOW_UPDATE, 0, 0, (200_000 - 65535).to_bytes(4, "big"))


# -- PUSH_PROMISE: section 6.6 -----------------------------------------------------------------


@row("9113-6.6-1")
@pytest.mark.parametrize("stream_id", [1, 2, 0])
def test_push_promise_from_a_client(server, stream_id):
    peer = server()
    peer.post()
    peer.feed(f.push_promise(stream_id, 2, peer.block(GET)))
    goaway = peer.expect_connection_error(f.PROTOCOL_ERROR, last_stream_id=1)
    reason = b"PUSH_PROMISE from a client" if stream_id else b"PUSH_PROMISE on stream 0"
    assert goaway.debug_data == reason


@row("9113-6.6-2")
def test_push_promise_after_the_acknowledgement(client):
    peer = client()
    stream_id = peer.conn.request(GET)
    peer.sent()
    peer.feed(f.push_promise(stream_id, 2, peer.block(GET)))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


def unacknowledged(client):
    """A client with one request whose SETTINGS are not acknowledged yet."""
    peer = client(handshake=False)
    peer.feed(f.settings())
    stream_id = peer.conn.request(GET)
    peer.sent()
    return peer, stream_id


@row("9113-6.6-2")
@pytest.mark.parametrize("pad", [None, 10], ids=["plain", "padded"])
def test_push_promise_before_the_acknowledgement_is_reset(client, pad):
    peer, stream_id = unacknowledged(client)
    promised = [*GET, ("x-mark", "indexed by the promise")]
    peer.feed(f.push_promise(stream_id, 2, peer.block(promised), pad=pad))
    assert of(peer.events, "Requested") == []
    (reset,) = peer.sent()
    assert (reset.kind, reset.stream_id) == (f.RST_STREAM, 2)
    assert reset.error_code in (f.REFUSED_STREAM, f.CANCEL)
    # The pushed response was under way; it is ignored, and its block decoded.
    peer.feed(peer.headers(2, [*OK, ("x-other", "mark")]), f.data(2, b"pushed"))
    peer.feed(f.data(2, b"", end_stream=True), f.settings_ack())
    marks = [("x-mark", "indexed by the promise"), ("x-other", "mark")]
    peer.feed(peer.headers(stream_id, [*OK, *marks], end_stream=True))
    (response,) = of(peer.events, "Responded")
    assert response.headers == [(k.encode(), v.encode()) for k, v in marks]
    assert of(peer.events, "Data") == []
    peer.next_id = 3
    peer.expect_alive()


@row("9113-6.6-2")
def test_push_promise_in_pieces_before_the_acknowledgement(client):
    peer, stream_id = unacknowledged(client)
    block = peer.block(GET)
    peer.feed(
        f.push_promise(stream_id, 2, block[:3], end_headers=False), f.continuation(1, block[3:])
    )
    assert [(x.kind, x.stream_id) for x in peer.sent()] == [(f.RST_STREAM, 2)]
    assert not peer.conn.terminated


@row("9113-6.6-3")
@pytest.mark.parametrize(
    ("on_stream", "promised"),
    [
        pytest.param(0, 2, id="on-stream-0"),
        pytest.param(3, 2, id="on-idle"),
        pytest.param(2, 4, id="on-even-idle"),
        pytest.param(1, 0, id="promises-0"),
        pytest.param(1, 3, id="promises-odd"),
    ],
)
def test_push_promise_that_cannot_be(client, on_stream, promised):
    peer, _ = unacknowledged(client)
    peer.feed(f.push_promise(on_stream, promised, peer.block(GET)))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9113-6.6-3")
def test_push_promise_of_a_used_id(client):
    peer, stream_id = unacknowledged(client)
    peer.feed(f.push_promise(stream_id, 4, peer.block(GET)))
    assert not peer.conn.terminated
    peer.sent()
    peer.feed(f.push_promise(stream_id, 2, peer.block(GET)))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9113-6.6-3")
def test_push_promise_behind_the_end_of_the_response(client):
    peer = client(handshake=False)
    peer.feed(f.settings())
    stream_id = peer.conn.request(POST, end_stream=False)
    peer.sent()
    peer.feed(peer.headers(stream_id, OK, end_stream=True))
    peer.feed(f.push_promise(stream_id, 2, peer.block(GET)))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9113-6.6-3")
def test_push_promise_on_a_finished_stream(client):
    peer, stream_id = unacknowledged(client)
    peer.feed(peer.headers(stream_id, OK, end_stream=True))
    peer.feed(f.push_promise(stream_id, 2, peer.block(GET)))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


# -- PING: section 6.7 -------------------------------------------------------------------------


@row("9113-6.7-1")
def test_ping_is_answered_ahead_of_data(either):
    peer = either()
    peer.feed(f.window_update(0, 10**6))
    stream_id = peer.websocket()
    peer.conn.send_message(stream_id, bytes(2**20))
    before = peer.sent(max_bytes=20_000)
    assert before and {x.kind for x in before} == {f.DATA}
    peer.feed(f.ping(b"\x00\xff\x01\xfe8765"))
    after = peer.sent()
    assert after[0].kind == f.DATA or after[0].kind == f.PING
    # At most the rest of a frame that had begun to leave goes before the answer.
    answer = next(x for x in after if x.kind == f.PING)
    assert after.index(answer) <= 1
    assert (answer.flags, answer.stream_id, answer.payload) == (f.ACK, 0, b"\x00\xff\x01\xfe8765")


@row("9113-6.7-1")
def test_pings_are_answered_in_order(either):
    peer = either()
    peer.feed(f.ping(b"first..."), f.ping(b"second.."))
    assert peer.pull() == f.ping(b"first...", ack=True) + f.ping(b"second..", ack=True)
    assert peer.events == []


@row("9113-6.7-2")
def test_ping_acknowledgement_is_not_answered(either):
    peer = either()
    peer.expect_nothing(f.ping(b"unasked!", ack=True), f.ping(b"unasked!", ack=True))


@row("9113-6.7-2")
def test_our_ping_and_its_answer(either):
    peer = either()
    peer.conn.ping(0, b"opaque!!")
    assert peer.pull() == f.ping(b"opaque!!")
    peer.feed(f.ping(b"another!", ack=True))
    assert of(peer.events, "PingAcknowledged") == []
    peer.feed(f.ping(b"opaque!!", ack=True))
    assert [e.data for e in of(peer.events, "PingAcknowledged")] == [b"opaque!!"]
    assert peer.pull() == b""
    for bad in (b"", b"seven..", b"nine....."):
        with pytest.raises(ValueError):
            peer.conn.ping(0, bad)


@row("9113-6.7-3")
@pytest.mark.parametrize("ack", [False, True])
def test_ping_on_a_stream(either, ack):
    peer = either()
    peer.feed(f.frame(f.PING, f.ACK if ack else 0, 1, bytes(8)))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9113-6.7-3")
@pytest.mark.parametrize("length", [0, 7, 9, 16])
@pytest.mark.parametrize("ack", [False, True])
def test_ping_of_another_length(either, length, ack):
    peer = either()
    peer.feed(f.frame(f.PING, f.ACK if ack else 0, 0, bytes(length)))
    peer.expect_connection_error(f.FRAME_SIZE_ERROR)


# -- GOAWAY: section 6.8 -----------------------------------------------------------------------


@row("9113-6.8-1")
@pytest.mark.parametrize("stream_id", [1, 2])
def test_goaway_on_a_stream(either, stream_id):
    peer = either()
    peer.feed(f.frame(f.GOAWAY, 0, stream_id, bytes(8)))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9113-6.8-1")
@pytest.mark.parametrize("length", [0, 4, 7])
def test_goaway_too_short(either, length):
    peer = either()
    peer.feed(f.frame(f.GOAWAY, 0, 0, bytes(length)))
    peer.expect_connection_error(f.FRAME_SIZE_ERROR)


@row("9113-6.8-2")
def test_after_goaway_nothing_new_is_opened_and_the_rest_goes_on(client):
    peer = client()
    websocket = peer.websocket()
    peer.feed(f.goaway(websocket, f.NO_ERROR, b"restarting"))
    (told,) = of(peer.events, "GoawayReceived")
    assert (told.last_stream_id, told.error_code) == (websocket, f.NO_ERROR)
    assert told.debug_data == b"restarting"
    assert peer.conn.draining
    for call in (
        lambda: peer.conn.request(GET),
        lambda: peer.conn.connect_websocket("example.com", "/"),
    ):
        with pytest.raises(peer.errors.NoAvailableStreams) as caught:
            call()
        assert caught.value.retryable is True
    assert [x for x in peer.sent() if x.kind == f.HEADERS] == []
    peer.feed(peer.message(websocket, b"still here"))
    assert [e.data for e in of(peer.events, "BytesMessage")] == [b"still here"]
    peer.conn.send_message(websocket, b"here too")
    (frame,) = [x for x in peer.sent() if x.kind == f.DATA]
    assert [x.payload for x in read_ws_frames(frame.payload)] == [b"here too"]


@row("9113-6.8-2")
def test_client_that_drained_after_goaway_is_done(client):
    peer = client()
    stream_id = peer.conn.request(GET)
    peer.sent()
    peer.feed(f.goaway(stream_id))
    assert not peer.conn.terminated
    peer.feed(peer.headers(stream_id, OK, end_stream=True))
    peer.sent()
    peer.more()
    assert kinds(peer.events)[-1] == "Terminated"
    assert peer.events[-1].error_code == f.NO_ERROR


@row("9113-6.8-2")
def test_server_goes_on_after_a_clients_goaway(server):
    peer = server()
    stream_id = peer.post()
    peer.feed(f.goaway(0, f.NO_ERROR), f.data(stream_id, b"rest", end_stream=True))
    assert kinds(peer.events)[-1] == "Ended"
    peer.conn.respond(stream_id, OK)
    peer.conn.send_data(stream_id, b"answer", end_stream=True)
    assert [x.payload for x in peer.sent() if x.kind == f.DATA] == [b"answer"]


@row("9113-6.8-3")
def test_streams_above_the_last_id_are_closed_and_retryable(client):
    peer = client()
    kept = peer.websocket()
    request = peer.conn.request(GET)
    connecting = peer.conn.connect_websocket("example.com", "/")
    peer.sent()
    peer.feed(f.goaway(kept, f.ENHANCE_YOUR_CALM))
    resets = of(peer.events, "Reset")
    assert [(e.stream_id, e.retryable) for e in resets] == [(request, True), (connecting, True)]
    assert peer.conn.open_streams == 1
    assert [x for x in peer.sent() if x.stream_id in (request, connecting)] == []
    # What the server sends there all the same is of no interest any more.
    peer.feed(peer.headers(request, OK), f.data(request, b"x"), f.window_update(connecting, 1))
    assert kinds(peer.events)[1:] == ["Reset", "Reset"]
    assert not peer.conn.terminated


@row("9113-6.8-4")
def test_a_growing_last_id_is_tolerated_and_the_least_holds(client):
    peer = client()
    ids = [peer.conn.request(GET) for _ in range(3)]
    peer.sent()
    peer.feed(f.goaway(0x7FFFFFFF), f.goaway(ids[1]), f.goaway(ids[2]))
    assert [e.stream_id for e in of(peer.events, "Reset")] == [ids[2]]
    assert not peer.conn.terminated
    peer.feed(f.goaway(ids[0]))
    assert [e.stream_id for e in of(peer.events, "Reset")] == [ids[2], ids[1]]
    peer.feed(peer.headers(ids[0], OK, end_stream=True))
    assert [e.stream_id for e in of(peer.events, "Responded")] == [ids[0]]


@row("9113-6.8-4", "9113-6.8-5")
def test_graceful_shutdown_takes_two_steps(server):
    peer = server()
    old = peer.post()
    peer.conn.shutdown()
    first, probe = peer.sent()
    assert (first.kind, first.last_stream_id, first.error_code) == (f.GOAWAY, 0x7FFFFFFF, 0)
    assert (probe.kind, probe.flags) == (f.PING, 0)
    assert peer.conn.draining
    new = peer.get()  # under way when GOAWAY was sent: served
    peer.conn.respond(new, OK, end_stream=True)
    assert [x.stream_id for x in peer.sent()] == [new]
    peer.feed(f.ping(probe.payload, ack=True))
    (second,) = peer.sent()
    assert (second.kind, second.last_stream_id, second.error_code) == (f.GOAWAY, new, 0)
    assert not peer.conn.terminated
    peer.feed(f.data(old, b"", end_stream=True))
    peer.conn.respond(old, OK, end_stream=True)
    assert [x.kind for x in peer.sent()] == [f.HEADERS]
    peer.more()
    assert kinds(peer.events)[-1] == "Terminated"
    assert (peer.events[-1].error_code, peer.events[-1].remote) == (f.NO_ERROR, False)
    assert peer.conn.terminated


@row("9113-6.8-5")
def test_shutdown_without_streams_ends_when_the_ping_is_answered(server):
    peer = server()
    peer.conn.shutdown()
    probe = peer.sent()[-1]
    peer.feed(f.ping(probe.payload, ack=True))
    (second,) = peer.sent()
    assert (second.kind, second.last_stream_id) == (f.GOAWAY, 0)
    peer.more()
    assert kinds(peer.events) == ["Terminated"]


@row("9113-6.8-5")
def test_shutdown_does_not_wait_for_the_ping_for_ever(server):
    peer = server(limits={"shutdown_timeout_s": 3.0})
    peer.conn.shutdown()
    peer.sent()
    peer.tick(2.9)
    assert not peer.conn.terminated
    peer.tick(0.2)
    peer.sent()
    assert [x.kind for x in peer.frames].count(f.GOAWAY) == 2
    assert kinds(peer.events)[-1] == "Terminated"


@row("9113-6.8-5")
def test_clients_shutdown_is_one_goaway(client):
    peer = client()
    stream_id = peer.conn.request(GET)
    peer.sent()
    peer.conn.shutdown()
    (frame,) = peer.sent()
    assert (frame.kind, frame.last_stream_id, frame.error_code) == (f.GOAWAY, 0, 0)
    with pytest.raises(peer.errors.LocalProtocolError):
        peer.conn.request(GET)
    peer.feed(peer.headers(stream_id, OK, end_stream=True))
    peer.more()
    assert kinds(peer.events)[-1] == "Terminated"


@row("9113-6.8-6")
def test_streams_above_our_goaway_are_ignored_but_accounted(server):
    peer = server(handshake=False, settings={"connection_window": 65535})
    peer.handshake()
    old = peer.post()
    peer.conn.shutdown()
    probe = peer.sent()[-1]
    peer.feed(f.ping(probe.payload, ack=True))
    peer.forget()
    peer.feed(peer.headers(3, [*POST, ("x-mark", "indexed")]))
    for _ in range(20):
        peer.send(3, bytes(10_000))
        assert {x.kind for x in peer.sent()} <= {f.WINDOW_UPDATE}
    peer.feed(f.rst_stream(3), peer.headers(5, GET, end_stream=True))
    assert peer.events == [] and peer.sent() == []
    peer.feed(peer.headers(old, [("x-mark", "indexed")], end_stream=True))
    (trailers,) = of(peer.events, "Trailers")
    assert trailers.headers == [(b"x-mark", b"indexed")]
    peer.conn.respond(old, OK, end_stream=True)
    assert [x.stream_id for x in peer.sent()] == [old]


@row("9113-6.8-7")
def test_connection_error_names_the_highest_stream_that_was_processed(server):
    peer = server()
    websocket = peer.websocket()
    peer.get(41)
    request = peer.post(43)
    peer.forget()
    peer.feed(f.ping(b"short"))
    peer.more()
    last = {e.stream_id: e for e in peer.events if hasattr(e, "stream_id")}
    assert set(last) == {websocket, 41, request}
    assert last[websocket].code == 1006
    assert (last[request].remote, last[request].error_code) == (False, f.FRAME_SIZE_ERROR)
    peer.expect_connection_error(f.FRAME_SIZE_ERROR, last_stream_id=43)
    for call in (
        lambda: peer.conn.respond(request, OK),
        lambda: peer.conn.send_message(websocket, b"x"),
    ):
        with pytest.raises(peer.errors.H2WSError):
            call()
    assert peer.sent() == []
    assert peer.conn.next_timeout() is None


@row("9113-6.8-7")
def test_abort_is_a_goaway_now(either):
    peer = either()
    stream_id = peer.websocket()
    peer.conn.send_message(stream_id, bytes(100_000))
    peer.conn.abort(f.INTERNAL_ERROR, b"why")
    frames = peer.sent()
    assert [x.kind for x in frames] == [f.GOAWAY]
    assert frames[0].error_code == f.INTERNAL_ERROR and frames[0].payload[8:] == b"why"
    assert frames[0].last_stream_id == (stream_id if peer.role == "server" else 0)
    peer.more()
    assert kinds(peer.events) == ["Closed", "Terminated"]
    assert peer.feed(f.ping()) == [] and peer.sent() == []


@row("9113-6.8-8")
def test_debug_data_up_to_the_frame_size(either):
    peer = either()
    peer.websocket()
    debug = b"\r\n\x00\x1b[31m\xff" * 1800
    peer.feed(f.goaway(0x7FFFFFFF, f.ENHANCE_YOUR_CALM, debug))
    (told,) = of(peer.events, "GoawayReceived")
    assert told.debug_data == debug
    assert "\x1b" not in repr(told) and "\n" not in repr(told)  # as a log would show it


@row("9113-6.8-9")
def test_shutdown_closes_each_websocket_with_1001(server):
    peer = server()
    first, second = peer.websocket(), peer.websocket()
    peer.conn.shutdown()
    frames = peer.sent()
    probe = next(x for x in frames if x.kind == f.PING)
    peer.feed(f.ping(probe.payload, ack=True))
    frames += peer.sent()
    closes = {
        x.stream_id: read_ws_frames(x.payload)[0] for x in frames if x.kind == f.DATA and x.payload
    }
    assert set(closes) == {first, second}
    assert {(x.opcode, x.close_code) for x in closes.values()} == {(CLOSE, 1001)}
    assert not peer.conn.terminated
    for stream_id in (first, second):
        peer.feed(f.data(stream_id, close_frame(1001), end_stream=True))
        assert [(x.kind, x.end_stream) for x in peer.sent()] == [(f.DATA, True)]
    peer.more()
    assert [(e.stream_id, e.code) for e in of(peer.events, "Closed")] == [
        (first, 1001),
        (second, 1001),
    ]
    assert kinds(peer.events)[-1] == "Terminated"


@row("9113-6.8-9")
def test_shutdown_resets_a_websocket_that_does_not_answer(server):
    peer = server(limits={"close_timeout_s": 5.0})
    stream_id = peer.websocket()
    peer.conn.shutdown()
    probe = next(x for x in peer.sent() if x.kind == f.PING)
    peer.feed(f.ping(probe.payload, ack=True))
    peer.sent()
    peer.tick(30)
    peer.sent()
    resets = [x for x in peer.frames if x.kind == f.RST_STREAM]
    assert [(x.stream_id, x.error_code) for x in resets] == [(stream_id, f.CANCEL)]
    assert kinds(peer.events)[-2:] == ["Closed", "Terminated"]


@pytest.mark.parametrize("heard", [0, 1, 23])
def test_shutdown_before_the_clients_preface_ends_at_once(twin, heard):
    # A browser's spare connection: open, and silent. Nobody would answer a PING on it.
    conn = twin.Connection(twin.Role.SERVER)
    conn.receive_data(f.MAGIC[:heard])
    f.read_frames(b"".join(conn.data_to_send()))
    conn.shutdown()
    (goaway,) = f.read_frames(b"".join(conn.data_to_send()))
    assert (goaway.kind, goaway.last_stream_id, goaway.error_code) == (f.GOAWAY, 0, f.NO_ERROR)
    assert kinds(conn.events()) == ["Terminated"]
    assert conn.terminated
