"""Classic CONNECT: TCP connections dialled for clients. RFC 9110 section 9.3.6, RFC 9113 8.5.

An open proxy is a gift to attackers, so `serve` has none unless it is given a `Dialer`, and that
one leads nowhere but to public addresses and port 443 unless it is told otherwise.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from typing import Any

from ..answering import Answering
from ..http import Request, Response
from ..splice import Splice
from ..tunnel import Tunnel
from .targets import Allow, Refused, Resolve, Targets, new_socket

__all__ = ["Dialer"]

logger = logging.getLogger("h2ws_fast.aio.dialer")


class Dialer(Answering):
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
        self.targets = Targets(allow, ports=ports, private=private, resolve=resolve)
        self.max_sockets = max_sockets
        self.dial_timeout = dial_timeout
        self.time_wait_s = time_wait_s
        self.sockets = 0
        self.refused = 0

    # -- dialling -------------------------------------------------------------------------------

    async def dial(self, request: Request) -> socket.socket:
        """Return a connected socket to what a CONNECT asks for; raise Refused."""
        host, _, digits = request.authority.rpartition(":")
        host = host.strip("[]")
        port = int(digits)
        try:
            async with asyncio.timeout(self.dial_timeout):
                return await self._connect(await self.targets.find(request, host, port))
        except TimeoutError:
            raise Refused(504, "connection_timeout") from None

    async def _connect(self, addresses: list[tuple[int, Any]]) -> socket.socket:
        loop = asyncio.get_running_loop()
        failure = Refused(502, "destination_unavailable")
        for family, address in addresses:
            sock = new_socket(family, socket.SOCK_STREAM)
            if sock is None:
                continue
            try:
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
            lasting = await Splice(tunnel, sock).run()
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
        answer(refused.response())
