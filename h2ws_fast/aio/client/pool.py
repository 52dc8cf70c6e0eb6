"""`Pool`: WebSockets and requests to any number of origins, over connections that they share."""

from __future__ import annotations

import asyncio
import math
import random
import ssl as ssl_module
from collections.abc import Awaitable, Callable
from typing import Any, Literal, NamedTuple, TypeVar

from ...engine.constants import HTTP_1_1_REQUIRED, NORMAL_CLOSURE
from ...errors import (
    AlpnError,
    ConnectionTerminated,
    ExtendedConnectUnsupported,
    LocalProtocolError,
    NoAvailableStreams,
    StreamReset,
)
from .. import tls, uri
from ..arguments import check_callbacks, check_count
from ..http import Body, HeadersLike, Response, fields_of, octets_of
from ..hub import running_hub
from ..tunnel import Tunnel
from ..websocket import WebSocket
from .connections import MAX_WAITING, Connections
from .fallback import is_remembered, probe, remember
from .link import Link
from .opening import in_time
from .session import Session, own_fields

__all__ = ["Pool"]

T = TypeVar("T")

# Shorter than servers have it (nginx 75 seconds, h2ws_fast 180): otherwise a stream may meet a
# connection that its server is just closing.
IDLE_S = 60
# Attempts for one stream, where the server says each time that it has processed nothing.
MAX_TRIES = 4
# Before a stream that was refused is tried again, twice as long each time, and half of it at random:
# RFC 9113 section 8.7 allows it at once, but a server that is full is not empty a moment later.
REFUSED_S = 0.05


class Origin(NamedTuple):
    """What connections are shared by."""

    scheme: str
    host: str
    port: int

    @property
    def uri(self) -> str:
        """As a Session takes it: without the user and password of whoever asked first."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


class PoolLink(Link):
    """A connection of a Pool."""

    async def ready(self, *, probing: bool, settled: bool) -> PoolLink:
        """Connect. `probing`: a server in cleartext has to show that it speaks HTTP/2.

        `settled`: wait for its SETTINGS, which say how many streams it takes.
        """
        try:
            await self.connect()
            async with asyncio.timeout(self._open_timeout):
                if probing and self._ssl is None:
                    await probe(self)
                    if self._over_h1:
                        raise AlpnError(None)
                while settled and not (wire := self._live()).conn.settings_received:
                    await wire.greeted()
        except BaseException:
            self._abort()
            raise
        return self

    async def _websocket(self, wanted: Any) -> WebSocket:
        # Whether HTTP/1.1 is tried is the pool's to say: that is a connection more.
        if self._over_h1:
            return await super()._websocket(wanted)
        return await self._websocket_h2(wanted)


class Pool:
    """Connections to any number of origins, each shared by WebSockets, requests and tunnels.

        async with Pool() as pool:
            ws = await pool.websocket("wss://host/chat")
            response = await pool.request("GET", "https://host/")
            async with connect("wss://host/chat", pool=pool) as ws:
                ...

    One connection an origin carries as many streams as its server allows (SETTINGS_MAX_CONCURRENT_
    STREAMS); further ones wait for a free stream. With `connections_per_origin` above 1 a stream
    goes to the connection with the least, and another connection is made while each has something
    to do: a lost packet then stops only its own connection's streams. A server that takes no
    WebSockets over HTTP/2 gets one connection over HTTP/1.1 for each of them (`http="auto"`;
    "h2" and "h1" are one of them and nothing else).

    A connection whose server has said GOAWAY, or that is lost, takes no new streams: they go to
    another, which is made for them, and what is open runs to its end. A stream is opened again,
    `MAX_TRIES` times in all, where the server says that it has processed nothing of it (RFC 9113
    section 8.7: REFUSED_STREAM, or above the last stream of a GOAWAY) and what was to be sent is at
    hand: never after anything else.

    `max_connections` bounds all connections, `max_idle` those without streams, which end after
    `idle_timeout` seconds (or what `limits` says instead); `max_waiting` bounds the streams that wait, beyond which PoolFull is
    raised at once. Opening takes `open_timeout` seconds at the most, whatever it waits for.
    Other arguments are those of `Session`; `stats()` counts. A pool belongs to one event loop.
    """

    _kind: type[PoolLink] = PoolLink

    def __init__(
        self,
        *,
        http: str = "auto",
        connections_per_origin: int = 1,
        max_connections: int | None = 100,
        max_idle: int | None = 20,
        max_waiting: int | None = MAX_WAITING,
        idle_timeout: float | None = IDLE_S,
        open_timeout: float | None = 10,
        ssl: ssl_module.SSLContext | Literal[True] | None = None,
        **arguments: Any,
    ) -> None:
        check_count(connections_per_origin=connections_per_origin)
        check_count(least=0, none=True, max_idle=max_idle, max_waiting=max_waiting)
        check_count(none=True, max_connections=max_connections)
        for name in ("sock", "host", "port", "unix", "path", "server_hostname"):
            if arguments.get(name) is not None:
                raise TypeError(f"{name} leads to one place, and a pool to any: use a Session")
        arguments = {"open_timeout": open_timeout, **arguments}
        if arguments.get("limits") is None:
            arguments["idle_timeout"] = idle_timeout
        elif idle_timeout != IDLE_S:
            raise TypeError("limits replaces idle_timeout: say it in limits, or leave limits out")
        self._example = Session("http://localhost", http=http, **arguments)  # it checks them
        self._http = http
        self._open_timeout = open_timeout
        self._ssl = ssl
        self._arguments = arguments
        self._connections = Connections(
            self._dial,
            per_origin=connections_per_origin,
            most=max_connections,
            most_idle=max_idle,
            most_waiting=max_waiting,
        )
        self._settled = connections_per_origin > 1
        self._closed = False
        self._farewell = NORMAL_CLOSURE, ""
        self._retried = 0
        self._moved = 0

    # -- connections ------------------------------------------------------------------------------

    async def _dial(self, origin: Origin, connect_s: float | None) -> Link:
        link = self._link(origin, "h2")
        return await link.ready(probing=self._http == "auto", settled=self._settled)

    def _link(self, origin: Origin, http: str) -> PoolLink:
        context = None
        if origin.scheme == "https":
            if self._ssl is None or self._ssl is True:
                self._ssl = tls.client_context()  # once: reading the authorities takes milliseconds
            context = self._ssl
        link = self._kind(
            origin.uri, origin, self._connections.gone, ssl=context, http=http, **self._arguments
        )
        # Of several connections the pool chooses one with room; queued there once more, a stream
        # would wait behind those that it was chosen before, and they behind it.
        link._led = self._settled
        return link

    async def _on_link(self, origin: Origin, act: Callable[[Link], Awaitable[T]], again: bool) -> T:
        # Retry where the server has processed nothing. `again`: what was sent is at hand.
        connections = self._connections
        delay = REFUSED_S
        for left in range(MAX_TRIES - 1, -1, -1):
            link = await connections.reserve(origin)
            # From here until it is opened or waits on the connection nothing else runs.
            link.reserved -= 1
            try:
                return await act(link)
            except (NoAvailableStreams, ConnectionTerminated):
                # Nothing was sent on it.
                self._check_open()
                if not left:
                    raise
                self._moved += 1
                connections.retire(link)
            except StreamReset as error:
                if not (error.retryable and again and left) or self._closed:
                    raise
                self._retried += 1
                if link.usable:
                    await asyncio.sleep(delay * random.uniform(0.5, 1))
                    delay *= 2
            finally:
                connections.idle(link)
        raise AssertionError("unreachable")

    def _check_open(self) -> None:
        if self._closed:
            raise LocalProtocolError("the pool is closed")

    # -- streams ----------------------------------------------------------------------------------

    async def websocket(
        self,
        uri_: str,
        *,
        additional_headers: HeadersLike | None = None,
        open_timeout: float | None = None,
        **arguments: Any,
    ) -> WebSocket:
        """Open a WebSocket. The arguments are those of `Session.websocket`, `open_timeout` the
        pool's by default; each connection has the pool's.

        Raises what that and `connect` raise, and PoolFull. Redirects are for `connect(pool=...)`.
        """
        check_callbacks(arguments.get("on_message"), arguments.get("on_close"))
        target = uri.parse(uri_)
        arguments["additional_headers"] = own_fields(target, fields_of(additional_headers))
        return await self._websocket(target, open_timeout, arguments)

    async def _websocket(
        self, target: uri.Target, open_timeout: float | None, arguments: dict[str, Any]
    ) -> WebSocket:
        self._check_open()
        origin = Origin(target.scheme, target.host, target.port)
        patience = self._open_timeout if open_timeout is None else open_timeout

        async def act(link: Link) -> WebSocket:
            ws = await link.websocket(target.path, open_timeout=patience, **arguments)
            if self._closed:
                # It opened behind what `close` has ended, and nobody will: it goes with the pool.
                ws._start_closing(*self._farewell)
                self._check_open()
            return ws

        async with in_time(patience):
            if self._http == "h1" or (
                self._http == "auto" and is_remembered(running_hub(), target)
            ):
                return await self._over_h1(origin, act)
            try:
                return await self._on_link(origin, act, True)
            except (ExtendedConnectUnsupported, AlpnError):
                if self._http != "auto":
                    raise
            except StreamReset as error:
                if self._http != "auto" or error.error_code != HTTP_1_1_REQUIRED:
                    raise
            ws = await self._over_h1(origin, act)
            remember(running_hub(), target)
            return ws

    async def _over_h1(self, origin: Origin, act: Callable[[Link], Awaitable[T]]) -> T:
        link = await self._connections.reserve_alone(origin, lambda: self._link(origin, "h1"))
        try:
            await link.connect()
            return await act(link)
        except BaseException:
            link._abort()
            self._connections.gone(link)
            raise

    async def tunnel(
        self,
        protocol: str,
        uri_: str,
        *,
        headers: HeadersLike | None = None,
        open_timeout: float | None = None,
    ) -> Tunnel:
        """Open a tunnel of octets over HTTP/2: see `Session.tunnel`. Raises PoolFull too."""
        self._check_open()
        target = uri.parse(uri_)
        origin = Origin(target.scheme, target.host, target.port)
        fields = own_fields(target, fields_of(headers))
        patience = self._open_timeout if open_timeout is None else open_timeout

        async def act(link: Link) -> Tunnel:
            return await link.tunnel(protocol, target.path, headers=fields, open_timeout=patience)

        async with in_time(patience):
            return await self._on_link(origin, act, True)

    async def request(
        self,
        method: str,
        uri_: str,
        *,
        headers: HeadersLike | None = None,
        body: Body = None,
        open_timeout: float | None = None,
        **arguments: Any,
    ) -> Response:
        """Send a request and return its response: see `Session.request`, and its arguments.

        `open_timeout` seconds (the pool's by default, `math.inf` for no limit) are for its stream; how long the server takes
        for an answer is not bounded. Raises PoolFull too, and AlpnError from a server of HTTP/1.1.
        """
        self._check_open()
        target = uri.parse(uri_)
        origin = Origin(target.scheme, target.host, target.port)
        arguments["headers"] = own_fields(target, fields_of(headers))
        arguments["body"] = octets = octets_of(body)
        patience = self._open_timeout if open_timeout is None else open_timeout
        if patience == math.inf:
            patience = None
        limit = asyncio.timeout(patience)
        told = arguments.pop("on_started", None)

        def started() -> None:
            limit.reschedule(None)
            if told is not None:
                told()

        async def act(link: Link) -> Response:
            try:
                return await link.request(method, target.path, on_started=started, **arguments)
            except StreamReset:
                if patience is not None:  # for the next attempt
                    limit.reschedule(asyncio.get_running_loop().time() + patience)
                raise

        async with limit:
            return await self._on_link(origin, act, isinstance(octets, bytes))

    # -- the end ----------------------------------------------------------------------------------

    @property
    def websockets(self) -> list[WebSocket]:
        """The WebSockets that are open now."""
        return [ws for link in self._connections.links() for ws in link.websockets]

    def stats(self) -> dict[str, Any]:
        """Counts: `connections`, `idle` ones, `leaving` ones (drained), `dialling`, `streams`.

        And of streams that are `waiting`; since the beginning connections `opened`, streams
        `retried` (the server had processed nothing), `moved` (to another connection before they
        were sent) and `refused`, by the name of the limit.
        """
        return {**self._connections.stats(), "retried": self._retried, "moved": self._moved}

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close every connection as `Session.close` does.

        What waits, and a WebSocket that opens meanwhile, raises LocalProtocolError.
        """
        self._closed = True
        self._farewell = code, reason
        await self._connections.aclose(lambda link: link.close(code, reason))

    async def __aenter__(self) -> Pool:
        return self

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Pool {len(self._connections.links())} connections>"
