"""UDP ASSOCIATE of SOCKS5 (RFC 1928 section 7), over connect-udp."""

import asyncio
import contextlib
import socket
import struct

import pytest

from h2ws_fast.forward import Link, Socks
from h2ws_fast.masque import UdpProxy
from tests.forward.test_forward import GREETING, LOCAL, connect_to, forwarding, packet, server
from tests.masque.conftest import endpoint
from tests.masque.conftest import target as udp_target


class Client:
    """What a client of SOCKS5 has: a TCP connection that holds its association, and UDP."""

    def __init__(self, reader, writer, sock):
        self.reader = reader
        self.writer = writer
        self.sock = sock

    async def associate(self, host="0.0.0.0", port=0):
        """Ask for an association; return what is answered, and know where to send to."""
        self.writer.write(GREETING + connect_to(host, port, command=3))
        assert await self.reader.readexactly(2) == b"\x05\x00"
        version, code, _, kind = await self.reader.readexactly(4)
        address = socket.inet_ntoa(await self.reader.readexactly(4))
        self.relay = address, int.from_bytes(await self.reader.readexactly(2), "big")
        assert (version, kind) == (5, 1)
        return code

    def send(self, data, host, port, *, fragment=0, sock=None):
        head = b"\0\0" + bytes((fragment,)) + connect_to(host, port)[3:]
        (sock or self.sock).sendto(head + data, self.relay)
        return head

    async def ask(self, data, host, port, **options):
        """The answer to a packet, which must come from where it went."""
        head = self.send(data, host, port, **options)
        answer = await packet(options.get("sock", self.sock))
        assert answer[: len(head)] == head
        return answer[len(head) :]


@contextlib.asynccontextmanager
async def client_of(local):
    reader, writer = await asyncio.open_connection("127.0.0.1", local)
    with endpoint() as sock:
        try:
            yield Client(reader, writer, sock)
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def socks(clear, *allowed, **options):
    """A SOCKS5 listener before a server that leads to these UDP ports; and its port."""
    async with server(clear, udp=allowed) as there, Link(clear.http) as link:
        it = Socks(link, **options)
        it.there = there.proxy
        try:
            yield it, it.listen(*LOCAL)
        finally:
            await it.close()


async def test_packets_both_ways(clear, within):
    async with udp_target(bytes.upper) as one, udp_target(lambda data: data[::-1]) as other:
        async with socks(clear, one.port, other.port) as (it, local), client_of(local) as client:
            assert await client.associate() == 0
            assert client.relay[0] == "127.0.0.1"
            for data in (b"one", b"", bytes(1400)):
                assert await client.ask(data, "127.0.0.1", one.port) == data.upper()
            assert await client.ask(b"abc", "127.0.0.1", other.port) == b"cba"
            with endpoint() as another:  # of the same client
                assert await client.ask(b"x", "127.0.0.1", one.port, sock=another) == b"X"
            assert (it.counts.opened, it.counts.open, it.counts.failed) == (3, 3, 0)
            assert it.counts.sent == it.counts.received == 1403 + 3 + 1
            assert len(one.senders) == 2 and len(other.senders) == 1


async def test_names_are_resolved_at_the_server(clear):
    asked = []

    async def resolve(host, port):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", port))]

    proxy = UdpProxy(["some.example"], private=True, resolve=resolve)
    async with udp_target(bytes.upper) as it, clear.serve(tunnels={"connect-udp": proxy}):
        async with Link(clear.http) as link, forwarding(link, Socks, listen=LOCAL) as (_, local):
            async with client_of(local) as client:
                assert await client.associate() == 0
                assert await client.ask(b"hello", "some.example", it.port) == b"HELLO"
    assert asked == ["some.example"]


async def test_it_ends_with_its_tcp_connection(clear, within):
    async with udp_target() as it, socks(clear, it.port) as (here, local):
        async with client_of(local) as client, client_of(local) as other:
            for each in (client, other):
                assert await each.associate() == 0
                assert await each.ask(b"x", "127.0.0.1", it.port) == b"x"
            assert here.there.stats()["sockets"] == 2
            client.writer.transport.abort()
            await within(lambda: here.there.stats()["sockets"] == 1 and here.counts.open == 1)
            # Nothing listens where it did, and the other's goes on.
            client.send(b"late", "127.0.0.1", it.port)
            assert await other.ask(b"y", "127.0.0.1", it.port) == b"y"
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
                again.bind(client.relay)
        await within(lambda: here.there.stats()["sockets"] == 0)
        assert it.got == [b"x", b"x", b"y"]
        assert here.counts.failed == 0


async def test_what_is_dropped(clear):
    async with udp_target() as it, socks(clear, it.port) as (here, local):
        async with client_of(local) as client:
            assert await client.associate() == 0
            for fragment in (1, 127, 128, 255):
                client.send(b"fragment", "127.0.0.1", it.port, fragment=fragment)
            client.send(b"no port", "127.0.0.1", 0)
            client.send(b"no name", "a b", it.port)
            address = b"\x7f\0\0\1" + struct.pack("!H", it.port)
            for octets in (
                b"",
                b"\0\0\0",
                b"\0\0\0\1\x7f\0\0",
                b"\0\0\0\2" + address + b"another type",
                b"\1\0\0\1" + address + b"not nothing",
                b"\0\0\0\3\xff" + address,
            ):
                client.sock.sendto(octets, client.relay)
            assert await client.ask(b"good", "127.0.0.1", it.port) == b"good"
            assert (it.got, here.counts.opened, here.counts.failed) == ([b"good"], 1, 0)


async def test_nobody_else_sends(clear):
    """Another address, and another port where the client has named its own."""
    async with udp_target() as it, socks(clear, it.port) as (_, local):
        async with client_of(local) as client, client_of(local) as named:
            assert await client.associate() == 0
            assert await named.associate("127.0.0.1", named.sock.getsockname()[1]) == 0
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger, endpoint() as other:
                stranger.bind(("127.0.0.2", 0))
                client.send(b"stranger", "127.0.0.1", it.port, sock=stranger)
                named.send(b"stranger", "127.0.0.1", it.port, sock=stranger)
                named.send(b"other", "127.0.0.1", it.port, sock=other)
                for each in (client, named):
                    assert await each.ask(b"mine", "127.0.0.1", it.port) == b"mine"
            assert it.got == [b"mine"] * 2


async def test_an_address_behind_a_nat_is_no_limit(clear):
    """Section 7: the server may use what the client says; here it is not what is seen."""
    async with udp_target() as it, socks(clear, it.port) as (_, local):
        async with client_of(local) as client:
            assert await client.associate("192.168.0.7", 9) == 0
            assert await client.ask(b"x", "127.0.0.1", it.port) == b"x"


async def test_targets_that_are_not_allowed(clear, within):
    async with udp_target() as it, udp_target() as other, socks(clear, it.port) as (here, local):
        async with client_of(local) as client:
            assert await client.associate() == 0
            client.send(b"x", "127.0.0.1", other.port)
            client.send(b"x", "localhost", it.port)
            await within(lambda: here.counts.failed == 2)
            assert await client.ask(b"x", "127.0.0.1", it.port) == b"x"
        assert not other.got


async def test_limits(clear):
    async with (
        udp_target() as it,
        socks(clear, it.port, max_flows=2, max_associations=2) as (
            here,
            local,
        ),
    ):
        async with client_of(local) as one, client_of(local) as two, client_of(local) as three:
            assert await one.associate() == 0
            assert await two.associate() == 0
            assert await three.associate() == 1
            assert await three.reader.read() == b""
            assert here.counts.failed == 1
            for client in (one, two, one):
                with endpoint() as sock:  # a third pair has the longest silent one ended
                    assert await client.ask(b"x", "127.0.0.1", it.port, sock=sock) == b"x"
            assert len(here.flows) == 2 and here.counts.opened == 3


async def test_silent_ones_are_ended(clear, within):
    async with udp_target() as it, socks(clear, it.port, idle_timeout=0.5) as (here, local):
        async with client_of(local) as client:
            assert await client.associate() == 0
            assert await client.ask(b"x", "127.0.0.1", it.port) == b"x"
            await within(lambda: here.there.stats()["sockets"] == 0)
            # The association is there still.
            assert await client.ask(b"again", "127.0.0.1", it.port) == b"again"
            assert here.counts.opened == 2


@pytest.mark.parametrize("pause", [False, True])
async def test_an_end_before_its_tunnels_are_open(clear, within, pause):
    async with udp_target() as it, socks(clear, it.port) as (here, local):
        async with client_of(local) as client:
            assert await client.associate() == 0
            client.send(b"x", "127.0.0.1", it.port)
            if pause:
                await within(lambda: len(here.flows) == 1)
            client.writer.transport.abort()
            await within(lambda: not here.flows and not here.flows._tasks)
        await within(lambda: here.there.stats()["sockets"] == 0)


async def test_ipv6(clear):
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with (
        udp_target(bytes.upper) as it,
        server(clear, udp=[it.port]),
        Link(clear.http) as link,
    ):
        here = Socks(link)
        try:
            reader, writer = await asyncio.open_connection("::1", here.listen("::1", 0))
            writer.write(GREETING + connect_to("0.0.0.0", 0, command=3))
            said = await reader.readexactly(2 + 4 + 16 + 2)
            assert said[:6] == b"\5\0\5\0\0\4" and said[6:22] == bytes(15) + b"\1"
            head = b"\0\0\0" + connect_to("127.0.0.1", it.port)[3:]
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
                sock.bind(("::1", 0))
                sock.setblocking(False)
                sock.sendto(head + b"six", ("::1", int.from_bytes(said[22:], "big")))
                assert await packet(sock) == head + b"SIX"
            writer.close()
        finally:
            await here.close()
