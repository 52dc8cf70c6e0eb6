"""One backend: its connections over HTTP/1.1 and HTTP/2, and whether it can be reached."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from typing import Any

from ..aio import tls, uri
from ..aio.arguments import check_count, check_seconds
from ..aio.client.pool import Origin, Pool
from ..aio.client.way import Way
from ..aio.hub import running_hub
from ..engine import Limits, Settings
from ..engine.constants import NEVER
from ..errors import (
    AlpnError,
    ConnectionTerminated,
    ExtendedConnectUnsupported,
    InvalidStatus,
    NoAvailableStreams,
)
from .aware import Aware
from .conversation import Conversation
from .crossing import Crossing
from .fields import Refused, in_dialect
from .hop import HopPool
from .links import MOST, H1Link, H1Links
from .opened import OwnPool, for_many
from .table import Table

__all__ = ["HTTP", "Backend"]

HTTP = ("auto", "h2", "h1")
REMEMBER_S = 600.0  # what "auto" has found out
# How long a backend that could not be reached is passed over: twice as long each time.
DOWN_S = 0.5
MAX_DOWN_S = 30.0
ENOUGH = 3  # requests in a row that it took and did not answer: it is passed over, too
BUSY = "all of its connections or streams are in use"  # it is there, and not to be passed over
DOUBT_S = 1.0  # how long "auto" goes by a hang-up that is not explained yet


class Backend:
    """What stands behind one URI: `http://host:port` or `https://...`, without a path.

    `http` says what is spoken with it: "h2" (over TLS by ALPN, in cleartext at once), "h1", or "auto",
    which asks for HTTP/2 and remembers for a while what came of it; tunnels go over HTTP/1.1 where
    the backend has not sent SETTINGS_ENABLE_CONNECT_PROTOCOL. `connections` of HTTP/2 at the most
    carry all that goes there, and `h1_connections` of HTTP/1.1; what comes beyond waits for one, in
    turn, for `connect_timeout` seconds, which connecting may take, too. WebSockets whose messages
    are read have as many connections for themselves, for each way of reading them. Each Backend
    counts for itself, whatever others there are with its address.

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
        h1_connections: int = MOST,
        connect_timeout: float | None = 5.0,
        limits: Limits | None = None,
        settings: Settings | None = None,
    ) -> None:
        if http not in HTTP:
            raise ValueError(f"http is one of {', '.join(HTTP)}: {http!r}")
        check_count(connections=connections, h1_connections=h1_connections)
        check_seconds(connect_timeout=connect_timeout)
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
        self._unanswered = 0  # in a row
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
        self._dialect = settings is not None and settings.dialect() is not None
        self._opens = settings is not None and settings.enable_bidirectional_connect
        shared = for_many(settings) if settings is not None else None
        self._pool = Pool(
            connections_per_origin=connections, **{**self._arguments, "settings": shared}
        )
        self._own: dict[Any, OwnPool] = {}  # by the connection of the client that has it
        self._hops: dict[Aware, HopPool] = {}  # for WebSockets whose messages are read
        self._connections = connections
        self._links = H1Links(self._dial, h1_connections)
        self._h1_connections = h1_connections
        self._speaks_h2 = False  # it has, once
        self._starting = 0  # requests that are on their way to a connection
        self._asking: asyncio.Future[None] | None = None  # what is spoken
        self._doubt_until = 0.0  # it has hung up on HTTP/2, whatever that means
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
        self._pass_over(now, self.failures)

    def unanswered(self, now: float) -> None:
        """It took a request and hung up on it, or did not answer in time.

        Once may be for the request to blame, several in a row are not.
        """
        self._doubt_until = 0.0
        if self.is_up(now):
            self._unanswered += 1
        if self._unanswered >= ENOUGH:
            self._pass_over(now, self._unanswered - ENOUGH + 1)

    def _pass_over(self, now: float, times: int) -> None:
        self._down_until = now + min(DOWN_S * 2 ** min(times - 1, 10), MAX_DOWN_S)

    def _reached(self) -> None:
        self.failures = 0
        if self._unanswered < ENOUGH:
            self._down_until = 0.0

    def _answers(self) -> None:
        self._unanswered = 0
        self._reached()

    @property
    def under_way(self) -> int:
        """What it works on, and what is on its way there."""
        return self.load + self._starting

    # -- one request ----------------------------------------------------------------------------

    async def start(self, crossing: Crossing | Conversation, table: Table) -> None:
        """Send a request's head; `crossing.begun` is called then, or that a backend has declined it.

        Raises OSError and TimeoutError where the backend cannot be reached, ConnectionTerminated,
        NoAvailableStreams, PoolFull, ExtendedConnectUnsupported and AlpnError where `http` leaves no
        other way, ValueError where it cannot be sent.
        """
        self._starting += 1
        try:
            if isinstance(crossing, Conversation):
                await self._converse(crossing)
            else:
                await self._ask(crossing, table)
        finally:
            self._starting -= 1

    async def _converse(self, conversation: Conversation) -> None:
        loop = asyncio.get_running_loop()
        pool = self._hops.get(conversation.aware)
        if pool is None:
            pool = self._hops[conversation.aware] = HopPool(
                conversation.aware,
                http=self.http,
                connections_per_origin=self._connections,
                max_connections=self._h1_connections,
                open_timeout=self._connect_timeout,
                ssl=self._ssl,
                proxy=None,
            )
        try:
            ws = await pool.converse(self.target, conversation)
        except InvalidStatus as error:
            self._answers()
            conversation.declined(error)
            return
        except Refused:
            self.unanswered(loop.time())
            raise
        except TimeoutError as error:
            if error.errno is None and pool.full:
                raise NoAvailableStreams(BUSY) from error
            raise
        except asyncio.CancelledError:
            if conversation.left_unanswered:
                self.unanswered(loop.time())
            raise
        self._answers()
        self._count()
        conversation.begun(ws, self)

    async def _ask(self, crossing: Crossing, table: Table) -> None:
        # Where nobody knows yet what is spoken one request finds out, and the others go as it goes.
        loop = asyncio.get_running_loop()
        while self.http == "auto" and not self._speaks_h2:
            if self._asking is not None:
                asking = self._asking
                await asyncio.wait((asking,))
                if (error := asking.exception()) is not None:
                    raise error
            elif loop.time() >= max(self._doubt_until, self._plain_until):
                await self._find_out(crossing, table)
                return
            elif loop.time() < self._doubt_until and crossing.how is None:
                await self._start_h1(crossing, table)
                return
            else:
                break
        await self._start(crossing, table)

    async def _find_out(self, crossing: Crossing, table: Table) -> None:
        loop = asyncio.get_running_loop()
        self._asking = asking = loop.create_future()
        try:
            await self._start(crossing, table)
            if not self._speaks_h2:
                self._doubt_until = loop.time() + DOUBT_S
        except (OSError, ConnectionTerminated) as error:
            asking.set_exception(error)  # of all who wait
            asking.exception()
            raise
        finally:
            self._asking = None
            if not asking.done():
                asking.set_result(None)

    async def _start(self, crossing: Crossing, table: Table) -> None:
        now = asyncio.get_running_loop().time()
        until = self._plain_until
        if crossing.token is not None:
            until = max(until, self._tunnels_until)
        if self._needs_dialect(crossing) and not self._dialect:
            if self.http == "h2":
                raise ExtendedConnectUnsupported("the backend does not speak the dialect")
            until = NEVER
        if self.http == "h1" or (self.http == "auto" and now < until):
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
            if not self._needs_dialect(crossing):
                self._tunnels_until = now + REMEMBER_S
            await self._start_h1(crossing, table)

    @staticmethod
    def _needs_dialect(crossing: Crossing) -> bool:
        # Does an extended CONNECT not say what was asked for? That HTTP/2 drops fields of one hop is
        # what clients of HTTP/1.1 know.
        how = crossing.how
        return how is not None and (crossing.switches or how.method != "GET")

    async def _start_h2(self, crossing: Crossing) -> None:
        async def act(link: Any) -> None:
            self._reached()
            self._speaks_h2 = True
            head = crossing.head
            if crossing.token is not None:
                await link._extended()
            if crossing.how is not None:
                if link._live().conn.speaks_dialect:
                    head = [*head, *in_dialect(crossing.how)]
                elif self._needs_dialect(crossing):
                    raise ExtendedConnectUnsupported("the backend does not speak the dialect")

            def attempt() -> int:
                end = crossing.token is None and crossing.whole
                return int(link._live().conn.request(head, end, octets=True))

            stream_id = await link._start(attempt)
            self._begin(crossing, link._live(), stream_id)

        pool = self._pool_for(crossing)
        try:
            async with asyncio.timeout(self._connect_timeout):
                await pool._on_link(self._origin, act, False)
        except TimeoutError as error:
            full = any(link.usable and link.room <= 0 for link in pool._connections.links())
            if error.errno is None and full:
                raise NoAvailableStreams(BUSY) from error
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
        # Where one connection was stale others may be, too.
        link = await self._links.take(self._connect_timeout, fresh=crossing.again)
        token = None
        if crossing.token is not None:
            token = crossing.how or table[crossing.token]
        try:
            stream_id = link.client.request(crossing.head, crossing.whole, token)
        except ValueError:
            self._links.rest(link)
            raise
        self._begin(crossing, link, stream_id)

    def _begin(self, crossing: Crossing, wire: Any, stream_id: int) -> None:
        self._count()
        crossing.begun(wire, stream_id, self)

    def _count(self) -> None:
        self.load += 1
        self.served += 1

    def answered(self, wire: Any) -> None:
        """The head of an answer has come on this connection."""
        self._answers()
        if isinstance(wire, H1Link) and self.http == "auto" and self._ssl is None:
            now = wire.hub.time()
            if now >= max(self._plain_until, self._tunnels_until):
                # Nothing was heard of HTTP/2, and that is not for want of a server.
                self._plain_until = now + REMEMBER_S
                self._speaks_h2 = False

    def release(self) -> None:
        """A request or tunnel is over."""
        self.load -= 1

    async def _dial(self, links: H1Links) -> H1Link:
        hub = running_hub()
        link = H1Link(links, hub, self.limits)
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
        self._reached()
        return link

    @property
    def _pools(self) -> list[Pool]:
        return [self._pool, *self._own.values(), *self._hops.values()]

    @property
    def busy(self) -> bool:
        """Is there a connection, or about to be?"""
        pooled = any(pool._connections.links() for pool in self._pools)
        return bool(self._starting or self._links or pooled)

    # -- the end --------------------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """Counters: what is under way, was served, and the connections."""
        return {
            "load": self.under_way,
            "served": self.served,
            "failures": self.failures,
            "unanswered": self._unanswered,
            **self._links.stats(),
            "h2": self._pool.stats(),
            "h2_own": len(self._own),
            "aware_connections": sum(pool.stats()["connections"] for pool in self._hops.values()),
        }

    def welcome(self) -> None:
        """Requests come here, again where that was over."""
        self._links.welcome()

    def retire(self) -> None:
        """Nothing goes here any more: connections end with what is under way on them."""
        self._links.retire()
        for pool in (self._pool, *self._own.values()):
            for link in pool._connections.links():
                link.retire()
        for hop in self._hops.values():
            hop.retire()

    async def close(self) -> None:
        """Close every connection; what is under way on them ends."""
        self._links.abort()
        for own in list(self._own.values()):
            await own.end()
        for pool in (*self._hops.values(), self._pool):
            await pool.close()
