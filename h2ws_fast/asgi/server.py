"""`serve`: an ASGI application without any other server."""

from __future__ import annotations

import logging
import ssl as ssl_module
from collections.abc import Iterable, Sequence
from typing import Any

from ..aio import tls
from ..aio.arguments import check_kinds, deflate_from, limits_from
from ..aio.http import HeadersLike, fields_of
from ..aio.hub import Hub
from ..aio.observer import Observer, check_observer
from ..aio.server.accepted import AcceptedWire
from ..aio.server.admission import Admission
from ..aio.server.listener import Listener
from ..aio.server.options import CommonOptions, start_from
from ..engine import Limits, Settings
from ..engine.agreement import ServerPerMessageDeflateFactory
from .application import Application, ASGIApplication
from .lifespan import Lifespan
from .wire import ASGIWire

__all__ = ["Server", "serve"]

logger = logging.getLogger("h2ws_fast.asgi")


class Server(Listener):
    """What `serve` returns: await it, or use it with `async with`, to start it.

    `close()` begins the graceful shutdown, `wait_closed()` waits for its end, `serve_forever()`
    runs until cancelled, `stats()` counts.
    """

    def __init__(
        self,
        application: Application,
        lifespan: Lifespan,
        options: CommonOptions,
        admission: Admission,
        start: dict[str, Any],
    ) -> None:
        super().__init__(options, admission, start)
        self.application = application
        self._lifespan = lifespan

    def close(self, close_connections: bool = True, code: int = 1012, reason: str = "") -> None:
        """See `Listener.close`; here WebSockets are told that the service restarts."""
        super().close(close_connections, code, reason)

    def _wire(self, hub: Hub) -> AcceptedWire:
        return ASGIWire(self, hub, self.application)

    async def _starting(self) -> None:
        await self._lifespan.startup()

    async def _ending(self) -> None:
        await self._lifespan.shutdown()


def serve(
    app: ASGIApplication,
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    ssl: ssl_module.SSLContext | None = None,
    root_path: str = "",
    lifespan: str = "auto",
    websockets: bool = True,
    tunnels: Iterable[str] | None = None,
    synthesize_h1_headers: bool | None = None,
    headers: HeadersLike = (),
    server_header: str | None = "h2ws_fast",
    date_header: bool = True,
    access_log: bool = False,
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
    max_size: int | None = 16 * 2**20,
    write_limit: int | tuple[int, int] = 2**16,
    compression: str | ServerPerMessageDeflateFactory | None = "deflate",
    settings: Settings | None = None,
    limits: Limits | None = None,
    max_connections: int | None = None,
    max_connections_per_address: int | None = None,
    memory_budget: int | None = None,
    observer: Observer | None = None,
    logger: Any = logger,
    backlog: int = 4096,
    **kwargs: Any,
) -> Server:
    """Serve an ASGI application over HTTP/2 and HTTP/1.1, WebSockets over both.

    `async with serve(app, "127.0.0.1", 8000) as server:`, or `server = await serve(...)` and then
    `await server.serve_forever()`. What is not told here is as in `h2ws_fast.serve`: `ssl`, `http`,
    `accept_key`, the timeouts, the limits, `compression`, `**kwargs` for `create_server`.

    `lifespan` is "auto", "on" or "off"; starting raises `StartupFailed` where the application does
    not start. `root_path` is the path below which the application is mounted. Without `websockets`
    their handshakes are answered 501, and HTTP/2 does not announce that there are any.
    `tunnels` names the `:protocol` tokens that reach the application with the scope `tunnel`; by
    default those in its attribute `h2ws_fast_tunnels`. Others are answered 501.
    `synthesize_h1_headers` adds to the scopes of WebSockets over HTTP/2 the `upgrade`,
    `connection` and `sec-websocket-key` that some middleware looks for; by default as the
    application's attribute `h2ws_fast_synthesize_h1_headers` says.

    `headers`, `server_header` and the date stand in every response. `access_log` logs a line for
    each request by the logger `h2ws_fast.asgi.access`. `max_size` limits a WebSocket message, and
    what the application has not received waits with the client, by flow control. An `observer` is
    told as in `h2ws_fast.serve`; the `request` of its WebSockets is None.
    """
    if not callable(app):
        raise TypeError(f"app must be an ASGI application: {app!r}")
    fields = [(name.encode("ascii"), value.encode("latin-1")) for name, value in fields_of(headers)]
    if server_header is not None and b"server" not in dict(fields):
        fields.insert(0, (b"server", server_header.encode("latin-1")))
    state: dict[str, Any] = {}
    application = Application(
        app,
        state=state,
        root_path=root_path,
        websockets=websockets,
        tunnels=tunnels,
        synthesize_h1_headers=synthesize_h1_headers,
        headers=fields,
        date_header=date_header,
        access_log=access_log,
        logger=logger,
    )
    check_kinds(limits, settings)
    options = CommonOptions()
    options.http = tls.versions(http)
    options.ssl = None if ssl is None else tls.prepare(ssl, server=True, http=options.http)
    options.websockets = websockets
    options.accept_key = accept_key
    options.deflate = deflate_from(compression, ServerPerMessageDeflateFactory)
    if settings is None:
        # RFC 8441 section 3 is only advertised where something answers it.
        answers = websockets or bool(application.tunnels)
        settings = Settings() if answers else Settings(enable_connect_protocol=False)
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
    options.logger = logger
    options.observer = check_observer(observer)
    admission = Admission(
        logger,
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
        others=kwargs,
    )
    return Server(application, Lifespan(app, lifespan, state, logger), options, admission, start)
