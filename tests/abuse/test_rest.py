"""Limits with an attack of their own: what is never acknowledged, given up, queued or let grow."""

import contextlib
import socket
import time

import pytest

from tests.support import frames as f
from tests.support.target import Target
from tests.support.ws_frames import ws_frame

row = pytest.mark.row

MIB = 2**20
KEY = b"\x01\x02\x03\x04"
SOME = 100
READ = 8_000_000


def test_settings_that_are_never_acknowledged(siege):
    """RFC 9113 section 6.5.3; however lively the peer is beside."""
    with (
        Target(limits={"settings_timeout_s": 0.5}) as target,
        siege(target, "settings_timeout_s"),
    ):
        attackers = [target.attack(greet=False) for _ in range(20)]
        for attacker in attackers:
            attacker.send(f.MAGIC, f.settings())
        begun = time.monotonic()
        while time.monotonic() - begun < 0.4:
            for attacker in attackers:
                attacker.send(f.ping())
            time.sleep(0.02)
        for attacker in attackers:
            attacker.read_to_the_end()
            assert attacker.end[0] == f.SETTINGS_TIMEOUT
            attacker.close()
        assert time.monotonic() - begun < 2
        assert target.stats()["limits"]["settings_timeout_s"] == 20


@row("SEC-9-1")
def test_chunks_of_an_octet(siege):
    """HTTP/1.1: each is six octets, and 10 us of work; 4096 are enough."""
    head = b"POST /read HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\n"
    with Target() as target, siege(target, "small_chunks"):
        with socket.create_connection(("127.0.0.1", target.port), 10) as attacker:
            attacker.sendall(head)
            with contextlib.suppress(ConnectionError):
                for _ in range(100):
                    attacker.sendall(b"1\r\nx\r\n" * 1000)
            answer = attacker.recv(65536)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert target.stats()["limits"]["small_chunks"] == 1


@row("SEC-1-2")
def test_resets_provoked_no_faster_than_they_are_forgiven(target, siege):
    """CVE-2025-8671, patiently: the rate allows them, their number does not."""
    with (
        siege(target, "max_local_resets", memory=16 * MIB),
        target.attack() as attacker,
    ):
        block = attacker.repeated(attacker.request, method="POST", path="/read", end_stream=False)
        for at in range(0, 2000, SOME):
            ids = range(3 + 2 * at, 3 + 2 * (at + SOME), 2)
            attacker.send(*(f.headers(i, block) + f.window_update(i, 0) for i in ids), f.ping())
            if not attacker.read_until(lambda n=1 + at // SOME: attacker.acks > n):
                break
            if at >= 8 * SOME:
                time.sleep(SOME / 33)
        attacker.read_to_the_end()
        assert attacker.end == (f.ENHANCE_YOUR_CALM, "limit reached: max_local_resets")
        assert 1000 <= sum(attacker.resets.values()) <= 1024
    assert target.stats()["most"] <= 1000


@row("SEC-1-1")
def test_streams_reset_before_anybody_can_have_looked(siege):
    """CVE-2023-44487: as many as may be open at once, the others are refused."""
    with (
        Target(settings={"max_concurrent_streams": SOME}) as target,
        siege(target, "max_pending_resets", also={"max_handlers"}),
        target.attack() as attacker,
    ):
        block = attacker.repeated(attacker.request, path="/slow")
        ids = range(3, 3 + 2 * 3 * SOME, 2)
        attacker.send(*(f.headers(i, block, True) + f.rst_stream(i) for i in ids), f.ping())
        assert attacker.read_until(lambda: attacker.acks == 2)
        assert SOME <= attacker.resets[f.REFUSED_STREAM] <= 2 * SOME
        assert attacker.goaway is None
        assert target.stats()["most"] <= SOME
        # It may go on, like anybody.
        attacker.websocket(ids[-1] + 2)


@row("SEC-1-8", "SEC-1-5")
def test_answers_without_end_that_nobody_reads(target, siege):
    """CVE-2019-9517, for what flow control does not hold back: header lists of 7 KiB."""
    with (
        # They stand in one buffer, which doubles.
        siege(target, "max_control_octets", memory=64 * MIB, cpu=6.0),
        target.attack(receive_buffer=4096) as attacker,
    ):
        block = attacker.repeated(attacker.request, method="HEAD", path="/wide")
        for at in range(0, 10_000, SOME):
            ids = range(3 + 2 * at, 3 + 2 * (at + SOME), 2)
            if not attacker.send(*(f.headers(i, block, True) for i in ids), reads=False):
                break
            # No more at once than may be.
            while target.stats()["handlers"] > SOME and target.alive:
                time.sleep(0.02)
        attacker.read_to_the_end()
        assert attacker.goaway is None or attacker.end[0] == f.ENHANCE_YOUR_CALM
    assert target.stats()["octets_held"] < 100_000


def test_an_application_that_sends_without_waiting(siege):
    """`max_queued`: what it says then fails, and its peer's other streams open all the same."""
    limit = 16 * MIB
    with (
        Target(limits={"max_queued": limit}) as target,
        siege(target, "max_queued", memory=limit + 4 * MIB, cpu=1.0),
        target.attack((f.INITIAL_WINDOW_SIZE, 0)) as attacker,
    ):
        attacker.websocket(1, "/heedless")
        deadline = time.monotonic() + 20
        while "max_queued" not in target.stats()["limits"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert limit - 20_000 <= target.stats()["octets_held"] <= limit + 1000
        attacker.websocket(3)
        assert attacker.goaway is None


@pytest.mark.parametrize("count", [4, 20], ids=["max_window", "window_budget"])
def test_windows_that_are_made_to_grow(target, siege, count):
    """`max_window`, `window_budget`: a peer that feigns a long way gets wide windows, so many."""
    # It sends fast while its messages are read, and goes on when they are not any more.
    streams = range(1, 2 * count, 2)
    initial, most, budget = 2**18, 4 * MIB, 32 * MIB
    with (
        siege(target, memory=(count * initial + budget) * 5 // 4 + 4 * MIB, cpu=4.0),
        target.attack(greet=False) as attacker,
    ):
        attacker.send(f.MAGIC, f.settings())
        assert attacker.read_until(lambda: attacker.frames[f.SETTINGS])
        time.sleep(3)  # as if the way were so long
        attacker.send(f.settings_ack())
        for i in streams:
            attacker.websocket(i, "/tired")
        size = 16_000
        piece = ws_frame(2, bytes(size - 8), key=KEY)
        sent = dict.fromkeys(streams, 0)
        while True:
            before = sum(sent.values())
            for i in streams:
                room = initial + attacker.increments[i] - sent[i]
                room = min(room, 65535 + attacker.increments[0] - sum(sent.values()))
                pieces = min(room // len(piece), 16)
                attacker.send(f.data(i, piece) * pieces)
                sent[i] += pieces * len(piece)
            if sum(sent.values()) == before:
                acks = attacker.acks
                attacker.send(f.ping())
                assert attacker.read_until(lambda n=acks: attacker.acks > n)
                windows = [initial + attacker.increments[i] for i in streams]
                if all(w - s < len(piece) for w, s in zip(windows, sent.values(), strict=True)):
                    break
        held = target.stats()["octets_held"]
        # What is left of them when each has been read so far, and the message that was the last.
        windows = [window - READ - 2 * size for window in windows]
        assert 4 * initial <= max(windows) <= most
        assert sum(windows) <= count * initial + budget
        assert held <= sum(windows) + count * 2 * size
        assert attacker.goaway is None and not attacker.resets
