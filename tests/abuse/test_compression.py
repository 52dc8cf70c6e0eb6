"""Compression as a weapon: the WebSocket is failed, its connection and all others go on."""

import random
import zlib

import pytest

from tests.support import frames as f
from tests.support.ws_frames import read_ws_frames, ws_frame

from .conftest import LATENCY_S
from .test_websockets import closed_with

row = pytest.mark.row

MIB = 2**20
KEY = b"\x01\x02\x03\x04"
BINARY = 2
RSV1 = 4
DEFLATE = ("sec-websocket-extensions", "permessage-deflate")
EMPTY = b"\x00\x00\x00\xff\xff"  # a block that says nothing
FINAL = b"\x03\x00"  # another, marked as the last


def deflated(data):
    """A message's payload: DEFLATE without the end of its flush."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (engine.compress(data) + engine.flush(zlib.Z_SYNC_FLUSH))[:-4]


def begun(payload, fin=False):
    return ws_frame(BINARY, payload, fin=fin, rsv=RSV1, key=KEY)


def more(payload, fin=False):
    return ws_frame(0, payload, fin=fin, key=KEY)


def opened(attacker, stream_id=1, path="/"):
    """A WebSocket that compresses."""
    before = attacker.compressed
    attacker.send(attacker.connect(stream_id, path, DEFLATE))
    assert attacker.read_until(lambda: attacker.compressed > before, 20), "no such 200 came"


@row("SEC-5-2", "7692-x-1")
@pytest.mark.parametrize("size", [2, 10, 100], ids=lambda size: f"{size}-MiB")
@pytest.mark.parametrize("each", [None, 1000], ids=["whole", "in-pieces"])
def test_a_message_that_grows_a_thousandfold(target, siege, size, each):
    """CVE-2018-1000518: no more than `max_message` is ever expanded."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join(engine.compress(bytes(MIB)) for _ in range(size)) + engine.flush(2)
    with siege(target, "max_message", memory=6 * MIB, cpu=1.0), target.attack() as attacker:
        opened(attacker)
        if each is None:
            octets = begun(bomb, True)
        else:
            parts = [bomb[at : at + each] for at in range(0, len(bomb), each)]
            octets = begun(b"") + b"".join(map(more, parts))
        pieces = [octets[at : at + 16000] for at in range(0, len(octets), 16000)]
        attacker.send(*(f.data(1, piece) for piece in pieces))
        closed_with(attacker, 1009)


@row("SEC-5-2")
def test_octets_that_expand_to_nothing(target, siege):
    """A message of empty blocks: what comes in is limited as what comes out is."""
    with siege(target, "max_message", memory=4 * MIB, cpu=2.0), target.attack() as attacker:
        opened(attacker)
        attacker.send(f.data(1, begun(EMPTY)))
        piece = f.data(1, more(EMPTY * 3200))
        for _ in range(70):
            attacker.send(piece)
        closed_with(attacker, 1009)


@row("SEC-5-2")
@pytest.mark.parametrize("each", [1, 100], ids=["one-each", "many-each"])
def test_fragments_without_end(target, siege, each):
    """Nor do small frames cost nothing because of what they say."""
    with siege(target, "max_fragments", memory=2 * MIB, cpu=1.0), target.attack() as attacker:
        opened(attacker)
        attacker.send(f.data(1, begun(EMPTY)))
        for _ in range(2000 // each):
            attacker.send(f.data(1, more(EMPTY) * each))
        closed_with(attacker, 1008)


@row("SEC-5-2")
@pytest.mark.parametrize("each", [None, 100], ids=["whole", "in-pieces"])
def test_final_blocks_without_end(target, siege, each):
    """Each ends a decompressor."""
    with siege(target, "max_final_blocks", memory=2 * MIB, cpu=1.0), target.attack() as attacker:
        opened(attacker)
        if each is None:
            octets = [begun(FINAL * 8000, True)]
        else:
            octets = [begun(FINAL), *[more(FINAL * each)] * 80]
        attacker.send(*(f.data(1, piece) for piece in octets))
        closed_with(attacker, 1008)


@row("SEC-5-2")
def test_final_blocks_below_the_limit(target, siege):
    """Message by message, each with as many as it may have: 254 octets that cost 0.2 to 0.6 ms. No
    read does more than some milliseconds of them before others have their turn."""
    count, batch = 1000, 50
    message = begun(FINAL * 127, True)
    with siege(target, memory=4 * MIB, cpu=2.0, latency=LATENCY_S / 4), target.attack() as attacker:
        opened(attacker)
        attacker.data[1] = bytearray()
        attacker.send(f.data(1, message * batch) * (count // batch))
        # Each is echoed, empty.
        assert attacker.read_until(lambda: len(attacker.data[1]) >= 2 * count, 20)
        assert attacker.goaway is None


@row("SEC-5-2")
def test_messages_that_grow_and_nobody_reads(target, siege):
    """A kilobyte for each mebibyte that is held: 64 of these at the most, whatever the windows."""
    count = 200
    message = begun(deflated(bytes(MIB)), True)
    # Nobody answers the Close of those that fail: a machine that is slow sees the end of their time.
    limits = {"also": {"close_timeout_s"}, "memory": 80 * MIB, "cpu": 4.0}
    with siege(target, "max_buffered", **limits), target.attack() as attacker:
        for i in range(count):
            opened(attacker, 2 * i + 1, "/asleep")
        attacker.send(*(f.data(2 * i + 1, message) for i in range(count)), f.ping())
        assert attacker.read_until(lambda: attacker.acks == 2, 20)

        def failed():
            # Each turn of the loop expands two of them.
            return sum(octets[2:4] == b"\x03\xf5" for octets in attacker.data.values())

        assert attacker.read_until(lambda: failed() >= count - 66, 20)
        attacker.read_until(lambda: failed() > count - 60, 1)
        assert failed() <= count - 60
        assert target.stats()["octets_held"] <= 65 * MIB
        assert attacker.goaway is None
        attacker.websocket(2 * count + 1)


@row("SEC-5-2")
def test_what_was_expanded_shuts_the_window(target, siege):
    """Of one stream, too: what its reader has not taken stays with its sender."""
    # Twice as long as on the wire; together a little less than the window on the wire.
    message = random.Random(7692).randbytes(2000).hex().encode()
    packed = begun(deflated(message), True)
    with (
        siege(target, memory=8 * MIB, cpu=1.0),
        target.attack((f.INITIAL_WINDOW_SIZE, 2**30)) as attacker,
    ):
        attacker.send(f.window_update(0, 2**30))
        opened(attacker, 1, "/asleep")
        count = 250_000 // len(packed)
        attacker.send(f.data(1, packed) * count, f.ping())
        assert attacker.read_until(lambda: attacker.acks == 2, 20)
        assert attacker.increments[1] == 0
        assert 0 <= target.stats()["octets_held"] - count * len(message) < 10_000
        # Where it is taken as it comes, the window opens.
        opened(attacker, 3)
        attacker.send(f.data(3, packed) * count)
        assert attacker.read_until(lambda: attacker.increments[3] > 0, 20)


@row("SEC-5-2")
@pytest.mark.parametrize(
    "payload",
    [b"\xff" * 1000, b"\x07" * 1000, deflated(b"hello" * 100)[:-3], b"\x05" + bytes(1000)],
    ids=["reserved", "codes", "cut", "stored"],
)
def test_what_does_not_expand(target, siege, payload):
    with siege(target, memory=2 * MIB), target.attack() as attacker:
        opened(attacker)
        attacker.send(f.data(1, begun(payload, True)))
        closed_with(attacker, 1007)


@row("SEC-9-1")
def test_small_messages_echoed(target, siege):
    """Honest messages of some hundred octets, ten thousand of them, trip no limit."""
    count, batch = 10_000, 100
    text = b'{"id": 12345, "name": "somebody"}' * 10
    message = begun(deflated(text), True)
    with (
        siege(target, memory=8 * MIB, cpu=6.0),
        target.attack((f.INITIAL_WINDOW_SIZE, 2**30)) as attacker,
    ):
        attacker.send(f.window_update(0, 2**30))
        opened(attacker)
        attacker.data[1] = bytearray()
        for _ in range(count // batch):
            attacker.send(f.data(1, message) * batch)
            answers = []
            while len(answers) < batch:
                # None of them needs more than seven bits to say its length.
                octets = attacker.data[1]
                if not attacker.read_until(
                    lambda them=octets: len(them) > 1 and len(them) >= 2 + them[1], 20
                ):
                    break
                (frame,) = read_ws_frames(bytes(octets[: 2 + octets[1]]))
                del octets[: 2 + octets[1]]
                if frame.opcode == BINARY:  # and no ping
                    answers.append(frame.payload)
            for payload in set(answers):
                assert zlib.decompress(payload + b"\0\0\xff\xff\1\0\0\xff\xff", -15) == text
            assert len(answers) == batch
        assert attacker.goaway is None
