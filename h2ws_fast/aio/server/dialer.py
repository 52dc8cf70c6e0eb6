"""Classic CONNECT: TCP connections dialled for clients. RFC 9110 section 9.3.6, RFC 9113 8.5.

An open proxy is a gift to attackers, so `serve` has none unless it is given a `Dialer`, and that
one leads nowhere but to public addresses and port 443 unless it is told otherwise. What counts is
the address that is dialled: names are resolved once, here, and never again.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import inspect
import logging
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias

from ...engine.constants import CANCEL, CONNECT_ERROR
from ...errors import StreamReset
from ..http import Request, Response
from ..tunnel import Tunnel
from .addresses import is_own, is_public

__all__ = ["Dialer"]

logger = logging.getLogger("h2ws_fast.aio.dialer")

PIECE = 65536
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of no seconds: close() sends RST

Allow: TypeAlias = "Callable[[Request, str, int], Any] | Iterable[str] | None"
# Like getaddrinfo: (family, type, protocol, canonical name, socket address), any number of them.
Resolve: TypeAlias = "Callable[[str, int], Awaitable[Iterable[tuple[Any, ...]]]]"


class Refused(Exception):
    """The target cannot be had: a status, and the error of RFC 9209 section 2.3 that says why."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status
        self.error = error


class Dialer:
    """What `serve(connect=...)` dials TCP connections with.

    `allow`: which targets a client may ask for: an iterable of "host:port" (or "host", for every
    allowed port), or a function or coroutine function of `(request, host, port)` that says so; None
    allows every host. `ports`: those that may be dialled; None allows all. `private`: may addresses
    that are not public be dialled, the machine's own among them? An `allow` that names a host says
    nothing about where its name leads.

    `max_sockets`: connections at once, of all clients together; one that this end closed first counts
    for `time_wait_s` longer, as it does in the kernel. Beyond it clients are answered 503.
    `dial_timeout`: seconds for resolving and connecting. `resolve`: how names are resolved; by
    default as the system does it.
    """

    def __init__(
        self,
        allow: Allow = None,
        *,
        ports: Iterable[int] | None = (443,),
        private: bool = False,
        max_sockets: int = 1024,
        dial_timeout: float = 5.0,
        time_wait_s: float = 60.0,
        resolve: Resolve | None = None,
    ) -> None:
        if isinstance(allow, str):
            raise TypeError("allow is an iterable of str, not one str")
        if allow is None or callable(allow):
            self._allow = allow
            self._targets = None
        else:
            self._allow = None
            self._targets = frozenset(target.lower() for target in allow)
        self.ports = None if ports is None else frozenset(ports)
        self.private = private
        self.max_sockets = max_sockets
        self.dial_timeout = dial_timeout
        self.time_wait_s = time_wait_s
        self._resolve = resolve
        self.sockets = 0
        self.refused = 0

    # -- may it? --------------------------------------------------------------------------------

    async def _check(self, request: Request, host: str, port: int) -> None:
        if self.ports is not None and port not in self.ports:
            raise Refused(403, "http_request_denied")
        if self._targets is not None:
            name = f"[{host}]" if ":" in host else host
            if name not in self._targets and f"{name}:{port}" not in self._targets:
                raise Refused(403, "http_request_denied")
        if self._allow is not None:
            allowed = self._allow(request, host, port)
            if inspect.isawaitable(allowed):
                allowed = await allowed
            if not allowed:
                raise Refused(403, "http_request_denied")

    async def _addresses(self, host: str, port: int) -> list[tuple[int, Any]]:
        # Those that may be dialled, in the order of the resolver.
        try:
            if self._resolve is None:
                loop = asyncio.get_running_loop()
                found: Any = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            else:
                found = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise Refused(502, "dns_error") from error
        addresses = [(entry[0], entry[4]) for entry in found]
        if not addresses:
            raise Refused(502, "dns_error")
        if not self.private:
            addresses = [
                (family, address)
                for family, address in addresses
                if is_public(address[0]) and not is_own(family, address[0])
            ]
            if not addresses:
                raise Refused(403, "destination_ip_prohibited")
        return addresses

    # -- dialling -------------------------------------------------------------------------------

    async def dial(self, request: Request) -> socket.socket:
        """Return a connected socket to what a CONNECT asks for; raise Refused."""
        host, _, digits = request.authority.rpartition(":")
        host = host.strip("[]").lower()
        port = int(digits)
        await self._check(request, host, port)
        try:
            async with asyncio.timeout(self.dial_timeout):
                try:
                    addresses = await self._addresses(host, port)
                except TimeoutError:
                    raise Refused(504, "dns_timeout") from None
                return await self._connect(addresses)
        except TimeoutError:
            raise Refused(504, "connection_timeout") from None

    async def _connect(self, addresses: list[tuple[int, Any]]) -> socket.socket:
        loop = asyncio.get_running_loop()
        failure = Refused(502, "destination_unavailable")
        for family, address in addresses:
            try:
                sock = socket.socket(family, socket.SOCK_STREAM)
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    raise Refused(503, "connection_limit_reached") from error
                continue  # a family that this machine does not speak
            try:
                sock.setblocking(False)
                await loop.sock_connect(sock, address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return sock
            except ConnectionRefusedError:
                failure = Refused(502, "connection_refused")
            except TimeoutError as error:
                if error.errno is None:
                    sock.close()
                    raise  # ours
                failure = Refused(504, "connection_timeout")
            except OSError:
                failure = Refused(502, "destination_ip_unroutable")
            except BaseException:
                sock.close()
                raise
            sock.close()
        raise failure

    # -- serving --------------------------------------------------------------------------------

    async def serve(self, tunnel: Tunnel, answer: Callable[[Response], None]) -> None:
        """Serve one CONNECT: `answer` is called with a 200 once TCP is there, or with a refusal."""
        if self.sockets >= self.max_sockets:
            self._refuse(tunnel, answer, Refused(503, "connection_limit_reached"))
            return
        self.sockets += 1
        lasting = False  # the kernel keeps it in TIME-WAIT
        try:
            try:
                sock = await self.dial(tunnel.request)
            except Refused as refused:
                self._refuse(tunnel, answer, refused)
                return
            try:
                answer(Response(200))
            except BaseException:
                sock.close()
                raise
            lasting = await self._copy(tunnel, sock)
        finally:
            if lasting and self.time_wait_s > 0:
                asyncio.get_running_loop().call_later(self.time_wait_s, self._release)
            else:
                self._release()

    def _release(self) -> None:
        self.sockets -= 1

    def _refuse(self, tunnel: Tunnel, answer: Callable[[Response], None], refused: Refused) -> None:
        self.refused += 1
        logger.info(
            "CONNECT %.200r was refused with %d: %s",
            tunnel.request.authority,
            refused.status,
            refused.error,
        )
        # RFC 9209.
        answer(Response(refused.status, [("proxy-status", f"h2ws_fast; error={refused.error}")]))

    async def _copy(self, tunnel: Tunnel, sock: socket.socket) -> bool:
        # Both ways until both have ended; True where this end closed first.
        ends: list[str] = []
        tasks = [
            asyncio.create_task(self._upstream(tunnel, sock, ends)),
            asyncio.create_task(self._downstream(tunnel, sock, ends)),
        ]
        try:
            await asyncio.gather(*tasks)
        except StreamReset:
            pass
        except OSError:
            # RFC 9113 section 8.5: a proxy treats any error of the TCP connection as a stream
            # error of type CONNECT_ERROR.
            tunnel.abort(CONNECT_ERROR)
        except BaseException:
            tunnel.abort(CANCEL)
            raise
        finally:
            for task in tasks:
                task.cancel()
            try:
                await asyncio.gather(*tasks, return_exceptions=True)
            finally:
                # Whoever is cancelled here once more leaves no socket behind.
                whole = len(ends) == 2
                if not whole:
                    # The same section: an error of the stream or of the HTTP/2 connection resets
                    # the TCP connection.
                    with contextlib.suppress(OSError):
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                sock.close()
        return whole and ends[0] == "up"

    async def _upstream(self, tunnel: Tunnel, sock: socket.socket, ends: list[str]) -> None:
        # What the client sends. It is credited as it is taken, and taken as the target takes it.
        loop = asyncio.get_running_loop()
        while data := await tunnel.recv():
            await loop.sock_sendall(sock, data)
        sock.shutdown(socket.SHUT_WR)
        ends.append("up")

    async def _downstream(self, tunnel: Tunnel, sock: socket.socket, ends: list[str]) -> None:
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(sock, PIECE):
            await tunnel.send(data)
        tunnel.send_eof()
        ends.append("down")
