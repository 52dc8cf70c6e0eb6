"""Tunnels to TCP and UDP targets leave nothing behind, at either end, however they end.

How often and which of them, `test_leaks` says.
"""

import asyncio
import contextlib
import socket
import struct

import pytest

from h2ws_fast import Dialer, InvalidStatus, Session
from h2ws_fast.engine import Settings
from h2ws_fast.errors import StreamClosed, StreamReset
from h2ws_fast.forward import Link, Rule, Socks, TcpForward, UdpForward
from h2ws_fast.masque import UdpProxy, connect_udp, create_datagram_endpoint
from tests.support.again import flat
from tests.support.programs import free_port

from .test_leaks import part

pytestmark = [pytest.mark.measures, pytest.mark.timeout(400)]  # a sanitizer keeps what was freed

SETTINGS = Settings(max_concurrent_streams=20, enable_connect_protocol=True)
# Of the allocator's blocks, for each: what the engine remembers of streams that are over fills
# meanwhile, and uvloop remembers some hundred ports. Objects of ours are counted one by one.
BLOCKS = 8
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Echo(asyncio.Protocol):
    """Says what it is told; "end" has it end first, "reset" break."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if data == b"reset":
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            self.transport.abort()
        elif data == b"end":
            self.transport.close()
        else:
            self.transport.write(data)


class Packets(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(data, address)


class Place:
    """Where tunnels may lead: ports of echoes, of nobody, and of one that is not allowed."""

    def __init__(self, tcp, udp):
        self.tcp = tcp
        self.udp = udp
        self.nobody = free_port()
        hosts = [f"127.0.0.1:{port}" for port in (tcp, udp, self.nobody)]
        self.dialer = Dialer(hosts, ports=None, private=True, time_wait_s=0)
        self.proxy = UdpProxy(hosts, private=True, rate=1e9, idle_timeout=0.2)
        self.served = {"connect": self.dialer, "tunnels": {"connect-udp": self.proxy}}


@contextlib.asynccontextmanager
async def place():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0)
    transport, _ = await loop.create_datagram_endpoint(Packets, ("127.0.0.1", 0))
    try:
        port = transport.get_extra_info("sockname")[1]
        yield Place(server.sockets[0].getsockname()[1], port)
    finally:
        transport.close()
        server.close()


async def refused(error, what):
    with pytest.raises(error):
        await what


WAYS = {}


def way(function):
    WAYS[function.__name__] = function
    return function


# -- TCP -----------------------------------------------------------------------------------------


def tcp(session, where):
    return session.connect_tcp(f"127.0.0.1:{where.tcp}")


@way
async def connect_ended_by_the_client(session, where):
    tunnel = await tcp(session, where)
    await tunnel.send(b"hello")
    assert await tunnel.recv() == b"hello"
    tunnel.send_eof()
    assert await tunnel.recv() == b""


@way
async def connect_ended_by_the_target(session, where):
    async with await tcp(session, where) as tunnel:
        await tunnel.send(b"end")
        assert await tunnel.recv() == b""


@way
async def connect_reset_by_either(session, where):
    (await tcp(session, where)).abort()
    tunnel = await tcp(session, where)
    await tunnel.send(b"reset")
    await refused(StreamReset, tunnel.recv())


@way
async def connect_refused(session, where):
    for port in (where.nobody, 1):
        await refused(InvalidStatus, session.connect_tcp(f"127.0.0.1:{port}"))


@way
async def connect_that_is_idle(session, where):
    where.dialer.idle_timeout, where.dialer.half_closed_timeout = 0.02, 0.01
    tunnel = await tcp(session, where)
    await refused(StreamReset, tunnel.recv())


@way
async def connect_given_up(session, where):
    task = asyncio.ensure_future(tcp(session, where))
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        (await task).abort()


# -- UDP -----------------------------------------------------------------------------------------


def udp(session, where):
    return connect_udp(session, "127.0.0.1", where.udp)


@way
async def connect_udp_ended_by_the_client(session, where):
    async with await udp(session, where) as packets:
        await packets.send(b"hello")
        assert await packets.recv() == b"hello"


@way
async def connect_udp_that_is_idle(session, where):
    where.proxy.idle_timeout = 0.02
    async with await udp(session, where) as packets:
        await refused(StreamClosed, packets.recv())


@way
async def connect_udp_reset_by_either(session, where):
    (await udp(session, where)).abort()
    packets = await udp(session, where)
    await packets.tunnel.send(b"\x00\x00")  # no capsule
    await refused(StreamReset, packets.recv())


@way
async def connect_udp_to_nobody(session, where):
    packets = await connect_udp(session, "127.0.0.1", where.nobody)
    await packets.send(b"anybody?")
    await refused(StreamReset, packets.recv())


@way
async def connect_udp_refused(session, where):
    await refused(InvalidStatus, connect_udp(session, "127.0.0.1", 1))


@way
async def connect_udp_for_protocols_of_asyncio(session, where):
    transport, _ = await create_datagram_endpoint(
        session, asyncio.DatagramProtocol, "127.0.0.1", where.udp
    )
    transport.sendto(b"x")
    transport.close()
    await transport.wait_closed()

    def fails():
        raise LookupError("a bug")

    await refused(LookupError, create_datagram_endpoint(session, fails, "127.0.0.1", where.udp))


@pytest.mark.parametrize("name", part(WAYS))
async def test_tunnels_of_one_connection(clear, name):
    async with place() as where:
        # A tunnel that ends for silence has none to wait for.
        where.proxy.idle_timeout = 120.0
        async with (
            clear.serve(**where.served, settings=SETTINGS, ping_interval=None) as server,
            Session(clear.http, ping_interval=None, settings=SETTINGS) as session,
        ):
            (wire,) = server._wires

            async def attempt():
                await WAYS[name](session, where)

            await flat(attempt, blocks=BLOCKS)
            async with asyncio.timeout(5):
                while wire.conn.open_streams or session._wire.conn.open_streams:
                    await asyncio.sleep(0.01)
            assert where.dialer.sockets == where.proxy.stats()["sockets"] == 0


# -- ports that lead through a server ------------------------------------------------------------


async def by_tcp(link, where):
    forward = TcpForward(link, Rule("127.0.0.1", 0, "127.0.0.1", where.tcp))
    reader, writer = await asyncio.open_connection("127.0.0.1", forward.listen("127.0.0.1", 0))
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    return forward, writer


async def by_socks(link, where):
    socks = Socks(link)
    reader, writer = await asyncio.open_connection("127.0.0.1", socks.listen("127.0.0.1", 0))
    writer.write(b"\x05\x01\x00\x05\x01\x00\x01\x7f\0\0\1" + where.tcp.to_bytes(2, "big"))
    assert (await reader.readexactly(12))[3] == 0
    return socks, writer


async def by_udp(link, where):
    forward = UdpForward(link, Rule("127.0.0.1", 0, "127.0.0.1", where.udp))
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=("127.0.0.1", forward.listen())
    )
    transport.sendto(b"x")
    async with asyncio.timeout(10):
        while not forward.counts.received:
            await asyncio.sleep(0.002)
    return forward, transport


@pytest.mark.parametrize("kind", part([by_tcp, by_socks, by_udp]))
async def test_listeners_and_their_connections(clear, kind):
    async with place() as where:
        # Of a rate of a client who is gone nothing is kept once it is whole again.
        async with clear.serve(**where.served, close_timeout=0.05) as server:

            async def attempt():
                async with Link(clear.http, ping_interval=None, close_timeout=0.05) as link:
                    listener, writer = await kind(link, where)
                    await listener.close()
                    writer.close()
                    if kind is not by_udp:
                        with contextlib.suppress(ConnectionError):
                            await writer.wait_closed()

            await flat(attempt, server, blocks=BLOCKS)
