"""The limits over all connections, reached by many of them."""

import socket
import time

import pytest

from tests.support import frames as f
from tests.support.attacker import Attacker
from tests.support.target import Target
from tests.support.ws_frames import ws_frame

row = pytest.mark.row

CALM = f.ENHANCE_YOUR_CALM
MIB = 2**20
KEY = b"\x01\x02\x03\x04"


def newcomer(target, **options):
    """(code, reason) with which a new connection is refused."""
    with Attacker(target.port, greet=False, **options) as attacker:
        attacker.send(f.MAGIC, f.settings())
        attacker.read_to_the_end()
        assert attacker.goaway.last_stream_id == 0
        return attacker.end


def stats_when_let_in(target):
    """The counters, once there is room for who asks: within 5 s."""
    end = time.monotonic() + 5
    while True:
        try:
            return target.stats()
        except AssertionError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.05)


def test_more_connections_than_allowed(siege):
    with Target(max_connections=50) as target:
        # The bystander is one, who asks for counters another.
        with siege(target, memory=4 * MIB):
            attackers = [target.attack() for _ in range(48)]
            spare = target.attack()
            for _ in range(200):
                assert newcomer(target) == (CALM, "max_connections is reached")
            # They are open, and work.
            for attacker in attackers[:3]:
                attacker.websocket()
            for attacker in [*attackers, spare]:
                attacker.close()
            stats = stats_when_let_in(target)
        assert stats["refused"]["max_connections"] >= 200
        lines = [line for line in target.log().splitlines() if "was refused" in line]
        assert 20 <= len(lines) <= 30, "one line each, and no more than a log can bear"
        assert "a connection from 127.0.0.1:" in lines[0]
        assert lines[0].endswith("was refused: max_connections is reached")


def test_newcomers_that_say_nothing(siege):
    """Refused ones wait a second to be told why, and a hundred of them at once."""
    with Target(max_connections=2) as target, siege(target, memory=4 * MIB):
        with target.attack():
            newcomers = [Attacker(target.port, greet=False) for _ in range(300)]
            time.sleep(0.3)
            for each in newcomers:
                each.read_until(lambda: True)
                each.read_until(lambda who=each: who.over, 0.001)
            assert sum(not each.over for each in newcomers) <= 100
            for each in newcomers:
                each.read_to_the_end(5)
                assert not each.frames
                each.close()
        stats = stats_when_let_in(target)
        assert stats["refused"]["max_connections"] >= 300


def test_more_connections_of_an_address_than_allowed(siege):
    with Target(max_connections_per_address=20) as target, siege(target, memory=4 * MIB):
        attackers = [target.attack(address="127.0.0.3") for _ in range(20)]
        for _ in range(200):
            refused = newcomer(target, address="127.0.0.3")
            assert refused == (CALM, "max_connections_per_address is reached")
        stats = target.stats()  # from another address
        assert stats["refused"] == {"max_connections_per_address": 200}
        assert stats["connections"] == 22
        for attacker in attackers:
            attacker.close()


def opened(port, count, address, first=b""):
    """TCP connections that say no more than this of a TLS handshake."""
    sockets = []
    for _ in range(count):
        sock = socket.socket()
        sock.bind((address, 0))
        sock.connect(("127.0.0.1", port))
        sock.sendall(first)
        sock.setblocking(False)
        sockets.append(sock)
    return sockets


def still_open(sockets):
    """How many of them the server has not closed."""
    count = 0
    for sock in sockets:
        try:
            count += bool(sock.recv(65536))
        except BlockingIOError:
            count += 1
        except OSError:
            pass
    return count


HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"  # the first octets of a ClientHello


@row("SEC-4-2")
@pytest.mark.parametrize(
    ("limit", "first"), [("max_connections", HELLO), ("max_connections_per_address", b"")]
)
def test_handshakes_left_half_done(siege, certificate, limit, first):
    """TLS handshakes under way are connections: as many as are allowed, and a second for others."""
    options = {limit: 20, "open_timeout": 2}
    with Target(certificate=certificate, **options) as target:
        # The bystander is in, and so is whoever asks for the counters where all count.
        with siege(target, memory=16 * MIB, cpu=1.0):
            begun = time.monotonic()
            sockets = opened(target.port, 500, "127.0.0.3", first)
            time.sleep(0.3)
            # Those who are in, and the hundred who may learn why they are not.
            assert still_open(sockets) <= 120
            time.sleep(max(0.0, begun + 1.6 - time.monotonic()))
            assert still_open(sockets) <= 20
            if limit == "max_connections_per_address":
                stats = target.stats()  # from another address
                assert stats["handshakes"] == 20
                assert stats["refused"] == {limit: 480}
            time.sleep(max(0.0, begun + 2.8 - time.monotonic()))
            assert still_open(sockets) == 0
            # There is room again.
            with target.attack(address="127.0.0.3") as attacker:
                attacker.websocket()
            stats = target.stats()
            assert stats["handshakes"] == 0 and stats["refused"][limit] >= 480
        for sock in sockets:
            sock.close()


def test_handshakes_that_fail_leave_their_place(siege, certificate):
    """No TLS at all, again and again: each is gone at once, and keeps nobody out."""
    with (
        Target(certificate=certificate, max_connections_per_address=20) as target,
        siege(target, memory=16 * MIB, cpu=2.0),
    ):
        for _ in range(15):
            sockets = opened(target.port, 15, "127.0.0.3", f.MAGIC)
            end = time.monotonic() + 5
            while still_open(sockets) and time.monotonic() < end:
                time.sleep(0.01)
            assert still_open(sockets) == 0
            for sock in sockets:
                sock.close()
        stats = target.stats()
        assert (stats["handshakes"], stats["refused"]) == (0, {})


def test_more_memory_than_allowed(siege):
    """Sleepers of three connections keep 21 MB; newcomers wait until they are gone."""
    with Target(memory_budget=20_000_000) as target, siege(target, memory=40 * MIB, cpu=1.0):
        attackers = []
        asker = target.attack()
        message = ws_frame(2, bytes(16000), key=KEY)
        for _ in range(3):
            attacker = target.attack()
            block = attacker.repeated(attacker.connect, "/asleep")
            attacker.send(*(f.headers(2 * i + 1, block) for i in range(1, 30)))
            for i in range(30):
                attacker.send(f.data(2 * i + 1, message) * 15)
            attacker.send(f.ping())
            assert attacker.read_until(lambda who=attacker: who.acks == 2)
            attackers.append(attacker)
        time.sleep(0.06)
        for _ in range(20):
            assert newcomer(target) == (CALM, "memory_budget is reached")
        # New streams of those who are in are answered 503.
        asker.send(asker.request(1))
        assert asker.read_until(lambda: asker.statuses["503"] == 1)
        asker.send(asker.connect(3))
        assert asker.read_until(lambda: asker.statuses["503"] == 2)
        for attacker in attackers:
            attacker.close()
        end = time.monotonic() + 5
        stream_id = 5
        while not asker.statuses["200"] and time.monotonic() < end:
            time.sleep(0.06)
            asker.send(asker.request(stream_id))
            asker.read_until(lambda n=stream_id // 2: asker.statuses.total() > n)
            stream_id += 2
        assert asker.statuses["200"] == 1
        asker.close()
        assert target.stats()["refused"]["memory_budget"] >= 22


@row("SEC-1-3")
def test_handlers_of_connections_that_come_and_go(target, siege):
    """Requests of a connection that is gone are cancelled: no more work than connections bring."""
    with siege(target, memory=32 * MIB, cpu=2.0):
        for _ in range(10):
            with target.attack() as attacker:
                block = attacker.repeated(attacker.request, path="/slow")
                attacker.send(*(f.headers(i, block, True) for i in range(3, 1001, 2)), f.ping())
                assert attacker.read_until(lambda who=attacker: who.acks == 2)
        end = time.monotonic() + 5
        while (stats := target.stats())["working"] > 1 and time.monotonic() < end:
            time.sleep(0.05)
        assert stats["working"] == 1
        assert stats["most"] <= 1500
