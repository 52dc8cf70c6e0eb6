"""UDP targets, and servers that lead to them, on each loop."""

import asyncio
import contextlib
import socket

import pytest

from h2ws_fast import Session
from h2ws_fast.masque import UdpProxy, connect_udp
from tests.aio.conftest import (  # noqa: F401  # fixtures and hooks
    certificate,
    clear,
    client_tls,
    place,
    pytest_generate_tests,
    pytest_pyfunc_call,
    server_tls,
)

PATH = "/.well-known/masque/udp/{}/{}/"


class Target(asyncio.DatagramProtocol):
    """A UDP server that keeps what it gets and answers by `reply(packet)`: bytes, or several."""

    def __init__(self, sock, reply):
        self.sock = sock
        self.reply = reply
        self.got = []
        self.senders = set()
        self.came = asyncio.Event()

    def datagram_received(self, data, address):
        self.got.append(data)
        self.senders.add(address)
        self.came.set()
        answers = self.reply(data)
        for packet in [answers] if isinstance(answers, bytes) else answers or ():
            self.sock.sendto(packet, address)  # a transport of asyncio's sends no empty packet

    async def until(self, count):
        """Wait for so many packets."""
        async with asyncio.timeout(10):
            while len(self.got) < count:
                self.came.clear()
                await self.came.wait()


def endpoint():
    """A bound UDP socket whose queue holds some thousand packets."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


@contextlib.asynccontextmanager
async def target(reply=lambda data: data):
    """A UDP server on a free port: `it.port`."""
    loop = asyncio.get_running_loop()
    sock = endpoint()
    transport, it = await loop.create_datagram_endpoint(lambda: Target(sock, reply), sock=sock)
    it.port = sock.getsockname()[1]
    try:
        yield it
    finally:
        transport.close()
        await asyncio.sleep(0)


def local(**options):
    """A proxy that leads to this machine."""
    return UdpProxy(**{"private": True, **options})


@contextlib.asynccontextmanager
async def led(where, proxy, port, host="127.0.0.1", **options):
    """A UdpTunnel to this port through this proxy."""
    async with (
        where.serve(tunnels={"connect-udp": proxy}, **options),
        Session(where.http, ssl=where.client_ssl) as session,
    ):
        udp = await connect_udp(session, host, port)
        yield udp


@pytest.fixture
def within():
    """Wait until something is true."""

    async def wait(true, seconds=10):
        async with asyncio.timeout(seconds):
            while not true():
                await asyncio.sleep(0.005)

    return wait
