"""RFC 9113 sections 6.1 to 6.4: DATA, HEADERS, PRIORITY, RST_STREAM, and padding."""

import pytest

from tests.support import frames as f
from tests.support.peer import GET, OK, POST, kinds, of

row = pytest.mark.row


def body(events):
    return b"".join(e.data for e in of(events, "Data"))


# -- DATA: section 6.1 -------------------------------------------------------------------------


@row("9113-6.1-1")
@pytest.mark.parametrize("payload", [b"", b"x", bytes(16384)], ids=len)
def test_data_on_stream_0(either, payload):
    peer = either()
    peer.feed(f.data(0, payload))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9113-6.1-2")
@pytest.mark.parametrize(("length", "pad"), [(1, 1), (5, 5), (5, 255), (200, 200)])
def test_padding_that_fills_data_is_a_connection_error(server, length, pad):
    peer = server()
    stream_id = peer.post()
    peer.feed(f.frame(f.DATA, f.PADDED, stream_id, bytes((pad,)) + bytes(length - 1)))
    assert body(peer.events) == b""
    peer.expect_connection_error(f.PROTOCOL_ERROR, last_stream_id=stream_id)


@row("9113-6.1-2")
def test_padding_that_leaves_no_data_is_legal(server):
    peer = server()
    stream_id = peer.post()
    peer.feed(f.frame(f.DATA, f.PADDED, stream_id, b"\x04" + bytes(4)))
    assert body(peer.events) == b""
    peer.feed(f.data(stream_id, b"text", end_stream=True, pad=255))
    assert body(peer.events) == b"text"
    assert [e.stream_id for e in of(peer.events, "Ended")] == [stream_id]
    peer.expect_alive()


@row("9113-6.1-2")
@pytest.mark.parametrize("extra", [0, 1, 200])
@pytest.mark.parametrize("with_priority", [False, True])
def test_padding_that_fills_headers_is_a_connection_error(server, extra, with_priority):
    peer = server()
    block = peer.block(GET)
    head = bytes(5) if with_priority else b""
    flags = f.PADDED | f.END_HEADERS | f.END_STREAM | (f.PRIORITY_FLAG if with_priority else 0)
    pad = len(block) + 1 + extra
    peer.feed(f.frame(f.HEADERS, flags, 1, bytes((pad,)) + head + block))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9113-6.1-2")
def test_padding_that_fills_push_promise_is_a_connection_error(client):
    peer = client(handshake=False)
    peer.conn.request(GET)
    peer.sent()
    payload = b"\x06" + (2).to_bytes(4, "big") + b"\x88"
    peer.feed(f.settings(), f.frame(f.PUSH_PROMISE, f.PADDED | f.END_HEADERS, 1, payload))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9113-6.1-3")
def test_padding_counts_in_both_windows(server):
    peer = server(settings={"initial_window_size": 1000})
    stream_id = peer.post()
    peer.feed(f.data(stream_id, b"x" * 10, pad=255), f.data(stream_id, b"y" * 488, pad=245))
    assert body(peer.events) == b"x" * 10 + b"y" * 488
    assert not [x for x in peer.sent() if x.kind == f.RST_STREAM]
    # 1000 octets were spent; at most the 502 of the padding can have come back.
    peer.feed(f.data(stream_id, b"z" * 503))
    peer.expect_stream_error(stream_id, f.FLOW_CONTROL_ERROR)


@row("9113-6.1-3", "9113-6.9.1-5")
def test_padding_is_credited_although_nothing_was_consumed(server):
    peer = server(
        handshake=False,
        settings={"initial_window_size": 2000, "connection_window": 65535},
        limits={"max_empty_frames": None, "small_data": 10**6},
    )
    peer.handshake()
    stream_id = peer.post()
    for _ in range(60):  # 60 octets of body, 15 000 octets of DATA
        peer.send(stream_id, b"b", pad=248)
        peer.sent()
    assert body(peer.events) == b"b" * 60
    assert peer.may_send(stream_id) <= 2000 - 60


@row("9113-6.1-4")
def test_padding_of_any_value_is_accepted(server):
    peer = server()
    stream_id = peer.post()
    peer.feed(f.frame(f.DATA, f.PADDED, stream_id, b"\x03abc\xff\x00\x01"))
    assert body(peer.events) == b"abc"
    block = peer.block(GET)
    payload = b"\x02" + block + b"\xff\xfe"
    peer.feed(f.frame(f.HEADERS, f.PADDED | f.END_HEADERS | f.END_STREAM, 3, payload))
    assert [e.stream_id for e in of(peer.events, "Requested")] == [1, 3]
    peer.next_id = 5
    peer.expect_alive()


@row("9113-6.1-4")
def test_padding_that_is_sent_is_zero(either):
    peer = either()
    stream_id = peer.websocket()
    peer.conn.send_message(stream_id, bytes(range(256)) * 20)
    peer.conn.close_websocket(stream_id)
    for frame in peer.sent():
        if frame.kind in (f.DATA, f.HEADERS) and frame.flags & f.PADDED:
            assert not any(frame.payload[len(frame.payload) - frame.payload[0] :])


@row("9113-6.1-5")
def test_data_on_half_closed_remote_is_a_stream_error(server):
    peer = server()
    stream_id = peer.get()
    peer.feed(f.data(stream_id, b"late"))
    assert body(peer.events) == b""
    assert [(e.stream_id, e.error_code, e.remote) for e in of(peer.events, "Reset")] == [
        (stream_id, f.STREAM_CLOSED, False)
    ]
    peer.expect_stream_error(stream_id, f.STREAM_CLOSED)


@row("9113-6.1-5")
@pytest.mark.parametrize("stream_id", [1, 2, 99])
def test_data_on_idle_is_a_connection_error(either, stream_id):
    peer = either()
    peer.feed(f.data(stream_id, b"early"))
    peer.expect_connection_error(f.PROTOCOL_ERROR, last_stream_id=0)


@row("9113-6.1-5")
def test_data_on_a_finished_stream_is_a_connection_error(server):
    peer = server()
    stream_id = peer.expect_alive()
    peer.feed(f.data(stream_id, b"late"))
    peer.expect_connection_error(f.STREAM_CLOSED, last_stream_id=stream_id)


@row("9113-6.1-5", "9113-6.4-3")
def test_data_on_a_stream_the_peer_reset_is_a_stream_error(server):
    peer = server()
    stream_id = peer.post()
    peer.feed(f.rst_stream(stream_id))
    assert peer.sent() == []
    peer.feed(f.data(stream_id, b"late"))
    peer.expect_stream_error(stream_id, f.STREAM_CLOSED)


@row("9113-6.1-5", "9113-6.9-4")
def test_data_on_a_stream_we_reset_is_ignored_and_credited(server):
    peer = server(handshake=False, settings={"connection_window": 65535})
    peer.handshake()
    stream_id = peer.post()
    peer.conn.reset(stream_id)
    peer.forget()
    before = peer.room[0]
    peer.expect_nothing(*[f.data(stream_id, bytes(10_000)) for _ in range(5)])
    assert peer.room[0] - before >= 50_000 - 65535 // 2  # all but what is saved up for one update


@row("9113-6.1-5", "9113-5.1-7")
def test_data_on_a_forgotten_stream_is_ignored_credited_and_counted(server):
    peer = server(
        handshake=False, settings={"connection_window": 65535, "max_concurrent_streams": 10}
    )
    peer.handshake()
    for _ in range(60):  # more than the 50 that are remembered
        peer.expect_alive()
    peer.forget()
    glitches = peer.conn.stats()["glitches"]
    before = peer.room[0]
    peer.expect_nothing(*[f.data(1, bytes(10_000)) for _ in range(5)])
    assert peer.conn.stats()["glitches"] == glitches + 5
    assert peer.room[0] - before >= 50_000 - 65535 // 2


@row("9113-6.1-6")
def test_empty_data_is_legal(server):
    peer = server(settings={"initial_window_size": 0})
    stream_id = peer.post()
    peer.feed(f.data(stream_id), f.data(stream_id), f.data(stream_id, end_stream=True))
    assert body(peer.events) == b""
    assert [e.stream_id for e in of(peer.events, "Ended")] == [stream_id]
    peer.expect_alive()


@row("9113-6.1-6", "9113-6.9-5")
@pytest.mark.parametrize("window", [0, 5])
def test_end_stream_is_sent_although_the_window_is_shut(server, window):
    peer = server(peer_settings=[(f.INITIAL_WINDOW_SIZE, window)])
    stream_id = peer.get()
    peer.conn.respond(stream_id, OK)
    peer.conn.send_data(stream_id, bytes(window))
    assert sum(len(x.payload) for x in peer.sent() if x.kind == f.DATA) == window
    peer.conn.send_data(stream_id, b"", end_stream=True)
    assert peer.pull() == f.data(stream_id, b"", end_stream=True)


@row("9113-6.1-6")
def test_end_stream_is_sent_although_the_window_is_negative(server):
    peer = server()
    stream_id = peer.get()
    peer.conn.respond(stream_id, OK)
    peer.conn.send_data(stream_id, bytes(1000))
    peer.sent()
    peer.feed(f.settings((f.INITIAL_WINDOW_SIZE, 10)))
    peer.conn.send_data(stream_id, b"", end_stream=True)
    assert [x for x in peer.sent() if x.kind == f.DATA] == [f.Frame(f.DATA, 1, stream_id, b"")]


# -- HEADERS: section 6.2 ----------------------------------------------------------------------


@row("9113-6.2-1")
def test_headers_on_stream_0(either):
    peer = either()
    peer.feed(peer.headers(0, GET if peer.role == "server" else OK, end_stream=True))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9113-6.2-2")
@pytest.mark.parametrize("pad", [None, 0, 7], ids=["plain", "padded-0", "padded-7"])
@pytest.mark.parametrize("weight", [bytes(5), b"\x80\x00\x00\x03\xff"])
def test_priority_fields_of_headers_are_skipped(server, pad, weight):
    peer = server()
    peer.feed(peer.headers(1, [*GET, ("x-a", "b")], True, pad=pad, priority=weight))
    (request,) = peer.events
    assert (request.path, request.headers, request.ended) == ("/", [(b"x-a", b"b")], True)
    peer.next_id = 3
    peer.expect_alive()


@row("9113-6.2-2")
def test_priority_fields_of_headers_in_pieces_are_skipped(server):
    peer = server()
    block = peer.block(GET)
    peer.feed(
        f.headers(1, block[:4], True, end_headers=False, pad=9, priority=b"\0\0\0\0\x10"),
        f.continuation(1, block[4:]),
    )
    assert [e.path for e in of(peer.events, "Requested")] == ["/"]


@row("9113-6.2-3")
def test_a_stream_that_depends_on_itself_is_tolerated(server):
    peer = server()
    peer.feed(peer.headers(1, POST, priority=b"\0\0\0\x01\x10"), f.priority(1, 1))
    assert kinds(peer.events) == ["Requested"]
    assert peer.sent() == []
    peer.next_id = 3
    peer.expect_alive()


# -- PRIORITY: section 6.3 ---------------------------------------------------------------------


@row("9113-6.3-1")
def test_priority_on_stream_0(either):
    peer = either()
    peer.feed(f.priority(0, 1))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9113-6.3-2")
@pytest.mark.parametrize("length", [0, 4, 6, 100])
def test_priority_of_another_length_is_a_stream_error(server, length):
    peer = server()
    stream_id = peer.post()
    peer.feed(f.frame(f.PRIORITY, 0, stream_id, bytes(length)))
    assert [(e.error_code, e.remote) for e in of(peer.events, "Reset")] == [
        (f.FRAME_SIZE_ERROR, False)
    ]
    peer.expect_stream_error(stream_id, f.FRAME_SIZE_ERROR)


@row("9113-6.3-2")
def test_priority_of_another_length_on_idle_is_a_connection_error(server):
    peer = server()
    peer.feed(f.frame(f.PRIORITY, 0, 7, bytes(4)))  # there is no stream to reset
    peer.expect_connection_error(f.FRAME_SIZE_ERROR)


SHORT = f.frame(f.PRIORITY, 0, 1, bytes(4))


@row("9113-6.3-2")
@pytest.mark.parametrize("cut", [0, 3, 9, 11])
def test_priority_of_another_length_on_a_closed_stream_is_a_stream_error(server, cut):
    """The stream was answered, and is over, before the frame had come whole."""
    peer = server()
    assert peer.get() == 1
    peer.feed(SHORT[:cut])
    peer.conn.respond(1, OK, end_stream=True)
    assert peer.conn.open_streams == 0
    peer.sent()
    peer.forget()
    peer.feed(SHORT[cut:])
    assert peer.pull() == f.rst_stream(1, f.FRAME_SIZE_ERROR)
    assert peer.events == []
    peer.next_id = 3
    peer.expect_alive()


@row("9113-6.3-2")
def test_no_second_reset_for_priority_of_another_length(server):
    """RFC 9113 section 5.4.2: an endpoint "SHOULD NOT send more than one RST_STREAM frame"."""
    peer = server()
    by_peer, by_us, skipped = peer.post(), peer.post(), peer.new_id()
    peer.feed(f.rst_stream(by_peer))
    peer.conn.reset(by_us)
    peer.expect_alive()
    peer.sent()
    for stream_id in (by_peer, skipped):
        peer.feed(f.frame(f.PRIORITY, 0, stream_id, bytes(6)))
        assert peer.pull() == f.rst_stream(stream_id, f.FRAME_SIZE_ERROR)
    glitches = peer.conn.stats()["glitches"]
    for stream_id in (by_peer, by_us, skipped):
        peer.feed(f.frame(f.PRIORITY, 0, stream_id, bytes(6)))
    assert peer.conn.stats()["glitches"] == glitches + 3
    assert peer.pull() == b""
    peer.expect_alive()


@row("9113-6.1-5", "9113-6.3-2")
@pytest.mark.parametrize("late", ["data", "headers"])
def test_how_a_stream_ended_is_known_after_priority_of_another_length(server, late):
    def frame(peer, stream_id):
        return f.data(stream_id, b"x") if late == "data" else peer.headers(stream_id, GET, True)

    peer = server()
    ended, by_peer = peer.get(), peer.post()
    peer.conn.respond(ended, OK, end_stream=True)
    peer.feed(f.rst_stream(by_peer))
    for stream_id in (ended, by_peer):
        peer.sent()
        peer.feed(f.frame(f.PRIORITY, 0, stream_id, bytes(4)))
        assert peer.pull() == f.rst_stream(stream_id, f.FRAME_SIZE_ERROR)
    peer.feed(frame(peer, by_peer))
    assert peer.pull() == f.rst_stream(by_peer, f.STREAM_CLOSED)
    peer.feed(f.frame(f.PRIORITY, 0, by_peer, bytes(4)))
    peer.feed(f.rst_stream(ended))  # it crossed ours ...
    glitches = peer.conn.stats()["glitches"]
    for stream_id in (ended, by_peer):
        peer.feed(f.frame(f.PRIORITY, 0, stream_id, bytes(4)))
    assert peer.conn.stats()["glitches"] == glitches + 2
    assert peer.pull() == b""
    peer = server()
    ended = peer.get()
    peer.conn.respond(ended, OK, end_stream=True)
    peer.sent()
    peer.feed(f.frame(f.PRIORITY, 0, ended, bytes(4)))
    assert peer.pull() == f.rst_stream(ended, f.FRAME_SIZE_ERROR)
    peer.feed(frame(peer, ended))
    peer.expect_connection_error(f.STREAM_CLOSED)


@row("9113-6.3-2")
def test_priority_of_another_length_above_our_goaway_is_ignored(server):
    peer = server()
    stream_id = peer.post()
    peer.conn.shutdown()
    peer.feed(f.ping(peer.sent()[-1].payload, ack=True))
    above = stream_id + 2
    peer.feed(peer.headers(above, GET, True), f.frame(f.PRIORITY, 0, above, bytes(4)))
    assert f.RST_STREAM not in [x.kind for x in peer.sent()]
    assert not peer.conn.terminated


@row("9113-6.3-3")
def test_priority_is_accepted_in_every_state(server):
    peer = server()
    finished = peer.expect_nothing(f.priority(5, 3), f.priority(2))
    assert finished == 1  # 5 is idle still, or 3 could not be opened
    peer.forget()
    half_closed = peer.get()
    assert half_closed == 3
    opened, reset_by_peer, reset_by_us = peer.post(), peer.post(), peer.post()
    peer.feed(f.rst_stream(reset_by_peer))
    peer.conn.reset(reset_by_us)
    peer.forget()
    every = (finished, half_closed, opened, reset_by_peer, reset_by_us)
    peer.expect_nothing(*[f.priority(stream_id, 0) for stream_id in every])
    peer.feed(f.data(opened, b"still open"))
    assert body(peer.events) == b"still open"


@row("9113-6.3-4", "9113-6.2-2")
def test_no_priority_is_ever_sent(client):
    peer = client()
    peer.websocket()
    peer.conn.request(GET)
    stream_id = peer.conn.request(POST, end_stream=False)
    peer.conn.send_data(stream_id, bytes(70_000))
    for frame in peer.sent():
        assert frame.kind not in (f.PRIORITY, f.PRIORITY_UPDATE)
        assert frame.kind != f.HEADERS or not frame.flags & f.PRIORITY_FLAG


# -- RST_STREAM: section 6.4 -------------------------------------------------------------------


@row("9113-6.4-1")
def test_rst_stream_on_stream_0(either):
    peer = either()
    peer.feed(f.rst_stream(0))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9113-6.4-1")
@pytest.mark.parametrize("stream_id", [1, 2, 7, 8])
def test_rst_stream_on_idle(either, stream_id):
    peer = either()
    peer.feed(f.rst_stream(stream_id))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9113-6.4-1")
@pytest.mark.parametrize("length", [0, 3, 5])
@pytest.mark.parametrize("stream_id", [1, 2], ids=["odd", "even"])
def test_rst_stream_of_another_length(server, length, stream_id):
    peer = server()
    peer.post()
    peer.feed(f.frame(f.RST_STREAM, 0, stream_id, bytes(length)))
    peer.expect_connection_error(f.FRAME_SIZE_ERROR)


@row("9113-6.4-2")
def test_nothing_is_sent_on_a_stream_the_peer_reset(server):
    peer = server()
    stream_id, sibling = peer.get(), peer.get()
    peer.conn.respond(stream_id, OK)
    peer.conn.send_data(stream_id, bytes(2**20), end_stream=True)
    peer.sent(max_bytes=20_000)
    peer.feed(f.rst_stream(stream_id))
    assert [(e.error_code, e.remote) for e in of(peer.events, "Reset")] == [(f.CANCEL, True)]
    assert [x for x in peer.sent() if x.stream_id == stream_id] == []
    peer.feed(f.window_update(0, 2**20))
    assert [x for x in peer.sent() if x.stream_id == stream_id] == []
    with pytest.raises(peer.errors.StreamClosed):
        peer.conn.send_data(stream_id, b"more")
    peer.conn.respond(sibling, OK)
    peer.conn.send_data(sibling, bytes(100), end_stream=True)
    assert sum(len(x.payload) for x in peer.sent() if x.kind == f.DATA) == 100


@row("9113-6.4-2")
def test_unread_data_of_a_reset_stream_returns_to_the_connection(make):
    peer = make(
        "server",
        handshake=False,
        settings={"initial_window_size": 40_000, "connection_window": 65535},
    )
    peer.handshake()
    for _ in range(20):  # 800 000 octets that nobody consumes
        stream_id = peer.post()
        while peer.may_send(stream_id):
            peer.send(stream_id, bytes(min(8000, peer.may_send(stream_id))))
            peer.sent()
        assert peer.room[stream_id] == 0  # the stream, not the connection, was the bound
        peer.feed(f.rst_stream(stream_id))
        peer.sent()
    peer.expect_alive()


@row("9113-6.4-3")
@pytest.mark.parametrize("code", [f.NO_ERROR, f.CANCEL, f.STREAM_CLOSED, f.PROTOCOL_ERROR])
def test_rst_stream_is_never_answered(server, code):
    peer = server()
    finished, reset_by_us, opened = peer.expect_alive(), peer.post(), peer.post()
    peer.conn.reset(reset_by_us)
    peer.sent()
    for stream_id in (opened, opened, reset_by_us, finished):
        peer.feed(f.rst_stream(stream_id, code))
    assert peer.sent() == []
    peer.expect_alive()


@row("9113-6.4-4", "9113-5.1-5")
def test_late_frames_bring_no_second_rst_stream(server):
    peer = server()
    stream_id = peer.post()
    peer.feed(f.window_update(stream_id, 0))  # a stream error of the peer's
    peer.feed(*[f.data(stream_id, bytes(100)) for _ in range(20)])
    peer.feed(f.window_update(stream_id, 0), f.window_update(stream_id, 7))
    peer.feed(f.frame(f.PRIORITY, 0, stream_id, b""))
    peer.feed(peer.headers(stream_id, [("x-late", "trailer")], end_stream=True))
    peer.expect_stream_error(stream_id, f.PROTOCOL_ERROR)


@row("9113-6.4-4")
def test_a_second_reset_of_ours_sends_nothing(server):
    peer = server()
    stream_id = peer.post()
    peer.conn.reset(stream_id, f.INTERNAL_ERROR)
    assert peer.pull() == f.rst_stream(stream_id, f.INTERNAL_ERROR)
    with pytest.raises(peer.errors.StreamClosed):
        peer.conn.reset(stream_id)
    assert peer.pull() == b""


@row("9113-6.4-5")
@pytest.mark.parametrize("code", [0xDEADBEEF, 0xFFFFFFFF, 0xE])
def test_unknown_error_code_is_only_told(server, code):
    peer = server()
    stream_id = peer.post()
    peer.feed(f.rst_stream(stream_id, code))
    reset = peer.events[-1]
    assert (reset.stream_id, reset.error_code, reset.remote) == (stream_id, code, True)
    assert reset.retryable is False
    peer.expect_alive()


@row("9113-6.4-6")
def test_rst_stream_no_error_after_a_whole_response_keeps_it(client):
    peer = client()
    stream_id = peer.conn.request(POST, end_stream=False)
    peer.conn.send_data(stream_id, bytes(100_000))
    peer.sent()
    peer.feed(
        peer.headers(stream_id, [(":status", "413")]),
        f.data(stream_id, b"too large", end_stream=True),
        f.rst_stream(stream_id, f.NO_ERROR),
    )
    assert kinds(peer.events)[0] == "Responded" and peer.events[0].status == 413
    assert body(peer.events) == b"too large"
    assert [e.stream_id for e in of(peer.events, "Ended")] == [stream_id]
    # Nothing is told of the reset, but that nothing of the upload waits any more.
    assert kinds(peer.events)[-2:] == ["Ended", "Drained"]
    peer.feed(f.window_update(0, 10**6))
    assert [x for x in peer.sent() if x.stream_id == stream_id] == []
    with pytest.raises(peer.errors.StreamClosed):
        peer.conn.send_data(stream_id, b"more")
    peer.expect_alive()


@row("9113-6.4-7")
def test_early_response_then_rst_stream_no_error(server):
    peer = server()
    stream_id = peer.post()
    peer.feed(f.data(stream_id, bytes(1000)))
    peer.conn.respond(stream_id, [(":status", "413")])
    peer.conn.send_data(stream_id, b"too large", end_stream=True)
    sent = peer.sent()
    peer.conn.reset(stream_id, f.NO_ERROR)
    sent += peer.sent()
    said = [x for x in sent if x.stream_id == stream_id and x.kind != f.WINDOW_UPDATE]
    assert [x.kind for x in said] == [f.HEADERS, f.DATA, f.RST_STREAM]
    assert said[1].end_stream and said[2].error_code == f.NO_ERROR
    peer.feed(f.data(stream_id, bytes(1000)))
    peer.expect_alive()
