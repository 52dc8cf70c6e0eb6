"""The end of a WebSocket: RFC 6455 section 7, RFC 8441 section 5, over both transports.

Who begins decides the order. The peer: our Close and the end of our side at once. We, or a peer
that broke the rules: Close alone, then the end of our side when the peer has answered, ended or
reset, or when `close_timeout_s` is over.
"""

from functools import partial

import pytest

from tests.support import frames as f
from tests.support.peer import kinds, of
from tests.support.websocket import CLIENT, END, RESET, SERVER, WebSocket
from tests.support.ws_frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    KEY,
    PING,
    PONG,
    TEXT,
    read_ws_frames,
    ws_frame,
)

ROLES = (SERVER, CLIENT)
LEGAL = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}


@pytest.fixture(params=("h2", "h1"))
def transport(request):
    return request.param


@pytest.fixture(params=ROLES)
def either(request, twin, transport):
    """Open a WebSocket whose engine is the server, then the client."""
    return partial(WebSocket, twin, transport, request.param)


@pytest.fixture(params=ROLES)
def over_h2(request, twin):
    """The same on HTTP/2 alone."""
    return partial(WebSocket, twin, "h2", request.param)


# -- codes -------------------------------------------------------------------------------------


@pytest.mark.row("6455-7.4-1")
@pytest.mark.timeout(300)
def test_every_code_on_the_wire_is_taken_or_refused(twin):
    accepted = set()
    for code in range(65536):
        socket = WebSocket(twin, "h1", SERVER)
        socket.feed(socket.close(code))
        ((name, answer),) = [one for one in socket.sent() if one != END]
        assert name == "close"
        assert answer == (code if code in LEGAL else 1002)
        if code in LEGAL:
            accepted.add(code)
            assert socket.closed.code == code
    assert accepted == LEGAL


@pytest.mark.row("6455-7.4-1")
@pytest.mark.parametrize(
    "code",
    [
        1000,
        1001,
        1002,
        1003,
        1007,
        1008,
        1009,
        1010,
        1011,
        1012,
        1013,
        1014,
        3000,
        3999,
        4000,
        4999,
    ],
)
def test_legal_code_is_delivered_and_echoed(either, code):
    socket = either()
    socket.feed(socket.close(code, b"why"), end=True)
    assert socket.sent() == [("close", code), END]
    closed = socket.closed
    assert (closed.code, closed.reason) == (code, "why")
    assert closed.received == (code, "why")
    assert closed.sent[0] == code
    assert closed.received_first is True


@pytest.mark.row("6455-7.4-1")
@pytest.mark.parametrize(
    "code",
    [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 5001, 32768, 65535],
)
def test_illegal_code_fails_the_websocket(either, code):
    socket = either()
    socket.feed(socket.close(code, b"why"))
    sent = socket.sent()
    assert sent[0] == ("close", 1002)
    socket.feed(end=True)
    assert sent + socket.sent() == [("close", 1002), END]
    assert socket.closed.sent[0] == socket.closed.code == 1002


@pytest.mark.row("6455-7.4-2")
@pytest.mark.parametrize("code", [1004, 1005, 1006, 1015, 0, 999, 1016, 2999, 5000, 65536, -1])
def test_illegal_code_is_not_sent(either, code):
    socket = either()
    with pytest.raises(ValueError):
        socket.conn.close_websocket(1, code)
    socket.conn.send_message(1, "still open")
    assert socket.sent() == [("text", b"still open")]


@pytest.mark.row("6455-7.4-2")
@pytest.mark.parametrize(
    "code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 1014, 3000, 4999]
)
def test_legal_code_is_sent(either, code):
    socket = either()
    socket.conn.close_websocket(1, code, "why")
    (close,) = socket.frames()
    assert (close.close_code, close.payload[2:]) == (code, b"why")


@pytest.mark.row("6455-7.4-2")
def test_1010_is_sent_by_a_client_alone(twin, transport):
    server = WebSocket(twin, transport, SERVER)
    with pytest.raises(ValueError):
        server.conn.close_websocket(1, 1010)
    assert server.sent() == []
    client = WebSocket(twin, transport, CLIENT)
    client.conn.close_websocket(1, 1010)
    assert client.sent() == [("close", 1010)]


# -- what the application hears --------------------------------------------------------------------


@pytest.mark.row("6455-7.1-1")
def test_close_both_ways_begun_by_the_peer_is_clean(either):
    socket = either()
    socket.feed(socket.close(4321, b"bye"))
    assert socket.sent()[0] == ("close", 4321)
    socket.feed(end=True)
    closed = socket.closed
    assert (closed.code, closed.reason) == (4321, "bye")
    assert closed.received == (4321, "bye")
    assert closed.sent is not None
    assert closed.received_first is True
    assert closed.error_code is None


@pytest.mark.row("6455-7.1-1")
def test_close_both_ways_begun_here_is_clean(either):
    socket = either()
    socket.conn.close_websocket(1, 4000, "mine")
    assert socket.sent() == [("close", 4000)]
    assert socket.open
    socket.feed(socket.close(4001, b"yours"), end=True)
    assert socket.sent() == [END]
    closed = socket.closed
    assert (closed.code, closed.reason) == (4001, "yours")
    assert closed.received == (4001, "yours")
    assert closed.sent == (4000, "mine")
    assert closed.received_first is False
    assert closed.error_code is None


@pytest.mark.row("6455-7.1-1")
def test_close_without_a_code_is_1005(either):
    socket = either()
    socket.feed(socket.close(), end=True)
    assert socket.sent() == [("close", None), END]
    assert (socket.closed.code, socket.closed.reason) == (1005, "")
    assert socket.closed.received_first is True


@pytest.mark.row("6455-7.1-1")
@pytest.mark.parametrize("said", [b"", "half a head", "half a frame", "half a message"])
def test_end_without_close_is_1006(either, said):
    socket = either()
    octets = {
        b"": b"",
        "half a head": socket.frame(BINARY, b"x" * 300)[:3],
        "half a frame": socket.frame(BINARY, b"x" * 300)[:200],
        "half a message": socket.frame(TEXT, b"x", fin=False),
    }[said]
    socket.feed(octets, end=True)
    assert END in socket.sent()
    closed = socket.closed
    assert (closed.code, closed.reason) == (1006, "")
    assert closed.received is None
    assert closed.error_code is None
    assert socket.messages == []


@pytest.mark.row("6455-7.1-1")
def test_reset_without_close_is_1006(over_h2):
    for code in (f.CANCEL, f.NO_ERROR, f.INTERNAL_ERROR, f.PROTOCOL_ERROR, 0xDEAD):
        socket = over_h2()
        socket.break_off(code)
        assert socket.sent() == []
        assert socket.closed.code == 1006
        assert socket.closed.received is None
        assert socket.closed.error_code == code
        socket.peer.expect_alive()


@pytest.mark.row("6455-7.1-1")
def test_end_after_our_own_close_alone_is_1006(either):
    socket = either()
    socket.conn.close_websocket(1, 1000)
    assert socket.sent() == [("close", 1000)]
    socket.feed(end=True)
    assert socket.sent() == [END]
    assert socket.closed.code == 1006
    assert socket.closed.received is None
    assert socket.closed.sent == (1000, "")


# -- the order on the wire --------------------------------------------------------------------


@pytest.mark.row("8441-5-7", "6455-7.1-2")
@pytest.mark.parametrize("with_end", [False, True])
def test_close_begun_by_the_peer_is_answered_and_the_stream_ended_at_once(over_h2, with_end):
    socket = over_h2()
    socket.feed(socket.close(1000, b"bye"), end=with_end)
    assert socket.sent() == [("close", 1000), END]
    if not with_end:
        socket.feed(end=True)
    assert socket.sent() == []
    assert socket.closed.code == 1000
    assert socket.conn.open_streams == 0
    socket.peer.expect_alive()
    assert socket.peer.tick(60) == []
    assert socket.sent() == []


@pytest.mark.row("8441-5-7", "6455-7.1-2")
@pytest.mark.parametrize("seconds", [0, 0.4, 9.9])
def test_close_begun_here_ends_the_stream_after_the_peers_close(over_h2, seconds):
    socket = over_h2()
    socket.conn.close_websocket(1, 4321, "bye")
    assert socket.sent() == [("close", 4321)]
    socket.tick(seconds)
    assert socket.sent() == []
    socket.feed(socket.close(4321))
    assert socket.sent() == [END]
    socket.feed(end=True)
    assert socket.sent() == []
    assert socket.closed.code == 4321
    assert socket.conn.open_streams == 0
    socket.peer.expect_alive()


@pytest.mark.row("8441-5-7")
def test_close_begun_here_ends_the_stream_when_the_peer_ends_its_side(over_h2):
    socket = over_h2()
    socket.conn.close_websocket(1, 1001)
    assert socket.sent() == [("close", 1001)]
    socket.feed(end=True)
    assert socket.sent() == [END]
    assert socket.conn.open_streams == 0
    socket.peer.expect_alive()


@pytest.mark.row("8441-5-7")
def test_chromiums_reset_after_both_closes_is_clean(over_h2):
    socket = over_h2()  # Close, then RST_STREAM(CANCEL) because the stream was not ended
    socket.conn.close_websocket(1, 4321, "bye")
    assert socket.sent() == [("close", 4321)]
    socket.feed(socket.close(4321, b"bye"))
    socket.break_off(f.CANCEL)
    assert [one for one in socket.sent() if one != END] == []
    closed = socket.closed
    assert (closed.code, closed.reason) == (4321, "bye")
    assert closed.received == (4321, "bye")
    assert closed.sent == (4321, "bye")
    socket.peer.expect_alive()


@pytest.mark.row("8441-5-7")
def test_reset_in_the_same_read_as_the_peers_close_is_clean(over_h2):
    socket = over_h2()
    socket.peer.feed(f.data(1, socket.close(1000, b"bye")), f.rst_stream(1))
    assert "reset" not in [one[0] for one in socket.sent()]
    assert (socket.closed.code, socket.closed.reason) == (1000, "bye")
    socket.peer.expect_alive()


@pytest.mark.row("8441-5-7")
def test_haproxys_end_of_stream_and_reset_is_clean(over_h2):
    for begun_here in (True, False):
        socket = over_h2()
        if begun_here:
            socket.conn.close_websocket(1, 1000)
            socket.sent()
        socket.feed(socket.close(1000), end=True)
        socket.break_off(f.CANCEL)
        assert "reset" not in [one[0] for one in socket.sent()]
        assert socket.closed.code == 1000
        socket.peer.expect_alive()


@pytest.mark.row("8441-5-7")
def test_end_of_stream_waits_for_queued_data_and_close(over_h2):
    """Nothing is reset and nothing ended before what was queued has gone."""
    socket = over_h2(peer_settings=((f.INITIAL_WINDOW_SIZE, 10),))
    socket.conn.send_message(1, b"x" * 100)
    socket.feed(socket.close(1000))
    octets, ended = b"", False
    for _ in range(12):
        assert not ended
        for one in socket.peer.sent():
            assert one.kind in (f.DATA, f.WINDOW_UPDATE), one
            if one.kind == f.DATA:
                assert len(one.content) <= 10
                octets += one.content
                ended = one.end_stream
        if ended:
            break
        socket.peer.feed(f.window_update(1, 10))
    assert ended
    message, close = read_ws_frames(octets)
    assert (message.payload, close.close_code) == (b"x" * 100, 1000)


@pytest.mark.row("6455-7.1-2")
def test_server_closes_the_tcp_connection_first(twin):
    server = WebSocket(twin, "h1", SERVER)
    server.feed(server.close(1000))
    assert server.sent() == [("close", 1000), END]
    server = WebSocket(twin, "h1", SERVER)
    server.conn.close_websocket(1, 1000)
    assert server.sent() == [("close", 1000)]
    server.feed(server.close(1000))
    assert server.sent() == [END]


@pytest.mark.row("6455-7.1-2")
@pytest.mark.parametrize("begun_here", [True, False])
def test_client_waits_for_the_end_of_the_tcp_connection(twin, begun_here):
    def closed_both_ways():
        client = WebSocket(twin, "h1", CLIENT)
        if begun_here:
            client.conn.close_websocket(1, 1000)
            assert client.sent() == [("close", 1000)]
        client.feed(client.close(1000))
        assert client.sent() == ([] if begun_here else [("close", 1000)])
        return client

    client = closed_both_ways()
    client.feed(end=True)
    assert client.sent() == [END]
    assert client.closed.code == 1000
    client = closed_both_ways()
    client.tick(9.9)
    assert client.sent() == []
    client.tick(0.2)
    assert client.sent() == [END]
    assert client.closed.code == 1000


@pytest.mark.row("6455-7.1-2")
def test_slot_of_a_peer_that_never_ends_its_side_is_freed(over_h2):
    for begun_here in (True, False):
        socket = over_h2()
        if begun_here:
            socket.conn.close_websocket(1, 1000)
            assert socket.sent() == [("close", 1000)]
        socket.feed(socket.close(1000))
        assert socket.sent()[-1] == END
        socket.tick(9.9)
        assert socket.sent() == []
        socket.tick(0.2)
        assert socket.sent() == [RESET]
        assert socket.closed.code == 1000
        assert socket.conn.open_streams == 0
        socket.peer.expect_alive()


# -- after Close ---------------------------------------------------------------------------------


@pytest.mark.row("6455-7.1-3")
@pytest.mark.parametrize(
    "late", [b"\xff" * 200, ws_frame(TEXT, b"late"), ws_frame(PING, b"late", key=None), bytes(5000)]
)
@pytest.mark.parametrize("same_read", [True, False])
def test_input_after_close_both_ways_is_discarded(either, late, same_read):
    socket = either()
    if same_read:
        socket.feed(socket.close(1000) + late)
    else:
        socket.feed(socket.close(1000))
        socket.feed(late)
    assert [one for one in socket.sent() if one != END] == [("close", 1000)]
    socket.feed(end=True)
    assert socket.closed.code == 1000
    assert socket.messages == []
    assert kinds(socket.events) == ["Closed"]


@pytest.mark.row("6455-7.1-3")
def test_input_after_our_close_and_theirs_is_discarded(either):
    socket = either()
    socket.conn.close_websocket(1, 1000)
    socket.feed(socket.close(1000) + b"\xff" * 200)
    socket.feed(socket.frame(TEXT, b"late"), end=True)
    assert socket.sent() == [("close", 1000), END]
    assert kinds(socket.events) == ["Closed"]


@pytest.mark.row("6455-7.1-3")
def test_messages_that_cross_our_close_are_discarded(either):
    """We asked for the end: what comes before the peer's Close is credited and forgotten."""
    socket = either()
    socket.feed(socket.frame(TEXT, b"half a ", fin=False))
    socket.conn.close_websocket(1, 1000)
    socket.feed(
        socket.frame(CONTINUATION, b"message"),
        socket.frame(TEXT, b"crossed"),
        socket.frame(PING, b"crossed"),
        socket.close(1000),
        end=True,
    )
    assert socket.sent() == [("close", 1000), END]
    assert kinds(socket.events) == ["Closed"]
    assert socket.closed.code == 1000


@pytest.mark.row("6455-7.1-3")
@pytest.mark.parametrize("opcode", [PING, PONG, TEXT, BINARY, CLOSE])
@pytest.mark.parametrize("cut", range(1, 11))
def test_close_in_the_middle_of_a_frame_that_is_arriving(either, opcode, cut):
    """The rest of that frame is skipped and the peer's Close found behind it."""
    socket = either()
    octets = socket.close(1000, b"bye") if opcode == CLOSE else socket.frame(opcode, b"hello")
    socket.feed(octets[:cut])
    if cut >= len(octets):
        return
    socket.conn.close_websocket(1, 4000)
    assert socket.sent() == [("close", 4000)]
    socket.feed(octets[cut:])
    if opcode != CLOSE:
        assert socket.sent() == []
        socket.feed(socket.close(1000, b"bye"))
    if socket.transport == "h2" or socket.role == SERVER:
        assert socket.sent() == [END]
    socket.feed(end=True)
    assert (socket.closed.code, socket.closed.reason) == (1000, "bye")
    assert socket.closed.sent == (4000, "")


@pytest.mark.row("6455-7.1-3", "6455-7.1-5")
@pytest.mark.parametrize("how", ["closed", "failed"])
def test_what_is_discarded_before_the_peers_close_is_credited(over_h2, how):
    """Else a peer in the middle of something long could never send its Close."""
    socket = over_h2(auto_credit=False, limits={"max_message": 1 << 30})
    peer = socket.peer
    if how == "closed":
        socket.conn.close_websocket(1, 1000)
    else:
        socket.feed(socket.frame(3))
    assert socket.sent()[0][0] == "close"
    total = 2 << 20  # eight times the stream's window
    window = 262144 if how == "closed" else 262000
    head = socket.frame(BINARY, length=total, width=64)
    peer.feed(f.data(1, head))
    window -= len(head)
    sent = 0
    while sent < total:
        n = min(16384, total - sent, window)
        assert n > 0, f"stuck after {sent} octets"
        peer.feed(f.data(1, bytes(n)))
        window -= n
        sent += n
        window += sum(
            one.increment
            for one in peer.sent()
            if one.kind == f.WINDOW_UPDATE and one.stream_id == 1
        )
    peer.feed(f.data(1, socket.close(1000)))
    assert socket.sent() == [END]


@pytest.mark.row("6455-7.1-3")
def test_what_is_discarded_costs_the_connection_nothing(over_h2):
    """Its window comes back for octets that nobody will read."""
    peer = over_h2(auto_credit=False).peer
    window = 16 << 20
    for number in range(100):
        stream_id = peer.websocket() if number else 1
        if number & 1:
            peer.conn.close_websocket(stream_id, 1000)
        close = ws_frame(CLOSE, b"\x03\xe8", key=KEY if peer.role == SERVER else None)
        for octets in (close, *[bytes(16000)] * 16):
            assert window >= len(octets), f"stuck at stream {stream_id}"
            peer.feed(f.data(stream_id, octets))
            window -= len(octets)
            credit = [one for one in peer.sent() if one.kind == f.WINDOW_UPDATE]
            window += sum(one.increment for one in credit if one.stream_id == 0)
    assert not peer.conn.terminated
    peer.expect_alive()


@pytest.mark.row("6455-7.1-4")
@pytest.mark.parametrize("code", [1000, 3333])
def test_crossing_closes_need_no_second_answer(either, code):
    socket = either()
    socket.conn.close_websocket(1, 1000, "mine")
    socket.feed(socket.close(code, b"yours"))  # sent before ours arrived
    sent = socket.sent()
    assert [one for one in sent if one != END] == [("close", 1000)]
    socket.feed(end=True)
    assert [one for one in sent + socket.sent() if one == END] == [END]
    closed = socket.closed
    assert (closed.code, closed.reason) == (code, "yours")
    assert closed.received == (code, "yours")
    assert closed.sent == (1000, "mine")


@pytest.mark.row("6455-7.1-4")
def test_second_call_of_close_sends_nothing(either):
    socket = either()
    socket.conn.close_websocket(1, 1000)
    assert socket.sent() == [("close", 1000)]
    try:
        socket.conn.close_websocket(1, 1001)
    except (socket.errors.LocalProtocolError, socket.errors.StreamClosed):
        pass
    assert socket.sent() == []


# -- failing the WebSocket ------------------------------------------------------------------------


@pytest.mark.row("6455-7.1-5")
def test_failed_websocket_delivers_nothing_more(either):
    socket = either()
    bad = socket.frame(3)
    socket.feed(socket.frame(TEXT, b"good") + bad + socket.frame(TEXT, b"bad"))
    assert socket.sent() == [("close", 1002)]
    socket.feed(socket.frame(TEXT, b"worse"), socket.frame(PING), socket.frame(3))
    assert socket.sent() == []
    assert socket.messages == ["good"]


@pytest.mark.row("6455-7.1-5")
def test_failed_websocket_still_hears_the_peers_close(either):
    socket = either()
    socket.feed(socket.frame(3))
    assert socket.sent() == [("close", 1002)]
    socket.feed(socket.close(1002, b"sorry"))
    if socket.transport == "h2" or socket.role == SERVER:
        assert socket.sent() == [END]
    socket.feed(end=True)
    assert socket.closed.sent[0] == 1002


@pytest.mark.row("6455-7.1-5")
@pytest.mark.parametrize("size", [126, 70000])
@pytest.mark.parametrize("closing", [False, True])
def test_close_that_is_too_long_is_the_peers_last_word(over_h2, size, closing):
    socket = over_h2()
    if closing:
        socket.conn.close_websocket(1, 1000, "")
    sent = [("close", 1000 if closing else 1002), END]
    socket.feed(socket.frame(CLOSE, bytes(size)))
    assert socket.sent() == sent
    socket.feed(end=True)
    assert socket.closed.sent[0] == sent[0][1]
    assert socket.closed.received is None
    assert socket.conn.open_streams == 0
    socket.peer.expect_alive()


@pytest.mark.row("6455-7.1-5")
def test_failed_websocket_takes_no_verbs(either):
    socket = either()
    socket.feed(socket.frame(3))
    for verb, *arguments in (
        (socket.conn.send_message, "late"),
        (socket.conn.send_fragment, "late", True),
        (socket.conn.ping,),
    ):
        with pytest.raises((socket.errors.StreamClosed, socket.errors.LocalProtocolError)):
            verb(1, *arguments)
    assert socket.sent() == [("close", 1002)]


@pytest.mark.row("6455-7.1-5")
def test_failed_websocket_does_not_wait_forever(either):
    socket = either()
    socket.feed(socket.frame(3))
    assert socket.sent() == [("close", 1002)]
    socket.tick(9.9)
    assert socket.sent() == []
    socket.tick(0.2)
    assert socket.sent() == [END, RESET] if socket.transport == "h2" else [END]
    assert socket.closed.sent[0] == 1002
    assert socket.closed.received is None
    if socket.transport == "h2":
        assert socket.conn.open_streams == 0
        socket.peer.expect_alive()


@pytest.mark.row("6455-7.1-5")
def test_siblings_of_a_failed_websocket_go_on(over_h2):
    socket = over_h2()
    peer = socket.peer
    sibling = peer.websocket()
    socket.feed(socket.frame(3))
    assert socket.sent() == [("close", 1002)]
    peer.feed(peer.message(sibling, b"still here"))
    assert [e.data for e in of(peer.events, "BytesMessage")] == [b"still here"]
    peer.conn.send_message(sibling, b"so are we")
    (answer,) = [one for one in peer.sent() if one.stream_id == sibling]
    assert answer.kind == f.DATA


# -- timeouts -------------------------------------------------------------------------------------


@pytest.mark.row("6455-7.1-6")
@pytest.mark.parametrize("limit", [None, 2.5])
def test_peer_that_never_answers_is_reset_after_the_close_timeout(either, limit):
    socket = either(limits={"close_timeout_s": limit} if limit else None)
    limit = limit or 10.0
    socket.tick(100)
    socket.conn.close_websocket(1, 1000, "bye")
    assert socket.sent() == [("close", 1000)]
    socket.tick(limit - 0.1)
    assert socket.sent() == []
    assert socket.open
    socket.tick(0.2)
    assert socket.sent() == [END, RESET] if socket.transport == "h2" else [END]
    assert socket.closed.code == 1006
    assert socket.closed.sent == (1000, "bye")
    assert socket.closed.received is None
    if socket.transport == "h2":
        assert socket.conn.open_streams == 0
        socket.peer.expect_alive()


@pytest.mark.row("6455-7.1-6")
def test_octets_that_are_no_close_do_not_prolong_the_close_timeout(either):
    socket = either()
    socket.conn.close_websocket(1)
    assert socket.sent() == [("close", 1000)]
    for _ in range(9):
        socket.tick(1)
        socket.feed(socket.frame(TEXT, b"chatting on"), socket.frame(PING))
        assert socket.sent() == []
    socket.tick(1.1)
    assert socket.sent() == [END, RESET] if socket.transport == "h2" else [END]


@pytest.mark.row("6455-7.1-6")
def test_there_is_no_deadline_without_a_close(either):
    socket = either()
    socket.conn.send_message(1, "x")
    socket.sent()
    assert socket.conn.next_timeout() is None
    socket.conn.close_websocket(1)
    socket.sent()
    assert socket.conn.next_timeout() == pytest.approx(10.0)


@pytest.mark.row("6455-7.1-7")
@pytest.mark.parametrize("begun_here", [True, False])
@pytest.mark.parametrize("queued", [0, 1000])
def test_close_that_finds_no_window_is_covered_by_the_close_timeout(over_h2, begun_here, queued):
    socket = over_h2(peer_settings=((f.INITIAL_WINDOW_SIZE, 0),))
    if queued:
        socket.conn.send_message(1, bytes(queued))
    if begun_here:
        socket.conn.close_websocket(1, 1001)
    else:
        socket.feed(socket.close(1000))
    assert socket.sent() == []
    socket.tick(9.9)
    assert socket.sent() == []
    socket.tick(0.2)
    assert socket.sent() == [RESET]
    assert socket.closed.code == (1006 if begun_here else 1000)
    assert socket.conn.open_streams == 0
    assert socket.conn.waiting(1) == 0
    socket.peer.expect_alive()


@pytest.mark.row("6455-7.1-7")
def test_close_leaves_as_soon_as_there_is_window(over_h2):
    socket = over_h2(peer_settings=((f.INITIAL_WINDOW_SIZE, 0),))
    socket.conn.close_websocket(1, 1001)
    socket.tick(5)
    socket.peer.feed(f.window_update(1, 1000))
    assert socket.sent() == [("close", 1001)]
    socket.feed(socket.close(1001))
    assert socket.sent() == [END]


@pytest.mark.row("6455-7.1-7")
def test_end_of_stream_needs_no_window(over_h2):
    size = 8 if over_h2.args[2] == CLIENT else 4
    socket = over_h2(peer_settings=((f.INITIAL_WINDOW_SIZE, size),))
    socket.feed(socket.close(1000))
    assert socket.sent() == [("close", 1000), END]


# -- reasons --------------------------------------------------------------------------------------


@pytest.mark.row("6455-7.1-8")
@pytest.mark.parametrize("reason", ["x" * 123, "é" * 61, "€" * 41, "", "\x00"])
def test_reason_of_up_to_123_octets_is_sent(either, reason):
    socket = either()
    socket.conn.close_websocket(1, 1000, reason)
    (close,) = socket.frames()
    assert close.payload == b"\x03\xe8" + reason.encode()


@pytest.mark.row("6455-7.1-8")
@pytest.mark.parametrize("reason", ["x" * 124, "é" * 62, "€" * 42, "x" * 122 + "é", "x" * 70000])
def test_longer_reason_is_cut_between_characters_or_refused(either, reason):
    socket = either()
    try:
        socket.conn.close_websocket(1, 1000, reason)
    except ValueError:
        socket.conn.send_message(1, "still open")
        assert socket.sent() == [("text", b"still open")]
    else:
        (close,) = socket.frames()
        assert 120 <= len(close.payload) - 2 <= 123
        assert reason.startswith(close.payload[2:].decode())


@pytest.mark.row("6455-7.1-8")
@pytest.mark.parametrize("reason", [None, 5])
def test_reason_of_no_type_is_refused(either, reason):
    socket = either()
    with pytest.raises((TypeError, ValueError)):
        socket.conn.close_websocket(1, 1000, reason)
    socket.conn.send_message(1, "still open")
    assert socket.sent() == [("text", b"still open")]


# -- shutdown -------------------------------------------------------------------------------------


@pytest.mark.row("6455-7.2-1")
def test_drain_closes_every_websocket_with_1001(twin):
    socket = WebSocket(twin, "h2", SERVER)
    peer = socket.peer
    second = peer.websocket()
    peer.conn.shutdown()
    sent = peer.sent()
    assert [x.kind for x in sent[:2]] == [f.GOAWAY, f.PING]
    assert (sent[0].last_stream_id, sent[0].error_code) == (0x7FFFFFFF, f.NO_ERROR)
    peer.feed(f.ping(sent[1].payload, ack=True))
    final = peer.sent()
    assert [x.kind for x in final] == [f.GOAWAY]
    assert (final[0].last_stream_id, final[0].error_code) == (second, f.NO_ERROR)
    closes = {x.stream_id: read_ws_frames(x.content) for x in sent if x.kind == f.DATA}
    assert {key: [one.close_code for one in value] for key, value in closes.items()} == {
        1: [1001],
        second: [1001],
    }
    assert not [x for x in sent if x.end_stream]
    for stream_id in (1, second):
        assert not peer.conn.terminated
        came = peer.feed(f.data(stream_id, socket.close(1001), end_stream=True))
        assert [e.code for e in of(came, "Closed")] == [1001]
        ends = [x for x in peer.sent() if x.stream_id == stream_id]
        assert [x.end_stream for x in ends] == [True]
    assert kinds(peer.events + peer.more())[-1] == "Terminated"
    assert peer.conn.terminated


@pytest.mark.row("6455-7.2-1")
def test_drain_resets_websockets_that_do_not_answer(twin):
    socket = WebSocket(twin, "h2", SERVER)
    peer = socket.peer
    peer.conn.shutdown()
    assert socket.sent() == [("close", 1001)]
    (ping,) = [x for x in peer.frames if x.kind == f.PING]
    peer.feed(f.ping(ping.payload, ack=True))
    assert socket.sent() == []
    socket.tick(9.9)
    assert socket.sent() == []
    socket.tick(0.2)
    assert socket.sent() == [END, RESET]
    assert socket.closed.code == 1006
    assert peer.conn.terminated


@pytest.mark.row("6455-7.2-1")
@pytest.mark.parametrize("role", ROLES)
def test_shutdown_of_an_upgraded_connection_closes_with_1001(twin, role):
    socket = WebSocket(twin, "h1", role)
    socket.conn.shutdown()
    assert socket.sent() == [("close", 1001)]
    socket.feed(socket.close(1001), end=True)
    assert socket.sent() == [END]
    assert socket.closed.code == 1001


@pytest.mark.row("8441-5-8")
@pytest.mark.parametrize("role", ROLES)
def test_abort_of_an_upgraded_connection_drops_what_was_queued(twin, role):
    socket = WebSocket(twin, "h1", role)
    socket.conn.send_message(1, b"queued")
    socket.conn.abort()
    assert socket.sent() == [END]
    assert socket.closed.code == 1006
    socket.conn.abort()
    assert socket.sent() == []


# -- resets ---------------------------------------------------------------------------------------


@pytest.mark.row("8441-5-8")
@pytest.mark.parametrize("code", [None, f.CANCEL, f.INTERNAL_ERROR])
def test_abort_is_a_reset_and_drops_what_was_queued(over_h2, code):
    socket = over_h2(peer_settings=((f.INITIAL_WINDOW_SIZE, 5),))
    socket.conn.send_message(1, b"x" * 1000)
    socket.conn.reset(1) if code is None else socket.conn.reset(1, code)
    frames = [x for x in socket.peer.sent() if x.stream_id == 1]
    assert [x.kind for x in frames] == [f.RST_STREAM]
    assert frames[0].error_code == (f.CANCEL if code is None else code)
    assert socket.closed.code == 1006
    assert socket.conn.waiting(1) == 0
    assert socket.conn.open_streams == 0
    socket.peer.feed(f.window_update(1, 1000), f.data(1, b"late"))  # in flight: ignored
    socket.peer.expect_alive()


@pytest.mark.row("8441-5-9")
@pytest.mark.parametrize("half", [False, True])
def test_end_of_stream_without_close_ends_our_side_too(over_h2, half):
    socket = over_h2()
    socket.feed(socket.frame(BINARY, bytes(300))[:100] if half else b"", end=True)
    assert socket.sent()[-1] == END
    assert socket.closed.code == 1006
    assert socket.conn.open_streams == 0
    socket.peer.expect_alive()


@pytest.mark.row("8441-5-9")
def test_message_queued_when_the_peer_ends_its_side_is_followed_by_the_end(over_h2):
    socket = over_h2()
    socket.conn.send_message(1, b"queued")
    socket.feed(end=True)
    sent = socket.sent()
    assert sent[-1] == END
    assert socket.closed.code == 1006
    with pytest.raises(socket.errors.StreamClosed):
        socket.conn.send_message(1, b"late")


@pytest.mark.row("8441-5-9")
def test_verbs_on_a_stream_that_ended_raise_stream_closed(over_h2):
    socket = over_h2()
    socket.break_off()
    for verb, *arguments in (
        (socket.conn.send_message, "late"),
        (socket.conn.send_fragment, "late", True),
        (socket.conn.ping,),
        (socket.conn.pong,),
        (socket.conn.close_websocket,),
        (socket.conn.send_data, b"late"),
    ):
        with pytest.raises(socket.errors.StreamClosed):
            verb(1, *arguments)
    socket.conn.consumed(1, 10)
    assert socket.sent() == []
    socket.peer.expect_alive()


@pytest.mark.row("8441-5-8")
def test_end_of_the_transport_is_1006_for_every_websocket(over_h2):
    socket = over_h2()
    peer = socket.peer
    second = peer.websocket()
    events = peer.eof()
    assert sorted(e.stream_id for e in of(events, "Closed")) == [1, second]
    assert {e.code for e in of(events, "Closed")} == {1006}
    assert kinds(events)[-1] == "Terminated"
    assert peer.conn.terminated
