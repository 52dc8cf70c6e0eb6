"""`Session`: one HTTP/2 connection to a server, and everything on it."""

from __future__ import annotations

import asyncio
import logging
import math
import ssl as ssl_module
import weakref
from collections.abc import AsyncIterable, Awaitable, Callable, Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from ..._twins import warn_if_pure
from ...engine import Limits, Settings
from ...engine.agreement import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory
from ...engine.constants import CANCEL
from ...errors import (
    AlpnError,
    ConnectionTerminated,
    ExtendedConnectUnsupported,
    InvalidStatus,
    LocalProtocolError,
    NoAvailableStreams,
    PoolFull,
)
from .. import tls, uri
from ..arguments import (
    check_count,
    check_kinds,
    check_no_callbacks,
    check_seconds,
    deflate_from,
    limits_from,
    marks_from,
)
from ..http import Body, Headers, HeadersLike, Request, Response, fields_of, octets_of
from ..hub import Hub, running_hub
from ..keeper import Keeper
from ..observer import Observer, check_observer
from ..opener import Fields, Opener
from ..protocol import Wire
from ..traced import log_tracer, traced
from ..tunnel import Tunnel, reset
from ..websocket import WebSocket
from .agent import named
from .fallback import either, is_remembered, open_tunnel, open_upgraded, probe
from .fetch import Fetch
from .opening import Wanted, in_time
from .serving import Serving
from .way import Way
from .wire import ClientWire

if TYPE_CHECKING:
    from ...trace import Tracer

__all__ = ["Session", "own_fields"]

LOGGER = "h2ws_fast.client"
logger = logging.getLogger(LOGGER)

# Streams that wait for one of a server that stops taking them, or that says nothing: a client must
# not collect callers without end. Some 2 KB each.
MAX_WAITING = 10_000

MISDIRECTED = 421  # this connection cannot answer for the origin: RFC 9110 section 15.5.20


class Session(Opener):
    """One HTTP/2 connection to a server: WebSockets, requests and tunnels, all at once.

        async with Session("https://host:port") as session:
            ws = await session.websocket("/chat")
            response = await session.request("GET", "/")
            stream = await session.bytestream("/path")
            tunnel = await session.tunnel("token", "/path")

    `uri` may be `https://` or `wss://` (TLS, ALPN `h2`), `http://` or `ws://` (cleartext, HTTP/2 at
    once), or `host:port`, which means TLS. `ssl` is a context (`h2ws_fast.aio.tls.client_context`)
    or None (or True) for one that trusts the system's authorities. `await session.connect()` connects too.

    `http="auto"` lets WebSockets and tunnels fall back to HTTP/1.1, each on a connection of its own,
    where the server does not take them over HTTP/2 or does not speak it; `http="h1"` has them begin
    there. Requests and `connect_tcp` need HTTP/2. The session serves the origin of `uri` and no other.

    `max_size`, `max_queue` and `write_limit` are as `serve` has them.

    WebSockets offer compression as `compression` says: "deflate", a
    `ClientPerMessageDeflateFactory`, or None for none.

    With `handler` or `tunnels`, as `serve` has them, the server may open WebSockets and tunnels on
    this connection, too (SETTINGS_ENABLE_BIDIRECTIONAL_CONNECT; `settings` of one's own must have
    it): unknown tokens are answered 501, and at most `settings.max_concurrent_streams` handlers work
    at once. They are cancelled when the session is closed.

    `transport` is a connected asyncio transport, or a Tunnel, that leads to the server: nothing is
    dialled then, and whatever security there is belongs to it.

    Where the server's limit on concurrent streams is reached, opening waits for a free stream;
    `max_waiting` bounds how many wait, beyond which PoolFull is raised at once.
    Connecting raises OSError, AlpnError where the server does not speak HTTP/2, TimeoutError after
    `open_timeout` seconds, ConnectionTerminated where the server ends it at once, ProxyError.

    `server_hostname` is whom the certificate must name, `user_agent_header` what WebSockets and
    proxies are told (True: the names and versions of Python and of this package). `host` and `port` connect elsewhere than `uri` says; `unix=True` and `path`
    to a Unix socket; `sock` is a socket that is connected already. `family`, `proto`, `flags`,
    `local_addr`, `ssl_handshake_timeout` and `ssl_shutdown_timeout` are as `create_connection` has
    them; `happy_eyeballs_delay` is a quarter of a second (RFC 8305), on every loop. `proxy` is True
    (the environment's, as `find_proxy` finds it), None, or the address of one: `http://` and
    `https://` by CONNECT, `socks5h://`, `socks5://`, `socks4a://`, `socks4://` by python-socks.
    Arguments `proxy_ssl`, `proxy_server_hostname`, `proxy_ssl_handshake_timeout` and
    `proxy_ssl_shutdown_timeout` concern TLS with the proxy.
    """

    _in_turn = (
        True  # RFC 6455 section 4.1: one handshake over HTTP/1.1 with a server after the other
    )

    def __init__(
        self,
        uri_: str,
        *,
        ssl: ssl_module.SSLContext | Literal[True] | None = None,
        server_hostname: str | None = None,
        http: str = "h2",
        proxy: str | bool | None = True,
        user_agent_header: str | bool | None = True,
        open_timeout: float | None = 10,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        close_timeout: float | None = 10,
        idle_timeout: float | None = None,
        write_timeout: float | None = 60,
        keepalive_interval: float | None = 30,
        keepalive_timeout: float | None = 20,
        max_size: int | tuple[int | None, int | None] | None = 2**20,
        max_queue: int | tuple[int | None, int | None] | None = None,
        write_limit: int | tuple[int, int | None] = 2**15,
        compression: str | ClientPerMessageDeflateFactory | None = "deflate",
        max_waiting: int | None = MAX_WAITING,
        settings: Settings | None = None,
        limits: Limits | None = None,
        observer: Observer | None = None,
        logger: Any = None,
        handler: Callable[[WebSocket], Any] | None = None,
        tunnels: Mapping[str, Callable[[Tunnel], Awaitable[Any]]] | None = None,
        transport: Any = None,
        **kwargs: Any,
    ) -> None:
        check_no_callbacks(kwargs)
        self.target = uri.parse(uri_)
        self._scheme = self.target.scheme
        self._authority = self.target.authority
        self.logger = logging.getLogger(LOGGER) if logger is None else logger
        self._observer = check_observer(observer)
        check_kinds(limits, settings)
        check_seconds(ping_interval=ping_interval, ping_timeout=ping_timeout)
        if ssl is not None and not self.target.secure:
            raise ValueError(f"ssl is given, but {uri_!r} says cleartext: use https or wss")
        if http not in ("auto", "h2", "h1"):
            raise ValueError(f'http is "auto", "h2" or "h1": {http!r}')
        self._http = http
        self._ssl = None
        if self.target.secure:
            if ssl is None or ssl is True:
                self._ssl = tls.client_context()
            else:
                self._ssl = tls.prepare(ssl, server=False)
        self._server_hostname = server_hostname
        self._deflate = deflate_from(compression, ClientPerMessageDeflateFactory)
        self._open_timeout = open_timeout
        self._close_timeout = close_timeout
        self._ping_interval = ping_interval
        self._ping_timeout = ping_timeout
        serves = handler is not None or bool(tunnels)
        if settings is None:
            settings = Settings(enable_bidirectional_connect=serves)
        elif serves and not settings.enable_bidirectional_connect:
            raise ValueError("handler and tunnels need Settings(enable_bidirectional_connect=True)")
        self._settings = settings
        self._serving = Serving(
            handler,
            tunnels,
            ServerPerMessageDeflateFactory() if compression == "deflate" else None,
            settings.max_concurrent_streams,
            self.logger,
        )
        self._limits = limits_from(
            Session,
            limits,
            open_timeout=open_timeout,
            close_timeout=close_timeout,
            max_size=max_size,
            write_limit=write_limit,
            write_timeout=write_timeout,
            idle_timeout=idle_timeout,
            keepalive_interval=keepalive_interval,
            keepalive_timeout=keepalive_timeout,
        )
        self._queue = marks_from(max_queue)
        check_count(least=0, none=True, max_waiting=max_waiting)
        self._max_waiting = math.inf if max_waiting is None else max_waiting
        self._refused = 0
        self._user_agent = named(user_agent_header)
        self._way = Way(self.target, proxy, self._user_agent, kwargs, transport)
        self._wire: ClientWire | None = None
        self._led = False  # who opens streams here has waited for its turn elsewhere
        # WebSockets go over HTTP/1.1, each on its own connection. Where there is one connection and
        # no ALPN, nothing can be tried out: what every server understands is said then.
        self._over_h1 = http == "h1" or (
            http == "auto" and self._way.once and self._ssl is None and transport is None
        )
        self._spare: Any = None  # a transport over which the server chose HTTP/1.1
        self._others: set[Any] = set()  # connections over HTTP/1.1, and those that were replaced
        self._keeper: Keeper | None = None
        self._hub: Hub | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._connecting = asyncio.Lock()  # one connection is made at a time
        self._exchanges: weakref.WeakSet[Fetch | Tunnel] = weakref.WeakSet()

    # -- the connection ---------------------------------------------------------------------------

    async def connect(self) -> Session:
        """Connect, unless it is connected already.

        Does nothing with `http="h1"`, nor with "auto" where the origin is known to need HTTP/1.1.
        """
        async with self._connecting:
            if self._hub is None:
                await self._connect()
        return self

    def _arrive(self, hub: Hub) -> None:
        # The connection comes to this end: there is nothing to dial.
        self._keep(hub)
        self._wire = self._make_wire(hub)
        self._hub = hub

    def _keep(self, hub: Hub) -> None:
        if self._ping_interval is not None:
            self._keeper = Keeper(hub, self._ping_interval, self._ping_timeout, set())

    async def _connect(self) -> None:
        warn_if_pure(self.logger)
        hub = running_hub()
        self._keep(hub)
        if self._http == "auto" and is_remembered(hub, self.target):
            self._over_h1 = True
        if not self._over_h1:
            try:
                async with asyncio.timeout(self._open_timeout):
                    await self._greet(hub)
            except BaseException:
                self._abort()  # nobody else will: it is not connected
                raise
        self._hub = hub

    async def _greet(self, hub: Hub) -> None:
        # Connect to a server of HTTP/2, or find out that it is none.
        probing = self._http == "auto" and self._ssl is None
        try:
            await self._dial(hub)
        except ConnectionTerminated:
            if not probing:  # the answer came with the connection: `probe` judges it
                raise
        if probing:
            await probe(self)

    def _secured(self, http: tuple[str, ...]) -> dict[str, Any]:
        # The arguments of `create_connection` that concern TLS.
        if self._ssl is None:
            return {}
        return {
            "ssl": tls.Offering(self._ssl, http),
            "server_hostname": self._server_hostname or self.target.server_hostname,
            "ssl_shutdown_timeout": tls.shutdown_timeout(self._close_timeout),
        }

    async def _dial(self, hub: Hub) -> None:
        wire = self._make_wire(hub)
        http = ("h2", "h1") if self._http == "auto" else ("h2",)
        try:
            await self._way.open(wire, self._secured(http))
        except BaseException:
            hub.loop.call_soon(wire.forsake)
            raise
        if self._spare is not None:
            self._over_h1 = True
            return
        self._wire = wire
        if wire.failure is not None:
            raise wire.failure

    async def _replace(self, misdirected: Wire) -> None:
        # A fresh connection takes the place of this one, which ends with its last stream.
        async with self._connecting:
            wire = self._wire
            if wire is None or wire is not misdirected:
                return  # another stream on it has seen to that
            wire.retired = True
            self._others.add(wire)
            try:
                async with asyncio.timeout(self._open_timeout):
                    await self._dial(wire.hub)
            except BaseException:
                if self._wire is wire:
                    wire.retired = False
                    self._others.discard(wire)
                else:
                    wire.leave()
                raise
            wire.leave()

    def _make_wire(self, hub: Hub) -> ClientWire:
        return traced(ClientWire, self._tracer(), self, hub)

    def _tracer(self) -> Tracer | None:
        # Who is to tell what goes over a connection that is about to be made.
        return log_tracer(self.logger, server=False)

    def __await__(self) -> Generator[Any, None, Session]:
        return self.connect().__await__()

    async def __aenter__(self) -> Session:
        return await self.connect()

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        await self.close()

    @property
    def connected(self) -> bool:
        """Is the connection there, and does the server take new streams on it?"""
        wire = self._wire
        return wire is not None and not wire.lost and not wire.conn.draining

    def stats(self) -> dict[str, Any]:
        """Counters of its HTTP/2 connection by name, as `Connection.stats()` has them, and
        `websockets`: those that are open; streams that are `waiting`, and `refused` by the name of
        the limit. {} before it is connected."""
        if self._wire is None:
            return {}
        refused = {"max_waiting": self._refused}
        return {**self._wire.stats(), "waiting": self._waiting(), "refused": refused}

    @property
    def websockets(self) -> list[WebSocket]:
        """The WebSockets that are open now."""
        return [ws for wire in self._wires() for ws in wire.websockets]

    def _wires(self) -> list[Any]:
        return [*([] if self._wire is None else [self._wire]), *self._others]

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close every WebSocket, say GOAWAY, and wait for the end, `close_timeout` at most.

        This side of every tunnel ends behind what was sent. Tunnels that the server has not ended
        a second later, and responses that nobody is reading then, are reset with CANCEL; a request
        that some task waits for has until `close_timeout`.
        """
        for wire in self._wires():
            for ws in list(wire.websockets):
                ws._start_closing(code, reason)
        for exchange in list(self._exchanges):
            exchange._leave()
        self._shutdown()
        try:
            await self._part()
        except asyncio.CancelledError:
            self._serving.cancel()
            raise
        await self._serving.stop()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _shutdown(self) -> None:
        if self._spare is not None:
            self._spare.abort()
            self._spare = None
        for wire in self._wires():
            if not wire.lost and not wire.conn.terminated:
                wire.conn.shutdown()
                wire.touch()

    def _keep_only(self, kept: Any) -> None:
        # The other connections have no use any more.
        for wire in self._wires():
            if wire is not kept and not wire.lost and not wire.conn.terminated:
                wire.conn.shutdown()
                wire.touch()

    def _abort(self) -> None:
        self._shutdown()
        for wire in self._wires():
            if wire.transport is not None:
                wire.pull()
                wire.abort()

    def _goaway(self) -> None:
        # The server takes no new streams. Who made this session sees it and decides.
        pass

    def _forget(self, wire: Any) -> None:
        # A connection is gone.
        self._others.discard(wire)
        if self._keeper is not None:
            self._keeper.discard(wire)
        if self._spare is not None and wire.transport is self._spare:
            self._spare = None

    # -- streams ----------------------------------------------------------------------------------

    def _live(self) -> ClientWire:
        wire = self._wire
        if wire is None and self._over_h1:
            raise AlpnError("http/1.1")
        if wire is None:
            raise LocalProtocolError("the session is not connected: use async with, or connect()")
        if wire.lost or wire.conn.terminated:
            raise wire.why()
        return wire

    async def _start(self, attempt: Callable[[], int]) -> int:
        # Open a stream as soon as the server allows one more.
        wire = self._live()
        waited = self._led
        if wire.waiting and not waited:
            self._check_waiting()
            waited = True
            await wire.wait()
        while True:
            wire = self._live()
            try:
                return attempt()
            except NoAvailableStreams:
                if wire.conn.draining:
                    raise
            except BaseException:
                wire._settled()  # it takes no stream: a free one is for the next who waits
                raise
            if not waited:
                self._check_waiting()
            await wire.wait(first=waited)
            waited = True

    def _waiting(self) -> int:
        wire = self._wire
        return 0 if wire is None else len(wire.waiting) + len(wire.ungreeted)

    def _check_waiting(self) -> None:
        if self._waiting() >= self._max_waiting:
            self._refused += 1
            raise PoolFull("max_waiting")

    def _own_fields(self, fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return own_fields(self.target, fields)

    async def _greeted(self) -> ClientWire:
        # The connection, once the server's SETTINGS have come.
        while not (wire := self._live()).conn.settings_received:
            self._check_waiting()
            await wire.greeted()
        return wire

    async def _extended(self) -> None:
        # RFC 8441 section 3: no `:protocol` before the server has sent the setting.
        if not (await self._greeted()).conn.can_connect:
            raise ExtendedConnectUnsupported(
                "the server does not take WebSockets over HTTP/2: it has not sent "
                "SETTINGS_ENABLE_CONNECT_PROTOCOL = 1"
            )

    async def websocket(
        self,
        path: str = "/",
        *,
        subprotocols: Iterable[str] | None = None,
        origin: str | None = None,
        additional_headers: HeadersLike | None = None,
        user_agent_header: str | bool | None = True,
        priority: str | None = None,
        authority: str | None = None,
        open_timeout: float | None = None,
        on_message: Callable[[WebSocket, Any], Any] | None = None,
        on_close: Callable[[WebSocket], Any] | None = None,
    ) -> WebSocket:
        """Open a WebSocket on this connection.

        `additional_headers`, `origin` and `user_agent_header` (the session's by default, None for
        none) go into the request; an `authorization` among the former stands for the user and
        password of the URI. `authority` is asked for in place of the URI's. `priority` is as `request` has it. With `on_message` (and `on_close`) its messages go to that callback during the read that
        brings them, as `serve` has it.

        Raises ExtendedConnectUnsupported where the server does not take WebSockets over HTTP/2,
        InvalidStatus where it refuses, StreamReset where it resets the stream, TimeoutError after
        `open_timeout` seconds (the session's by default, `math.inf` for no limit),
        ConnectionTerminated.
        """
        headers = own_fields(self.target, fields_of(additional_headers))
        agent = self._user_agent if user_agent_header is True else named(user_agent_header)
        if agent is not None and not any(name == "user-agent" for name, _ in headers):
            headers.append(("user-agent", agent))
        wanted = Wanted.of(path, subprotocols, headers, origin, priority, on_message, on_close)
        wanted.authority = authority
        async with in_time(self._open_timeout if open_timeout is None else open_timeout):
            try:
                return await self._websocket(wanted)
            except InvalidStatus as error:
                if error.response.status != MISDIRECTED:
                    raise
            # RFC 9110 section 15.5.20: once more, on a connection that is fresh.
            await self._replace(wanted.ws.wire)
            return await self._websocket(wanted)

    async def _websocket(self, wanted: Wanted) -> WebSocket:
        return await either(
            self, lambda: self._websocket_h2(wanted), lambda: open_upgraded(self, wanted)
        )

    async def _ask_for_tunnel(self, request: Request, fields: Fields, ended: bool) -> Tunnel:
        over_h2 = super()._ask_for_tunnel
        if request.protocol is None:
            return await over_h2(request, fields, ended)
        return await either(
            self,
            lambda: over_h2(request, fields, ended),
            lambda: open_tunnel(self, request, ended),
        )

    async def connect_tcp(
        self,
        authority: str,
        *,
        headers: HeadersLike | None = None,
        priority: str | None = None,
        open_timeout: float | None = None,
    ) -> Tunnel:
        """Have the server dial a TCP connection to `host:port`: a CONNECT without `:protocol`.

        The server is a proxy for it, as `serve(connect=Dialer(...))` makes one. `priority` as in
        `tunnel`. Raises as `websocket`; an InvalidStatus may say why in its response's
        `proxy-status` (RFC 9209).
        """
        fields = [(":method", "CONNECT"), (":authority", authority), *fields_of(headers)]
        if priority is not None:
            fields.append(("priority", priority))
        request = Request("", fields[2:], method="CONNECT", scheme="", authority=authority)
        return await self._tunnel(request, fields, open_timeout)

    async def request(
        self,
        method: str,
        path: str = "/",
        *,
        headers: HeadersLike | None = None,
        body: Body = None,
        trailers: HeadersLike | None = None,
        priority: str | None = None,
        on_informational: Callable[[Response], Any] | None = None,
        on_started: Callable[[], Any] | None = None,
    ) -> Response:
        """Send an ordinary request and return its response as soon as its head is there.

        `body` is `bytes`, `str` or an async iterable of `bytes`; it is sent while the response
        comes. `priority` is the field of RFC 9218: "u=1" is more urgent than the default "u=3",
        "u=7" the least, and "u=3, i" comes in turn with others. `on_started()` is called when it has
        a stream, `on_informational(response)` for each 1xx. Read the response with
        `await response.read()` or `async for`, or `close()` it.
        Raises StreamReset (`retryable` where the server has processed nothing) and
        ConnectionTerminated.
        """
        octets = octets_of(body)
        whole = isinstance(octets, bytes)
        if not whole and not isinstance(octets, AsyncIterable):
            raise TypeError(f"a body is bytes, str or an async iterable: {type(body)!r}")
        fields = [
            (":method", method),
            (":scheme", self.target.scheme),
            (":authority", self.target.authority),
            (":path", path),
            *own_fields(self.target, fields_of(headers)),
        ]
        if priority is not None:
            fields.append(("priority", priority))
        request = self._make_request(method, path, fields[4:])
        ending = None if trailers is None else Headers(trailers)
        alone = whole and not octets and not ending
        told = (on_informational, on_started)
        if whole and octets and "content-length" not in request.headers:
            fields.append(("content-length", str(len(octets))))
        self._live()
        response = await self._request(request, fields, octets, ending, alone, told)
        if response.status == MISDIRECTED and whole:
            # RFC 9110 section 15.5.20: once more, on a connection that is fresh.
            response.close()
            assert response._body is not None
            await self._replace(response._body.wire)
            response = await self._request(request, fields, octets, ending, alone, told)
        return response

    async def _request(
        self,
        request: Request,
        fields: list[tuple[str, str]],
        octets: Any,
        ending: Headers | None,
        alone: bool,
        told: tuple[Callable[[Response], Any] | None, Callable[[], Any] | None],
    ) -> Response:
        on_informational, on_started = told
        stream_id = await self._start(
            lambda: int(self._live().conn.request(fields, end_stream=alone))
        )
        if on_started is not None:
            on_started()
        wire = self._live()
        fetch = Fetch(wire, stream_id, request, on_informational)
        self._exchanges.add(fetch)
        wire.conn.attach(stream_id, fetch.feed)
        wire.touch()
        if not alone:
            task = wire.hub.loop.create_task(fetch.run_upload(octets, ending, self.logger))
            fetch.upload = task
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            return await fetch.future
        except asyncio.CancelledError:
            reset(wire, stream_id, CANCEL)
            raise

    def __repr__(self) -> str:
        return f"<Session {self.target.scheme}://{self.target.authority}>"


def own_fields(target: uri.Target, fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """What the URI says of the user, unless the fields say it themselves, and the fields."""
    named = {name for name, _ in fields}
    return [*(field for field in target.headers if field[0] not in named), *fields]
