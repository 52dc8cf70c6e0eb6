"""Much that leaves at once: in how many pieces, in which frames, and who comes in between."""

import random

import pytest

from h2ws_fast.engine.constants import PULL_MORE
from tests.support import frames as f
from tests.support.peer import BYTESTREAM, OK, of

WIDE = 1 << 30
FRAME = 16384
DATA = random.Random(82).randbytes(300_000)


def wide(make, **options):
    """A server whose peer takes as much as it likes to send."""
    settings = [(f.INITIAL_WINDOW_SIZE, WIDE), (f.ENABLE_CONNECT_PROTOCOL, 1)]
    peer = make("server", peer_settings=settings, **options)
    peer.feed(f.window_update(0, WIDE))
    return peer


def tunnel(peer):
    stream_id = peer.open(BYTESTREAM)
    peer.conn.respond(stream_id, OK)
    peer.forget()
    return stream_id


def sizes(frames):
    return [(frame.stream_id, len(frame.content)) for frame in frames if frame.kind == f.DATA]


def test_what_is_asked_for_at_once_is_one_piece_of_full_frames(make):
    peer = wide(make)
    stream_id = tunnel(peer)
    peer.conn.send_data(stream_id, DATA[:262144])
    (piece,) = peer.conn.data_to_send(PULL_MORE, peer.now)
    assert bytes(piece) == b"".join(
        f.data(stream_id, DATA[at : at + FRAME]) for at in range(0, 262144, FRAME)
    )
    assert peer.conn.waiting(stream_id) == 0
    assert peer.conn.stats()["data_frames_sent"] == 16


@pytest.mark.parametrize("most", [64, 1000, FRAME + 9, 65536, 65537, PULL_MORE, 1 << 20])
def test_no_more_than_was_asked_for_and_every_octet_in_its_order(make, most):
    peer = wide(make)
    stream_id = tunnel(peer)
    for at in range(0, len(DATA), 70_001):  # full frames reach over what was sent
        peer.conn.send_data(stream_id, DATA[at : at + 70_001])
    peer.conn.send_data(stream_id, b"", True)
    came, ended = b"", False
    while peer.conn.waiting(stream_id):
        taken = b"".join(peer.conn.data_to_send(most, peer.now))
        assert 0 < len(taken) <= most
        for frame in f.read_frames(taken):
            assert (frame.kind, frame.stream_id, ended) == (f.DATA, stream_id, False)
            came += frame.content
            ended = frame.end_stream
    assert came == DATA and ended


@pytest.mark.row("9113-6.9.1-1")
@pytest.mark.parametrize("room", [1, FRAME, FRAME + 1, 2 * FRAME, 100_000])
@pytest.mark.parametrize("whose", ["stream", "connection"])
def test_full_frames_keep_within_either_window(make, whose, room):
    peer = make("server", peer_settings=[(f.ENABLE_CONNECT_PROTOCOL, 1)])
    stream_id = tunnel(peer)
    peer.feed(f.window_update(stream_id if whose == "connection" else 0, WIDE))
    peer.conn.send_data(stream_id, DATA)
    assert sum(n for _, n in sizes(peer.sent(PULL_MORE))) == 65535
    peer.feed(f.window_update(0 if whose == "connection" else stream_id, room))
    assert sum(n for _, n in sizes(peer.sent(PULL_MORE))) == room
    assert sizes(peer.sent(PULL_MORE)) == []


@pytest.mark.row("9218-10-1")
def test_who_comes_in_between_waits_for_one_turn(make):
    peer = wide(make)
    bulk, other = tunnel(peer), tunnel(peer)
    peer.conn.send_data(bulk, DATA)
    assert [whose for whose, _ in sizes(peer.sent(65536))] == [bulk] * 4
    peer.conn.send_data(other, b"a little")
    assert sizes(peer.sent(PULL_MORE))[:3] == [(bulk, FRAME), (other, 8), (bulk, FRAME)]


@pytest.mark.row("9218-10-1")
def test_two_who_send_much_take_turns_however_much_is_asked_for(make):
    peer = wide(make)
    first, second = tunnel(peer), tunnel(peer)
    peer.conn.send_data(first, DATA)
    peer.conn.send_data(second, DATA)
    turns = sizes(peer.sent(PULL_MORE))
    assert turns[:8] == [(first, FRAME), (second, FRAME)] * 4


@pytest.mark.parametrize("low", [0, 1, FRAME, 40_000])
def test_that_little_waits_is_told_in_time(make, low):
    peer = wide(make, limits={"write_low": low})
    stream_id = tunnel(peer)
    peer.conn.send_data(stream_id, DATA)
    while not of(peer.events, "Drained"):
        waiting = peer.conn.waiting(stream_id)
        assert waiting > low
        peer.pull(3 * (FRAME + 9))
        peer.more()
    assert peer.conn.waiting(stream_id) <= low


# -- what arrives -----------------------------------------------------------------------------


def test_a_read_of_one_tunnel_is_one_event_wherever_frames_are_cut(make):
    peer = make("server")
    stream_id = tunnel(peer)
    octets = b"".join(
        f.data(stream_id, DATA[at : at + FRAME]) for at in range(0, 12 * FRAME, FRAME)
    )
    came = b""
    for at in range(0, len(octets), 50_000):
        (event,) = peer.feed(octets[at : at + 50_000], delivery="whole")
        assert type(event).__name__ == "Data"
        came += event.data
        peer.conn.consumed(stream_id, event.credit)
    assert came == DATA[: 12 * FRAME]


@pytest.mark.row("9113-6.9.1-1")
@pytest.mark.parametrize("seed", range(8))
def test_tunnels_that_are_cut_anywhere_arrive_whole_and_within_their_windows(make, seed):
    """Frames of any size, padded some of them, of two tunnels in turn, in reads of any size."""
    rng = random.Random(seed)
    peer = make("server", auto_credit=bool(seed & 1))
    streams = [tunnel(peer), tunnel(peer)]
    for stream_id in streams:
        peer.room.setdefault(stream_id, peer._initial_room)
    sent = dict.fromkeys(streams, b"")
    came = dict.fromkeys(streams, b"")
    unread = b""
    while sum(map(len, sent.values())) < 2_000_000:
        stream_id = rng.choice(streams)
        for _ in range(rng.randrange(1, 30)):
            pad = rng.choice((None, None, None, rng.randrange(256)))
            most = min(FRAME, peer.room[0], peer.room[stream_id]) - (0 if pad is None else pad + 1)
            if most < 1:
                break
            data = rng.randbytes(rng.randrange(1, most + 1) if rng.random() < 0.3 else most)
            frame = f.data(stream_id, data, pad=pad)
            for window in (0, stream_id):
                peer.room[window] -= len(frame) - 9
            sent[stream_id] += data
            unread += frame
        while unread:
            size = rng.choice((5, 100, 9000, 70_000, 300_000))
            for event in peer.feed(unread[:size], delivery="whole"):
                came[event.stream_id] += event.data
                peer.conn.consumed(event.stream_id, event.credit)
            unread = unread[size:]
        peer.sent()
    assert came == sent
    assert peer.conn.octets_held == 0
