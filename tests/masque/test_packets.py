"""What packets cost, and how long one tunnel keeps the others waiting."""

import asyncio
import socket

import pytest

from h2ws_fast import Session
from h2ws_fast.engine.capsules import udp_datagram
from h2ws_fast.masque import connect_udp, create_datagram_endpoint
from tests.support import frames as f
from tests.support.raw import RawServer

from .conftest import led, local, target

row = pytest.mark.row


@row("SEC-8-3")
async def test_empty_packets_count(clear, within):
    """Each has 28 octets of IP and UDP, and a target that is flooded with them is flooded."""
    proxy = local(rate=10_000)
    async with target(lambda data: None) as it, led(clear, proxy, it.port) as udp:
        sent = 5000
        await udp.tunnel.send(udp_datagram(b"") * sent)
        await within(lambda: proxy.stats()["over_rate"] + proxy.stats()["to_targets"] == sent)
        assert proxy.stats()["to_targets"] < sent - 1000


class Turns:
    """How often the loop had a turn."""

    def __init__(self):
        self.count = 0

    async def run(self):
        while True:
            self.count += 1
            await asyncio.sleep(0)


@row("SEC-9-1")
async def test_a_flood_of_tiny_packets_leaves_others_their_turn(clear, within):
    proxy = local()
    turns = Turns()
    async with target(lambda data: None) as it, led(clear, proxy, it.port) as udp:
        sent, counted = 20_000, []
        real = proxy.count

        def count(name):
            real(name)
            counted.append(turns.count)

        proxy.count = count
        task = asyncio.ensure_future(turns.run())
        await udp.tunnel.send(udp_datagram(b"") * sent)
        await within(lambda: len(counted) >= sent)
        task.cancel()
        # Of one turn of the loop no more packets than a hundred.
        assert max(map(counted.count, set(counted))) <= 100


async def test_a_client_that_reads_a_flood_leaves_others_their_turn():
    sent = 20_000

    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        peer.headers(1, [(":status", "200")])
        octets = udp_datagram(b"") * sent
        for begin in range(0, len(octets), 12_000):
            peer.send(f.data(1, octets[begin : begin + 12_000]))
        await peer.until_eof()

    async with RawServer(script, (f.ENABLE_CONNECT_PROTOCOL, 1)) as server:
        async with Session(f"http://127.0.0.1:{server.port}") as session:
            udp = await connect_udp(session, "192.0.2.1", 53)
            await asyncio.sleep(0.3)
            turns, read = Turns(), []
            task = asyncio.ensure_future(turns.run())
            while len(read) < sent:
                assert await udp.recv() == b""
                read.append(turns.count)
            task.cancel()
            assert max(map(read.count, set(read))) <= 100
            udp.abort()


@row("9298-3.1-5")
@pytest.mark.skipif(not hasattr(socket, "SO_BINDTODEVICE"), reason="Linux only")
async def test_a_mapped_target_has_no_fragments_either(clear, monkeypatch):
    made = []
    real = socket.socket.connect

    class Watched(socket.socket):
        def connect(self, address):
            made.append((self.family, self.getsockopt(socket.IPPROTO_IP, 10), address[0]))
            return real(self, address)

    monkeypatch.setattr(socket, "socket", Watched)
    async with target() as it, led(clear, local(), it.port, "::ffff:127.0.0.1") as udp:
        await udp.send(b"x")
        assert await udp.recv() == b"x"
    assert (socket.AF_INET, 2, "127.0.0.1") in made  # IP_PMTUDISC_DO


# -- asyncio's form ------------------------------------------------------------------------------


class Failing(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        raise ZeroDivisionError("in the application")


def no_protocol():
    raise ZeroDivisionError("in the application")


@pytest.mark.parametrize("factory", [Failing, no_protocol])
async def test_a_protocol_that_fails_at_once_leaves_no_tunnel(clear, within, factory):
    proxy = local()
    async with (
        target() as it,
        clear.serve(tunnels={"connect-udp": proxy}),
        Session(clear.http) as session,
    ):
        with pytest.raises(ZeroDivisionError):
            await create_datagram_endpoint(session, factory, "127.0.0.1", it.port)
        await within(lambda: proxy.stats()["opened"] == 1 and not proxy.stats()["sockets"])


class Kept(asyncio.DatagramProtocol):
    def __init__(self):
        self.got = asyncio.Queue()

    def datagram_received(self, data, address):
        self.got.put_nowait((data, address))


async def test_addresses_are_told_as_they_were_given(clear):
    proxy = local(resolve=to_this_machine)
    async with (
        target() as it,
        clear.serve(tunnels={"connect-udp": proxy}),
        Session(clear.http) as session,
    ):
        given = ("2001:DB8:0::1", it.port)
        transport, protocol = await create_datagram_endpoint(session, Kept, *given)
        for address in (given, ("2001:db8::1", it.port), (*given, 0, 0), None):
            transport.sendto(b"x", address)
            assert await protocol.got.get() == (b"x", given)
        for address in (("2001:db8::2", it.port), ("2001:db8::1", 1), ("a.example", it.port)):
            with pytest.raises(ValueError):
                transport.sendto(b"x", address)
        transport.close()
        await transport.wait_closed()


async def to_this_machine(host, port):
    return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", port))]
