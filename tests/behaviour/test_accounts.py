"""Windows, buffers and queues: nothing is lost, nothing is given twice, nothing grows for ever."""

import random
import time

import pytest

from tests.support import frames as f
from tests.support.peer import CONNECT, EVENT_OCTETS, GET, OK, POST, kinds, of
from tests.support.ws_frames import BINARY, CLOSE, CONTINUATION, TEXT, ws_frame


def granted(frames, stream_id):
    return sum(
        x.increment for x in frames if x.kind == f.WINDOW_UPDATE and x.stream_id == stream_id
    )


# -- what is buffered --------------------------------------------------------------------------


@pytest.mark.parametrize("auto_credit", [True, False])
@pytest.mark.parametrize("how", ["reset", "eof", "rst", "end", "close", "goaway"])
def test_octets_of_half_a_message_are_given_back_once(make, auto_credit, how):
    role = "client" if how == "goaway" else "server"
    peer = make(role, auto_credit=auto_credit)
    stream_id = peer.websocket()
    key = b"\x00" * 4 if role == "server" else None
    half = ws_frame(BINARY, bytes(1000), key=key, fin=False)
    peer.feed(peer.message(stream_id, bytes(500)), f.data(stream_id, half))
    assert peer.conn.stats()["octets_buffered"] == 1000 + (0 if auto_credit else 500 + EVENT_OCTETS)
    if how == "reset":
        peer.conn.reset(stream_id)
    elif how == "eof":
        peer.eof()
    elif how == "rst":
        peer.feed(f.rst_stream(stream_id))
    elif how == "end":
        peer.feed(f.data(stream_id, b"", end_stream=True))
    elif how == "goaway":
        peer.feed(f.goaway(0))
    else:
        peer.conn.close_websocket(stream_id)
        peer.feed(f.data(stream_id, ws_frame(CLOSE, b"", key=key), end_stream=True))
    peer.sent()
    assert peer.conn.open_streams == 0
    assert peer.conn.stats()["octets_buffered"] == 0


def test_max_buffered_holds_however_often_it_was_reached(make):
    # Each time it is passed the next look comes a sixteenth later, but not for ever later.
    peer = make("server", limits={"max_buffered": 16000}, auto_credit=True)
    half = ws_frame(BINARY, bytes(7000), fin=False)
    most = 0
    for _ in range(30):
        streams = [peer.websocket() for _ in range(4)]
        for stream_id in streams:
            peer.feed(f.data(stream_id, half))
            most = max(most, peer.conn.stats()["octets_buffered"])
        for stream_id in streams:
            peer.feed(f.rst_stream(stream_id))
        peer.sent()
        assert peer.conn.stats()["octets_buffered"] == 0
    assert most <= 16000 + 2 * 7000


# -- windows -----------------------------------------------------------------------------------


def test_an_empty_frame_fits_into_a_window_below_zero(make):
    peer = make("server", settings={"initial_window_size": 1000})
    stream_id = peer.websocket()
    peer.conn.update_settings({f.INITIAL_WINDOW_SIZE: 100})
    peer.feed(f.data(stream_id, ws_frame(BINARY, bytes(440), fin=False)))
    peer.feed(f.data(stream_id, ws_frame(0, bytes(300), fin=True)))
    peer.feed(f.settings_ack())
    peer.feed(f.data(stream_id, b"", end_stream=True))
    assert not [x for x in peer.sent() if x.kind == f.RST_STREAM]
    assert kinds(peer.events[-1:]) == ["Closed"]


@pytest.mark.parametrize("auto_credit", [True, False])
def test_a_window_that_shrinks_still_opens(make, auto_credit):
    # What was due in the large window is much in the small one.
    peer = make("server", settings={"initial_window_size": 200000}, auto_credit=auto_credit)
    stream_id = peer.websocket()
    peer.conn.update_settings({f.INITIAL_WINDOW_SIZE: 65535})
    for _ in range(9):
        for event in of(peer.feed(peer.message(stream_id, bytes(10000))), "BytesMessage"):
            peer.conn.consumed(stream_id, event.credit)
    before = granted(peer.sent(), stream_id)
    sent = 9 * (10000 + 8)
    peer.feed(f.settings_ack())
    left = 65535 - sent + before + granted(peer.sent(), stream_id)
    assert left * 2 >= 65535


def test_settings_on_their_way_count_with_those_in_force(make):
    # 100 is acknowledged while 50000 is on its way: the peer may have applied both.
    peer = make("server", settings={"initial_window_size": 65535, "max_frame_size": 30000})
    stream_id = peer.websocket()
    peer.conn.update_settings({f.INITIAL_WINDOW_SIZE: 100, f.MAX_FRAME_SIZE: 16384})
    peer.conn.update_settings({f.INITIAL_WINDOW_SIZE: 50000, f.MAX_FRAME_SIZE: 25000})
    peer.feed(f.settings_ack())
    peer.feed(f.data(stream_id, bytes(20000)))
    peer.feed(f.settings_ack())
    peer.feed(f.data(stream_id, bytes(20000)))
    assert not [x for x in peer.sent() if x.kind in (f.RST_STREAM, f.GOAWAY)]
    peer.feed(f.data(stream_id, bytes(25001)))
    peer.expect_connection_error(f.FRAME_SIZE_ERROR)


@pytest.mark.parametrize("answer", ["accept", "refuse"])
@pytest.mark.parametrize("pad", [None, 200])
def test_early_data_is_credited_whole_once_it_is_answered(make, answer, pad):
    # Padding too, and what of a frame is still to come.
    peer = make("server", settings={"initial_window_size": 1000}, auto_credit=True)
    stream_id = peer.open(CONNECT)
    octets = f.data(stream_id, ws_frame(BINARY, bytes(600)), pad=pad)
    peer.feed(octets[:100])
    assert granted(peer.sent(), stream_id) == 0
    if answer == "accept":
        peer.conn.accept_websocket(stream_id)
    else:
        peer.conn.respond(stream_id, [(":status", "403")])
    peer.feed(octets[100:])
    assert granted(peer.sent(), stream_id) == len(octets) - 9


@pytest.mark.parametrize("auto_credit", [True, False])
@pytest.mark.parametrize("final", [True, False])
def test_a_fragment_that_is_no_text_is_credited_as_what_came_before_it(make, auto_credit, final):
    # The window must take the peer's Close, and whatever it sends until it hears of ours.
    peer = make("server", settings={"initial_window_size": 1000}, auto_credit=auto_credit)
    stream_id = peer.websocket()
    begun = f.data(stream_id, ws_frame(TEXT, b"x" * 100, fin=False))
    wrong = f.data(stream_id, ws_frame(CONTINUATION, b"y" * 699 + b"\xff", fin=final))
    peer.feed(begun, wrong)
    frames = peer.sent()
    (close,) = (x for x in frames if x.kind == f.DATA)
    assert close.payload[2:4] == (1007).to_bytes(2, "big")
    assert peer.conn.stats()["octets_buffered"] == 0
    sent = len(begun) + len(wrong) - 2 * 9
    assert (1000 - sent + granted(frames, stream_id)) * 2 >= 1000
    for _ in range(20):
        frames = f.data(stream_id, ws_frame(CONTINUATION, b"z" * 400, fin=False))
        peer.feed(frames)
    assert not [x for x in peer.sent() if x.kind == f.RST_STREAM]


def test_a_close_does_not_wait_for_a_reader_who_has_gone(make):
    # All of the window is held by messages that nobody takes: the peer's Close must fit all the same.
    peer = make("server", settings={"initial_window_size": 1000})
    stream_id = peer.websocket()
    for _ in range(4):
        peer.feed(peer.message(stream_id, bytes(235)))
    events = of(peer.events, "BytesMessage")
    before = granted(peer.sent(), stream_id)
    peer.conn.close_websocket(stream_id)
    given = before + granted(peer.sent(), stream_id)
    assert given == 4 * (235 + 8)
    for event in events:  # late, and not a second time
        peer.conn.consumed(stream_id, event.credit)
    assert granted(peer.sent(), stream_id) == 0
    peer.feed(f.data(stream_id, ws_frame(CLOSE, b"\x03\xe8"), end_stream=True))
    assert peer.conn.open_streams == 0 and peer.conn.stats()["octets_buffered"] == 0


def test_nothing_doubles_the_window_of_a_request_that_nobody_answered(make):
    peer = make("server", settings={"initial_window_size": 10000}, auto_credit=True)
    stream_id = peer.open(CONNECT)
    for _ in range(10):
        peer.now += 0.0001
        peer.feed(f.data(stream_id, bytes(1000)))
        peer.now += 1.0
    assert granted(peer.sent(), stream_id) == 0


# -- floods ------------------------------------------------------------------------------------


@pytest.mark.row("SEC-1-1")
def test_rapid_resets_of_requests_that_had_ended(make):
    # CVE-2023-44487 as it was: GET with END_STREAM, taken back at once, over and over.
    peer = make("server")
    for _ in range(5000):
        stream_id = peer.new_id()
        peer.feed(peer.headers(stream_id, GET, end_stream=True), f.rst_stream(stream_id))
        peer.pull()
        if peer.conn.terminated:
            break
    assert peer.conn.stats()["limits"]["reset_burst"] == 1
    assert stream_id < 2 * 1100
    peer.expect_connection_error(f.ENHANCE_YOUR_CALM)


@pytest.mark.row("SEC-1-8")
def test_answers_that_nobody_reads_are_bounded(make):
    peer = make("server", limits={"max_control_octets": 65536})
    for _ in range(20000):
        if peer.conn.terminated:
            break
        stream_id = peer.new_id()
        for event in of(peer.feed(peer.headers(stream_id, GET, end_stream=True)), "Requested"):
            fields = [(":status", "200"), ("x-long", "y" * 100)]
            if not peer.conn.terminated:
                peer.conn.respond(event.stream_id, fields, end_stream=True)
    assert peer.conn.stats()["limits"] == {"max_control_octets": 1}
    peer.expect_connection_error(f.ENHANCE_YOUR_CALM)


def test_goaways_that_take_nothing_back_are_cheap(make):
    peer = make("client", limits={"glitch_burst": 100000})
    for _ in range(1000):
        peer.conn.request(GET)
    peer.pull()
    flood = f.goaway(2**31 - 1) * 5000
    began = time.process_time()
    came = peer.feed(flood)
    assert time.process_time() - began < 1.0
    assert kinds(came) == ["GoawayReceived"] * 5000
    assert peer.conn.stats()["glitches"] == 4999


@pytest.mark.row("SEC-4-4")
def test_windows_shifted_to_and_fro_under_many_blocked_streams(make):
    # Half of the streams are blocked for good by what they have sent already.
    peer = make(
        "server", settings={"max_concurrent_streams": 1000}, limits={"max_control_frames": None}
    )
    streams = [peer.get() for _ in range(1000)]
    for stream_id in streams:
        peer.conn.respond(stream_id, OK)
        peer.conn.send_data(stream_id, bytes(50))
    peer.pull()
    peer.feed(f.settings((f.INITIAL_WINDOW_SIZE, 0)))
    for stream_id in streams:
        peer.conn.send_data(stream_id, bytes(50))
    up_and_down = f.settings((f.INITIAL_WINDOW_SIZE, 1)) + f.settings((f.INITIAL_WINDOW_SIZE, 0))
    began = time.process_time()
    peer.feed(up_and_down * 500)
    elapsed = time.process_time() - began
    assert elapsed < (1.0 if peer.twin.__name__ == "h2ws_fast.engine" else 10.0)


def test_streams_that_end_while_nothing_may_leave_are_let_go(make):
    import gc
    import weakref

    class Heard:
        def __call__(self, event):
            pass

    peer = make("server", limits={"reset_burst": None})
    first = peer.get()
    peer.conn.respond(first, OK)
    peer.conn.send_data(first, bytes(100000))
    peer.pull()  # the connection's window is used up
    kept = []
    for _ in range(1000):
        stream_id = peer.get()
        sink = Heard()
        peer.conn.attach(stream_id, sink)
        kept.append(weakref.ref(sink))
        peer.conn.respond(stream_id, OK)
        peer.conn.send_data(stream_id, b"never")
        peer.feed(f.rst_stream(stream_id))
        peer.pull()
    del sink
    gc.collect()
    assert sum(one() is not None for one in kept) < 200


# -- what leaves -------------------------------------------------------------------------------


class Account:
    """What the outbox must do, the slow and simple way: octets and windows of one stream."""

    def __init__(self, window):
        self.window = window
        self.queue = b""
        self.sent = b""
        self.ending = False
        self.ended = False


@pytest.mark.parametrize("seed", range(12))
def test_the_outbox_keeps_the_windows_and_leaves_nothing_that_may_go(make, seed):
    rng = random.Random(seed)
    initial, connection, max_frame = 65535, 65535, 16384
    peer = make("server", limits={"max_window_updates": None, "reset_burst": None})
    accounts = {}

    def drain(frames):
        nonlocal connection
        for x in frames:
            if x.kind != f.DATA:
                continue
            one, n = accounts[x.stream_id], len(x.payload)
            assert not one.ended
            assert n <= max_frame
            assert one.queue.startswith(x.payload)
            connection -= n
            one.window -= n
            assert n == 0 or (connection >= 0 and one.window >= 0)
            one.queue = one.queue[n:]
            one.ended = x.end_stream
            assert not one.ended or (one.ending and not one.queue)

    for _ in range(400):
        alive = [i for i, one in accounts.items() if not one.ending]
        some = rng.choice(alive) if alive else None
        how = rng.randrange(12)
        if how == 0 or some is None:
            some = peer.open(POST)
            peer.conn.respond(some, OK)
            accounts[some] = Account(initial)
        elif how < 5:
            data = rng.randbytes(rng.choice((1, 100, 5000, 40000)))
            ending = rng.random() < 0.1
            accounts[some].queue += data
            accounts[some].ending = ending
            assert peer.conn.send_data(some, data, ending) <= len(accounts[some].queue)
        elif how < 7:
            some, n = rng.choice(list(accounts)), rng.choice((1, 100, 20000))
            accounts[some].window += n
            peer.feed(f.window_update(some, n))
        elif how == 7:
            n = rng.choice((1, 1000, 60000))
            connection += n
            peer.feed(f.window_update(0, n))
        elif how == 8:
            drain(peer.sent())
            value = rng.choice((0, 1, 1000, 65535, 100000))
            for one in accounts.values():
                one.window += value - initial
            initial = value
            max_frame = rng.choice((16384, 20000))
            peer.sent()
            peer.feed(f.settings((f.INITIAL_WINDOW_SIZE, value), (f.MAX_FRAME_SIZE, max_frame)))
        elif how == 9 and rng.random() < 0.3:
            drain(peer.sent())
            del accounts[some]
            if rng.random() < 0.5:
                peer.feed(f.rst_stream(some))
            else:
                peer.conn.reset(some)
        else:
            drain(peer.sent(rng.choice((64, 100, 1000, 20000, None, None))))
        if rng.random() < 0.3:
            drain(peer.sent())
            waiting = sum(len(one.queue) for one in accounts.values())
            assert peer.conn.stats()["octets_queued"] == waiting
            for stream_id, one in accounts.items():
                # Nothing waits but for a window.
                assert not one.queue or one.window <= 0 or connection <= 0, stream_id
                assert one.ended == (one.ending and not one.queue)
                assert peer.conn.waiting(stream_id) == len(one.queue)
