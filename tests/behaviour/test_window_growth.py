"""A stream's window grows where it, and not the path, holds a fast peer back."""

import pytest

from tests.support import frames as f

WINDOW = 262144
KIB = 1024


def of_stream(frames, stream_id):
    return sum(
        frame.increment
        for frame in frames
        if frame.kind == f.WINDOW_UPDATE and frame.stream_id == stream_id
    )


def peer_at(make, round_trip_s, **options):
    """A server whose SETTINGS were acknowledged after `round_trip_s`, with a tunnel open."""
    peer = make("server", handshake=False, auto_credit=True, **options)
    peer.now = 10.0
    peer.sent()
    peer.now += round_trip_s
    peer.feed(f.MAGIC, f.settings(), f.settings_ack())
    fields = [
        (":method", "CONNECT"),
        (":protocol", "bytestream"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/"),
    ]
    stream_id = peer.open(fields)
    peer.conn.respond(stream_id, [(":status", "200")])
    peer.forget()
    return peer, stream_id


def upload(peer, stream_id, octets, seconds):
    """Send so many octets evenly over so many seconds; return what was granted for them."""
    count = octets // (16 * KIB)
    granted = 0
    for _ in range(count):
        peer.now += seconds / count
        peer.send(stream_id, bytes(16 * KIB))
        granted += of_stream(peer.sent(), stream_id)
    return granted


@pytest.mark.row("9113-6.9.1-4")
def test_a_window_that_holds_back_is_doubled_up_to_its_limit(make):
    peer, stream_id = peer_at(make, 0.1, limits={"max_window": 1024 * KIB})
    # 256 KiB in 40 ms over a path of 100 ms: the window is used up before it can be renewed.
    granted = upload(peer, stream_id, 8192 * KIB, 8192 / 256 * 0.04)
    assert granted + WINDOW - 8192 * KIB == peer.room[stream_id]
    assert 1024 * KIB - WINDOW // 2 <= peer.room[stream_id] <= 1024 * KIB


def test_a_window_grows_until_each_half_lasts_a_round_trip(make):
    """A path of 6.4 MB/s and 50 ms: a window of 320 KB, announced by halves, is used up before."""
    peer, stream_id = peer_at(make, 0.05)
    upload(peer, stream_id, 8192 * KIB, 8192 * KIB / 6.4e6)
    assert peer.room[stream_id] > 2 * 0.05 * 6.4e6
    assert peer.room[stream_id] <= 4 * WINDOW


def test_a_window_that_suffices_stays(make):
    peer, stream_id = peer_at(make, 0.01)
    granted = upload(peer, stream_id, 4096 * KIB, 4096 / 256 * 0.04)
    assert granted <= 4096 * KIB
    assert peer.room[stream_id] <= WINDOW


def test_without_a_clock_nothing_is_measured(make):
    peer, stream_id = peer_at(make, 0.0)
    upload(peer, stream_id, 4096 * KIB, 0.0)
    assert peer.room[stream_id] <= WINDOW


@pytest.mark.parametrize(("a_tick", "most"), [(512 * KIB, 4 * WINDOW), (64 * KIB, WINDOW)])
def test_a_path_faster_than_the_clock_ticks_is_measured_once_it_ticks(make, a_tick, most):
    """A loop's clock of milliseconds: SETTINGS are acknowledged within one."""
    peer, stream_id = peer_at(make, 0.0)
    for _ in range(64):
        peer.now += 0.001
        upload(peer, stream_id, a_tick, 0.0)
    assert most - WINDOW // 2 <= peer.room[stream_id] <= most


def test_grown_windows_share_a_budget_that_ended_streams_give_back(make):
    peer, first = peer_at(make, 0.1, limits={"window_budget": WINDOW})
    upload(peer, first, 4096 * KIB, 0.2)
    assert WINDOW < peer.room[first] <= 2 * WINDOW
    second = peer.open(
        [
            (":method", "CONNECT"),
            (":protocol", "bytestream"),
            (":scheme", "https"),
            (":authority", "example.com"),
            (":path", "/"),
        ]
    )
    peer.conn.respond(second, [(":status", "200")])
    upload(peer, second, 4096 * KIB, 0.2)
    assert peer.room[second] <= WINDOW
    peer.feed(f.rst_stream(first, 8))
    upload(peer, second, 4096 * KIB, 0.2)
    assert WINDOW < peer.room[second] <= 2 * WINDOW


def test_a_reader_that_lags_gets_no_larger_window(make):
    peer = make("server", handshake=False)
    peer.now = 10.0
    peer.sent()
    peer.now += 0.1
    peer.feed(f.MAGIC, f.settings(), f.settings_ack())
    stream_id = peer.websocket()
    held = []
    for _ in range(200):
        peer.now += 0.5
        while peer.may_send(stream_id) >= 16 * KIB:
            held += peer.send(stream_id, peer.message(stream_id, bytes(16 * KIB - 20))[9:])
            peer.sent()
        event = held.pop(0)  # one message each half second
        peer.conn.consumed(stream_id, event.credit)
        peer.sent()
    assert sum(event.credit for event in held) <= WINDOW


# -- windows that have grown, and SETTINGS_INITIAL_WINDOW_SIZE: RFC 9113 section 6.9.2 ---------------

LARGEST = 2**31 - 1


def change(peer, size):
    peer.conn.update_settings({f.INITIAL_WINDOW_SIZE: size})
    peer.sent()


@pytest.mark.row("9113-6.9.2-4")
def test_no_setting_makes_a_window_that_has_grown_too_large(make):
    """The peer would have to end the connection: above 2^31 - 1 there is no window."""
    peer, stream_id = peer_at(make, 0.1)
    upload(peer, stream_id, 8192 * KIB, 8192 / 256 * 0.04)
    assert peer.room[stream_id] > 4 * WINDOW
    before, room = peer.conn.stats(), peer.room[stream_id]
    most = LARGEST - room + WINDOW
    for size in (LARGEST, most + 1):
        with pytest.raises(ValueError, match=f"may be {most} at most as long as a stream is open"):
            peer.conn.update_settings({f.MAX_FRAME_SIZE: 20000, f.INITIAL_WINDOW_SIZE: size})
    assert peer.pull() == b"" and peer.conn.stats() == before
    change(peer, most)
    assert peer.room[stream_id] == LARGEST
    peer.feed(f.settings_ack())
    # It goes on, and no increment is too large: the peer looks.
    peer.send(stream_id, bytes(16 * KIB))
    upload(peer, stream_id, 4096 * KIB, 0.1)
    assert not peer.conn.terminated
    peer.feed(f.rst_stream(stream_id, f.CANCEL))
    change(peer, LARGEST)
    assert not peer.conn.terminated


def test_what_a_window_has_grown_by_does_not_outlast_a_change_of_the_setting(make):
    peer, stream_id = peer_at(make, 0.1)
    upload(peer, stream_id, 8192 * KIB, 8192 / 256 * 0.04)
    grown = peer.room[stream_id]
    assert grown > 4 * WINDOW
    change(peer, 8 * WINDOW)
    assert peer.room[stream_id] == grown + 7 * WINDOW
    peer.feed(f.settings_ack())
    peer.now += 10
    upload(peer, stream_id, 16384 * KIB, 100.0)  # slowly: it does not grow again
    assert 4 * WINDOW <= peer.room[stream_id] <= 8 * WINDOW


@pytest.mark.parametrize(("size", "grown"), [(WINDOW // 4, 8 * WINDOW), (8 * WINDOW, 16 * WINDOW)])
def test_the_budget_of_windows_is_free_again_after_a_change_of_the_setting(make, size, grown):
    peer, stream_id = peer_at(make, 0.1, limits={"window_budget": 8 * WINDOW})
    upload(peer, stream_id, 8192 * KIB, 8192 / 256 * 0.04)
    assert 4 * WINDOW < peer.room[stream_id] <= 8 * WINDOW
    change(peer, size)
    peer.feed(f.settings_ack())
    upload(peer, stream_id, 32768 * KIB, 1.0)
    assert grown * 3 / 4 < peer.room[stream_id] <= grown


@pytest.mark.row("9113-6.9.1-2")
def test_without_limits_a_window_grows_to_what_there_is(make):
    peer, stream_id = peer_at(
        make,
        1000.0,
        limits={"max_window": None, "window_budget": None},
        settings={"initial_window_size": 2**30, "connection_window": LARGEST},
    )
    for _ in range(4):
        upload(peer, stream_id, 2**30, 1.0)
    assert 2**30 <= peer.room[stream_id] <= LARGEST
