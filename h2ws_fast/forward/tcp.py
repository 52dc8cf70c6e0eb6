"""Listeners for TCP: each connection becomes a CONNECT on the link."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import struct

from ..aio.splice import Splice
from ..errors import H2WSError, InvalidStatus
from ..masque.template import BadTarget, check_target
from .counts import Counts
from .link import Link, Unavailable
from .rules import Rule, authority_of

__all__ = ["Socks", "TcpForward"]

logger = logging.getLogger("h2ws_fast.forward")

GREETING_S = 10.0  # what a client has to say where it wants to go

# SOCKS5: RFC 1928.
VERSION = 5
NO_AUTHENTICATION = 0
NO_METHOD = 0xFF
CONNECT = 1
IPV4, NAME, IPV6 = 1, 3, 4
SUCCEEDED, FAILED, NOT_ALLOWED, UNREACHABLE, REFUSED, NO_COMMAND, NO_ADDRESS = 0, 1, 2, 4, 5, 7, 8


class Listener:
    """Accepts connections, each in a task of its own, until it is closed."""

    def __init__(self, link: Link, counts: Counts | None = None) -> None:
        self.link = link
        self.counts = Counts() if counts is None else counts
        self.sockets: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def listen(self, host: str, port: int) -> int:
        """Begin; return the port. Raises OSError."""
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, proto)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(256)
            listener.setblocking(False)
        except BaseException:
            listener.close()
            raise
        self.sockets.append(listener)
        self._spawn(self._accept(listener))
        return int(listener.getsockname()[1])

    def _spawn(self, coroutine: object) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)  # type: ignore[arg-type]  # a coroutine, whichever
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(listener)
            except OSError as error:
                # Of descriptors there are none left, or the client went away at once.
                logger.warning("accepting failed: %s", error)
                await asyncio.sleep(0.1)
                continue
            self._spawn(self._serve(sock))

    async def _serve(self, sock: socket.socket) -> None:
        counts = self.counts
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._forward(sock)
        except (OSError, EOFError, H2WSError) as error:
            counts.failed += 1
            logger.warning("%s", error)
            with contextlib.suppress(OSError):  # the client is told at once: TCP is reset
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        finally:
            sock.close()

    async def _forward(self, sock: socket.socket) -> None:
        raise NotImplementedError

    async def _splice(self, sock: socket.socket, authority: str) -> None:
        tunnel = await self._open(authority)
        await self._carry(tunnel, sock)

    async def _open(self, authority: str):  # type: ignore[no-untyped-def]
        session = await self.link.session()
        return await session.connect_tcp(authority, headers=self.link.headers)

    async def _carry(self, tunnel, sock: socket.socket) -> None:  # type: ignore[no-untyped-def]
        counts = self.counts
        counts.opened += 1
        counts.open += 1
        splice = Splice(tunnel, sock)
        try:
            await splice.run()
        finally:
            counts.open -= 1
            counts.sent += splice.to_tunnel
            counts.received += splice.to_socket

    async def close(self) -> None:
        """Stop listening, and drop what is open."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for listener in self.sockets:
            listener.close()


class TcpForward(Listener):
    """`-L`: every connection goes to one target."""

    def __init__(self, link: Link, rule: Rule, counts: Counts | None = None) -> None:
        super().__init__(link, counts)
        self.rule = rule

    async def _forward(self, sock: socket.socket) -> None:
        await self._splice(sock, self.rule.authority)


class Socks(Listener):
    """`-D`: a SOCKS5 server (RFC 1928) for CONNECT, without authentication: names go to the server
    as they are, which resolves them."""

    async def _forward(self, sock: socket.socket) -> None:
        async with asyncio.timeout(GREETING_S):
            target = await self._greet(sock)
        if target is None:
            return
        try:
            tunnel = await self._open(target)
        except (OSError, H2WSError) as error:
            await self._reply(sock, reason(error))
            raise
        await self._reply(sock, SUCCEEDED)
        await self._carry(tunnel, sock)

    async def _greet(self, sock: socket.socket) -> str | None:
        # What the client wants to be connected to; None where it was refused.
        loop = asyncio.get_running_loop()
        version, count = await exactly(sock, 2)
        if version != VERSION:
            raise EOFError("a client spoke another version of SOCKS than 5")
        methods = await exactly(sock, count)
        if NO_AUTHENTICATION not in methods:
            await loop.sock_sendall(sock, bytes((VERSION, NO_METHOD)))
            return None
        await loop.sock_sendall(sock, bytes((VERSION, NO_AUTHENTICATION)))
        _, command, _, kind = await exactly(sock, 4)
        if kind == IPV4:
            host = str(ipaddress.IPv4Address(await exactly(sock, 4)))
        elif kind == IPV6:
            host = str(ipaddress.IPv6Address(await exactly(sock, 16)))
        elif kind == NAME:
            host = (await exactly(sock, (await exactly(sock, 1))[0])).decode("latin-1")
        else:
            await self._reply(sock, NO_ADDRESS)
            return None
        port = int.from_bytes(await exactly(sock, 2), "big")
        if command != CONNECT:
            await self._reply(sock, NO_COMMAND)
            return None
        try:
            return authority_of(*check_target(host, port))
        except BadTarget:
            await self._reply(sock, FAILED)
            return None

    async def _reply(self, sock: socket.socket, code: int) -> None:
        # The address that it names is not known here, and nobody needs it.
        octets = bytes((VERSION, code, 0, IPV4)) + bytes(6)
        await asyncio.get_running_loop().sock_sendall(sock, octets)


def reason(error: BaseException) -> int:
    """How SOCKS says why there is no connection."""
    if isinstance(error, InvalidStatus):
        why = error.response.headers.get("proxy-status", "")
        if error.response.status in (401, 403, 407):
            return NOT_ALLOWED
        return REFUSED if "connection_refused" in why else UNREACHABLE
    return FAILED if isinstance(error, Unavailable) else UNREACHABLE


async def exactly(sock: socket.socket, size: int) -> bytes:
    """Read so many octets; raise EOFError where the client ends before."""
    data = b""
    while len(data) < size:
        piece = await asyncio.get_running_loop().sock_recv(sock, size - len(data))
        if not piece:
            raise EOFError("a client went away before it had said what it wants")
        data += piece
    return data
