"""Classic CONNECT: TCP connections dialled for clients. RFC 9110 section 9.3.6, RFC 9113 8.5.

An open proxy is a gift to attackers, so `serve` has none unless it is given a `Dialer`, and that
one leads nowhere but to public addresses and port 443 unless it is told otherwise.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from ..answering import Answering
from ..client.race import in_turn, race
from ..http import Request, Response
from ..splice import Splice
from ..tunnel import Tunnel
from .notices import Notices
from .places import Places, by_address
from .targets import Allow, Refused, Resolve, Targets, check_descriptors

__all__ = ["Dialer"]

logger = logging.getLogger("h2ws_fast.aio.dialer")

# A client that names a thousand addresses must not have a thousand knocked at.
MAX_DIALLED = 4
# What the kernel asks of targets that are silent: gone within some four minutes.
KEEPALIVE = (("TCP_KEEPIDLE", 120), ("TCP_KEEPINTVL", 30), ("TCP_KEEPCNT", 4))


class Dialer(Answering):
    """What `serve(connect=...)` dials TCP connections with.

    `allow`: which targets a client may ask for: an iterable of "host:port" (or "host", for every
    allowed port), or a function or coroutine function of `(request, host, port)` that says so; None
    allows every host. `ports`: those that may be dialled; None allows all. `private`: may addresses
    that are not public be dialled, the machine's own among them? An `allow` that names a host says
    nothing about where its name leads. `deny`: networks ("192.0.2.0/24") that are not dialled in any
    case.

    `max_sockets`: connections at once, of all clients together, and `max_sockets_per_client` of one:
    `client(request)` tells them apart, by address where it is not given. One that this end closed
    first stays in the kernel for `time_wait_s`, and keeps a port: of those there are at most
    `max_time_wait`, half of them of one client. Beyond each clients are answered 503. `places` takes
    the place of both `max_sockets`, where several proxies share them.

    `dial_timeout`: seconds for resolving and connecting. `resolve`: how names are resolved; by
    default as the system does it, four names at once for a client. The addresses of a name are tried
    as RFC 8305 says, four of them at most.

    A connection over which nothing went for `idle_timeout` seconds is ended, and one of which one
    side has ended after `half_closed_timeout`; None: never. Targets that are gone are found out by
    TCP's keepalive.
    """

    def __init__(
        self,
        allow: Allow = None,
        *,
        ports: Iterable[int] | None = (443,),
        private: bool = False,
        deny: Iterable[str] = (),
        max_sockets: int = 1024,
        max_sockets_per_client: int = 256,
        places: Places | None = None,
        client: Callable[[Request], Hashable] = by_address,
        dial_timeout: float = 5.0,
        time_wait_s: float = 60.0,
        max_time_wait: int = 16384,
        idle_timeout: float | None = None,
        half_closed_timeout: float | None = 300.0,
        resolve: Resolve | None = None,
    ) -> None:
        self.targets = Targets(allow, ports=ports, private=private, deny=deny, resolve=resolve)
        self.dial_timeout = dial_timeout
        self.time_wait_s = time_wait_s
        self.idle_timeout = idle_timeout
        self.half_closed_timeout = half_closed_timeout
        self.sockets = 0
        self.refused = 0
        self._client = client
        self._places = Places(max_sockets, max_sockets_per_client) if places is None else places
        self._notices = Notices(logger, logging.INFO, time.monotonic)
        self._time_wait = Places(max_time_wait, max(1, max_time_wait // 2))

    # -- dialling -------------------------------------------------------------------------------

    async def dial(self, request: Request) -> socket.socket:
        """Return a connected socket to what a CONNECT asks for; raise Refused."""
        host, _, digits = request.authority.rpartition(":")
        host = host.strip("[]")
        port = int(digits)
        client = self._client(request)
        try:
            async with asyncio.timeout(self.dial_timeout):
                found = await self.targets.find(request, host, port, socket.SOCK_STREAM, client)
                return await self._connect(found)
        except TimeoutError:
            raise Refused(504, "connection_timeout") from None

    async def _connect(self, addresses: list[tuple[int, Any]]) -> socket.socket:
        loop = asyncio.get_running_loop()
        found = in_turn(
            (family, socket.SOCK_STREAM, 0, "", address) for family, address in addresses
        )
        try:
            sock = await race(loop, list(found)[:MAX_DIALLED])
        except ConnectionRefusedError:
            raise Refused(502, "connection_refused") from None
        except TimeoutError:
            raise Refused(504, "connection_timeout") from None
        except OSError as error:
            check_descriptors(error)
            raise Refused(502, "destination_ip_unroutable") from None
        keep_alive(sock)
        return sock

    # -- serving --------------------------------------------------------------------------------

    async def serve(self, tunnel: Tunnel, answer: Callable[[Response], None]) -> None:
        """Serve one CONNECT: `answer` is called with a 200 once TCP is there, or with a refusal."""
        client = self._client(tunnel.request)
        if not self._time_wait.room(client) or not self._places.enter(client):
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
            splice = Splice(
                tunnel,
                sock,
                idle_timeout=self.idle_timeout,
                half_closed_timeout=self.half_closed_timeout,
            )
            lasting = await splice.run()
        finally:
            self.sockets -= 1
            self._places.leave(client)
            if lasting and self.time_wait_s > 0 and self._time_wait.enter(client):
                loop = asyncio.get_running_loop()
                loop.call_later(self.time_wait_s, self._time_wait.leave, client)

    def _refuse(self, tunnel: Tunnel, answer: Callable[[Response], None], refused: Refused) -> None:
        self.refused += 1
        self._notices.write(
            "CONNECT %.200r was refused with %d: %s",
            tunnel.request.path or tunnel.request.authority,  # of NamedStreams the former says it
            refused.status,
            refused.error,
        )
        answer(refused.response())


def keep_alive(sock: socket.socket) -> None:
    """Send small pieces at once, and find out when the other end is gone."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE:
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
