"""Messages handed over in pieces: what `stream_messages` promises."""

from functools import partial

import pytest

from tests.support import frames as f
from tests.support.peer import EVENT_OCTETS, kinds
from tests.support.websocket import CLIENT, END, SERVER, WebSocket
from tests.support.ws_frames import BINARY, CONTINUATION, PING, TEXT


@pytest.fixture(params=("h2", "h1"))
def transport(request):
    return request.param


@pytest.fixture
def either(request, twin, transport, role):
    """Open a WebSocket whose engine is the server, then the client."""
    return partial(WebSocket, twin, transport, role)


@pytest.fixture(params=(SERVER, CLIENT))
def role(request):
    return request.param


def take(socket):
    """What happened on the WebSocket since the last call."""
    events = socket.events
    seen = getattr(socket, "seen", 0)
    socket.seen = len(events)
    return events[seen:]


def granted(socket):
    """By how much the stream's window was opened since the last call."""
    return sum(
        int.from_bytes(frame.payload, "big")
        for frame in socket.peer.sent()
        if frame.kind == f.WINDOW_UPDATE and frame.stream_id == 1
    )


def parts(socket):
    """What was handed over since the last call: (octets, text, final) a piece."""
    events = take(socket)
    assert {type(event).__name__ for event in events} <= {"MessagePart"}
    return [(event.data, event.text, event.final) for event in events]


def joined(pieces):
    """(octets, text) of each whole message among pieces."""
    whole, octets = [], b""
    for data, text, final in pieces:
        octets += data
        if final:
            whole.append((octets, text))
            octets = b""
    assert octets == b""
    return whole


@pytest.mark.parametrize("step", [None, 1, 7])
def test_messages_come_in_pieces_in_any_split(either, step):
    socket = either()
    socket.conn.stream_messages(1)
    socket.feed(
        socket.frame(TEXT, "zwölf".encode()),
        socket.frame(BINARY, b"a" * 300, fin=False),
        socket.frame(PING, b"?"),
        socket.frame(CONTINUATION, b"", fin=False),
        socket.frame(CONTINUATION, b"b" * 40),
        socket.frame(BINARY, b""),
        step=step,
    )
    events = take(socket)
    assert kinds([event for event in events if type(event).__name__ != "MessagePart"]) == ["Pinged"]
    found = [
        (event.data, event.text, event.final)
        for event in events
        if type(event).__name__ == "MessagePart"
    ]
    assert joined(found) == [
        ("zwölf".encode(), True),
        (b"a" * 300 + b"b" * 40, False),
        (b"", False),
    ]
    assert all(data or final for data, _, final in found)


def test_what_has_come_of_a_message_is_handed_over_at_once(either):
    socket = either()
    socket.feed(socket.frame(TEXT, b"first, ", fin=False))
    assert parts(socket) == []
    socket.conn.stream_messages(1)
    socket.conn.stream_messages(1)
    assert parts(socket) == [(b"first, ", True, False)]
    socket.feed(socket.frame(CONTINUATION, b"second"))
    assert parts(socket) == [(b"second", True, True)]
    assert socket.conn.stats()["messages_received"] == 1
    assert socket.conn.stats()["octets_buffered"] == 0


@pytest.mark.row("6455-8.1-1", "6455-8.1-2", "6455-8.1-4")
@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("tail", [b"\xff", b"\xe2\x82"])
def test_text_that_is_not_utf8_is_found_where_it_stands(either, early, tail):
    socket = either()
    if not early:
        socket.conn.stream_messages(1)
    socket.feed(socket.frame(TEXT, b"good \xe2", fin=False))
    if early:
        socket.conn.stream_messages(1)
    assert parts(socket) == [(b"good \xe2", True, False)]
    socket.feed(socket.frame(CONTINUATION, b"\x82\xac" + tail))
    assert parts(socket) == []
    assert socket.sent()[:1] == [("close", 1007)]


@pytest.mark.row("6455-8.1-2")
def test_a_wrong_octet_is_found_before_the_last_fragment(either):
    socket = either()
    socket.conn.stream_messages(1)
    socket.feed(socket.frame(TEXT, b"good \xff", fin=False))
    assert parts(socket) == []
    assert socket.sent()[:1] == [("close", 1007)]


def test_the_whole_is_limited_as_ever(either):
    socket = either(limits={"max_message": 100})
    socket.conn.stream_messages(1)
    socket.feed(socket.frame(BINARY, bytes(60), fin=False))
    socket.feed(socket.frame(CONTINUATION, bytes(40)))
    assert joined(parts(socket)) == [(bytes(100), False)]
    socket.feed(socket.frame(BINARY, bytes(60), fin=False))
    assert parts(socket) == [(bytes(60), False, False)]
    socket.feed(socket.frame(CONTINUATION, bytes(41)))
    assert parts(socket) == []
    assert socket.sent()[:1] == [("close", 1009)]


def test_frames_out_of_order_are_faults_as_ever(either):
    for first, second in ((CONTINUATION, None), (TEXT, BINARY)):
        socket = either()
        socket.conn.stream_messages(1)
        socket.feed(socket.frame(first, b"x", fin=second is None))
        if second is not None:
            socket.feed(socket.frame(second, b"y"))
        assert socket.sent()[:1] == [("close", 1002)]


def test_close_within_a_message(either):
    socket = either()
    socket.conn.stream_messages(1)
    socket.feed(socket.frame(TEXT, b"half", fin=False), socket.close(1000))
    socket.feed(end=True)
    assert kinds(take(socket)) == ["MessagePart", "Closed"]
    assert socket.sent() == [("close", 1000), END]
    assert socket.conn.stats()["octets_buffered"] == 0


def test_closing_or_unknown_streams_are_refused(either):
    socket = either()
    socket.conn.close_websocket(1)
    with pytest.raises(socket.errors.StreamClosed):
        socket.conn.stream_messages(1)


def test_pieces_hold_back_the_window_until_they_are_consumed(twin):
    socket = WebSocket(twin, "h2", SERVER, auto_credit=False)
    socket.conn.stream_messages(1)
    size = 200_000
    socket.feed(socket.frame(BINARY, bytes(size), fin=False))
    events = take(socket)
    assert sum(len(event.data) for event in events) == size
    assert socket.conn.stats()["octets_buffered"] == size + EVENT_OCTETS * len(events)
    assert granted(socket) <= 14
    for event in events:
        socket.conn.consumed(1, event.credit)
    assert socket.conn.stats()["octets_buffered"] == 0
    assert granted(socket) >= size // 2


def test_pieces_that_were_credited_early_are_credited_once(twin):
    socket = WebSocket(twin, "h2", SERVER, auto_credit=False)
    socket.feed(socket.frame(BINARY, bytes(30_000), fin=False))
    socket.conn.stream_messages(1)
    socket.feed(socket.frame(CONTINUATION, bytes(20_000)))
    events = take(socket)
    assert [event.credit for event in events if event.credit] != []
    assert sum(event.credit for event in events) == 50_000 + EVENT_OCTETS * len(events)
    for event in events:
        socket.conn.consumed(1, event.credit)
    assert socket.conn.stats()["octets_buffered"] == 0
    # The heads of two frames are credited, too.
    assert granted(socket) <= 50_000 + 16


def test_unread_pieces_hold_back_the_transport_of_http1(twin):
    socket = WebSocket(twin, "h1", SERVER, auto_credit=False)
    socket.conn.stream_messages(1)
    socket.feed(socket.frame(BINARY, bytes(1000), fin=False))
    assert socket.conn.unread == 1000 + EVENT_OCTETS
    socket.conn.consumed(1, 1000 + EVENT_OCTETS)
    assert socket.conn.unread == 0
