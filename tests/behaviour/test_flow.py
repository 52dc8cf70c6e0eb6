"""RFC 9113 sections 5.2 and 6.9: flow control, both ways."""

import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import frames as f
from tests.support.peer import EVENT_OCTETS, OK, POST, Peer, of

row = pytest.mark.row

MANY_UPDATES = {"max_window_updates": None}


def download(peer, payload, end_stream=True):
    """Let a server answer with `payload` on a new stream; return its id."""
    stream_id = peer.get()
    peer.conn.respond(stream_id, OK)
    peer.conn.send_data(stream_id, payload, end_stream=end_stream)
    return stream_id


def sizes(peer, stream_id=None):
    """The sizes of the DATA payloads that leave now."""
    frames = [x for x in peer.sent() if x.kind == f.DATA]
    return [len(x.payload) for x in frames if stream_id in (None, x.stream_id)]


# -- WINDOW_UPDATE -----------------------------------------------------------------------------


@row("9113-6.9-1")
@pytest.mark.parametrize("length", [0, 3, 5, 8])
@pytest.mark.parametrize("on_stream", [0, 1], ids=["connection", "stream"])
def test_window_update_of_another_length(server, length, on_stream):
    peer = server()
    peer.post()
    peer.feed(f.frame(f.WINDOW_UPDATE, 0, on_stream, bytes(length)))
    peer.expect_connection_error(f.FRAME_SIZE_ERROR, last_stream_id=1)


@row("9113-6.9-2")
def test_increment_of_zero_on_a_stream(server):
    peer = server()
    stream_id, sibling = peer.post(), peer.post()
    peer.feed(f.window_update(stream_id, 0), f.data(sibling, b"lives"))
    assert [(e.stream_id, e.error_code, e.remote) for e in of(peer.events, "Reset")] == [
        (stream_id, f.PROTOCOL_ERROR, False)
    ]
    assert b"".join(e.data for e in of(peer.events, "Data")) == b"lives"
    peer.expect_stream_error(stream_id, f.PROTOCOL_ERROR)


@row("9113-6.9-2")
def test_increment_of_zero_on_the_connection(either):
    peer = either()
    peer.feed(f.window_update(0, 0))
    peer.expect_connection_error(f.PROTOCOL_ERROR)


@row("9113-6.9-2")
def test_increments_of_zero_are_counted_as_resets_that_the_peer_caused(make):
    peer = make("server", limits={"max_local_resets": 5})
    for _ in range(5):
        stream_id = peer.post()
        peer.feed(f.window_update(stream_id, 0))
    peer.sent()
    assert not peer.conn.terminated
    stream_id = peer.post()
    peer.feed(f.window_update(stream_id, 0))
    peer.expect_connection_error(f.ENHANCE_YOUR_CALM)


@row("9113-6.9-3")
def test_window_update_on_a_half_closed_stream_counts(server):
    peer = server(peer_settings=[(f.INITIAL_WINDOW_SIZE, 0)])
    stream_id = download(peer, b"x" * 10)
    peer.feed(f.window_update(stream_id, 7))
    assert sizes(peer) == [7]
    peer.feed(f.window_update(stream_id, 7))
    assert sizes(peer) == [3]
    peer.feed(f.window_update(stream_id, 7))  # closed meanwhile
    assert peer.sent() == []
    peer.expect_alive()


@row("9113-6.9-4")
def test_data_of_dead_streams_never_stalls_the_connection(make):
    peer = make("server", handshake=False, settings={"connection_window": 65535})
    peer.handshake()
    reset_by_us, reset_by_peer = peer.post(), peer.post()
    peer.conn.reset(reset_by_us)
    peer.feed(f.rst_stream(reset_by_peer))
    peer.sent()
    for _ in range(100):  # 1.6 MB against 64 KiB of window
        assert peer.room[0] >= 16_000, "the connection's window was lost"
        peer.room[0] -= 16_000
        peer.feed(f.data(reset_by_us, bytes(16_000)))
        assert {x.kind for x in peer.sent()} <= {f.WINDOW_UPDATE}
    for _ in range(5):
        assert peer.room[0] >= 16_000
        peer.room[0] -= 16_000
        peer.feed(f.data(reset_by_peer, bytes(16_000)))
        peer.sent()
    assert peer.room[0] >= 65535 // 2
    peer.expect_alive()


@row("9113-6.9-4")
def test_data_above_a_content_length_is_credited(server):
    peer = server(handshake=False, settings={"connection_window": 65535})
    peer.handshake()
    for _ in range(10):
        stream_id = peer.open([*POST, ("content-length", "5")])
        peer.send(stream_id, bytes(16_000))  # malformed: a stream error
        assert f.RST_STREAM in [x.kind for x in peer.sent()]
    peer.expect_alive()


@row("9113-6.9-5")
def test_only_data_waits_for_windows(server):
    peer = server(peer_settings=[(f.INITIAL_WINDOW_SIZE, 0)])
    stream_id, other = download(peer, b"blocked"), peer.post()
    frames = peer.sent()
    assert [(x.kind, x.stream_id) for x in frames] == [(f.HEADERS, stream_id)]
    peer.feed(f.ping(), f.settings())
    peer.conn.respond(other, [(":status", "103")])
    peer.conn.respond(other, OK, end_stream=True)
    peer.conn.reset(stream_id)
    kinds = [x.kind for x in peer.sent()]
    assert sorted(kinds) == sorted([f.PING, f.SETTINGS, f.HEADERS, f.HEADERS, f.RST_STREAM])


@row("9113-6.9-5")
def test_trailers_wait_for_data_but_for_no_window(server):
    peer = server(peer_settings=[(f.INITIAL_WINDOW_SIZE, 4)])
    stream_id = download(peer, b"four", end_stream=False)
    peer.conn.send_trailers(stream_id, [("x-sum", "1")])
    assert [(x.kind, x.end_stream) for x in peer.sent()] == [
        (f.HEADERS, False),
        (f.DATA, False),
        (f.HEADERS, True),
    ]


# -- sending: section 6.9.1 --------------------------------------------------------------------


@row("9113-6.9.1-1")
@pytest.mark.parametrize("window", [0, 1, 2, 100, 16383, 16384, 16385, 65535])
def test_no_more_than_the_streams_window_is_sent(server, window):
    peer = server(peer_settings=[(f.INITIAL_WINDOW_SIZE, window)])
    download(peer, bytes(70_000))
    assert sum(sizes(peer)) == window


@row("9113-6.9.1-1")
def test_no_more_than_the_connections_window_is_sent(server):
    peer = server(peer_settings=[(f.INITIAL_WINDOW_SIZE, 2**20)])
    first, second = download(peer, bytes(50_000)), download(peer, bytes(50_000))
    sent = [x for x in peer.sent() if x.kind == f.DATA]
    assert sum(len(x.payload) for x in sent) == 65535
    assert {x.stream_id for x in sent} == {first, second}
    peer.feed(f.window_update(0, 1))
    assert sizes(peer) == [1]
    peer.feed(f.window_update(first, 2**20))  # not what is missing
    assert sizes(peer) == []
    peer.feed(f.window_update(0, 10**6))
    assert sum(sizes(peer)) == 100_000 - 65536


class Ledger:
    """The windows of the engine's sending side, kept by hand from the frames it was fed."""

    def __init__(self, initial):
        self.initial = initial
        self.connection = 65535
        self.streams = {}

    def charge(self, frames):
        for frame in frames:
            if frame.kind == f.DATA:
                n = len(frame.payload)
                self.connection -= n
                self.streams[frame.stream_id] -= n
                if n:
                    assert self.connection >= 0, "the connection's window is overrun"
                    assert self.streams[frame.stream_id] >= 0, "a stream's window is overrun"


steps = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(0, 3), st.integers(0, 70_000)),
        st.tuples(st.just("stream"), st.integers(0, 3), st.integers(1, 40_000)),
        st.tuples(st.just("connection"), st.just(0), st.integers(1, 80_000)),
        st.tuples(st.just("initial"), st.just(0), st.integers(0, 70_000)),
        st.tuples(st.just("pull"), st.just(0), st.integers(64, 40_000)),
    ),
    max_size=30,
)


@row("9113-6.9.1-1", "9113-6.9.2-2", "9113-6.9.2-3")
@given(initial=st.integers(0, 70_000), steps=steps)
@settings(deadline=None)
def test_windows_are_kept_to_the_octet(twin, initial, steps):
    """Never an octet more than both windows allow, and never one less."""
    peer = Peer(
        twin, "server", peer_settings=[(f.INITIAL_WINDOW_SIZE, initial)], limits=MANY_UPDATES
    )
    ledger = Ledger(initial)
    ids = [peer.get() for _ in range(4)]
    queued = dict.fromkeys(ids, 0)
    payloads = dict.fromkeys(ids, b"")
    for stream_id in ids:
        peer.conn.respond(stream_id, OK)
        ledger.streams[stream_id] = initial
    for what, index, n in steps:
        stream_id = ids[index]
        if what == "send":
            chunk = random.Random(n).randbytes(n)
            payloads[stream_id] += chunk
            queued[stream_id] += n
            peer.conn.send_data(stream_id, chunk)
        elif what == "stream":
            ledger.streams[stream_id] += n
            peer.feed(f.window_update(stream_id, n))
        elif what == "connection":
            ledger.connection += n
            peer.feed(f.window_update(0, n))
        elif what == "initial":
            for other in ids:
                ledger.streams[other] += n - ledger.initial
            ledger.initial = n
            peer.feed(f.settings((f.INITIAL_WINDOW_SIZE, n)))
        else:
            ledger.charge(peer.sent(max_bytes=n))
    blocked = {stream_id: peer.conn.is_blocked(stream_id) for stream_id in ids}
    for stream_id in ids:
        assert blocked[stream_id] or peer.conn.waiting(stream_id) <= ledger.streams[stream_id]
    ledger.charge(peer.sent())
    got = dict.fromkeys(ids, b"")
    for frame in peer.frames:
        if frame.kind == f.DATA:
            got[frame.stream_id] += frame.payload
    for stream_id in ids:
        assert payloads[stream_id].startswith(got[stream_id])
        left = queued[stream_id] - len(got[stream_id])
        assert peer.conn.waiting(stream_id) == left
        # Whatever is left is left for want of a window, of which was told.
        assert not left or blocked[stream_id]
        assert not left or ledger.streams[stream_id] <= 0 or ledger.connection == 0


@row("9113-6.9.1-2")
@pytest.mark.parametrize("increment", [0x7FFFFFFF, 0x7FFFFFFF - 65534])
def test_streams_window_above_the_maximum_is_a_stream_error(server, increment):
    peer = server()
    stream_id = peer.post()
    peer.feed(f.window_update(stream_id, increment))
    assert [e.error_code for e in of(peer.events, "Reset")] == [f.FLOW_CONTROL_ERROR]
    peer.expect_stream_error(stream_id, f.FLOW_CONTROL_ERROR)


@row("9113-6.9.1-2")
@pytest.mark.parametrize("increment", [0x7FFFFFFF, 0x7FFFFFFF - 65534])
def test_connections_window_above_the_maximum_is_a_connection_error(either, increment):
    peer = either()
    peer.feed(f.window_update(0, increment))
    peer.expect_connection_error(f.FLOW_CONTROL_ERROR)


@row("9113-6.9.1-2")
def test_windows_of_the_maximum_are_legal(server):
    peer = server()
    stream_id = peer.post()
    peer.forget()
    most = 0x7FFFFFFF - 65535
    peer.expect_nothing(f.window_update(stream_id, most), f.window_update(0, most))


# -- receiving ---------------------------------------------------------------------------------


@row("9113-6.9.1-3")
@pytest.mark.parametrize("window", [0, 1000, 65535])
def test_overrun_of_a_streams_window_is_a_stream_error(server, window):
    peer = server(settings={"initial_window_size": window})
    stream_id, sibling = peer.post(), peer.post()
    for at in range(0, window, 16_000):
        peer.feed(f.data(stream_id, bytes(min(16_000, window - at))))
    assert [x.kind for x in peer.sent() if x.kind == f.RST_STREAM] == []
    peer.feed(f.data(stream_id, b"x"))
    assert [(e.stream_id, e.error_code) for e in of(peer.events, "Reset")] == [
        (stream_id, f.FLOW_CONTROL_ERROR)
    ]
    if window:
        peer.feed(f.data(sibling, b"lives"))
        assert [e.stream_id for e in of(peer.events, "Data")][-1] == sibling
    peer.expect_stream_error(stream_id, f.FLOW_CONTROL_ERROR)


@row("9113-6.9.1-3")
def test_overrun_of_the_connections_window_is_a_connection_error(server):
    # One frame, so that no credit for its own beginning can be under way.
    settings = {"connection_window": 65535, "initial_window_size": 2**20, "max_frame_size": 70_000}
    peer = server(handshake=False, settings=settings)
    peer.handshake()
    stream_id = peer.post()
    peer.feed(f.data(stream_id, bytes(65_535)))
    assert not peer.conn.terminated
    peer = server(handshake=False, settings=settings)
    peer.handshake()
    stream_id = peer.post()
    peer.feed(f.frame(f.DATA, 0, stream_id, length=65_536))
    peer.expect_connection_error(f.FLOW_CONTROL_ERROR, last_stream_id=stream_id)


@row("9113-6.9.1-4")
def test_window_updates_are_saved_up(make):
    peer = make(
        "server",
        handshake=False,
        settings={"initial_window_size": 10_000, "connection_window": 65535},
        limits={"small_data": 10**9},
        auto_credit=True,
    )
    peer.handshake()
    stream_id = peer.post()
    for _ in range(20_000):
        peer.send(stream_id, b"x")
        peer.sent()
    updates = [x for x in peer.frames if x.kind == f.WINDOW_UPDATE]
    on_stream = [x.increment for x in updates if x.stream_id == stream_id]
    assert on_stream and min(on_stream) >= 5000
    assert all(x.increment >= 65535 // 4 for x in updates if x.stream_id == 0)
    assert len(updates) <= 6


@row("9113-6.9.1-5")
def test_credit_of_a_body_returns_when_it_was_consumed(server):
    peer = server(settings={"initial_window_size": 10_000})
    stream_id = peer.post()
    peer.send(stream_id, bytes(10_000))
    assert [x for x in peer.sent() if x.stream_id == stream_id] == []
    assert peer.may_send(stream_id) == 0
    credit = sum(e.credit for e in of(peer.events, "Data"))
    assert credit == 10_000
    peer.conn.consumed(stream_id, 6000)
    peer.sent()
    assert peer.may_send(stream_id) == 6000
    peer.conn.consumed(stream_id, 4000)
    peer.send(stream_id, bytes(6000))
    peer.sent()
    assert peer.may_send(stream_id) in (0, 4000)  # what is saved up for a fuller update


@row("9113-6.9.1-5")
def test_credit_of_a_message_returns_when_it_was_consumed(server):
    peer = server(settings={"initial_window_size": 1000})
    stream_id = peer.websocket()
    for _ in range(20):
        peer.send(stream_id, peer.message(stream_id, bytes(400))[9:])
        (event,) = of(peer.events, "BytesMessage")
        # The frame's own header may have come back at once.
        assert 400 <= event.credit - EVENT_OCTETS <= 408
        peer.conn.consumed(stream_id, event.credit)
        peer.forget()
        # At most a half is saved up for the next update, and no octet comes back twice.
        assert 500 < peer.room[stream_id] <= 1000


@row("9113-6.9.1-5")
def test_messages_that_nobody_consumes_are_bounded(server):
    peer = server(settings={"initial_window_size": 1000})
    stream_id = peer.websocket()
    octets = peer.message(stream_id, bytes(200))[9:]
    told = 0
    for _ in range(100):
        rest = octets
        while rest and (n := min(len(rest), peer.may_send(stream_id))):
            told += len(of(peer.send(stream_id, rest[:n]), "BytesMessage"))
            peer.sent()
            rest = rest[n:]
        if rest:
            break
    assert told <= 5 + 1
    for event in of(peer.events, "BytesMessage"):
        peer.conn.consumed(stream_id, event.credit)
    peer.sent()
    assert 500 <= peer.room[stream_id] <= 1000


def test_who_asks_for_all_gets_it_in_pieces_and_no_block_for_what_may_not_leave(server):
    """8 MB are queued: first the stream has no window for them, then it has."""
    peer = server()
    conn = peer.conn
    conn.receive_data(f.window_update(0, 2**31 - 65536))
    stream_id = download(peer, bytes(8_000_000))
    sent = sum(map(len, conn.data_to_send(2**40)))
    tracemalloc.start()
    try:
        conn.receive_data(f.ping())
        assert sum(map(len, conn.data_to_send(2**40))) == 17
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    conn.receive_data(f.window_update(stream_id, 2**31 - 65536))
    pieces = conn.data_to_send(2**40)
    assert 8_000_000 < sent + sum(map(len, pieces)) < 8_010_000
    assert max(map(len, pieces)) <= 266240 and len(pieces) < 40


@row("9113-6.9.1-5")
def test_message_larger_than_the_window_does_not_deadlock(server):
    peer = server(settings={"initial_window_size": 1000})
    stream_id = peer.websocket()
    octets = peer.message(stream_id, bytes(range(250)) * 200)[9:]
    at = 0
    while at < len(octets):
        n = min(peer.may_send(stream_id), len(octets) - at)
        assert n, "the window of an incomplete message stays shut"
        peer.send(stream_id, octets[at : at + n])
        peer.sent()
        at += n
    (event,) = of(peer.events, "BytesMessage")
    assert event.data == bytes(range(250)) * 200
    peer.conn.consumed(stream_id, event.credit)
    peer.sent()
    assert peer.may_send(stream_id) >= 500


@row("9113-6.9.1-5")
def test_slow_reader_holds_no_more_than_its_window(make):
    peer = make("server", settings={"initial_window_size": 20_000})
    stream_id = peer.post()
    fed = 0
    while (n := min(1000, peer.may_send(stream_id))) > 0:
        peer.send(stream_id, bytes(n))
        peer.sent()
        fed += n
    assert fed == 20_000


@row("9113-6.9.1-5", "9113-6.9.1-6")
def test_stalled_readers_leave_the_connection_open(make):
    peer = make(
        "server",
        handshake=False,
        settings={"initial_window_size": 20_000, "connection_window": 65535},
    )
    peer.handshake()
    stalled = [peer.post() for _ in range(10)]
    for stream_id in stalled:  # 200 000 octets that nobody consumes, through 64 KiB
        while peer.may_send(stream_id):
            peer.send(stream_id, bytes(min(5000, peer.may_send(stream_id))))
            peer.sent()
        assert peer.room[stream_id] == 0
    active = peer.post()
    peer.forget()
    left = 300_000
    while left:
        n = min(8000, left, peer.may_send(active))
        assert n, "the active stream starves"
        for event in of(peer.send(active, bytes(n)), "Data"):
            peer.conn.consumed(active, event.credit)
        peer.sent()
        left -= n
    assert sum(len(e.data) for e in of(peer.events, "Data")) == 300_000


@row("9113-6.9.1-6")
def test_blocked_stream_does_not_stop_the_others_output(server):
    peer = server(peer_settings=[(f.INITIAL_WINDOW_SIZE, 0)])
    blocked = [download(peer, bytes(1000)) for _ in range(10)]
    active = download(peer, b"goes on")
    peer.sent()
    peer.feed(f.window_update(active, 100))
    assert [(x.stream_id, x.payload) for x in peer.sent()] == [(active, b"goes on")]
    assert all(peer.conn.waiting(stream_id) == 1000 for stream_id in blocked)


# -- the initial window: section 6.9.2 ---------------------------------------------------------


@row("9113-6.9.2-1")
def test_windows_begin_at_65535(server):
    peer = server(peer_settings=())
    download(peer, bytes(100_000))
    assert sum(sizes(peer)) == 65535


@row("9113-6.9.2-1", "9113-6.9.3-2")
def test_peer_may_use_the_default_windows_before_it_saw_our_settings(server):
    peer = server(handshake=False, settings={"initial_window_size": 2**20})
    peer.feed(f.MAGIC, f.settings(), peer.headers(1, POST))
    peer.feed(*[f.data(1, bytes(16_383)) for _ in range(4)], f.data(1, bytes(3)))
    assert not of(peer.events, "Reset") and not peer.conn.terminated
    assert sum(len(e.data) for e in of(peer.events, "Data")) == 65535


@row("9113-6.9.2-2")
def test_new_initial_window_shifts_each_stream_by_the_difference(server):
    peer = server()
    peer.feed(f.window_update(0, 10**6))
    first, second = download(peer, bytes(200_000)), download(peer, bytes(200_000))
    sent = [x for x in peer.sent() if x.kind == f.DATA]
    assert sum(len(x.payload) for x in sent if x.stream_id == first) == 65535
    peer.feed(f.settings((f.INITIAL_WINDOW_SIZE, 131_070)))
    sent = [x for x in peer.sent() if x.kind == f.DATA]
    for stream_id in (first, second):
        assert sum(len(x.payload) for x in sent if x.stream_id == stream_id) == 65535


@row("9113-6.9.2-2")
def test_new_initial_window_holds_for_new_streams_and_keeps_credits(server):
    peer = server(peer_settings=[(f.INITIAL_WINDOW_SIZE, 100)])
    old = peer.get()
    peer.feed(f.window_update(old, 50), f.settings((f.INITIAL_WINDOW_SIZE, 10)))
    new = peer.get()
    for stream_id in (old, new):
        peer.conn.respond(stream_id, OK)
        peer.conn.send_data(stream_id, bytes(1000))
    sent = [x for x in peer.sent() if x.kind == f.DATA]
    assert sum(len(x.payload) for x in sent if x.stream_id == old) == 60
    assert sum(len(x.payload) for x in sent if x.stream_id == new) == 10


@row("9113-6.9.2-3")
def test_negative_window_waits_until_it_is_positive(server):
    peer = server()
    stream_id = download(peer, bytes(60_000), end_stream=False)
    assert sum(sizes(peer)) == 60_000
    peer.conn.send_data(stream_id, bytes(10_000))
    peer.feed(f.settings((f.INITIAL_WINDOW_SIZE, 16_384)))
    peer.sent()  # 5535 octets may have gone before the setting; none after it
    sent = sum(len(x.payload) for x in peer.frames if x.kind == f.DATA)
    assert sent == 60_000
    peer.feed(f.window_update(stream_id, 60_000 - 16_384))
    assert sizes(peer) == []
    peer.feed(f.window_update(stream_id, 1))
    assert sizes(peer) == [1]


@row("9113-6.9.2-4")
@pytest.mark.parametrize("idle", [True, False], ids=["blocked", "idle"])
def test_setting_that_lifts_a_window_above_the_maximum(server, idle):
    peer = server()
    stream_id = peer.get()
    if not idle:
        peer.conn.respond(stream_id, OK)
        peer.conn.send_data(stream_id, b"x")
    most = 0x7FFFFFFF - 65535
    peer.feed(f.window_update(stream_id, most))
    peer.sent()
    peer.feed(f.settings((f.INITIAL_WINDOW_SIZE, 65_535 + (1 if idle else 2))))
    peer.expect_connection_error(f.FLOW_CONTROL_ERROR, last_stream_id=stream_id)


@row("9113-6.9.2-4")
def test_setting_that_lifts_a_window_to_the_maximum_is_legal(server):
    peer = server()
    stream_id = peer.get()
    peer.feed(f.window_update(stream_id, 0x7FFF0000))
    peer.forget()
    peer.feed(f.settings((f.INITIAL_WINDOW_SIZE, 65_535)))
    assert not peer.conn.terminated
    peer.feed(f.settings((f.INITIAL_WINDOW_SIZE, 0)), f.settings((f.INITIAL_WINDOW_SIZE, 0xFFFF)))
    assert not peer.conn.terminated


@row("9113-6.9.2-5")
@pytest.mark.parametrize("value", [0x80000000, 0xFFFFFFFF])
def test_initial_window_above_the_maximum(either, value):
    peer = either()
    peer.feed(f.settings((f.INITIAL_WINDOW_SIZE, value)))
    goaway = peer.expect_connection_error(f.FLOW_CONTROL_ERROR)
    assert goaway.debug_data == b"invalid SETTINGS_INITIAL_WINDOW_SIZE"


@row("9113-6.9.2-5")
def test_initial_window_of_the_maximum_is_legal(either):
    peer = either()
    peer.feed(f.settings((f.INITIAL_WINDOW_SIZE, 0x7FFFFFFF)))
    peer.sent()
    peer.expect_alive()


@row("9113-6.9.2-6")
def test_settings_do_not_lift_the_connections_window(server):
    peer = server(peer_settings=[(f.INITIAL_WINDOW_SIZE, 0x7FFFFFFF)])
    download(peer, bytes(100_000))
    assert sum(sizes(peer)) == 65535
    peer.feed(f.settings((f.INITIAL_WINDOW_SIZE, 0x7FFFFFFE)))
    assert sizes(peer) == []


@row("9113-6.9.2-7")
def test_values_of_one_frame_apply_in_their_order(server):
    peer = server()
    stream_id = download(peer, bytes(70_000))
    assert sum(sizes(peer)) == 65535
    peer.feed(f.window_update(0, 10_000))
    window = f.INITIAL_WINDOW_SIZE
    peer.feed(f.settings((window, 65_535), (window, 0), (window, 65_635)))
    assert sizes(peer, stream_id) == [100]
    peer.feed(f.settings((window, 70_000), (window, 65_535)))
    assert sizes(peer) == []


@row("9113-6.9.2-7", "9113-6.9.2-4")
def test_an_overflow_inside_one_frame_is_an_error_although_its_last_value_is_small(server):
    peer = server()
    stream_id = peer.get()
    peer.feed(f.window_update(stream_id, 0x7FFF0000))
    window = f.INITIAL_WINDOW_SIZE
    peer.feed(f.settings((window, 0x7FFFFFFF), (window, 0)))
    peer.expect_connection_error(f.FLOW_CONTROL_ERROR)


# -- our own limits around the acknowledgement: sections 6.5.3 and 6.9.3 -----------------------


@row("9113-6.9.3-1", "9113-6.9.3-2")
def test_smaller_window_binds_after_the_acknowledgement_only(server):
    peer = server(handshake=False, settings={"initial_window_size": 100})
    peer.feed(f.MAGIC, f.settings(), peer.headers(1, POST))
    peer.feed(f.data(1, bytes(16_000)), f.data(1, bytes(16_000)))
    assert sum(len(e.data) for e in of(peer.events, "Data")) == 32_000
    assert not of(peer.events, "Reset")
    peer.feed(f.settings_ack())
    assert not of(peer.events, "Reset") and not peer.conn.terminated
    peer.sent()
    peer.next_id = 3
    stream_id = peer.post()
    peer.feed(f.data(stream_id, bytes(100)))
    assert not of(peer.events, "Reset")
    peer.feed(f.data(stream_id, b"x"))
    peer.expect_stream_error(stream_id, f.FLOW_CONTROL_ERROR)


@row("9113-6.9.3-2")
def test_larger_limits_hold_as_soon_as_they_are_sent(server):
    peer = server(
        handshake=False, settings={"initial_window_size": 200_000, "max_frame_size": 100_000}
    )
    peer.sent()
    peer.feed(f.MAGIC, f.settings(), peer.headers(1, POST), f.data(1, bytes(100_000)))
    assert sum(len(e.data) for e in of(peer.events, "Data")) == 100_000
    assert not peer.conn.terminated and not of(peer.events, "Reset")


@row("9113-6.9.3-1", "9113-6.9.3-2")
def test_a_window_made_smaller_later_binds_after_its_acknowledgement(server):
    peer = server(settings={"initial_window_size": 10_000})
    stream_id, other = peer.post(), peer.post()
    peer.conn.update_settings({f.INITIAL_WINDOW_SIZE: 1000})
    (sent,) = peer.sent()
    assert sent.settings == [(f.INITIAL_WINDOW_SIZE, 1000)]
    peer.feed(f.data(stream_id, bytes(10_000)))  # the acknowledgement is still to come
    assert not of(peer.events, "Reset")
    peer.feed(f.settings_ack(), f.data(other, bytes(1000)))
    assert not of(peer.events, "Reset")
    peer.feed(f.data(other, b"x"))
    peer.expect_stream_error(other, f.FLOW_CONTROL_ERROR)


@row("9113-6.9.3-2")
def test_the_largest_of_what_is_not_acknowledged_yet_binds(server):
    """The peer may have applied both when it acknowledges the first, the smaller one."""
    peer = server(settings={"initial_window_size": 10_000})
    ids = [peer.post() for _ in range(3)]
    peer.conn.update_settings({f.INITIAL_WINDOW_SIZE: 1000, f.MAX_CONCURRENT_STREAMS: 1})
    peer.conn.update_settings({f.INITIAL_WINDOW_SIZE: 5000, f.MAX_CONCURRENT_STREAMS: 4})
    peer.feed(f.settings_ack())
    peer.feed(f.data(ids[0], bytes(5000)))
    ids.append(peer.post())
    assert not of(peer.events, "Reset") and not peer.conn.terminated
    peer.feed(f.data(ids[0], b"x"))
    peer.expect_stream_error(ids[0], f.FLOW_CONTROL_ERROR)
    peer.feed(f.settings_ack(), f.data(ids[1], bytes(5000)))
    assert [event.stream_id for event in of(peer.events, "Reset")] == [ids[0]]


@row("9113-6.9.3-2")
def test_the_smallest_binds_after_the_last_acknowledgement(server):
    peer = server(settings={"initial_window_size": 10_000})
    first, second, third = (peer.post() for _ in range(3))
    peer.conn.update_settings({f.INITIAL_WINDOW_SIZE: 5000})
    peer.conn.update_settings({f.INITIAL_WINDOW_SIZE: 1000})
    peer.feed(f.data(first, bytes(10_000)))
    peer.feed(f.settings_ack(), f.data(second, bytes(5000)))
    assert not of(peer.events, "Reset")
    peer.feed(f.settings_ack(), f.data(third, bytes(1000)))
    assert not of(peer.events, "Reset")
    peer.feed(f.data(third, b"x"))
    peer.expect_stream_error(third, f.FLOW_CONTROL_ERROR)


@row("9113-6.9.3-2", "9113-6.9.2-2")
def test_a_window_made_larger_later_holds_as_soon_as_it_is_sent(server):
    peer = server(settings={"initial_window_size": 1000})
    stream_id = peer.post()
    peer.send(stream_id, bytes(1000))
    peer.conn.update_settings({f.INITIAL_WINDOW_SIZE: 3000})
    peer.sent()
    assert peer.may_send(stream_id) == 2000
    peer.send(stream_id, bytes(2000))
    assert not of(peer.events, "Reset")
    peer.feed(f.settings_ack(), f.data(stream_id, b"x"))
    peer.expect_stream_error(stream_id, f.FLOW_CONTROL_ERROR)


@row("9113-6.5.2-2", "9113-6.9.2-5", "9113-6.5.2-1", "8441-3-5")
def test_settings_that_cannot_be_sent(client):
    peer = client()
    for bad in (
        {f.INITIAL_WINDOW_SIZE: 2**31},
        {f.MAX_FRAME_SIZE: 16383},
        {f.MAX_FRAME_SIZE: 2**24},
        {f.ENABLE_PUSH: 1},
        {f.ENABLE_CONNECT_PROTOCOL: 1},
        {f.HEADER_TABLE_SIZE: 2**32},
        {f.HEADER_TABLE_SIZE: 2**16 + 1},
        {f.MAX_CONCURRENT_STREAMS: 2**31},
        {f.MAX_HEADER_LIST_SIZE: -1},
        {f.MAX_HEADER_LIST_SIZE: 2**32},
        {2**16: 0},
    ):
        with pytest.raises((ValueError, peer.errors.LocalProtocolError)):
            peer.conn.update_settings(bad)
        assert peer.sent() == []


SETTINGS_AND_NAMES = {
    f.HEADER_TABLE_SIZE: "header_table_size",
    f.MAX_CONCURRENT_STREAMS: "max_concurrent_streams",
    f.INITIAL_WINDOW_SIZE: "initial_window_size",
    f.MAX_FRAME_SIZE: "max_frame_size",
    f.MAX_HEADER_LIST_SIZE: "max_header_list_size",
}


@row("9113-6.5.2-2", "9113-6.9.2-5")
@pytest.mark.parametrize("identifier", SETTINGS_AND_NAMES)
def test_later_settings_have_the_range_of_the_first(make, identifier):
    name = SETTINGS_AND_NAMES[identifier]
    peer = make("server")
    taken = 0
    for bits in (14, 16, 24, 31, 32):
        for value in range(2**bits - 2, 2**bits + 2):
            try:
                peer.twin.Settings(**{name: value})
            except ValueError:
                with pytest.raises(ValueError, match="must be an int between"):
                    peer.conn.update_settings({identifier: value})
                assert peer.sent() == []
            else:
                taken += 1
                peer.conn.update_settings({identifier: value})
                (sent,) = peer.sent()
                assert sent.settings == [(identifier, value)]
    assert 0 < taken < 20


# -- either way round --------------------------------------------------------------------------


@row("9113-6.9.1-1")
def test_a_client_keeps_the_windows_too(client):
    peer = client(peer_settings=[(f.INITIAL_WINDOW_SIZE, 10), (f.ENABLE_CONNECT_PROTOCOL, 1)])
    request = peer.conn.request(POST, end_stream=False)
    peer.conn.send_data(request, bytes(100))
    assert sizes(peer) == [10]
    peer.feed(f.window_update(request, 5))
    assert sizes(peer) == [5]
    websocket = peer.websocket()
    peer.conn.send_message(websocket, bytes(100))
    assert sizes(peer) == [10]


@row("9113-6.9.1-1", "9113-5.2.2-1")
def test_many_blocked_streams_are_released_by_one_update(make):
    peer = make("server", peer_settings=[(f.INITIAL_WINDOW_SIZE, 2**20)], settings={})
    ids = [download(peer, bytes(1000)) for _ in range(200)]
    first = sum(sizes(peer))
    assert first == 65535
    peer.feed(f.window_update(0, 10**6))
    frames = [x for x in peer.sent() if x.kind == f.DATA]
    assert sum(len(x.payload) for x in frames) == 200_000 - 65535
    ended = [x.stream_id for x in peer.frames if x.end_stream and x.kind == f.DATA]
    assert sorted(ended) == ids
    assert len(set(ended)) == len(ended)


def test_no_twice_sent_octet(make):
    """What one stream carries is what was given to it, whatever the windows were."""
    rng = random.Random(9)
    peer = make("server", peer_settings=[(f.INITIAL_WINDOW_SIZE, 3)], limits=MANY_UPDATES)
    payloads = {}
    for _ in range(8):
        payload = rng.randbytes(rng.randrange(1, 3000))
        payloads[download(peer, payload)] = payload
    while peer.conn.open_streams:
        stream_id = rng.choice(list(payloads))
        chunk = [f.window_update(stream_id, rng.randrange(1, 700))]
        peer.feed(*chunk)
        peer.sent(max_bytes=rng.randrange(64, 500))
        peer.sent()
        waits = [i for i in payloads if peer.conn.waiting(i)]
        if not waits:
            break
    got = dict.fromkeys(payloads, b"")
    for frame in peer.frames:
        if frame.kind == f.DATA:
            got[frame.stream_id] += frame.payload
    assert got == payloads
