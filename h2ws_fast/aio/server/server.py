"""`serve`: WebSockets, requests and tunnels on one port."""

from __future__ import annotations

import logging
import os
import ssl as ssl_module
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ...engine import Limits, Settings
from ...engine.agreement import ServerPerMessageDeflateFactory
from .. import tls
from ..answering import Answering
from ..arguments import (
    check_callables,
    check_kinds,
    check_subprotocols,
    check_tunnels,
    deflate_from,
    limits_from,
    marks_from,
)
from ..http import Request, Response
from ..hub import Hub
from ..observer import Observer, check_observer
from ..traced import log_tracer, traced
from ..websocket import WebSocket
from .accepted import AcceptedWire
from .admission import Admission
from .dialer import Dialer
from .listener import Listener
from .options import (
    OnMessage,
    OnRequest,
    OnSession,
    OnTunnel,
    OnWebSocket,
    Options,
    start_from,
)
from .origins import SAME_ORIGIN, Origins, SameOrigin, check_origins
from .wire import ServerWire

__all__ = ["SAME_ORIGIN", "SameOrigin", "Server", "serve", "unix_serve"]

LOGGER = "h2ws_fast.server"


class Server(Listener):
    """What `serve` returns: await it, or use it with `async with`, to start it.

    `close()` begins the graceful shutdown, `wait_closed()` waits for its end, `serve_forever()`
    runs until cancelled, `stats()` counts.
    """

    options: Options

    def _wire(self, hub: Hub) -> AcceptedWire:
        return traced(ServerWire, log_tracer(self.logger, server=True), self, hub)


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
    on_session: OnSession | None = None,
    tunnels: Mapping[str, OnTunnel] | None = None,
    connect: Dialer | None = None,
    origins: Origins = SAME_ORIGIN,
    subprotocols: Iterable[str] | None = None,
    select_subprotocol: Callable[[WebSocket, Sequence[str]], str | None] | None = None,
    process_request: Callable[[Any, Request], Any] | None = None,
    process_response: Callable[[Any, Request, Response], Any] | None = None,
    compression: str | ServerPerMessageDeflateFactory | None = "deflate",
    server_header: str | None = None,
    accept_key: bool = True,
    http: Iterable[str] = ("h2", "h1"),
    open_timeout: float | None = 10,
    ping_interval: float | None = 20,
    ping_timeout: float | None = 20,
    close_timeout: float | None = 10,
    idle_timeout: float | None = 180,
    write_timeout: float | None = 60,
    keepalive_interval: float | None = 30,
    keepalive_timeout: float | None = 20,
    max_size: int | tuple[int | None, int | None] | None = 2**20,
    max_queue: int | tuple[int | None, int | None] | None = None,
    write_limit: int | tuple[int, int | None] = 2**15,
    settings: Settings | None = None,
    limits: Limits | None = None,
    max_connections: int | None = None,
    max_connections_per_address: int | None = None,
    memory_budget: int | None = None,
    observer: Observer | None = None,
    logger: Any = None,
    backlog: int = 4096,
    listen: bool = True,
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
    they are answered 404, and over HTTP/1.1 426, unless `process_request` answers them. `tunnels` maps
    `:protocol` tokens to coroutine functions of a Tunnel, or to what answers by itself, as the proxy
    of `h2ws_fast.masque` does; unknown tokens are answered 501. With a
    `Dialer` as `connect` it is a proxy for TCP connections (CONNECT without `:protocol`, 501 by
    default).

    `on_session` is a coroutine function of a ServerSession, on which this end opens WebSockets and
    tunnels to a client that takes them (a Session with `handler` or `tunnels`): called once for each
    such connection, and cancelled when that is gone. Handlers find the same as `ws.request.session`
    and `tunnel.request.session`, with `settings=Settings(enable_bidirectional_connect=True)` without
    an `on_session` too. Nobody else hears of it.

    `origins` lists allowed Origin fields: `str`, compiled patterns, None for "no Origin field";
    the default demands that an Origin names the authority it asks, `origins=None` allows all.
    `subprotocols` in order of preference, or `select_subprotocol(ws, offered)`, choose one.
    `process_request(ws, request)` may return a Response that refuses, and may be a coroutine
    function; for tunnels its first argument is the Tunnel. `process_response(ws, request,
    response)` may change the response's headers, or return another that refuses; it sees the
    refusals of WebSockets, too, and the answers to ordinary requests where there is no `on_request`.

    `compression` answers the client's offers of permessage-deflate: "deflate" with defaults that
    keep nothing between messages, a `ServerPerMessageDeflateFactory` as it says, None never.

    A client that sends a valid `sec-websocket-key` over HTTP/2, where RFC 8441 section 5 has no use
    for it, gets the `sec-websocket-accept` that some of them insist on, unless `accept_key` is
    False. Over HTTP/1.1 there always is one.

    `max_size` limits a message, or a pair a message and each of its fragments; `write_limit` (or a
    pair, high and low) is where `send` begins to wait. What arrives and is not received waits with
    the peer, by flow control: the window in `settings` bounds it in octets. `max_queue` (or a pair,
    high and low) bounds it in messages, too: the peer of a WebSocket for which more than `high` wait
    gets no further window until `low` are left, a quarter of that; what its window allowed before
    still comes. Over HTTP/1.1 the transport is not read meanwhile. `limits` replaces what the
    timeouts, `max_size` and `write_limit` say, but for the pings and TLS: give one or the others.

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

    An `observer` (an Observer) is told of connections and WebSockets as they open and close, and of
    limits that are reached. `logger` is a logging.Logger, or an adapter of one.

    Raises TypeError and ValueError at once for arguments that make no sense.

    With `listen=False` nothing is listened for: `Server.dial` and `Server.serve_on` bring connections.

    Other keyword arguments (`sock`, `reuse_port`, `start_serving` ...) go to `create_server`.
    """
    if handler is not None and on_message is not None:
        raise ValueError("give handler or on_message, not both")
    if on_message is None and (on_open is not None or on_close is not None):
        raise ValueError("on_open and on_close go with on_message")
    check_callables(
        handler=handler,
        on_message=on_message,
        on_open=on_open,
        on_close=on_close,
        on_request=on_request,
        on_session=on_session,
        select_subprotocol=select_subprotocol,
        process_request=process_request,
        process_response=process_response,
    )
    check_kinds(limits, settings)
    options = Options()
    options.handler = handler
    options.on_message = on_message
    options.on_open = on_open
    options.on_close = on_close
    options.on_request = on_request
    options.on_session = on_session
    options.tunnels = check_tunnels(tunnels)
    options.over_http1 = frozenset(
        token
        for token, taker in options.tunnels.items()
        if isinstance(taker, Answering) and taker.over_http1
    )
    if connect is not None and not isinstance(connect, Dialer):
        raise TypeError(f"connect is a Dialer, not {connect!r}")
    options.dialer = connect
    options.origins = check_origins(origins)
    options.subprotocols = check_subprotocols(subprotocols)
    options.select_subprotocol = select_subprotocol
    options.process_request = process_request
    options.process_response = process_response
    options.deflate = deflate_from(compression, ServerPerMessageDeflateFactory)
    options.extra_headers = [] if server_header is None else [("server", server_header)]
    options.accept_key = accept_key
    options.http = tls.versions(http)
    options.ssl = None if ssl is None else tls.prepare(ssl, server=True, http=options.http)
    if settings is None:
        # RFC 8441 section 3 is only advertised where something answers it.
        answers = bool(handler or on_message or options.tunnels)
        settings = Settings(
            enable_connect_protocol=None if answers else False,
            enable_bidirectional_connect=on_session is not None,
        )
    elif on_session is not None and not settings.enable_bidirectional_connect:
        raise ValueError("on_session needs Settings(enable_bidirectional_connect=True)")
    options.settings = settings
    options.limits = limits_from(
        serve,
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
    options.queue = marks_from(max_queue)
    options.logger = logging.getLogger(LOGGER) if logger is None else logger
    options.observer = check_observer(observer)
    options.websockets = bool(handler or on_message)
    admission = Admission(
        options.logger,
        max_connections=max_connections,
        max_connections_per_address=max_connections_per_address,
        memory_budget=memory_budget,
        observer=observer,
    )
    start = start_from(
        options,
        host=host,
        port=port,
        backlog=backlog,
        ping_interval=ping_interval,
        ping_timeout=ping_timeout,
        open_timeout=open_timeout,
        close_timeout=close_timeout,
        others=kwargs if listen else {**kwargs, "listen": False},
    )
    return Server(options, admission, start)


def unix_serve(
    handler: OnWebSocket | None = None,
    path: str | bytes | os.PathLike[str] | None = None,
    **kwargs: Any,
) -> Server:
    """As `serve`, on the Unix socket `path`, or with `sock` on one that is bound already."""
    return serve(handler, unix=True, path=path, **kwargs)
