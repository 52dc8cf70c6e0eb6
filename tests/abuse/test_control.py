"""Control frames: SETTINGS, PING, PRIORITY, WINDOW_UPDATE, and frames with nothing in them."""

import pytest

import h2ws_fast
from tests.support import frames as f
from tests.support.target import Target

row = pytest.mark.row

CALM = f.ENHANCE_YOUR_CALM
MIB = 2**20
FULL = 1_000_000 if h2ws_fast.COMPILED else 100_000

# What makes us answer, and which limit is the first to be reached by many at once.
ANSWERED = {
    "settings": (f.settings(), "settings_burst"),
    "ping": (f.ping(), "max_control_frames"),
}


@row("SEC-1-5")
@pytest.mark.parametrize("name", ANSWERED)
def test_a_peer_that_never_reads_the_answers(target, siege, name):
    """CVE-2019-9512, 9515: a thousand wait in the engine at most, and it is over."""
    frame, limit = ANSWERED[name]
    with (
        siege(target, limit, cpu=2.0),
        target.attack(receive_buffer=4096) as attacker,
    ):
        # What the kernel takes is its own: so many that both sides' buffers are full.
        frames = frame * 10_000
        for _ in range(200):
            if not attacker.send(frames, reads=False):
                break
        attacker.read_to_the_end()
        # Its own kernel may have refused the GOAWAY, since nobody read: then it is only closed.
        assert attacker.goaway is None or attacker.end == (CALM, f"limit reached: {limit}")


@row("SEC-1-5")
@pytest.mark.parametrize("name", ANSWERED)
def test_floods_of_a_peer_that_reads(target, siege, name):
    """More in one read than anybody has reason for."""
    frame, limit = ANSWERED[name]
    with siege(target, limit), target.attack() as attacker:
        attacker.send(frame * 100_000)
        attacker.read_to_the_end()
        assert attacker.end == (CALM, f"limit reached: {limit}")


# How many at once, and how many there may have been when it is over.
PATIENT = {"settings": (20, 100, 400), "ping": (500, 10_000, 15_000)}


@row("SEC-1-5")
@pytest.mark.parametrize("name", ANSWERED)
def test_floods_of_a_peer_that_reads_each_answer(target, siege, name):
    """CVE-2019-9512, 9515: none ever waits in the engine, so that their rate must be limited."""
    frame, limit = ANSWERED[name][0], f"{name}_burst"
    batch, least, most = PATIENT[name]
    with siege(target, limit, cpu=1.0), target.attack() as attacker:
        before = attacker.acks
        for number in range(1, 2 * most // batch):
            if not attacker.send(frame * batch):
                break
            if not attacker.read_until(lambda n=before + number * batch: attacker.acks >= n):
                break
        attacker.read_to_the_end()
        assert attacker.end == (CALM, f"limit reached: {limit}")
        assert least - batch <= attacker.acks - before <= most


def test_answers_to_nothing(target, siege):
    """PINGs with ACK that answer none of ours: read over, so many of them."""
    with siege(target, "glitch_burst"), target.attack() as attacker:
        attacker.send(f.ping(ack=True) * 100_000)
        attacker.read_to_the_end()
        assert attacker.end == (CALM, "limit reached: glitch_burst")


@row("SEC-1-5")
def test_settings_with_many_entries(target, siege):
    with siege(target, "max_settings"), target.attack() as attacker:
        attacker.send(f.settings(*((0xF000 + i, i) for i in range(32))))
        assert attacker.read_until(lambda: attacker.acks == 2)
        attacker.send(f.settings(*((0xF000 + i, i) for i in range(2700))))
        attacker.read_to_the_end()
        assert attacker.end == (CALM, "too many settings in a frame")


@row("SEC-1-6")
@pytest.mark.parametrize(
    "frame",
    [f.priority(1), f.priority(2**31 - 1, 1), f.priority_update(1)],
    ids=["open", "idle", "9218"],
)
def test_priorities(target, siege, frame):
    """CVE-2019-9513: a million. There is no tree, and two hundred are enough for a stream."""
    with siege(target, "max_priority_frames"), target.attack() as attacker:
        attacker.websocket()
        frames = frame * 10_000
        for _ in range(FULL // 10_000):
            if not attacker.send(frames):
                break
        attacker.read_to_the_end()
        assert attacker.end == (CALM, "limit reached: max_priority_frames")


@row("SEC-1-6")
def test_priorities_of_streams_to_come(target, siege):
    """RFC 9218 lets a client say them before the stream is there: few are remembered."""
    with siege(target, "max_priority_frames", memory=MIB), target.attack() as attacker:
        attacker.websocket()
        long = b"u=1, a=" + b"x" * 16_000
        attacker.send(*(f.priority_update(i, long) for i in range(3, 1003, 2)))
        attacker.read_to_the_end()
        assert attacker.end == (CALM, "limit reached: max_priority_frames")


@row("SEC-1-7")
@pytest.mark.parametrize("stream_id", [0, 1])
def test_window_updates(target, siege, stream_id):
    """Far more than what was sent can have called for."""
    with siege(target, "max_window_updates"), target.attack() as attacker:
        attacker.websocket()
        attacker.send(f.window_update(stream_id, 1) * 100_000)
        attacker.read_to_the_end()
        assert attacker.end == (CALM, "limit reached: max_window_updates")


EMPTY = {
    "data": f.data(1),
    "padding": f.data(1, pad=0),
    "more-padding": f.data(1, pad=255),
}


@row("SEC-1-9")
@pytest.mark.parametrize("name", EMPTY)
@pytest.mark.parametrize("kind", ["websocket", "body"])
def test_empty_frames(target, siege, name, kind):
    """CVE-2019-9518."""
    with siege(target, "max_empty_frames"), target.attack() as attacker:
        if kind == "websocket":
            attacker.websocket()
        else:
            attacker.send(attacker.request(1, method="POST", path="/read", end_stream=False))
        attacker.send(EMPTY[name] * 10)
        attacker.send(f.ping())
        assert attacker.read_until(lambda: attacker.acks == 2)
        attacker.send(EMPTY[name] * 100_000)
        attacker.read_to_the_end()
        assert attacker.end == (CALM, "limit reached: max_empty_frames")


def test_small_pieces_of_a_body(target, siege):
    """An octet a frame: 16 of each body and a hundred are free, octets of others buy more."""
    with siege(target, "small_data"), target.attack() as attacker:
        attacker.send(attacker.request(1, method="POST", path="/read", end_stream=False))
        attacker.send(f.data(1, b"x") * 100_000)
        attacker.read_to_the_end()
        assert attacker.end == (CALM, "limit reached: small_data")


def test_unknown_frames(target, siege):
    """They are read over, in no memory: 64 MB of them."""
    with siege(target, memory=MIB, cpu=1.0), target.attack() as attacker:
        frames = (f.frame(0xFA, 0xFF, 77, bytes(16384)) + f.frame(0xFB)) * 40
        for _ in range(100):
            assert attacker.send(frames)
        attacker.websocket()
        assert attacker.goaway is None


@row("SEC-4-4")
def test_windows_thrashed_by_settings(siege):
    """10 000 SETTINGS that move the windows of 1000 streams: no stream is looked at."""
    count = 10_000 if h2ws_fast.COMPILED else 1000
    with (
        Target(limits={"settings_burst": None}) as target,
        siege(target, memory=32 * MIB, cpu=3.0),
        target.attack() as attacker,
    ):
        block = attacker.repeated(attacker.connect)
        attacker.send(*(f.headers(i, block) for i in range(3, 2001, 2)))
        assert attacker.read_until(lambda: attacker.statuses["200"] == 1000, 30)
        used = target.cpu()
        pair = f.settings((f.INITIAL_WINDOW_SIZE, 0)) + f.settings((f.INITIAL_WINDOW_SIZE, 2**30))
        acks = attacker.acks
        for number in range(1, count // 500 + 1):
            attacker.send(pair * 250)
            assert attacker.read_until(lambda n=acks + 500 * number: attacker.acks >= n)
        used = target.cpu() - used
        print(f"{count} SETTINGS: {used:.2f} s of CPU time")
        assert used < 1.0
        assert attacker.goaway is None
