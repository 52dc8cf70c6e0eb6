"""What nobody reads is bounded however little of it there is in each message, frame or ping.

Each sender here keeps to its windows, sends a million of them if it may, and is never read from.
"""

import sys
import tracemalloc

import pytest

from tests.support import frames as f
from tests.support.peer import EVENT_OCTETS, kinds, of
from tests.support.websocket import CLIENT, SERVER, WebSocket
from tests.support.ws_frames import BINARY, PING, PONG, TEXT, ws_frame

MANY = 1_000_000
BATCH = 1000
WINDOW = 65535
MAX_UNREAD = 262144  # of messages over HTTP/1.1, beyond which the transport is not read
DEAR = 160  # octets of memory that a message of two octets takes at most, event and all

ROLES = (SERVER, CLIENT)


def unread(twin, transport, role, **options):
    if transport == "h2":
        options["settings"] = {"initial_window_size": WINDOW}
    socket = WebSocket(twin, transport, role, auto_credit=False, **options)
    socket.room = WINDOW
    return socket


def flood(socket, frame, messages=MANY):
    """Feed frames while the peer may send; return how many that were, and the events."""
    sent = 0
    events = []
    while sent < messages:
        if socket.transport == "h1" and socket.conn.unread > MAX_UNREAD:
            break  # who reads the transport has stopped
        if socket.transport == "h2":
            updates = [x for x in socket.peer.sent() if x.kind == f.WINDOW_UPDATE]
            socket.room += sum(x.increment for x in updates if x.stream_id == 1)
            socket.peer.frames.clear()
            socket.peer.octets = b""
        n = min(BATCH, messages - sent)
        if socket.transport == "h2":
            n = min(n, socket.room // len(frame))
            if n == 0:
                break
            octets = frame * n
            socket.room -= len(octets)
            for at in range(0, len(octets), 16384):
                events += socket.conn.receive_data(f.data(1, octets[at : at + 16384]))
        else:
            events += socket.conn.receive_data(frame * n)
            b"".join(socket.conn.data_to_send())
        sent += n
    return sent, events


@pytest.mark.row("9113-6.9.1-5")
@pytest.mark.parametrize("size", [0, 1, 2])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("transport", ["h2", "h1"])
def test_small_messages_that_nobody_takes_stop_their_sender(twin, transport, role, opcode, size):
    socket = unread(twin, transport, role)
    frame = ws_frame(opcode, b"~" * size, key=socket.key)
    tracemalloc.start()
    try:
        sent, events = flood(socket, frame)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    most = WINDOW // len(frame) if transport == "h2" else MAX_UNREAD // EVENT_OCTETS + BATCH
    assert 1000 < sent <= most
    assert len(events) == sent
    assert socket.conn.stats()["octets_buffered"] == sent * (size + EVENT_OCTETS)
    assert held < sent * DEAR + 100_000
    for event in events:
        socket.conn.consumed(1, event.credit)
    assert socket.conn.stats()["octets_buffered"] == 0
    # It goes on as if nothing had been.
    again, events = flood(socket, frame, 1000)
    assert again == 1000 == len(events)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("transport", ["h2", "h1"])
def test_small_pieces_that_nobody_takes_stop_their_sender(twin, transport, role):
    """A message read in pieces, each of a frame of one octet."""
    socket = unread(twin, transport, role, limits={"max_fragments": None})
    socket.conn.stream_messages(1)
    flood(socket, ws_frame(BINARY, b"~", fin=False, key=socket.key), 1)
    sent, events = flood(socket, ws_frame(0, b"~", fin=False, key=socket.key))
    assert sent <= max(WINDOW // 3, MAX_UNREAD // EVENT_OCTETS + BATCH)
    assert set(kinds(events)) == {"MessagePart"} and len(events) == sent
    assert socket.conn.stats()["octets_buffered"] == (sent + 1) * (1 + EVENT_OCTETS)


@pytest.mark.row("SEC-5-4")
@pytest.mark.parametrize("opcode", [PING, PONG])
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("transport", ["h2", "h1"])
def test_empty_pings_and_pongs_are_not_kept(twin, transport, role, opcode):
    socket = unread(twin, transport, role)
    socket.conn.attach(1, lambda event: None)
    frame = ws_frame(opcode, key=socket.key)
    many = MANY // (10 if twin.__name__ == "h2ws_fast.engine" else 100)
    tracemalloc.start()
    try:
        assert flood(socket, frame, many)[0] == many
        held = tracemalloc.get_traced_memory()[0]
        assert flood(socket, frame, many)[0] == many
        grown = tracemalloc.get_traced_memory()[0] - held
    finally:
        tracemalloc.stop()
    assert grown < 100_000
    socket.conn.data_to_send()
    assert socket.conn.octets_held == 0


@pytest.mark.row("SEC-5-4")
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("transport", ["h2", "h1"])
def test_pongs_that_the_peer_does_not_read_wait_as_one(twin, transport, role):
    socket = unread(twin, transport, role)
    socket.conn.attach(1, lambda event: None)
    ping = ws_frame(PING, key=socket.key)
    for _ in range(20):
        if transport == "h2":
            socket.conn.receive_data(f.data(1, ping * 1000))
        else:
            socket.conn.receive_data(ping * 1000)
    assert socket.conn.stats()["octets_queued"] < 16384 + 100
    assert socket.conn.stats()["limits"]["max_pong_backlog"]


@pytest.mark.row("SEC-1-9")
def test_empty_data_that_nobody_reads_ends_the_connection(either):
    peer = either()
    stream_id = peer.websocket()
    peer.feed(f.data(stream_id) * 20)
    peer.expect_connection_error(f.ENHANCE_YOUR_CALM)
    assert list(peer.conn.stats()["limits"]) == ["max_empty_frames"]


def test_max_buffered_counts_what_holds_a_message(make):
    """Empty messages on many streams, which nobody reads: those that hold most are failed."""
    peer = make("server", limits={"max_buffered": 100_000})
    streams = [peer.websocket() for _ in range(5)]
    frame = ws_frame(BINARY, b"", key=b"\1\2\3\4")
    for stream_id in streams:
        peer.feed(f.data(stream_id, frame * 500))
        assert peer.conn.octets_held < 100_000 + 500 * EVENT_OCTETS + 16
    assert peer.conn.stats()["limits"]["max_buffered"]
    assert of(peer.events, "Shed")
    assert peer.conn.octets_held <= 100_000


def test_a_message_weighs_what_is_counted_for_it(twin):
    """Two octets as Python keeps them, with the places of two pointers, are no more than 64."""
    assert sys.getsizeof(b"..") + 2 * 8 <= EVENT_OCTETS
    assert sys.getsizeof("..") + 2 * 8 <= EVENT_OCTETS + 8
