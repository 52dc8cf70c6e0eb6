"""One backend: its connections over HTTP/1.1 and HTTP/2, and whether it can be reached."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from typing import Any

from ..aio import tls, uri
from ..aio.client.pool import Origin, Pool
from ..aio.client.way import Way
from ..aio.h1.pace import PacedWire
from ..aio.protocol import running_hub
from ..engine import Limits, Settings
from ..engine.events import Terminated
from ..engine.octets import Octets
from ..errors import (
    AlpnError,
    ConnectionTerminated,
    ExtendedConnectUnsupported,
    InvalidStatus,
    NoAvailableStreams,
)
from .conversation import Conversation
from .crossing import Crossing
from .h1 import H1Client
from .hop import HopPool
from .opened import OwnPool, for_many
from .table import Table

__all__ = ["HTTP", "Backend"]

HTTP = ("auto", "h2", "h1")
REMEMBER_S = 600.0  # what "auto" has found out
LAST_WORDS_S = 1.0
MAX_IDLE = 64  # connections over HTTP/1.1 that wait for another request
# How long a backend that could not be reached is passed over: twice as long each time.
DOWN_S = 0.5
MAX_DOWN_S = 30.0


class H1Link(PacedWire, asyncio.Protocol):
    """A connection to a backend over HTTP/1.1, and the tunnel that it may become."""

    __slots__ = ("_backend", "client")

    def __init__(self, backend: Backend, hub: Any) -> None:
        self._backend = backend
        self.client = H1Client(backend.limits, self._rest, self.become)
        super().__init__(hub, self.client, backend.limits.write_high)
        self.watched = True

    def _rest(self) -> None:
        self._backend._rests(self)

    def _event(self, event: Any) -> None:
        if type(event) is Terminated:
            self.over = True
            self._backend._gone(self)

    def _lost(self, exc: BaseException | None) -> None:
        self._backend._gone(self)

    def patience_s(self) -> float:
        """See `PacedWire`: an answer may be under way."""
        return LAST_WORDS_S

    @property
    def usable(self) -> bool:
        """Can it take a request now?"""
        return not (self.lost or self.closing or self.client.terminated)


class Backend:
    """What stands behind one URI: `http://host:port` or `https://...`, without a path.

    `http` says what is spoken with it: "h2" (over TLS by ALPN, in cleartext at once), "h1", or "auto",
    which asks for HTTP/2 and remembers for a while what came of it; tunnels go over HTTP/1.1 where
    the backend has not sent SETTINGS_ENABLE_CONNECT_PROTOCOL. `connections` of HTTP/2 at the most
    carry all that goes there. `connect_timeout` is in seconds.

    With `settings=Settings(enable_bidirectional_connect=True)` it may open streams: clients that take
    some (the gateway's own settings must say so, too) have a connection here each, beside those.
    """

    def __init__(
        self,
        address: str,
        *,
        http: str = "auto",
        ssl: ssl_module.SSLContext | None = None,
        connections: int = 4,
        connect_timeout: float = 5.0,
        limits: Limits | None = None,
        settings: Settings | None = None,
    ) -> None:
        if http not in HTTP:
            raise ValueError(f"http is one of {', '.join(HTTP)}: {http!r}")
        self.target = uri.parse(address)
        if self.target.path != "/" or self.target.headers:
            raise ValueError(f"a backend is a scheme, a host and a port: {address!r}")
        self.address = address
        self.http = http
        self.limits = Limits() if limits is None else limits
        self.load = 0  # requests and tunnels that are under way
        self.served = 0
        self.failures = 0  # in a row
        self.falls = 0  # how often that was counted
        self._ssl = None
        if self.target.secure:
            self._ssl = tls.client_context() if ssl is None else tls.prepare(ssl, server=False)
        elif ssl is not None:
            raise ValueError(f"ssl is given, but {address!r} says cleartext")
        self._connect_timeout = connect_timeout
        self._origin = Origin(self.target.scheme, self.target.host, self.target.port)
        self._way = Way(self.target, None, None, {})
        self._arguments: dict[str, Any] = {
            "http": "auto" if http == "auto" else "h2",
            "max_connections": None,
            "open_timeout": connect_timeout,
            "ssl": self._ssl,
            "proxy": None,
            "ping_interval": None,
            "compression": None,
            "limits": self.limits,
            "settings": settings,
        }
        self._opens = settings is not None and settings.enable_bidirectional_connect
        shared = for_many(settings) if settings is not None else None
        self._pool = Pool(
            connections_per_origin=connections, **{**self._arguments, "settings": shared}
        )
        self._own: dict[Any, OwnPool] = {}  # by the connection of the client that has it
        self._conversations: HopPool | None = None  # for WebSockets whose messages are read
        self._connections = connections
        self._idle: list[H1Link] = []
        self._links: set[H1Link] = set()
        self._starting = 0  # requests that are on their way to a connection
        self._retired = False
        self._speaks_h2 = False  # it has, once
        self._plain_until = 0.0  # it speaks HTTP/1.1 alone until then
        self._tunnels_until = 0.0  # ... for tunnels
        self._down_until = 0.0

    # -- health ---------------------------------------------------------------------------------

    def is_up(self, now: float) -> bool:
        """May it be tried?"""
        return now >= self._down_until

    @property
    def down_until(self) -> float:
        """The time until which it is passed over."""
        return self._down_until

    def failed(self, now: float, falls: int) -> None:
        """It could not be reached, by an attempt that began when `falls` was this.

        What was under way together fails together, and counts once.
        """
        if falls != self.falls:
            return
        self.falls += 1
        self.failures += 1
        self._down_until = now + min(DOWN_S * 2 ** min(self.failures - 1, 10), MAX_DOWN_S)

    def _reached(self) -> None:
        self.failures = 0
        self._down_until = 0.0

    # -- one request ----------------------------------------------------------------------------

    async def start(self, crossing: Crossing | Conversation, table: Table) -> None:
        """Send a request's head; `crossing.begun` is called then. A Conversation is carried to its end.

        Raises OSError and TimeoutError where the backend cannot be reached, ConnectionTerminated,
        NoAvailableStreams, PoolFull, ExtendedConnectUnsupported and AlpnError where `http` leaves no
        other way, ValueError where it cannot be sent.
        """
        self._starting += 1
        try:
            if isinstance(crossing, Conversation):
                await self._converse(crossing)
            else:
                await self._start(crossing, table)
        finally:
            self._starting -= 1

    async def _converse(self, conversation: Conversation) -> None:
        pool = self._conversations
        if pool is None:
            pool = self._conversations = HopPool(
                http=self.http,
                connections_per_origin=self._connections,
                max_connections=None,
                open_timeout=self._connect_timeout,
                ssl=self._ssl,
                proxy=None,
                **conversation.options,
            )
        try:
            ws = await pool.converse(self.target, conversation)
        except InvalidStatus as error:
            self._reached()
            conversation.declined(error)
            return
        self._reached()
        self.load += 1
        self.served += 1
        conversation.address = self.address
        try:
            await conversation.carry(ws)
        finally:
            self.release()

    async def _start(self, crossing: Crossing, table: Table) -> None:
        now = asyncio.get_running_loop().time()
        until = self._plain_until
        if crossing.token is not None:
            until = max(until, self._tunnels_until)
        if crossing.how is not None and self.http == "h2":
            raise ExtendedConnectUnsupported("an upgrade of the dialect goes over HTTP/1.1")
        if crossing.how is not None or self.http == "h1" or (self.http == "auto" and now < until):
            await self._start_h1(crossing, table)
            return
        try:
            await self._start_h2(crossing)
        except (AlpnError, ConnectionTerminated) as error:
            # Some that know nothing of HTTP/2 hang up, before they could be asked for SETTINGS.
            unheard = self._ssl is None and not self._speaks_h2
            if self.http != "auto" or not (isinstance(error, AlpnError) or unheard):
                raise
            if self._ssl is not None:  # ALPN has said so
                self._plain_until = now + REMEMBER_S
            await self._start_h1(crossing, table)
        except ExtendedConnectUnsupported:
            if self.http != "auto":
                raise
            self._tunnels_until = now + REMEMBER_S
            await self._start_h1(crossing, table)

    async def _start_h2(self, crossing: Crossing) -> None:
        async def act(link: Any) -> None:
            self._reached()
            self._speaks_h2 = True
            if crossing.token is not None:
                await link._extended()

            def attempt() -> int:
                end = crossing.token is None and crossing.whole
                return int(link._live().conn.request(crossing.head, end, octets=True))

            stream_id = await link._start(attempt)
            self._begin(crossing, link._live(), stream_id)

        try:
            async with asyncio.timeout(self._connect_timeout):
                await self._pool_for(crossing)._on_link(self._origin, act, False)
        except TimeoutError as error:
            if error.errno is None and any(link.streams for link in self._h2_links):
                # It is there, and busy: that is no reason to pass it over.
                raise NoAvailableStreams("all of its streams are in use") from error
            raise

    def _pool_for(self, crossing: Crossing) -> Pool:
        client: Any = crossing.front.wire
        if not (self._opens and client.takes_streams):
            return self._pool
        pool = self._own.get(client)
        if pool is None:
            pool = self._own[client] = OwnPool(client, self.address, **self._arguments)
            client.gone.add_done_callback(lambda _: self._part(client))
        return pool

    def _part(self, client: Any) -> None:
        # It has gone, and its connections here go with it.
        self._own[client].end().add_done_callback(lambda _: self._own.pop(client))

    async def _start_h1(self, crossing: Crossing, table: Table) -> None:
        while self._idle:
            link = self._idle.pop()
            if link.usable:
                break
        else:
            link = await self._dial()
            self._reached()
        token = None
        if crossing.token is not None:
            token = crossing.how or table[crossing.token]
        try:
            stream_id = link.client.request(crossing.head, crossing.whole, token)
        except ValueError:
            self._rests(link)
            raise
        self._begin(crossing, link, stream_id)

    def _begin(self, crossing: Crossing, wire: Any, stream_id: int) -> None:
        self.load += 1
        self.served += 1
        crossing.begun(wire, stream_id, self)

    def answered(self, wire: Any) -> None:
        """The head of an answer has come on this connection."""
        if isinstance(wire, H1Link) and self.http == "auto" and self._ssl is None:
            now = wire.hub.time()
            if now >= max(self._plain_until, self._tunnels_until):
                # Nothing was heard of HTTP/2, and that is not for want of a server.
                self._plain_until = now + REMEMBER_S
                self._speaks_h2 = False

    def release(self) -> None:
        """A request or tunnel is over."""
        self.load -= 1

    async def _dial(self) -> H1Link:
        hub = running_hub()
        link = H1Link(self, hub)
        secured: dict[str, Any] = {}
        if self._ssl is not None:
            secured = {
                "ssl": tls.Offering(self._ssl, ("h1",)),
                "server_hostname": self.target.server_hostname,
                "ssl_shutdown_timeout": tls.SHUTDOWN_S,
            }
        try:
            async with asyncio.timeout(self._connect_timeout):
                await self._way.open(link, secured)
        except BaseException:
            hub.loop.call_soon(link.forsake)
            raise
        self._links.add(link)
        return link

    def _rests(self, link: H1Link) -> None:
        if link.usable and len(self._idle) < MAX_IDLE and not self._retired:
            self._idle.append(link)
        else:
            link.client.shutdown()
            link.touch()

    def _gone(self, link: H1Link) -> None:
        self._links.discard(link)
        if link in self._idle:
            self._idle.remove(link)

    @property
    def _h2_links(self) -> list[Any]:
        pools = (self._pool, *self._own.values())
        return [link for pool in pools for link in pool._connections.links()]

    @property
    def busy(self) -> bool:
        """Is there a connection, or about to be?"""
        conversations = self._conversations is not None and self._conversations.websockets
        return bool(self._starting or self._links or self._h2_links or conversations)

    # -- the end --------------------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """Counters: what is under way, was served, and the connections."""
        return {
            "load": self.load,
            "served": self.served,
            "failures": self.failures,
            "h1_connections": len(self._links),
            "h1_idle": len(self._idle),
            "h2": self._pool.stats(),
            "h2_own": len(self._own),
        }

    def retire(self) -> None:
        """Nothing goes here any more: connections end with what is under way on them."""
        self._retired = True
        for link in list(self._idle):
            link.client.shutdown()
            link.touch()
        for each in self._h2_links:
            each.retire()

    async def close(self) -> None:
        """Close every connection; what is under way on them ends."""
        for link in list(self._links):
            if isinstance(link.conn, Octets) or not link.client.terminated:
                link.conn.abort()
            link.abort()
        if self._conversations is not None:
            await self._conversations.close()
        for pool in list(self._own.values()):
            await pool.end()
        await self._pool.close()
