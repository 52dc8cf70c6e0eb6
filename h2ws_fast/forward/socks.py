"""`-D`: a local TCP port whose clients say by SOCKS5 where they want to go: RFC 1928."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

from ..errors import H2WSError, InvalidStatus
from ..masque.template import BadTarget, check_target
from .counts import Counts
from .link import Link, Unavailable, words
from .listener import Listener
from .rules import authority_of

__all__ = ["Socks"]

GREETING_S = 10.0  # what a client has to say where it wants to go

# SOCKS5: RFC 1928.
VERSION = 5
NO_AUTHENTICATION = 0
NO_METHOD = 0xFF
CONNECT = 1
IPV4, NAME, IPV6 = 1, 3, 4
SUCCEEDED, FAILED, NOT_ALLOWED, UNREACHABLE, REFUSED, NO_COMMAND, NO_ADDRESS = 0, 1, 2, 4, 5, 7, 8


class Socks(Listener):
    """`-D`: a SOCKS5 server (RFC 1928) for CONNECT, without authentication: names go to the server
    as they are, which resolves them."""

    def __init__(self, link: Link, counts: Counts | None = None) -> None:
        super().__init__(counts)
        self.link = link

    def __str__(self) -> str:
        return "SOCKS5"

    async def _forward(self, sock: socket.socket) -> None:
        async with asyncio.timeout(GREETING_S):
            target = await self._greet(sock)
        if target is None:
            return
        try:
            tunnel = await self.link.connect_tcp(target)
        except (OSError, H2WSError) as error:
            await self._reply(sock, reason(error))
            raise ConnectionError(f"to {target}: {words(error)}") from error
        await self._reply(sock, SUCCEEDED)
        await self.counts.carry(tunnel, sock)

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
