"""Local clients that leave while what they came for is being asked for."""

import asyncio
import contextlib
import socket
import struct

import pytest

from h2ws_fast.engine import Settings
from h2ws_fast.forward import Link, Ports, Socks, StreamRule, TcpForward, presence
from h2ws_fast.forward.lease import LISTEN, LISTENING_ON, Lease
from tests.support import frames as f
from tests.support.peer import OK
from tests.support.raw import RawClient, RawServer

from .test_forward import LOCAL, at_once, forwarding, to

BOTH_WAYS = Settings(enable_bidirectional_connect=True)
SOCKS = b"\x05\x01\x00\x05\x01\x00\x01\x7f\0\0\1\0\1"  # to 127.0.0.1:1
KINDS = {
    "connect": (TcpForward, to(1)),
    "stream": (TcpForward, StreamRule(*LOCAL, "bytestream", "/a")),
    "socks": (Socks,),
}


@contextlib.asynccontextmanager
async def asked_by(kind, **arguments):
    """A local port, and a queue of the peers that a tunnel is asked of, each with its stream."""
    asked = asyncio.Queue()

    async def script(peer):
        frame = await peer.expect(f.HEADERS)
        asked.put_nowait((peer, frame.stream_id))
        await over.wait()

    over = asyncio.Event()
    async with RawServer(script, (f.ENABLE_CONNECT_PROTOCOL, 1)) as it:
        async with Link(f"http://127.0.0.1:{it.port}", delays=at_once, **arguments) as link:
            async with forwarding(link, *KINDS[kind], listen=LOCAL) as (listener, port):
                yield listener, port, asked
            over.set()


@contextlib.asynccontextmanager
async def asked_the_other_way(clear):
    """The same of a port that the server listens on for a client."""
    ports = Ports(("0",))
    asked = asyncio.Queue()
    async with clear.serve(tunnels={LISTEN: ports}, settings=BOTH_WAYS, close_timeout=1) as there:
        settings = (f.ENABLE_CONNECT_PROTOCOL, 1), (BOTH_WAYS.bidirectional_connect_id, 1)
        client = await RawClient.connect(there.sockets[0].getsockname()[1], *settings)
        path = Lease("127.0.0.1", 0, "0123456789abcdef", 0).path
        client.headers(
            1,
            [
                (":method", "CONNECT"),
                (":protocol", LISTEN),
                (":scheme", "http"),
                (":authority", "a"),
                (":path", path),
            ],
        )
        answer = await client.expect(f.HEADERS, 1)
        port = int(answer.get(LISTENING_ON).rpartition(":")[2])

        async def wait():
            frame = await client.expect(f.HEADERS)
            asked.put_nowait((client, frame.stream_id))

        waiting = asyncio.create_task(wait())
        yield ports, port, asked
        await waiting
        client.close()


def every(clear):
    return {kind: lambda kind=kind: asked_by(kind) for kind in KINDS} | {
        "listening": lambda: asked_the_other_way(clear)
    }


async def arrive(port, kind, octets=b""):
    sock = socket.socket()
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", port))
    if kind == "socks":
        await loop.sock_sendall(sock, SOCKS)
        assert await loop.sock_recv(sock, 2) == b"\x05\x00"
    await loop.sock_sendall(sock, octets)
    return sock


def cut(sock):
    """Close it so that its peer hears RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("said", ["nothing", "octets", "its end"])
@pytest.mark.parametrize("kind", [*KINDS, "listening"])
async def test_who_resets_its_connection_is_asked_for_no_more(clear, within, kind, said):
    """RST_STREAM(CANCEL): nobody is there to take the answer."""
    async with every(clear)[kind]() as (listener, port, asked), asyncio.timeout(8):
        sock = await arrive(port, kind, b"early" if said == "octets" else b"")
        peer, stream_id = await asked.get()
        if said == "its end":
            sock.shutdown(socket.SHUT_WR)
            await asyncio.sleep(0.05)
        cut(sock)
        frame = await peer.expect(f.RST_STREAM, stream_id)
        assert frame.error_code == f.CANCEL
        await within(lambda: listener.counts.failed == 1)
        assert listener.counts.opened == 0


@pytest.mark.parametrize("kind", [*KINDS, "listening"])
async def test_who_sends_no_more_waits_for_the_answer(clear, monkeypatch, kind):
    """A half close is no leaving: what was said before it, and the answer, come whole."""
    monkeypatch.setattr(presence, "LOOK_S", 0.01)
    loop = asyncio.get_running_loop()
    async with every(clear)[kind]() as (_, port, asked), asyncio.timeout(8):
        with await arrive(port, kind, b"early") as sock:
            sock.shutdown(socket.SHUT_WR)
            peer, stream_id = await asked.get()
            await asyncio.sleep(0.2)
            peer.headers(stream_id, OK)
            assert (await peer.expect(f.DATA, stream_id)).content == b"early"
            peer.send(f.data(stream_id, b"late", True))
            got = b""
            while piece := await loop.sock_recv(sock, 100):
                got += piece
            assert got.endswith(b"late")


async def test_an_answer_that_does_not_come_is_told_as_that(within, caplog):
    """And not as a client that has left."""
    async with asked_by("connect", open_timeout=0.1) as (listener, port, _):
        with await arrive(port, "connect") as sock, pytest.raises(ConnectionResetError):
            await asyncio.get_running_loop().sock_recv(sock, 1)
        await within(lambda: listener.counts.failed == 1)
    assert "TCP to 127.0.0.1:1: TimeoutError" in caplog.text


async def test_who_has_left_is_told(within, caplog):
    async with asked_by("connect") as (listener, port, asked):
        sock = await arrive(port, "connect")
        await asked.get()
        cut(sock)
        await within(lambda: listener.counts.failed == 1)
    assert "the client has left" in caplog.text
