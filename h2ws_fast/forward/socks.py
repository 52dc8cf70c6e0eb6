"""`-D`: a local TCP port whose clients say by SOCKS5 where they want to go: RFC 1928."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from typing import Any

from ..errors import H2WSError, InvalidStatus
from ..masque.template import BadTarget, check_target
from .associate import IPV4, IPV6, NAME, Association, address_octets
from .counts import Counts
from .flows import IDLE_S, MAX_FLOWS, Flows
from .link import Link, Unavailable, words
from .listener import Listener
from .presence import while_there
from .rules import authority_of

__all__ = ["Socks"]

GREETING_S = 10.0  # what a client has to say where it wants to go

# SOCKS5: RFC 1928.
VERSION = 5
NO_AUTHENTICATION = 0
NO_METHOD = 0xFF
CONNECT, ASSOCIATE = 1, 3
SUCCEEDED, FAILED, NOT_ALLOWED, UNREACHABLE, REFUSED, NO_COMMAND, NO_ADDRESS = 0, 1, 2, 4, 5, 7, 8

MAX_ASSOCIATIONS = 256  # each is a TCP connection and a UDP port here
UNKNOWN = bytes((IPV4,)) + bytes(6)  # of a CONNECT: the server knows it, and nobody needs it
IGNORED = 4096


class Socks(Listener):
    """`-D`: a SOCKS5 server (RFC 1928) for CONNECT and UDP ASSOCIATE, without authentication: names
    go to the server as they are, which resolves them.

    Of UDP it has `max_flows` tunnels at once, for all clients, each until nothing was said for
    `idle_timeout` seconds; and `max_associations` clients. Other arguments are those of Listener.
    """

    def __init__(
        self,
        link: Link,
        counts: Counts | None = None,
        *,
        idle_timeout: float = IDLE_S,
        max_flows: int = MAX_FLOWS,
        max_associations: int = MAX_ASSOCIATIONS,
        **arguments: Any,
    ) -> None:
        super().__init__(counts, **arguments)
        self.link = link
        self.flows = Flows(
            link,
            self.counts,
            lambda packet, key: bool(key[0].answer(packet, key)),
            idle_timeout=idle_timeout,
            max_flows=max_flows,
        )
        self._associations = 0
        self._max_associations = max_associations

    def __str__(self) -> str:
        return "SOCKS5"

    async def _forward(self, sock: socket.socket) -> None:
        async with asyncio.timeout(GREETING_S):
            asked = await self._greet(sock)
        if asked is None:
            return
        command, host, port = asked
        if command == ASSOCIATE:
            await self._associate(sock, host, port)
            return
        try:
            target = authority_of(*check_target(host, port))
        except BadTarget:
            await self._reply(sock, FAILED)
            return
        try:
            async with while_there(sock):
                tunnel = await self.link.connect_tcp(target)
        except (OSError, H2WSError) as error:
            await self._reply(sock, reason(error))
            raise ConnectionError(f"to {target}: {words(error)}") from error
        await self._reply(sock, SUCCEEDED)
        await self._carry(tunnel, sock)

    async def _associate(self, sock: socket.socket, host: str, port: int) -> None:
        if self._associations >= self._max_associations:
            await self._reply(sock, FAILED)
            self.counts.failed += 1
            self._failed(ConnectionRefusedError("more associations than there may be"))
            return
        local, peer = sock.getsockname()[0], sock.getpeername()[0]
        # Who does not know its own address, or has another behind a NAT, does not know its port.
        association = Association(self.flows, peer, port if host == peer else 0)
        self._associations += 1
        try:
            try:
                bound = association.bind(local, 0)
            except OSError:
                await self._reply(sock, FAILED)
                raise
            await self._reply(sock, SUCCEEDED, address_octets(local, bound))
            # RFC 1928 section 7: "A UDP association terminates when the TCP connection that the UDP
            # ASSOCIATE request arrived on terminates."
            with contextlib.suppress(ConnectionError):
                while await asyncio.get_running_loop().sock_recv(sock, IGNORED):
                    pass
        finally:
            self._associations -= 1
            association.close()

    async def _greet(self, sock: socket.socket) -> tuple[int, str, int] | None:
        # What the client wants, host and port; None where it was refused.
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
        if command not in (CONNECT, ASSOCIATE):
            await self._reply(sock, NO_COMMAND)
            return None
        return command, host, port

    async def _reply(self, sock: socket.socket, code: int, address: bytes = UNKNOWN) -> None:
        octets = bytes((VERSION, code, 0)) + address
        await asyncio.get_running_loop().sock_sendall(sock, octets)

    async def close(self) -> None:
        """Stop listening, and drop what is open."""
        await super().close()
        await self.flows.close()


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
