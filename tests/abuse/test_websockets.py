"""WebSocket frames as a weapon: the WebSocket is failed, its connection and all others go on."""

import pytest

from tests.support import frames as f
from tests.support.ws_frames import read_ws_frames, ws_frame

row = pytest.mark.row

MIB = 2**20
KEY = b"\x01\x02\x03\x04"
TEXT, BINARY, PING, PONG = 1, 2, 9, 10


def closed_with(attacker, code, stream_id=1):
    """The last frame of the WebSocket is a Close with this code; the connection lives."""

    def closed():
        frames = read_ws_frames(bytes(attacker.data.get(stream_id, b"")))
        return frames and frames[-1].opcode == 8

    assert attacker.read_until(closed), "no Close came"
    frames = read_ws_frames(bytes(attacker.data[stream_id]))
    assert frames[-1].close_code == code
    assert attacker.goaway is None
    other = stream_id + 2
    attacker.websocket(other)
    attacker.send(f.data(other, ws_frame(TEXT, b"unharmed", key=KEY)))
    assert attacker.read_until(lambda: bytes(attacker.data.get(other, b""))[2:] == b"unharmed")


@row("SEC-5-1")
@pytest.mark.parametrize(
    ("length", "code"),
    [
        (2**20 + 1, 1009),
        (2**31, 1009),
        (2**32, 1009),
        (2**62, 1009),
        (2**63 - 1, 1009),
        (2**63, 1002),
        (2**64 - 1, 1002),
    ],
)
def test_huge_lengths(target, siege, length, code):
    """Refused by the head alone. CVE-2020-27813."""
    limits = ["max_message"] if code == 1009 else []
    with siege(target, *limits, memory=MIB), target.attack() as attacker:
        attacker.websocket()
        attacker.send(f.data(1, ws_frame(BINARY, b"", key=KEY, width=64, length=length)))
        closed_with(attacker, code)


@row("SEC-5-1")
def test_lengths_that_add_up(target, siege):
    """A fragment, and another that would bring the sum beyond 64 bits."""
    with siege(target, "max_message", memory=MIB), target.attack() as attacker:
        attacker.websocket()
        attacker.send(f.data(1, ws_frame(BINARY, b"some", fin=False, key=KEY)))
        attacker.send(f.data(1, ws_frame(0, b"", key=KEY, width=64, length=2**63 - 1)))
        closed_with(attacker, 1009)


@row("SEC-5-3")
@pytest.mark.parametrize(
    ("payload", "limit"), [(b"x", "max_fragments"), (b"", "max_empty_fragments")]
)
@pytest.mark.parametrize("each", [1, 1000], ids=["one-each", "many-each"])
def test_fragments_without_end(target, siege, payload, limit, each):
    """A message that never ends, an octet at a time."""
    with siege(target, limit, memory=2 * MIB), target.attack() as attacker:
        attacker.websocket()
        piece = ws_frame(0, payload, fin=False, key=KEY)
        attacker.send(f.data(1, ws_frame(BINARY, b"x", fin=False, key=KEY)))
        for _ in range(20_000 // (each * 10)):
            attacker.send(f.data(1, piece * each) * 10)
        closed_with(attacker, 1008)


@row("SEC-5-3")
def test_a_large_message_in_small_fragments(target, siege):
    """A mebibyte in 16 384 frames of 64 octets is allowed, and costs linear time."""
    with (
        siege(target, memory=16 * MIB, cpu=1.0),
        target.attack((f.INITIAL_WINDOW_SIZE, 2**30)) as attacker,
    ):
        attacker.websocket()
        attacker.send(f.window_update(0, 2**30))
        piece = ws_frame(0, bytes(64), fin=False, key=KEY)
        for _ in range(3):
            attacker.data.clear()
            attacker.send(f.data(1, ws_frame(BINARY, bytes(64), fin=False, key=KEY)))
            for _ in range(1638):
                attacker.send(f.data(1, piece * 10))
            attacker.send(f.data(1, ws_frame(0, bytes(32), key=KEY)))
            assert attacker.read_until(lambda: len(attacker.data.get(1, b"")) >= 64 * 16381 + 32)


def test_a_message_that_grows_beyond_the_limit(target, siege):
    with siege(target, "max_message", memory=4 * MIB), target.attack() as attacker:
        attacker.websocket()
        piece = f.data(1, ws_frame(0, bytes(16000), fin=False, key=KEY))
        attacker.send(f.data(1, ws_frame(BINARY, b"x", fin=False, key=KEY)))
        for _ in range(70):
            attacker.send(piece)
        closed_with(attacker, 1009)


@row("SEC-5-4")
def test_pings_of_a_peer_that_never_reads(target, siege):
    """Of the pongs that cannot leave, 16 KiB wait and the latest."""
    with (
        siege(target, "max_pong_backlog", memory=2 * MIB, cpu=2.0),
        target.attack((f.INITIAL_WINDOW_SIZE, 0)) as attacker,
    ):
        attacker.websocket()
        pings = ws_frame(PING, b"p" * 100, key=KEY) * 100
        for _ in range(200):
            attacker.send(f.data(1, pings))
        attacker.send(f.ping())
        assert attacker.read_until(lambda: attacker.acks == 2)
        assert target.stats()["octets_held"] < 40_000
        # When the window opens the latest is answered, and the WebSocket echoes.
        last = ws_frame(PING, b"the last", key=KEY)
        attacker.send(f.data(1, last), f.window_update(1, 10**6))
        attacker.send(f.data(1, ws_frame(TEXT, b"unharmed", key=KEY)))
        assert attacker.read_until(lambda: attacker.data.get(1, b"").endswith(b"unharmed"))
        frames = read_ws_frames(bytes(attacker.data[1]))
        assert frames[-2].opcode == PONG and frames[-2].payload == b"the last"
        assert len(frames) < 200


@row("SEC-5-4")
@pytest.mark.parametrize("opcode", [PING, PONG], ids=["pings", "pongs"])
def test_storms_of_a_peer_that_reads(target, siege, opcode):
    """They are answered, of those of one read some, or read over; nobody else waits for it."""
    with (
        siege(target, also={"max_pong_backlog"}, memory=4 * MIB, cpu=2.0),
        target.attack((f.INITIAL_WINDOW_SIZE, 2**30), keep=False) as attacker,
    ):
        attacker.send(f.window_update(0, 2**30))
        attacker.websocket()
        storm = f.data(1, ws_frame(opcode, b"", key=KEY) * 1000) * 10
        for _ in range(20):
            attacker.send(storm)
        attacker.send(f.ping())
        assert attacker.read_until(lambda: attacker.acks == 2, 30)
        pongs = attacker.octets[1] // 2
        assert pongs == 0 if opcode == PONG else 10_000 < pongs <= 200_000
        assert attacker.goaway is None


def test_data_after_a_close(target, siege):
    """It is dropped as it comes, and credited: a stream that closes stops nobody."""
    with siege(target, memory=2 * MIB), target.attack() as attacker:
        attacker.websocket()
        attacker.send(f.data(1, ws_frame(8, b"\x03\xe8", key=KEY)))
        for _ in range(1000):
            assert attacker.send(f.data(1, bytes(16000)))
        closed_with(attacker, 1000)
