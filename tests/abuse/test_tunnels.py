"""A proxy for TCP and UDP, by clients who open without end, send without end, or end halfway."""

import contextlib
import socket
import time

import pytest

from h2ws_fast.engine.capsules import capsule, datagram, udp_datagram
from tests.support import frames as f
from tests.support.programs import bind_packets
from tests.support.target import Target

from .conftest import in_turn

row = pytest.mark.row

MIB = 2**20
MANY = 2000


@contextlib.contextmanager
def proxying(tcp=None, udp=None, **options):
    """(A server, the authority of a target that takes connections and packets, and says nothing)."""
    listener, packets = bind_packets(lambda: socket.create_server(("127.0.0.1", 0), backlog=1024))
    with listener, packets:
        hosts = [f"127.0.0.1:{listener.getsockname()[1]}"]
        proxies = {
            "tcp": {"allow": hosts, "ports": None, **(tcp or {})},
            "udp": {"allow": hosts, **(udp or {})},
        }
        settings = {"enable_connect_protocol": True, "max_concurrent_streams": 3000}
        with Target(proxies=proxies, settings=settings, **options) as target:
            yield target, hosts[0]


def asked(attacker, authority):
    """The block of a CONNECT."""
    return attacker.block([(":method", "CONNECT"), (":authority", authority)])


def asked_udp(attacker, authority):
    host, _, port = authority.rpartition(":")
    fields = [
        *((":method", "CONNECT"), (":protocol", "connect-udp"), (":scheme", attacker.scheme)),
        *((":authority", "proxy.example"), (":path", f"/.well-known/masque/udp/{host}/{port}/")),
    ]
    return attacker.block(fields)


def flood(attacker, make, authority, count=MANY):
    """Open so many tunnels at once, each with a block that is in the table; wait for the answers."""
    attacker.send(f.headers(1, make(attacker, authority), False))
    block = make(attacker, authority)
    for begin in range(1, count, 100):
        ids = [2 * number + 1 for number in range(begin, min(begin + 100, count))]
        attacker.send(*(f.headers(each, block, False) for each in ids))
        done = begin + len(ids)
        assert attacker.read_until(lambda n=done: sum(attacker.statuses.values()) >= n, 30)


def settled(target, true):
    """The counters, once this is true of them."""
    end = time.monotonic() + 20
    while not true(stats := target.stats()):
        assert time.monotonic() < end, stats
        time.sleep(0.1)
    return stats


@row("SEC-8-4")
@pytest.mark.parametrize("make", in_turn([asked, asked_udp]))
def test_openings_that_are_refused(siege, make):
    with proxying() as (target, _), siege(target, memory=12 * MIB, cpu=4.0):
        with target.attack() as attacker:
            flood(attacker, make, "127.0.0.1:1")
            assert attacker.statuses == {"403": MANY}
        lines = [line for line in target.log().splitlines() if "was refused with 403" in line]
        assert 20 <= len(lines) <= 60, "no more than a log can bear"


@row("SEC-8-3", "SEC-8-4")
@pytest.mark.parametrize(("make", "cap"), in_turn([(asked_udp, 64), (asked, 256)]))
def test_openings_beyond_what_a_client_may_have(siege, make, cap):
    with proxying() as (target, authority), siege(target, memory=32 * MIB, cpu=4.0):
        with target.attack(address="127.0.0.3") as attacker:
            flood(attacker, make, authority, 600)
            assert attacker.statuses == {"200": cap, "503": 600 - cap}
            # Another client has places still.
            with target.attack() as other:
                flood(other, make, authority, 10)
                assert other.statuses == {"200": 10}
        settled(target, lambda stats: stats["tcp"][0] == udp_sockets(stats) == 0)


def udp_sockets(stats):
    return stats["udp"]["sockets"]


@row("SEC-8-3")
def test_openings_that_are_given_up_at_once(siege):
    """Rapid Reset of tunnels: nothing of them is left, and the rate holds for all of them."""
    with (
        proxying() as (target, authority),
        siege(target, also={"max_pending_resets", "reset_burst"}, memory=32 * MIB, cpu=4.0),
        target.attack() as attacker,
    ):
        attacker.send(f.headers(1, asked_udp(attacker, authority), False))
        block = asked_udp(attacker, authority)
        for begin in range(1, 900, 30):
            ids = [2 * number + 1 for number in range(begin, begin + 30)]
            pairs = (f.headers(each, block, False) + f.rst_stream(each) for each in ids)
            attacker.send(*pairs)
        attacker.send(f.ping())
        attacker.read_until(lambda: attacker.acks > 1, 10)
        attacker.close()
        settled(target, lambda stats: udp_sockets(stats) == 0)


@row("SEC-8-3", "9297-3.2-2")
@pytest.mark.parametrize(
    "piece",
    in_turn(
        [udp_datagram(b""), udp_datagram(b"x" * 1200), datagram(b"\x02"), capsule(0x17, b"")],
    ),
    ids=len,
)
def test_a_flood_of_capsules(siege, piece):
    """Packets, and what is no packet: 2 MiB of them at the pace of the window."""
    with (
        proxying(udp={"rate": 100_000}) as (target, authority),
        siege(target, memory=24 * MIB, cpu=12.0),
        target.attack() as attacker,
    ):
        flood(attacker, asked_udp, authority, 1)
        octets = piece * (2 * MIB // len(piece))
        sent = at = 0
        while at < len(octets):
            room = 262_144 + attacker.increments[1] - sent
            if room < 16_000:
                before = attacker.increments[1]
                assert attacker.read_until(lambda n=before: attacker.increments[1] > n, 60)
                continue
            part = octets[at : at + 16_000]
            attacker.send(f.data(1, part))
            at += len(part)
            sent += len(part)
        attacker.send(f.data(1, b"", f.END_STREAM))
        assert attacker.read_until(lambda: attacker.ended_streams, 60)
        stats = settled(target, lambda stats: udp_sockets(stats) == 0)["udp"]
        # A burst of 100 000 octets and what a slow machine's seconds add.
        assert stats["to_targets"] * 28 <= 100_000 * 60


@row("SEC-8-4")
@pytest.mark.parametrize("end", in_turn([True, False]))
def test_half_closed_tunnels_that_are_held(siege, end):
    """By the client's end alone; without it they are idle, which another limit ends."""
    limits = {"half_closed_timeout": 1.0, "idle_timeout": 1.0 if not end else None}
    with proxying(limits) as (target, authority), siege(target, memory=24 * MIB, cpu=4.0):
        with target.attack() as attacker:
            flood(attacker, asked, authority, 200)
            assert attacker.statuses == {"200": 200}
            if end:
                ids = [2 * number + 1 for number in range(200)]
                attacker.send(*(f.data(each, b"", f.END_STREAM) for each in ids))
            assert attacker.read_until(lambda: sum(attacker.resets.values()) == 200, 30)
            assert set(attacker.resets) == {f.CANCEL}
            settled(target, lambda stats: stats["tcp"][0] == 0)
