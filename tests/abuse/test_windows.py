"""Flow control as a weapon: tiny windows, none at all, and peers or applications that never read."""

import time

import pytest

from tests.support import frames as f
from tests.support.ws_frames import ws_frame

row = pytest.mark.row

CALM = f.ENHANCE_YOUR_CALM
MIB = 2**20
DRIBBLED = (CALM, "limit reached: dribble_burst")
WAITING = 65_536 + 16_384  # octets of a stream, of the writer that stops above 64 KiB
KEY = b"\x01\x02\x03\x04"
WIDE = ((f.INITIAL_WINDOW_SIZE, 2**31 - 1), f.window_update(0, 2**31 - 1 - 65535))


@row("SEC-1-7")
@pytest.mark.parametrize("path", ["/push", "/bytes/10000000"])
def test_window_of_an_octet(target, siege, path):
    """CVE-2019-9511: each WINDOW_UPDATE of 13 octets would bring a DATA frame of one."""
    with (
        siege(target, "dribble_burst", cpu=2.0),
        target.attack((f.INITIAL_WINDOW_SIZE, 0)) as attacker,
    ):
        if path == "/push":
            attacker.websocket(1, path)
        else:
            attacker.send(attacker.request(1, path=path))
        for number in range(1, 3000):
            if not attacker.send(f.window_update(1, 1)):
                break
            if not attacker.read_until(lambda n=number: attacker.octets[1] >= n):
                break
        attacker.read_to_the_end()
        assert attacker.end == DRIBBLED
        assert 1000 <= attacker.frames[f.DATA] <= 1500


@row("SEC-1-7")
def test_window_of_an_octet_for_the_connection(target, siege):
    with (
        siege(target, "dribble_burst", cpu=2.0, memory=8 * MIB),
        target.attack((f.INITIAL_WINDOW_SIZE, 2**31 - 1)) as attacker,
    ):
        attacker.send(attacker.request(1, path="/bytes/10000000"))
        assert attacker.read_until(lambda: attacker.octets[1] == 65535)
        for number in range(1, 3000):
            if not attacker.send(f.window_update(0, 1)):
                break
            if not attacker.read_until(lambda n=number: attacker.octets[1] >= 65535 + n):
                break
        attacker.read_to_the_end()
        assert attacker.end == DRIBBLED


@row("SEC-1-7", "SEC-4-4")
def test_settings_that_let_out_an_octet_of_each_stream(target, siege):
    """15 octets that would bring 500 DATA frames, again and again."""
    with (
        siege(target, "dribble_burst", cpu=3.0, memory=500 * WAITING),
        target.attack((f.INITIAL_WINDOW_SIZE, 0)) as attacker,
    ):
        block = attacker.repeated(attacker.connect, "/push")
        attacker.send(*(f.headers(i, block) for i in range(3, 1001, 2)))
        assert attacker.read_until(lambda: attacker.statuses["200"] == 500)
        for size in range(1, 1000):
            if not attacker.send(f.settings((f.INITIAL_WINDOW_SIZE, size))):
                break
            if not attacker.read_until(lambda n=size: attacker.frames[f.DATA] >= 500 * n):
                break
        attacker.read_to_the_end()
        assert attacker.end == DRIBBLED
        assert attacker.frames[f.DATA] <= 1600


@row("SEC-1-8")
def test_no_window_at_all(target, siege):
    """Five hundred streams for which everything waits: the writers stop at `write_limit`."""
    with (
        # Of each 64 KiB may wait, and the message or piece with which the writer noticed.
        siege(target, cpu=3.0, memory=500 * WAITING),
        target.attack((f.INITIAL_WINDOW_SIZE, 0)) as attacker,
    ):
        for i in range(1, 1000, 4):
            attacker.send(
                attacker.request(i, path="/bytes/100000000"), attacker.connect(i + 2, "/push")
            )
        assert attacker.read_until(lambda: attacker.statuses["200"] == 500, 20)
        before = -1
        while before != (before := target.stats()["pushed"]):
            time.sleep(0.1)
        assert 500 * 65_536 <= target.stats()["octets_held"] <= 500 * WAITING
        # Nothing more is made, and what waits is for nobody else's account.
        time.sleep(0.3)
        assert target.stats()["pushed"] == before
        assert attacker.octets.total() == 0 and attacker.goaway is None
    assert target.stats()["octets_held"] < 100_000


@row("SEC-1-8")
@pytest.mark.parametrize("path", ["/push", "/bytes/1000000000"])
def test_a_peer_that_lets_everything_come_and_never_reads(target, siege, path):
    """CVE-2019-9517: windows of two gigabytes, and a socket that is not read."""
    setting, update = WIDE
    with (
        # The transport's 64 KiB, what may wait on the stream, and one pull of 256 KiB.
        siege(target, cpu=2.0, memory=2 * MIB),
        target.attack(setting, receive_buffer=4096) as attacker,
    ):
        attacker.send(update)
        if path == "/push":
            attacker.send(attacker.connect(1, path))
        else:
            attacker.send(attacker.request(1, path=path))
        time.sleep(0.5)
        before = -1
        while before != (before := target.stats()["pushed"]):
            time.sleep(0.1)
        assert target.stats()["octets_held"] < 128 * 1024


@row("SEC-1-8")
def test_a_hundred_streams_of_a_peer_that_never_reads(target, siege):
    setting, update = WIDE
    with (
        siege(target, cpu=4.0, memory=2 * MIB + 100 * WAITING),
        target.attack(setting, receive_buffer=4096) as attacker,
    ):
        attacker.send(update)
        block = attacker.repeated(attacker.connect, "/push")
        attacker.send(*(f.headers(i, block) for i in range(3, 201, 2)))
        time.sleep(0.5)
        before = -1
        while before != (before := target.stats()["pushed"]):
            time.sleep(0.1)
        assert target.stats()["octets_held"] <= 100 * WAITING


def test_an_application_that_never_reads(target, siege):
    """`max_buffered`: of all that was sent to sleepers 64 MiB stay, then the worst is failed."""
    count = 500
    with (
        siege(target, "max_buffered", cpu=6.0, memory=75 * MIB),
        target.attack() as attacker,
    ):
        block = attacker.repeated(attacker.connect, "/asleep")
        attacker.send(*(f.headers(2 * i + 1, block) for i in range(1, count)))
        assert attacker.read_until(lambda: attacker.statuses["200"] == count)
        # As much as each stream's window lets in: 256 KiB, of 500 streams 125 MiB.
        message = ws_frame(2, bytes(16000), key=KEY)
        for i in range(count):
            assert attacker.send(f.data(2 * i + 1, message) * 16)
        attacker.send(f.ping())
        assert attacker.read_until(lambda: attacker.acks == 2)
        failed = [stream for stream, octets in attacker.data.items() if octets[2:4] == b"\x03\xf5"]
        assert failed, "no Close 1013 came"
        assert attacker.goaway is None
        # Another WebSocket on the same connection is unharmed.
        attacker.websocket(2 * count + 1)
        attacker.send(f.data(2 * count + 1, ws_frame(1, b"unharmed", key=KEY)))
        assert attacker.read_until(
            lambda: bytes(attacker.data.get(2 * count + 1, b""))[2:] == b"unharmed"
        )


def test_octets_before_the_answer(target, siege):
    """The same for WebSockets that the application is slow to accept: their octets are held raw."""
    count = 300
    with (
        siege(target, "max_buffered", cpu=4.0, memory=100 * MIB),
        target.attack() as attacker,
    ):
        block = attacker.repeated(attacker.connect, "/unanswered")
        attacker.send(*(f.headers(2 * i + 1, block) for i in range(1, count)))
        for i in range(count):
            assert attacker.send(f.data(2 * i + 1, bytes(16000)) * 16)
        attacker.send(f.ping())
        assert attacker.read_until(lambda: attacker.acks == 2)
        assert 1 <= attacker.resets[CALM] < count // 2
        assert target.stats()["octets_held"] <= 70 * MIB
        assert attacker.goaway is None
        attacker.websocket(2 * count + 1)
