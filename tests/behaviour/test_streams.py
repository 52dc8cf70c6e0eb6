"""RFC 9113 sections 5.1 and 8.7: stream states, identifiers, concurrency, what may be retried."""

import pytest

from tests.support import frames as f
from tests.support.peer import CONNECT, GET, OK, POST, kinds, of

row = pytest.mark.row


# -- states: section 5.1 -----------------------------------------------------------------------

IDLE_FRAMES = [
    pytest.param(lambda i: f.data(i, b"x"), id="data"),
    pytest.param(lambda i: f.rst_stream(i), id="rst-stream"),
    pytest.param(lambda i: f.window_update(i, 1), id="window-update"),
    pytest.param(lambda i: f.continuation(i, b""), id="continuation"),
]


@row("9113-5.1-1")
@pytest.mark.parametrize("build", IDLE_FRAMES)
@pytest.mark.parametrize("stream_id", [3, 4], ids=["odd", "even"])
def test_idle_stream_takes_headers_and_priority_only(either, build, stream_id):
    peer = either()
    peer.feed(build(stream_id))
    peer.expect_connection_error(f.PROTOCOL_ERROR, last_stream_id=0)


@row("9113-5.1-1")
@pytest.mark.parametrize("build", IDLE_FRAMES)
def test_stream_above_the_highest_is_idle(server, build):
    peer = server()
    peer.expect_alive()
    peer.feed(build(5))
    peer.expect_connection_error(f.PROTOCOL_ERROR, last_stream_id=1)


@row("9113-5.1-2")
@pytest.mark.parametrize("stream_id", [1, 2, 3, 100])
@pytest.mark.parametrize("fields", [OK, GET, CONNECT], ids=["response", "get", "connect"])
def test_server_may_not_open_a_stream(client, stream_id, fields):
    peer = client()
    peer.feed(peer.headers(stream_id, fields))
    peer.expect_connection_error(f.PROTOCOL_ERROR, last_stream_id=0)


@row("9113-5.1-3")
@pytest.mark.parametrize("what", ["data", "empty data", "headers", "trailers"])
def test_half_closed_remote_takes_no_message(server, what):
    peer = server()
    stream_id = peer.get()
    peer.feed(
        {
            "data": lambda: f.data(stream_id, b"late"),
            "empty data": lambda: f.data(stream_id, b"", end_stream=True),
            "headers": lambda: peer.headers(stream_id, GET),
            "trailers": lambda: peer.headers(stream_id, [("x-late", "1")], end_stream=True),
        }[what]()
    )
    assert [e.error_code for e in of(peer.events, "Reset")] == [f.STREAM_CLOSED]
    peer.expect_stream_error(stream_id, f.STREAM_CLOSED)


@row("9113-5.1-3", "9113-6.9-3")
def test_half_closed_remote_takes_control_frames(server):
    peer = server(peer_settings=[(f.INITIAL_WINDOW_SIZE, 0)])
    stream_id, other = peer.get(), peer.get()
    peer.forget()
    peer.expect_nothing(f.window_update(stream_id, 4), f.priority(stream_id))
    peer.conn.respond(stream_id, OK)
    peer.conn.send_data(stream_id, b"123456")
    assert [x.payload for x in peer.sent() if x.kind == f.DATA] == [b"1234"]
    peer.feed(f.rst_stream(other))
    assert [(e.stream_id, e.error_code) for e in of(peer.events, "Reset")] == [(other, f.CANCEL)]
    peer.expect_alive()


@row("9113-5.1-4")
def test_half_closed_local_still_receives(make):
    peer = make("server", auto_credit=True)
    stream_id = peer.post()
    peer.conn.respond(stream_id, OK, end_stream=True)
    peer.sent()
    left = 10 * 2**20
    while left:
        n = min(left, 16384, peer.may_send(stream_id))
        assert n, "no window came back"
        left -= n
        peer.send(stream_id, bytes(n), end_stream=not left)
        assert {x.kind for x in peer.sent()} <= {f.WINDOW_UPDATE}
    assert sum(len(e.data) for e in of(peer.events, "Data")) == 10 * 2**20
    assert kinds(peer.events)[-1] == "Ended"
    assert peer.conn.open_streams == 0
    peer.expect_alive()


@row("9113-5.1-4")
def test_half_closed_local_sends_no_message(server):
    peer = server()
    stream_id = peer.post()
    peer.conn.respond(stream_id, OK, end_stream=True)
    peer.sent()
    for call in (
        lambda: peer.conn.send_data(stream_id, b"x"),
        lambda: peer.conn.respond(stream_id, OK),
        lambda: peer.conn.send_trailers(stream_id, [("x-a", "b")]),
    ):
        with pytest.raises(peer.errors.H2WSError):
            call()
    assert peer.sent() == []
    peer.feed(f.data(stream_id, b"heard"))
    assert b"".join(e.data for e in of(peer.events, "Data")) == b"heard"
    peer.conn.reset(stream_id)
    assert [x.kind for x in peer.sent()] == [f.RST_STREAM]


@row("9113-5.1-5")
def test_late_frames_after_our_reset_are_ignored(server):
    peer = server()
    stream_id = peer.post()
    peer.conn.reset(stream_id)
    peer.forget()
    peer.expect_nothing(
        f.data(stream_id, bytes(1000)),
        f.window_update(stream_id, 5),
        f.window_update(stream_id, 0x7FFFFFFF),
        f.priority(stream_id),
        peer.headers(stream_id, [("x-late", "1")], end_stream=True),
        f.rst_stream(stream_id),
    )


@row("9113-5.1-6")
def test_late_window_update_and_rst_stream_on_a_finished_stream(server):
    peer = server()
    stream_id = peer.expect_alive()
    peer.forget()
    peer.expect_nothing(f.window_update(stream_id, 100), f.rst_stream(stream_id, f.NO_ERROR))


@row("9113-5.1-6")
def test_late_window_update_and_rst_stream_on_a_clients_finished_stream(client):
    peer = client()
    stream_id = peer.expect_alive()
    peer.forget()
    peer.expect_nothing(f.window_update(stream_id, 100), f.rst_stream(stream_id, f.CANCEL))


@row("9113-5.1-7")
@pytest.mark.parametrize("what", ["data", "headers"])
def test_message_on_a_finished_stream_is_a_connection_error(server, what):
    peer = server()
    stream_id = peer.expect_alive()
    late = f.data(stream_id, b"x") if what == "data" else peer.headers(stream_id, GET, True)
    peer.feed(late)
    peer.expect_connection_error(f.STREAM_CLOSED, last_stream_id=stream_id)


@row("9113-5.1-7")
@pytest.mark.parametrize("what", ["data", "headers"])
def test_message_on_a_finished_stream_of_a_client(client, what):
    peer = client()
    stream_id = peer.expect_alive()
    late = f.data(stream_id, b"x") if what == "data" else peer.headers(stream_id, OK, True)
    peer.feed(late)
    peer.expect_connection_error(f.STREAM_CLOSED)


@row("9113-5.1-7")
@pytest.mark.parametrize("what", ["data", "headers"])
def test_message_on_a_stream_the_peer_reset_is_a_stream_error(server, what):
    peer = server()
    stream_id = peer.post()
    peer.feed(f.rst_stream(stream_id))
    late = f.data(stream_id, b"x") if what == "data" else peer.headers(stream_id, GET, True)
    peer.feed(late)
    peer.expect_stream_error(stream_id, f.STREAM_CLOSED)


@row("9113-5.1-7", "9113-5.1-8")
@pytest.mark.parametrize("ended_by", ["end", "peer", "us"])
def test_forgotten_streams_are_closed_and_harmless(make, ended_by):
    peer = make("server", settings={"max_concurrent_streams": 10})
    for _ in range(60):  # 50 are remembered
        if ended_by == "end":
            peer.expect_alive()
            continue
        stream_id = peer.post()
        if ended_by == "peer":
            peer.feed(f.rst_stream(stream_id))
        else:
            peer.conn.reset(stream_id)
        peer.pull()  # not all of it in one read
    peer.forget()
    glitches = peer.conn.stats()["glitches"]
    peer.feed(peer.headers(1, GET, end_stream=True))
    peer.feed(f.data(3, b"x"))
    assert peer.events == []
    assert peer.conn.stats()["glitches"] == glitches + 2
    peer.expect_nothing(f.rst_stream(5), f.window_update(7, 1), f.priority(9))


@row("9113-5.1-9")
def test_headers_with_end_stream_open_and_half_close(server):
    peer = server()
    stream_id = peer.get()
    assert peer.events[0].ended is True
    peer.conn.respond(stream_id, OK)
    peer.conn.send_data(stream_id, b"answer")
    assert [x.kind for x in peer.sent()] == [f.HEADERS, f.DATA]
    peer.feed(f.data(stream_id, b"late"))
    peer.expect_stream_error(stream_id, f.STREAM_CLOSED)


# What a frame does in each state: nothing to see (None), a stream error or a connection error.
STREAM, CONNECTION = "stream", "connection"
BAD_PUSH = (CONNECTION, f.PROTOCOL_ERROR)
CLOSED = {
    "PRIORITY": None,
    "RST_STREAM": None,
    "SETTINGS": (CONNECTION, f.PROTOCOL_ERROR),
    "PUSH_PROMISE": BAD_PUSH,
    "PING": (CONNECTION, f.PROTOCOL_ERROR),
    "GOAWAY": (CONNECTION, f.PROTOCOL_ERROR),
    "WINDOW_UPDATE": None,
    "CONTINUATION": (CONNECTION, f.PROTOCOL_ERROR),
}
MATRIX = {
    "idle": {
        **CLOSED,
        "DATA": (CONNECTION, f.PROTOCOL_ERROR),
        "HEADERS": None,
        "RST_STREAM": (CONNECTION, f.PROTOCOL_ERROR),
        "WINDOW_UPDATE": (CONNECTION, f.PROTOCOL_ERROR),
    },
    "open": {**CLOSED, "DATA": None, "HEADERS": None},
    "half-closed (local)": {**CLOSED, "DATA": None, "HEADERS": None},
    "half-closed (remote)": {
        **CLOSED,
        "DATA": (STREAM, f.STREAM_CLOSED),
        "HEADERS": (STREAM, f.STREAM_CLOSED),
    },
    "closed (ended)": {
        **CLOSED,
        "DATA": (CONNECTION, f.STREAM_CLOSED),
        "HEADERS": (CONNECTION, f.STREAM_CLOSED),
    },
    "closed (reset by the peer)": {
        **CLOSED,
        "DATA": (STREAM, f.STREAM_CLOSED),
        "HEADERS": (STREAM, f.STREAM_CLOSED),
    },
    "closed (reset by us)": {**CLOSED, "DATA": None, "HEADERS": None},
}


def bring(peer, state):
    """Bring stream 1 into a state, told from this side's view of the engine's stream."""
    if state == "idle":
        return
    if state in ("half-closed (remote)", "closed (ended)"):
        peer.get()
    else:
        peer.post()
    if state in ("half-closed (local)", "closed (ended)"):
        peer.conn.respond(1, OK, end_stream=True)
    if state == "closed (reset by the peer)":
        peer.feed(f.rst_stream(1))
    if state == "closed (reset by us)":
        peer.conn.reset(1)
    peer.forget()


def build(peer, name, state):
    kind = {value: key for key, value in f.NAMES.items()}[name]
    payload = {
        "DATA": b"x",
        "PRIORITY": bytes(5),
        "RST_STREAM": (8).to_bytes(4, "big"),
        "SETTINGS": b"",
        "PUSH_PROMISE": (2).to_bytes(4, "big"),
        "PING": bytes(8),
        "GOAWAY": bytes(8),
        "WINDOW_UPDATE": (1).to_bytes(4, "big"),
        "CONTINUATION": b"",
    }
    if name == "HEADERS":
        return peer.headers(1, GET if state == "idle" else [("x-end", "1")], end_stream=True)
    flags = f.END_HEADERS if name in ("PUSH_PROMISE", "CONTINUATION") else 0
    return f.frame(kind, flags, 1, payload[name])


@row("9113-5.1-10")
@pytest.mark.parametrize("state", MATRIX)
@pytest.mark.parametrize("name", sorted(MATRIX["idle"]))
def test_received_frame_in_state(server, state, name):
    peer = server()
    bring(peer, state)
    peer.feed(build(peer, name, state))
    expected = MATRIX[state][name]
    if expected is not None and expected[0] == CONNECTION:
        opened = 0 if state == "idle" else 1
        peer.expect_connection_error(expected[1], last_stream_id=opened)
        return
    peer.next_id = 3
    if expected is None:
        resets = [x for x in peer.sent() if x.kind in (f.RST_STREAM, f.GOAWAY)]
        assert resets == []
        peer.expect_alive()
    else:
        peer.expect_stream_error(1, expected[1])


@row("9113-5.1-10")
@pytest.mark.parametrize("state", MATRIX)
def test_sending_in_state(server, state):
    """Only an open or half-closed (remote) stream lets its caller send a message."""
    peer = server()
    bring(peer, state)
    calls = (
        lambda: peer.conn.respond(1, OK),
        lambda: peer.conn.send_data(1, b"x"),
    )
    if state in ("open", "half-closed (remote)"):
        for call in calls:
            call()
        assert [x.kind for x in peer.sent()] == [f.HEADERS, f.DATA]
        return
    for call in calls:
        with pytest.raises(peer.errors.H2WSError):
            call()
    assert peer.sent() == []
    peer.next_id = 3
    peer.expect_alive()


@row("9113-5.1-10")
def test_data_before_the_response_head_is_a_wrong_call(server):
    peer = server()
    stream_id = peer.get()
    with pytest.raises(peer.errors.LocalProtocolError):
        peer.conn.send_data(stream_id, b"x")
    assert peer.sent() == []
    peer.conn.respond(stream_id, OK, end_stream=True)
    assert [x.kind for x in peer.sent()] == [f.HEADERS]


# -- identifiers: section 5.1.1 ----------------------------------------------------------------


@row("9113-5.1.1-1")
@pytest.mark.parametrize("stream_id", [2, 4, 0x7FFFFFFE])
def test_client_may_not_open_an_even_stream(server, stream_id):
    peer = server()
    peer.feed(peer.headers(stream_id, GET, end_stream=True))
    peer.expect_connection_error(f.PROTOCOL_ERROR, last_stream_id=0)


@row("9113-5.1.1-1", "9113-5.1.1-5")
def test_client_ids_are_odd_and_grow_on_the_wire(client):
    peer = client()
    opened = [peer.conn.request(GET), peer.conn.connect_websocket("example.com", "/")]
    opened += [peer.conn.request(POST, end_stream=False) for _ in range(5)]
    opened.append(peer.conn.request(CONNECT, end_stream=False))
    peer.conn.send_data(opened[3], bytes(50_000))
    opened.append(peer.conn.request(GET))
    wire = [x.stream_id for x in peer.sent() if x.kind == f.HEADERS]
    assert wire == opened == list(range(1, 19, 2))


@row("9113-5.1.1-5")
def test_a_failed_open_takes_no_id(client):
    peer = client()
    assert peer.conn.request(GET) == 1
    for bad in ([*GET, ("Bad\nName", "x")], [(":method", "GET")], [*GET, ("connection", "close")]):
        with pytest.raises((ValueError, peer.errors.LocalProtocolError)):
            peer.conn.request(bad)
    assert peer.conn.request(GET) == 3
    assert [x.stream_id for x in peer.sent()] == [1, 3]


@row("9113-5.1.1-2")
def test_lower_id_than_before_is_a_connection_error(server):
    peer = server()
    peer.get(5)
    peer.feed(peer.headers(3, GET, end_stream=True))
    peer.expect_connection_error(f.PROTOCOL_ERROR, last_stream_id=5)


@row("9113-5.1.1-3")
def test_skipped_ids_are_closed(server):
    peer = server()
    peer.get(9)
    peer.forget()
    peer.expect_nothing(f.rst_stream(3), f.window_update(5, 1), f.priority(7))


@row("9113-5.1.1-4")
def test_last_id_of_a_client_is_used_and_never_wraps(make):
    peer = make("client", first_stream_id=0x7FFFFFFD)
    assert peer.conn.request(GET) == 0x7FFFFFFD
    assert peer.conn.request(GET) == 0x7FFFFFFF
    with pytest.raises(peer.errors.NoAvailableStreams) as caught:
        peer.conn.request(GET)
    assert caught.value.retryable is True
    assert [x.stream_id for x in peer.sent()] == [0x7FFFFFFD, 0x7FFFFFFF]
    peer.feed(peer.headers(0x7FFFFFFF, OK, end_stream=True))
    assert [e.stream_id for e in of(peer.events, "Responded")] == [0x7FFFFFFF]


# -- concurrency: section 5.1.2 ----------------------------------------------------------------


@row("9113-5.1.2-1")
def test_client_keeps_the_servers_limit(client):
    peer = client(peer_settings=[(f.MAX_CONCURRENT_STREAMS, 1), (f.ENABLE_CONNECT_PROTOCOL, 1)])
    assert peer.conn.peer_max_concurrent_streams == 1
    first = peer.conn.request(GET)
    for call in (
        lambda: peer.conn.request(GET),
        lambda: peer.conn.connect_websocket("example.com", "/"),
    ):
        with pytest.raises(peer.errors.NoAvailableStreams):
            call()
    assert [x.stream_id for x in peer.sent()] == [first]
    peer.feed(peer.headers(first, OK, end_stream=True))
    assert peer.conn.request(GET) == 3
    assert [x.stream_id for x in peer.sent()] == [3]


@row("9113-5.1.2-1")
def test_half_closed_streams_count_against_the_limit(client):
    peer = client(peer_settings=[(f.MAX_CONCURRENT_STREAMS, 1)])
    first = peer.conn.request(POST, end_stream=False)
    peer.sent()
    peer.feed(peer.headers(first, OK, end_stream=True))
    with pytest.raises(peer.errors.NoAvailableStreams):
        peer.conn.request(GET)
    peer.conn.send_data(first, b"", end_stream=True)
    peer.sent()
    assert peer.conn.request(GET) == 3


@row("9113-5.1.2-2")
def test_streams_above_our_limit_are_refused(server):
    peer = server(settings={"max_concurrent_streams": 100})
    for _ in range(100):
        peer.post()
    assert peer.conn.open_streams == 100
    peer.forget()
    peer.feed(peer.headers(201, [*GET, ("x-new", "indexed")], end_stream=True))
    assert peer.events == []
    assert peer.pull() == f.rst_stream(201, f.REFUSED_STREAM)
    peer.feed(f.data(1, b"alive"), f.rst_stream(3))
    assert b"".join(e.data for e in of(peer.events, "Data")) == b"alive"
    peer.open([*GET, ("x-new", "indexed")], 203, end_stream=True)
    assert peer.events[-1].headers == [(b"x-new", b"indexed")]


@row("9113-5.1.2-2")
def test_body_of_a_refused_stream_is_ignored(server):
    peer = server(settings={"max_concurrent_streams": 1})
    first = peer.post()
    peer.feed(peer.headers(3, POST), f.data(3, b"body"), f.data(3, b"", end_stream=True))
    assert kinds(peer.events) == ["Requested"]
    assert [(x.stream_id, x.error_code) for x in peer.sent()] == [(3, f.REFUSED_STREAM)]
    peer.feed(f.data(first, b"", end_stream=True))
    peer.conn.respond(first, OK, end_stream=True)
    peer.sent()
    peer.next_id = 5
    peer.expect_alive()


@row("9113-5.1.2-3")
def test_excess_before_our_settings_are_acknowledged_is_refused_too(server):
    peer = server(handshake=False, settings={"max_concurrent_streams": 2})
    peer.feed(f.MAGIC, f.settings(), *[peer.headers(i, POST) for i in (1, 3, 5, 7)])
    assert [e.stream_id for e in of(peer.events, "Requested")] == [1, 3]
    frames = peer.sent()
    assert [(x.stream_id, x.error_code) for x in frames if x.kind == f.RST_STREAM] == [
        (5, f.REFUSED_STREAM),
        (7, f.REFUSED_STREAM),
    ]
    assert f.GOAWAY not in [x.kind for x in frames]
    peer.feed(f.settings_ack(), f.rst_stream(1))
    peer.next_id = 9
    peer.expect_alive()


@row("9113-5.1.2-4")
def test_limit_of_zero_means_wait(client):
    peer = client(peer_settings=[(f.MAX_CONCURRENT_STREAMS, 0)])
    with pytest.raises(peer.errors.NoAvailableStreams):
        peer.conn.request(GET)
    assert not peer.conn.terminated
    peer.feed(f.settings((f.MAX_CONCURRENT_STREAMS, 1)))
    assert [e.settings for e in of(peer.events, "SettingsChanged")] == [
        {f.MAX_CONCURRENT_STREAMS: 1}
    ]
    assert peer.conn.request(GET) == 1


@row("9113-5.1.2-4")
def test_server_with_a_limit_of_zero_refuses(server):
    peer = server(settings={"max_concurrent_streams": 0})
    peer.feed(peer.headers(1, GET, end_stream=True))
    assert peer.pull() == f.rst_stream(1, f.REFUSED_STREAM)
    assert peer.events == [] and not peer.conn.terminated


@row("9113-5.1.2-5")
def test_our_lowered_limit_lets_open_streams_finish(server):
    peer = server()
    opened = [peer.post() for _ in range(3)]
    peer.conn.update_settings({f.MAX_CONCURRENT_STREAMS: 1})
    (sent,) = peer.sent()
    assert sent.settings == [(f.MAX_CONCURRENT_STREAMS, 1)]
    peer.feed(f.settings_ack())
    assert peer.sent() == []  # no stream is reset
    peer.feed(peer.headers(7, GET, end_stream=True))
    assert [(x.stream_id, x.error_code) for x in peer.sent()] == [(7, f.REFUSED_STREAM)]
    for stream_id in opened:
        peer.feed(f.data(stream_id, b"rest", end_stream=True))
        peer.conn.respond(stream_id, OK, end_stream=True)
        assert [x.kind for x in peer.sent()] == [f.HEADERS]
    peer.next_id = 9
    peer.expect_alive()


@row("9113-5.1.2-2")
def test_our_raised_limit_lets_more_streams_in(server):
    peer = server(settings={"max_concurrent_streams": 1})
    peer.post()
    peer.conn.update_settings({f.MAX_CONCURRENT_STREAMS: 2})
    peer.sent()
    peer.feed(f.settings_ack())
    peer.post()
    peer.feed(peer.headers(5, GET, end_stream=True))
    assert peer.pull() == f.rst_stream(5, f.REFUSED_STREAM)


@row("9113-5.1.2-5")
def test_a_lowered_limit_lets_open_streams_finish(client):
    peer = client()
    opened = [peer.conn.request(POST, end_stream=False) for _ in range(3)]
    peer.sent()
    peer.feed(f.settings((f.MAX_CONCURRENT_STREAMS, 1)))
    assert [x.kind for x in peer.sent()] == [f.SETTINGS]  # the ACK; no stream is reset
    for stream_id in opened:
        with pytest.raises(peer.errors.NoAvailableStreams):
            peer.conn.request(GET)
        peer.conn.send_data(stream_id, b"body", end_stream=True)
        assert [x.kind for x in peer.sent()] == [f.DATA]
        peer.feed(peer.headers(stream_id, OK, end_stream=True))
    assert [e.stream_id for e in of(peer.events, "Responded")] == opened
    assert peer.conn.request(GET) == 7


@pytest.mark.parametrize("waiting", [0, 200_000])
@pytest.mark.parametrize("tunnel", [False, True])
def test_an_upload_that_is_no_longer_wanted(client, waiting, tunnel):
    """The response is whole: nothing is said of an error, but that nothing waits any more."""
    peer = client()
    stream_id = peer.conn.request(CONNECT if tunnel else POST, end_stream=False)
    if not tunnel:
        peer.conn.send_data(stream_id, bytes(waiting))
    head = [(":status", "403")] if tunnel else OK
    peer.feed(peer.headers(stream_id, head), f.data(stream_id, b"answer", end_stream=True))
    peer.forget()
    events = kinds(peer.feed(f.rst_stream(stream_id, f.NO_ERROR)))
    assert events == (["Drained"] if waiting and not tunnel else [])
    assert peer.conn.open_streams == peer.conn.waiting(stream_id) == 0
    peer.expect_alive()


# -- retries: section 8.7 ----------------------------------------------------------------------


@row("9113-8.7-1")
@pytest.mark.parametrize("code", [f.REFUSED_STREAM, f.CANCEL, f.NO_ERROR, f.INTERNAL_ERROR])
def test_only_a_refused_stream_may_be_retried(client, code):
    peer = client()
    request, websocket = peer.conn.request(GET), peer.conn.connect_websocket("example.com", "/")
    peer.sent()
    peer.feed(f.rst_stream(request, code), f.rst_stream(websocket, code))
    resets = of(peer.events, "Reset")
    assert [e.stream_id for e in resets] == [request, websocket]
    assert [e.retryable for e in resets] == [code == f.REFUSED_STREAM] * 2
    assert [e.error_code for e in resets] == [code] * 2


@row("9113-8.7-1", "9113-6.8-3")
def test_streams_above_a_goaway_may_be_retried(client):
    peer = client()
    kept, lost = peer.conn.request(GET), peer.conn.request(GET)
    peer.sent()
    peer.feed(f.goaway(kept, f.NO_ERROR))
    (reset,) = of(peer.events, "Reset")
    assert (reset.stream_id, reset.retryable, reset.remote) == (lost, True, True)
    peer.feed(peer.headers(kept, OK, end_stream=True))
    assert [e.stream_id for e in of(peer.events, "Responded")] == [kept]


@row("9113-8.7-2")
def test_refused_stream_is_not_sent_once_the_request_was_told(server):
    peer = server(settings={"max_concurrent_streams": 1})
    told = peer.post()
    with pytest.raises((ValueError, peer.errors.LocalProtocolError)):
        peer.conn.reset(told, f.REFUSED_STREAM)
    peer.feed(peer.headers(3, GET, end_stream=True))
    peer.conn.shutdown()
    peer.tick(100)
    peer.sent()
    refused = [
        x for x in peer.frames if x.kind == f.RST_STREAM and x.error_code == f.REFUSED_STREAM
    ]
    assert [x.stream_id for x in refused] == [3]
