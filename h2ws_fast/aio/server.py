"""`serve`: WebSockets, requests and tunnels on one port."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl as ssl_module
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any

from .._twins import warn_if_pure
from ..engine import Limits, Settings
from ..engine.constants import NO_ERROR
from . import tls
from .admission import Admission
from .dialer import Dialer
from .http import Request, Response
from .options import OnMessage, OnRequest, OnTunnel, OnWebSocket, Options, limits_from
from .origins import SAME_ORIGIN, Origins, SameOrigin
from .protocol import Hub, limit_unsent, running_hub
from .server_wire import ServerWire
from .websocket import Keeper, WebSocket

__all__ = ["SAME_ORIGIN", "SameOrigin", "Server", "serve"]

logger = logging.getLogger("h2ws_fast.aio.server")


class Server:
    """What `serve` returns: await it, or use it with `async with`, to start it.

    `close()` begins the graceful shutdown, `wait_closed()` waits for its end, `serve_forever()`
    runs until cancelled, `stats()` counts.
    """

    def __init__(self, options: Options, admission: Admission, start: dict[str, Any]) -> None:
        self.options = options
        self.admission = admission
        self.logger = options.logger
        self.closing = False
        self.server: asyncio.Server | None = None
        self._start = start
        self._hub: Hub | None = None
        self._keeper: Keeper | None = None
        self._wires: set[ServerWire] = admission.wires
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closer: asyncio.Task[None] | None = None
        self._closed: asyncio.Future[None] | None = None
        self._quiet: asyncio.Future[None] | None = None

    # -- what connections call --------------------------------------------------------------------

    def _admit(self, wire: ServerWire) -> str | None:
        # The name of the limit that keeps a connection out, or None.
        limit = self.admission.enter(wire)
        if limit is not None:
            return limit
        if self._keeper is not None:
            self._keeper.add(wire)
        return None

    def _forget(self, wire: ServerWire) -> None:
        if not self.admission.leave(wire):
            return
        if self._keeper is not None:
            self._keeper.discard(wire)
        self._check_quiet()

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._check_quiet()

    def _check_quiet(self) -> None:
        quiet = self._quiet
        if quiet is not None and not self._wires and not self._tasks and not quiet.done():
            quiet.set_result(None)

    # -- what users call --------------------------------------------------------------------------

    @property
    def connections(self) -> set[WebSocket]:
        """The WebSockets that are open now."""
        return {ws for wire in self._wires for ws in wire.websockets}

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets."""
        return () if self.server is None else tuple(self.server.sockets)

    def stats(self) -> dict[str, Any]:
        """Counters by name.

        `connections` that are open, `accepted` so far, `handlers` at work (tasks), `octets_held`:
        what `memory_budget` limits; `refused`: newcomers, by the limit that refused them; `limits`:
        how often each limit of a connection was reached, by all connections so far.
        """
        admission = self.admission
        return {
            "connections": len(admission.wires),
            "accepted": admission.accepted,
            "handlers": len(self._tasks),
            "octets_held": admission.held(),
            "refused": dict(admission.refused),
            "limits": admission.limits(),
        }

    def is_serving(self) -> bool:
        """Does it accept connections?"""
        return self.server is not None and self.server.is_serving()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop it runs on."""
        if self.server is None:
            raise RuntimeError("the server was not started: await it first")
        return self.server.get_loop()

    async def start_serving(self) -> None:
        """Begin to accept, where `serve(start_serving=False)` did not."""
        await self
        assert self.server is not None
        await self.server.start_serving()

    async def serve_forever(self) -> None:
        """Serve until cancelled, or until `close()`; then shut down gracefully."""
        await self
        if not self.is_serving() and not self.closing:
            await self.start_serving()
        try:
            await self.wait_closed()
        except asyncio.CancelledError:
            self.close()
            await self.wait_closed()
            raise

    def close(self, close_connections: bool = True, code: int = 1001, reason: str = "") -> None:
        """Stop accepting, and end connections gracefully; `wait_closed()` tells when it is done.

        Each connection gets a GOAWAY, so that no client opens streams that would be lost, each
        WebSocket a Close with `code`, and requests under way their time: `close_timeout` seconds.
        With `close_connections=False` connections live on until their clients leave.
        """
        if self._closer is None and self.server is not None:
            self.closing = True
            self._closer = self.get_loop().create_task(self._close(close_connections, code, reason))

    async def _close(self, close_connections: bool, code: int, reason: str) -> None:
        assert self.server is not None
        self.logger.info("server closing")
        self.server.close()
        self._quiet = self.get_loop().create_future()
        self._check_quiet()
        grace: float | None = None
        if close_connections:
            grace = self.options.limits.close_timeout_s
            for wire in list(self._wires):
                if code != 1001 or reason:
                    for ws in list(wire.websockets):
                        ws._start_closing(code, reason)
                wire.conn.shutdown()
                wire.touch()
        try:
            async with asyncio.timeout(grace):
                await asyncio.shield(self._quiet)
        except TimeoutError:
            for task in list(self._tasks):
                task.cancel()
            for wire in list(self._wires):
                wire.conn.abort(NO_ERROR, b"server shut down")
                wire.touch()
            await asyncio.sleep(0.05)
            for wire in list(self._wires):
                wire.abort()
            await self._quiet
        if hasattr(self.server, "wait_closed"):
            await self.server.wait_closed()
        assert self._closed is not None
        self._closed.set_result(None)
        self.logger.info("server closed")

    async def wait_closed(self) -> None:
        """Wait until every connection is gone and every handler has returned."""
        await self
        assert self._closed is not None
        await asyncio.shield(self._closed)

    async def _await(self) -> Server:
        if self.server is not None:
            return self
        warn_if_pure(self.logger)
        hub = running_hub()
        self._hub = hub
        self.admission.start(hub.time)
        self._closed = hub.loop.create_future()
        start = dict(self._start)
        interval = start.pop("ping_interval")
        timeout = start.pop("ping_timeout")
        if interval is not None:
            self._keeper = Keeper(hub, interval, timeout, self._wires)

        def factory() -> ServerWire:
            return ServerWire(self, hub)

        self.server = await hub.loop.create_server(factory, **start)
        for listener in self.server.sockets:
            limit_unsent(listener)
            self.logger.info("server listening on %s", listener.getsockname())
        return self

    def __await__(self) -> Generator[Any, None, Server]:
        return self._await().__await__()

    async def __aenter__(self) -> Server:
        return await self

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        self.close()
        await self.wait_closed()


def serve(
    handler: OnWebSocket | None = None,
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    ssl: ssl_module.SSLContext | None = None,
    on_message: OnMessage | None = None,
    on_open: OnWebSocket | None = None,
    on_close: OnWebSocket | None = None,
    on_request: OnRequest | None = None,
    tunnels: Mapping[str, OnTunnel] | None = None,
    connect: Dialer | None = None,
    origins: Origins = SAME_ORIGIN,
    subprotocols: Iterable[str] | None = None,
    select_subprotocol: Callable[[WebSocket, Sequence[str]], str | None] | None = None,
    process_request: Callable[[Any, Request], Any] | None = None,
    process_response: Callable[[Any, Request, Response], Any] | None = None,
    server_header: str | None = None,
    http: Iterable[str] = ("h2", "h1"),
    open_timeout: float | None = 10,
    ping_interval: float | None = 20,
    ping_timeout: float | None = 20,
    close_timeout: float | None = 10,
    idle_timeout: float | None = 180,
    write_timeout: float | None = 60,
    keepalive_interval: float | None = 30,
    keepalive_timeout: float | None = 20,
    max_size: int | None = 2**20,
    max_queue: int | tuple[int, int] | None = 16,
    write_limit: int | tuple[int, int] = 2**15,
    settings: Settings | None = None,
    limits: Limits | None = None,
    max_connections: int | None = None,
    max_connections_per_address: int | None = None,
    memory_budget: int | None = None,
    logger: Any = logger,
    backlog: int = 4096,
    **kwargs: Any,
) -> Server:
    """Serve WebSockets, requests and tunnels over HTTP/2 and HTTP/1.1 on `host` and `port`.

    `async with serve(...) as server:` or `server = await serve(...)`. With `ssl` (see
    `h2ws_fast.aio.tls.server_context`) clients choose `h2` or `http/1.1` by ALPN; without it they
    speak either at once, and the first octets tell which. `http` names what is spoken: "h2", "h1"
    or both. Tunnels exist over HTTP/2 alone.

    WebSockets go to one of two: `handler`, a coroutine function `handler(ws)` that runs as a task
    (when it returns the WebSocket is closed with 1000, when it raises with 1011); or `on_message`,
    called as `on_message(ws, message)` during the read that brought the message, with `on_open(ws)`
    and `on_close(ws)` before and after. The second starts no tasks: it is the fastest and the
    leanest, and what it does keeps everybody else waiting. `ws.send()` need not be awaited there.

    `on_request` is a coroutine function from Request to Response for ordinary requests. Without it
    they are answered 404, and over HTTP/1.1 426 unless `process_request` answers them. `tunnels` maps
    `:protocol` tokens to coroutine functions of a Tunnel; unknown tokens are answered 501. With a
    `Dialer` as `connect` it is a proxy for TCP connections (CONNECT without `:protocol`, 501 by
    default).

    `origins` lists allowed Origin fields: `str`, compiled patterns, None for "no Origin field";
    the default demands that an Origin names the authority it asks, `origins=None` allows all.
    `subprotocols` in order of preference, or `select_subprotocol(ws, offered)`, choose one.
    `process_request(ws, request)` may return a Response that refuses, and may be a coroutine
    function; for tunnels its first argument is the Tunnel. `process_response(ws, request,
    response)` may change the response's headers, or return another that refuses.

    `max_size` limits a message, `write_limit` (or a pair, high and low) is where `send` begins to
    wait. What arrives and is not received waits with the peer, by flow control: the window in
    `settings` bounds it in octets, so `max_queue` of `websockets` is accepted and not needed.
    `limits` replaces what the timeouts, `max_size` and `write_limit` say, but for the pings.

    Each WebSocket is pinged every `ping_interval` seconds and closed with 1011 where no pong comes
    within `ping_timeout`. A connection with open streams that is silent for `keepalive_interval`
    is pinged by HTTP/2, and given up after `keepalive_timeout` without a sign of life; one without
    streams ends after `idle_timeout`. A stream whose peer takes nothing for `write_timeout` is
    reset. `open_timeout` limits TLS, and each opening handshake. None turns any of them off.

    `max_connections`, `max_connections_per_address` (of IPv6 addresses one /64) and `memory_budget`,
    the octets that all connections together keep for applications and peers that do not take them,
    refuse newcomers beyond: connections with GOAWAY(ENHANCE_YOUR_CALM), and beyond the budget new
    streams with 503. `Server.stats()` counts them. On each connection at most
    `settings.max_concurrent_streams` handlers work at once, those of streams that were reset
    included; streams beyond are refused (REFUSED_STREAM).

    Other keyword arguments (`sock`, `reuse_port`, `start_serving` ...) go to `create_server`.
    """
    if handler is not None and on_message is not None:
        raise ValueError("give handler or on_message, not both")
    if on_message is None and (on_open is not None or on_close is not None):
        raise ValueError("on_open and on_close go with on_message")
    for name, callback in (("handler", handler), ("on_message", on_message)):
        if callback is not None and not callable(callback):
            raise TypeError(f"{name} must be callable: {callback!r}")
    if isinstance(subprotocols, str):
        raise TypeError("subprotocols is a list of str, not one str")
    options = Options()
    options.handler = handler
    options.on_message = on_message
    options.on_open = on_open
    options.on_close = on_close
    options.on_request = on_request
    options.tunnels = {token.lower(): each for token, each in (tunnels or {}).items()}
    if connect is not None and not isinstance(connect, Dialer):
        raise TypeError(f"connect is a Dialer, not {connect!r}")
    options.dialer = connect
    options.origins = origins
    options.subprotocols = None if subprotocols is None else list(subprotocols)
    options.select_subprotocol = select_subprotocol
    options.process_request = process_request
    options.process_response = process_response
    options.extra_headers = [] if server_header is None else [("server", server_header)]
    options.http = tls.versions(http)
    options.ssl = None if ssl is None else tls.prepare(ssl, server=True, http=options.http)
    if settings is None:
        # RFC 8441 section 3 is only advertised where something answers it.
        answers = bool(handler or on_message or options.tunnels)
        settings = Settings() if answers else Settings(enable_connect_protocol=False)
    options.settings = settings
    options.limits = limits_from(
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
    options.logger = logger
    admission = Admission(
        logger,
        max_connections=max_connections,
        max_connections_per_address=max_connections_per_address,
        memory_budget=memory_budget,
    )
    start = {
        "host": host,
        "port": port,
        "ssl": options.ssl,
        "backlog": backlog,
        "ping_interval": ping_interval,
        "ping_timeout": ping_timeout,
        **kwargs,
    }
    if ssl is not None:
        if open_timeout is not None:
            start.setdefault("ssl_handshake_timeout", open_timeout)
        start.setdefault("ssl_shutdown_timeout", tls.shutdown_timeout(close_timeout))
    return Server(options, admission, start)
