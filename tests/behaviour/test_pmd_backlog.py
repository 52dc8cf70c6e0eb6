"""Compressed octets that wait: no more is expanded than is read, and no read takes long."""

import random
from functools import partial

import pytest

from tests.behaviour.test_pmd import ROLES, Reference, compressed, json_like, opened, transport
from tests.support import frames as f
from tests.support.peer import CONNECT, EVENT_OCTETS, Peer, of
from tests.support.websocket import END, SERVER
from tests.support.ws_frames import BINARY, CONTINUATION, PING, TEXT

__all__ = ["transport"]  # a fixture

row = pytest.mark.row
MIB = 2**20
WAITING = MIB  # of messages that nobody has taken, before what comes must wait
AT_ONCE = 2 * MIB  # that come of one read


@pytest.fixture(params=ROLES)
def waiting(request, twin, transport):
    """Open a compressed WebSocket whose messages must be consumed."""
    return partial(opened, twin, transport, request.param, auto_credit=False)


def zeros(socket, sizes, reference=None):
    reference = reference or Reference()
    return b"".join(compressed(socket, BINARY, reference.pack(bytes(size))) for size in sizes)


def messages(socket, since=0):
    return [
        event
        for event in socket.events[since:]
        if type(event).__name__ in ("BytesMessage", "TextMessage", "MessagePart")
    ]


def whole(got, expected):
    """Are they equal? Nothing prints megabytes where they are not."""
    return got == expected


def read_all(socket, taken=0):
    """Take message by message, as an application would, until none is left; check what is held."""
    got = []
    while True:
        fresh = messages(socket)[taken:]
        if not fresh:
            return got
        for event in fresh:
            if event.credit:
                socket.conn.consumed(1, event.credit)
        taken += len(fresh)
        got += fresh
        socket.sent()
        socket.tick(0)


def granted(socket):
    """Octets that the peer may send again on the stream."""
    return sum(
        one.increment
        for one in socket.peer.sent()
        if one.kind == f.WINDOW_UPDATE and one.stream_id == 1
    )


@row("SEC-5-2")
def test_a_reader_who_keeps_up_gets_everything(waiting):
    """What one read holds may expand to more than may be buffered: nobody was slow."""
    socket = waiting(limits={"max_buffered": 6 * MIB})
    sizes = [100_000] * 150
    octets = zeros(socket, sizes)
    assert len(octets) < 200_000
    socket.feed(octets)
    assert [len(event.data) for event in read_all(socket)] == sizes
    assert socket.open
    assert socket.conn.octets_held == 0
    assert socket.conn.stats()["limits"] == {}


@row("SEC-5-2")
def test_nothing_is_expanded_that_nobody_reads(waiting):
    socket = waiting()
    sizes = [100_000] * 150
    octets = zeros(socket, sizes)
    socket.feed(octets)
    socket.tick(5)
    first = messages(socket)
    assert WAITING < sum(len(event.data) for event in first) <= WAITING + 100_000
    assert WAITING < socket.conn.octets_held <= WAITING + 100_000 + len(octets)
    # One that is taken makes room for one.
    socket.conn.consumed(1, first[0].credit)
    socket.sent()
    socket.tick(5)
    assert len(messages(socket)) == len(first) + 1
    assert socket.open
    socket.conn.consumed(1, first[1].credit)
    assert len(read_all(socket, 2)) == len(sizes) - 2
    assert socket.conn.octets_held == 100_000 * (len(first) - 2) - 100_000 * (len(first) - 2)


@row("SEC-5-2")
def test_what_waits_is_bounded(waiting):
    """Where nobody stops a peer who sends on, over HTTP/1.1 or through a wide window: 1013."""
    socket = waiting(limits={"max_buffered": 50_000})
    socket.feed(zeros(socket, [30_000]))
    assert len(messages(socket)) == 1
    # What cannot be compressed.
    octets = compressed(socket, BINARY, Reference().pack(random.Random(4).randbytes(30_000)))
    socket.feed(octets[:15_000], step=500)
    assert not of(socket.events, "Shed")
    assert socket.conn.octets_held == 45_000 + EVENT_OCTETS
    socket.feed(octets[15_000:], step=500)
    assert of(socket.events, "Shed")
    assert socket.sent() == [("close", 1013)]
    socket.tick(0)
    assert socket.conn.octets_held == 0
    socket.feed(socket.close(1013))
    assert socket.closed.code == 1013


@row("SEC-5-2")
@pytest.mark.parametrize("auto_credit", [True, False])
@pytest.mark.parametrize("role", ROLES)
def test_what_waits_holds_the_sender_back(twin, role, auto_credit):
    """The peer's window opens again for what was looked at, and not before."""
    socket = opened(twin, "h2", role, auto_credit=auto_credit)
    octets = zeros(socket, [MIB] * 40)
    socket.feed(octets, step=1000)
    if auto_credit:
        # Each read takes its share: here is one that has more.
        socket.peer.feed(*[f.data(1, octets[at : at + 9000]) for at in range(0, len(octets), 9000)])
    got = granted(socket)
    looked_at = sum(len(event.data) for event in messages(socket)) // 1000
    assert got <= looked_at + 131072
    read_all(socket)
    assert socket.conn.octets_held == 0
    assert len(messages(socket)) == 40 * (1 + auto_credit)


@row("SEC-5-2")
@pytest.mark.parametrize("role", ROLES)
def test_no_read_takes_long(twin, transport, role):
    """256 KiB of compressed zeros are 256 MiB: others have their turn in between."""
    socket = opened(twin, transport, role)
    sizes = [MIB] * 30
    octets = zeros(socket, sizes)
    if transport == "h2":
        # In one read.
        chunks = [octets[at : at + 16384] for at in range(0, len(octets), 16384)]
        socket.peer.feed(*[f.data(1, chunk) for chunk in chunks])
    else:
        socket.feed(octets)
    steps = 0
    count = 0
    while True:
        came = messages(socket, count)
        count += len(came)
        assert sum(len(event.data) for event in came) <= AT_ONCE + MIB
        socket.sent()
        if socket.conn.next_timeout() is None or socket.conn.next_timeout() > 0:
            break
        socket.conn.handle_timeout(0.0)
        steps += 1
    assert steps >= len(sizes) // 3
    assert [len(event.data) for event in messages(socket)] == sizes


@row("SEC-5-2")
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    ("payload", "count", "at_once"),
    [(b"\x03\x00" * 127, 50, 5), (b"\x02\x00", 9000, 4100)],
    ids=["final-blocks", "small"],
)
def test_what_does_not_grow_takes_time_too(twin, transport, role, payload, count, at_once):
    """Each final block makes a decompressor begin anew, and so does each message: both count."""
    socket = opened(twin, transport, role)
    octets = compressed(socket, BINARY, payload) * count
    if transport == "h2":
        chunks = [octets[at : at + 16384] for at in range(0, len(octets), 16384)]
        socket.peer.feed(*[f.data(1, chunk) for chunk in chunks])
    else:
        socket.feed(octets, step=len(octets))
    seen = 0
    steps = 0
    while True:
        came = len(messages(socket)) - seen
        assert 0 < came <= at_once
        seen += came
        socket.sent()
        if seen == count:
            break
        assert socket.conn.next_timeout() == 0
        socket.conn.handle_timeout(0.0)
        steps += 1
    assert steps >= count // at_once - 1
    assert {event.data for event in messages(socket)} == {b""}
    assert socket.open
    assert socket.conn.octets_held == 0
    assert socket.conn.stats()["limits"] == {}


def many(twin, ids, **options):
    """One connection with compressed WebSockets on these streams."""
    peer = Peer(twin, "server", **options)
    peer.feed(f.window_update(0, 1 << 30))
    factory, octets = opened(twin, "h1", SERVER).deflate
    for stream_id in ids:
        peer.open([*CONNECT, ("sec-websocket-extensions", octets.decode())], stream_id=stream_id)
        peer.conn.accept_websocket(stream_id, deflate=factory)
    peer.sent()
    peer.more()
    peer.events.clear()
    return peer


@row("SEC-5-2")
def test_the_streams_of_a_read_share_its_time(twin):
    """A mebibyte on each of many streams, in one read: no more is expanded of all than of one."""
    ids = [1 + 2 * n for n in range(20)]
    peer = many(twin, ids, auto_credit=True)
    message = zeros(opened(twin, "h1", SERVER), [MIB])
    peer.feed(*[f.data(stream_id, message) for stream_id in ids])
    got = []
    steps = 0
    while len(got) < len(ids):
        came = of(peer.events, "BytesMessage")
        assert 0 < len(came) <= AT_ONCE // MIB + 1
        assert all(len(event.data) == MIB for event in came)
        got += [event.stream_id for event in came]
        peer.events.clear()
        peer.sent()
        if peer.conn.next_timeout() == 0:
            peer.conn.handle_timeout(0.0)
            peer.more()
            steps += 1
    assert got == ids
    assert steps >= 6
    assert peer.conn.octets_held == 0
    assert peer.conn.stats()["limits"] == {}


@row("SEC-5-2")
def test_a_stream_whose_octets_wait_keeps_no_other_waiting(twin):
    """Whom a turn had no time for is the first of the next."""
    peer = many(twin, [1, 3, 5], auto_credit=True)
    socket = opened(twin, "h1", SERVER)
    long = zeros(socket, [MIB] * 10)
    chunks = [long[at : at + 16384] for at in range(0, len(long), 16384)]
    late = zeros(socket, [MIB])
    peer.feed(*[f.data(1, chunk) for chunk in chunks], f.data(3, late), f.data(5, late))
    got = of(peer.events, "BytesMessage")
    for _ in range(12):
        peer.sent()
        if peer.conn.next_timeout() == 0:
            peer.events.clear()
            peer.conn.handle_timeout(0.0)
            peer.more()
            got += of(peer.events, "BytesMessage")
    order = [event.stream_id for event in got]
    assert sorted(order) == [1] * 10 + [3, 5]
    assert max(order.index(3), order.index(5)) <= 7


@row("SEC-5-2")
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("streaming", [False, True])
def test_one_large_message_does_not_take_long(twin, transport, role, streaming):
    socket = opened(twin, transport, role, limits={"max_message": 64 * MIB})
    if streaming:
        socket.conn.stream_messages(1)
    data = bytes(16 * MIB)
    packed = Reference().pack(data)
    socket.feed(compressed(socket, BINARY, packed))
    held = socket.conn.octets_held
    assert held <= 3 * (AT_ONCE + 5 * MIB)
    steps = 0
    while not messages(socket) or (streaming and not messages(socket)[-1].final):
        socket.sent()
        socket.conn.handle_timeout(0.0)
        assert socket.conn.octets_held <= held + AT_ONCE + 5 * MIB
        held = socket.conn.octets_held
        steps += 1
    assert steps >= 2
    assert whole(b"".join(event.data for event in messages(socket)), data)
    assert socket.conn.octets_held == 0


def conversation(socket, reference):
    """Frames of every kind behind one another, and what they say."""
    pack = reference.pack
    text = "é€😀" * 20000
    frames = [
        compressed(socket, BINARY, pack(bytes(MIB))),
        socket.frame(PING, b"one"),
        compressed(socket, TEXT, pack(text.encode())),
        socket.frame(TEXT, b"plain"),
        compressed(socket, BINARY, pack(bytes(900_000))),
    ]
    packed = pack(json_like(30000))
    frames += [
        compressed(socket, TEXT, packed[:100], fin=False),
        socket.frame(PING, b"within"),
        socket.frame(CONTINUATION, packed[100:]),
        compressed(socket, BINARY, pack(bytes(MIB))),
        compressed(socket, BINARY, pack(b"")),
        socket.close(4000, b"bye"),
    ]
    said = [bytes(MIB), text, "plain", bytes(900_000), json_like(30000).decode(), bytes(MIB), b""]
    return b"".join(frames), said


@row("7692-6-3", "SEC-5-2")
@pytest.mark.parametrize("end", [False, True])
def test_everything_comes_in_its_order(waiting, end):
    """In any split, at any pace: data, control frames, the Close and the end behind it."""

    for step, pace in ((7, 3), (100, 1), (None, 2)):
        socket = waiting()
        octets, said = conversation(socket, Reference())
        socket.feed(octets, step=step, end=end and socket.transport == "h2")
        got, sent = [], []
        for _ in range(40):
            fresh = messages(socket)[len(got) :][:pace]
            for event in fresh:
                if event.credit:
                    socket.conn.consumed(1, event.credit)
            got += fresh
            sent += socket.sent()
            socket.tick(0)
        assert whole([event.data for event in got], said)
        assert [event.data for event in of(socket.events, "Pinged")] == [b"one", b"within"]
        assert socket.closed.received == (4000, "bye")
        assert sent[:3] == [("pong", b"one"), ("pong", b"within"), ("close", 4000)]
        assert socket.conn.octets_held == 0


@pytest.mark.parametrize("how", ["close", "reset", "broken"])
def test_an_end_while_octets_wait(waiting, how):
    """Ours does not wait for what nobody reads any more; what waited is let go."""
    socket = waiting()
    socket.feed(zeros(socket, [MIB] * 20), socket.close(1000))
    assert socket.open
    if how == "close":
        socket.conn.close_websocket(1, 4001)
        assert socket.sent()[0] == ("close", 4001)
        socket.tick(0)
        assert socket.closed.received == (1000, "")
    elif how == "reset":
        socket.conn.reset(1)
        assert socket.closed.code == 1006
    else:
        socket.break_off()
        assert socket.closed.code == (1006 if socket.transport == "h2" else 1000)
    socket.sent()
    socket.tick(20)
    for event in messages(socket):
        socket.conn.consumed(1, event.credit)
    assert socket.conn.octets_held == 0
    if socket.transport == "h2":
        socket.peer.feed(f.data(1, b"", end_stream=True)) if how == "close" else None
        assert socket.conn.open_streams == 0
        socket.peer.expect_alive()


@row("SEC-5-2")
def test_what_came_before_the_transport_ended_is_not_lost(waiting):
    """Up to half of what may be buffered."""
    for limit, expected in ((64 * MIB, 20), (4 * MIB, 2)):
        socket = waiting(limits={"max_buffered": limit})
        socket.feed(zeros(socket, [MIB] * 20))
        if socket.transport == "h2":
            socket.peer.eof()
        else:
            socket.feed(end=True)
        assert expected <= len(messages(socket)) <= expected + 1
        assert socket.closed.code == 1006


@row("SEC-5-2")
def test_many_readers_share_what_a_connection_may_hold(twin):
    """No WebSocket is closed because the others hold much, as long as each reads."""
    ids = [1 + 2 * n for n in range(12)]
    peer = many(twin, ids, limits={"max_buffered": 8 * MIB}, auto_credit=False)
    socket = opened(twin, "h1", SERVER)
    for stream_id in ids:
        peer.feed(f.data(stream_id, zeros(socket, [100_000] * 30)))
    got = dict.fromkeys(ids, 0)
    taken = 0
    while taken < len(peer.events):
        assert not of(peer.events, "Shed")
        fresh = of(peer.events[taken:], "BytesMessage")
        taken = len(peer.events)
        for event in fresh:
            got[event.stream_id] += 1
            peer.conn.consumed(event.stream_id, event.credit)
        peer.sent()
        peer.tick(0)
    assert set(got.values()) == {30}
    assert peer.conn.octets_held == 0


@row("SEC-5-2")
def test_a_sink_may_do_as_it_likes_while_octets_wait(waiting):
    """Close, reset, consume at once, or fail: what waits follows."""
    for act in ("consume", "close", "reset", "fail"):
        socket = waiting()
        heard = []

        def sink(event, act=act, socket=socket, heard=heard):
            heard.append(event)
            if type(event).__name__ != "BytesMessage":
                return
            socket.conn.consumed(1, event.credit)
            if len(heard) == 3 and act == "close":
                socket.conn.close_websocket(1, 4002)
            elif len(heard) == 3 and act == "reset":
                socket.conn.reset(1)
            elif len(heard) == 3 and act == "fail":
                raise ValueError("the sink failed")
            with pytest.raises(socket.errors.LocalProtocolError):
                socket.conn.receive_data(b"")

        socket.conn.attach(1, sink)
        socket.feed(zeros(socket, [MIB] * 8))
        for _ in range(20):
            socket.sent()
            socket.tick(0)
        count = sum(type(event).__name__ == "BytesMessage" for event in heard)
        assert count == (8 if act == "consume" else 3)
        assert socket.conn.octets_held == 0
        if act == "close":
            socket.feed(socket.close(4002), end=True)
        if act == "fail":
            socket.feed(socket.close(1011), end=True)
        assert (type(heard[-1]).__name__ == "Closed") == (act != "consume")


def test_the_end_of_a_client_or_server_is_told_once(waiting):
    socket = waiting()
    socket.feed(zeros(socket, [MIB] * 5), socket.close(1000), end=socket.transport == "h2")
    assert END not in socket.sent()
    read_all(socket)
    assert socket.closed.code == 1000
    assert socket.conn.octets_held == 0
