"""Ports of this machine that clients may have listened on: the server's end of `-R`."""

from __future__ import annotations

import errno
import logging
import socket
import time
from collections.abc import Callable, Hashable, Iterable
from typing import NamedTuple

from ..aio.answering import Answering
from ..aio.http import Request, Response
from ..aio.server.notices import Notices
from ..aio.server.places import Places, by_address
from ..aio.server.session import ServerSession
from ..aio.server.targets import Refused
from ..aio.tunnel import Tunnel
from ..errors import H2WSError, StreamReset
from .counts import Counts
from .lease import ACCEPTED, LISTENING_ON, Lease
from .listener import HALF_CLOSED_S, Listener
from .presence import while_there
from .rules import PortRange, authority_of

__all__ = ["Ports"]

logger = logging.getLogger("h2ws_fast.forward.ports")


class Held(NamedTuple):
    """A lease, the stream it is, and who opens streams on the connection of that."""

    lease: Lease
    tunnel: Tunnel
    session: ServerSession


class Port(Listener):
    """One port, and who takes its connections: the holders of its leases, in turn."""

    def __init__(self, ports: Ports, client: Hashable) -> None:
        super().__init__(
            ports.counts,
            max_connections=ports.max_connections,
            half_closed_timeout=ports.half_closed_timeout,
        )
        self.notices = ports.notices
        self.client = client
        self.number = 0
        self.holders: dict[int, Held] = {}
        self._turn = 0

    async def _forward(self, sock: socket.socket) -> None:
        async with while_there(sock):
            tunnel = await self._open()
        await self._carry(tunnel, sock)

    async def _open(self) -> Tunnel:
        self._turn += 1
        holders = list(self.holders.values())
        failure: Exception = ConnectionAbortedError("the lease has ended")
        for number in range(len(holders)):
            held = holders[(self._turn + number) % len(holders)]
            try:
                return await held.session.tunnel(ACCEPTED, held.lease.path)
            except (OSError, H2WSError) as error:
                failure = error  # that connection is full, or dead
        raise failure

    def _failed(self, error: Exception) -> None:
        self.notices.write("a connection to a client's port failed: %r", error)

    def join(self, held: Held) -> None:
        """Take a lease; an older one of the same number is over."""
        older = self.holders.get(held.lease.number)
        self.holders[held.lease.number] = held
        if older is not None:
            older.tunnel.abort()

    def leave(self, held: Held) -> None:
        """A lease has ended; with the last one listening does."""
        if self.holders.get(held.lease.number) is held:
            del self.holders[held.lease.number]
        if not self.holders:
            self.stop()


class Ports(Answering):
    """Listens for clients that ask for it, and opens a stream to them for each connection that
    comes: a value for `tcp-listen` in `serve(tunnels=...)`, with
    `settings=Settings(enable_bidirectional_connect=True)`.

    `allow` names what may be listened on: "[bind:]port" or "[bind:]first-last", addresses of IPv6 in
    brackets; without `bind` it is 127.0.0.1, and port 0 allows a free one to be asked for. All else
    is answered 403, a port that is in use 409. A port is listened on for as long as a client keeps
    a stream open for it; connections that came until then go on to their ends.

    `max_listeners` of all clients, `max_listeners_per_client` (`client(request)` tells them apart,
    by address where it is not given), beyond which clients are answered 503; `max_connections` at
    once to each port, beyond which they are reset. So are those of which one side ended, and where
    nothing came for `half_closed_timeout` seconds since.

    `stats()` counts.
    """

    def __init__(
        self,
        allow: Iterable[str],
        *,
        max_listeners: int = 64,
        max_listeners_per_client: int = 16,
        max_connections: int = 256,
        half_closed_timeout: float | None = HALF_CLOSED_S,
        client: Callable[[Request], Hashable] = by_address,
    ) -> None:
        if isinstance(allow, str):
            raise TypeError("allow is an iterable of str, not one str")
        self.max_connections = max_connections
        self.half_closed_timeout = half_closed_timeout
        self.counts = Counts()
        self.notices = Notices(logger, logging.INFO, time.monotonic)
        self._allowed = [PortRange.parse(text) for text in allow]
        self._client = client
        self._ports: dict[tuple[str, int, str], Port] = {}
        self._places = Places(max_listeners, max_listeners_per_client)
        self._granted = 0
        self._refused = 0

    def stats(self) -> dict[str, int]:
        """Counters by name: `listeners`, `clients` that have them, and `connections` that there are
        now; leases that were `granted` and `refused`; connections that were `accepted` by clients,
        and that `failed`, among them those `turned_away` beyond `max_connections`; octets
        `to_clients` and `from_clients`."""
        counts = self.counts
        sent, received = counts.octets()
        return {
            "listeners": len(self._ports),
            "clients": len({port.client for port in self._ports.values()}),
            "connections": counts.open,
            "granted": self._granted,
            "refused": self._refused,
            "accepted": counts.opened,
            "failed": counts.failed,
            "turned_away": counts.turned_away,
            "to_clients": sent,
            "from_clients": received,
        }

    async def serve(self, tunnel: Tunnel, answer: Callable[[Response], None]) -> None:
        """See `Answering.serve`."""
        request = tunnel.request
        place = "nothing"
        try:
            try:
                lease = Lease.parse(request.path)
            except ValueError:
                raise Refused(400, "http_request_error") from None
            place = lease.place
            if request.session is None:  # which takes no streams of ours
                raise Refused(400, "http_request_error")
            port = self._port(lease, self._client(request))
        except Refused as refused:
            self._refused += 1
            self.notices.write(
                "listening on %s was refused with %d: %s", place, refused.status, refused.error
            )
            answer(refused.response())
            return
        held = Held(lease, tunnel, request.session)
        port.join(held)
        self._granted += 1
        try:
            answer(Response(200, [(LISTENING_ON, authority_of(lease.host, port.number))]))
            while await tunnel.recv():
                pass  # a lease says nothing
        except StreamReset:
            pass  # the client is gone, or has a newer lease
        finally:
            port.leave(held)
            if not port.holders:
                self._forget(lease, port)
        tunnel.close_nowait()

    def _port(self, lease: Lease, client: Hashable) -> Port:
        # The port that a lease is for; raises Refused.
        if not any(each.includes(lease.host, lease.port) for each in self._allowed):
            raise Refused(403, "http_request_denied")
        port = self._ports.get(lease[:3])
        if port is not None:
            return port
        if not self._places.room(client):
            raise Refused(503, "connection_limit_reached")
        port = Port(self, client)
        try:
            port.number = port.listen(lease.host, lease.port)
        except OSError as error:
            status = 409 if error.errno == errno.EADDRINUSE else 500
            raise Refused(status, "proxy_internal_error") from error
        self._ports[lease[:3]] = port
        self._places.enter(client)
        return port

    def _forget(self, lease: Lease, port: Port) -> None:
        if self._ports.get(lease[:3]) is port:
            del self._ports[lease[:3]]
            self._places.leave(port.client)
