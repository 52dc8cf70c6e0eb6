"""HTTP/2 and its WebSockets for uvicorn: `uvicorn app:app --http h2ws_fast.asgi.uvicorn:Protocol`.

HTTP/2 is served here, whether ALPN chose it or a client begins with its preface. HTTP/1.1 and its
WebSockets are uvicorn's own: their connections are handed on, with every octet that was read.
`HTTP2Protocol` takes none of those.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, ClassVar

from uvicorn.config import Config
from uvicorn.server import ServerState

from ..aio.arguments import deflate_from
from ..aio.hub import running_hub
from ..aio.keeper import Keeper
from ..aio.observer import Observer, check_observer, tell
from ..aio.server.admission import Admission
from ..aio.server.options import CommonOptions
from ..aio.server.roster import Roster
from ..aio.traced import Traced, log_tracer, trace_log, whole
from ..engine import Limits, Settings
from ..engine.agreement import ServerPerMessageDeflateFactory
from ..engine.endpoint import Endpoint
from .application import AT_ONCE_S, Application, Fields
from .wire import ASGIWire

__all__ = ["HTTP2Protocol", "Protocol", "TracedHTTP2Protocol", "TracedProtocol"]

FIRST_REQUEST_S = 60.0  # what a client has to ask for something where no connection may be idle


class UvicornApplication(Application):
    """The application as uvicorn's configuration and state tell of it."""

    def __init__(
        self, config: Config, server_state: ServerState, state: dict[str, Any], synthesize: bool
    ) -> None:
        access_logger = logging.getLogger("uvicorn.access")
        super().__init__(
            config.loaded_app,
            state=state,
            root_path=config.root_path,
            websockets=offers_websockets(config),
            synthesize_h1_headers=synthesize or None,  # None: as the application says
            access_log=config.access_log and access_logger.hasHandlers(),
            logger=logging.getLogger("uvicorn.error"),
            access_logger=access_logger,
            declaring=original(config.loaded_app),
        )
        self.fresh_context = config.reset_contextvars
        self._limit = config.limit_concurrency
        self._server_state = server_state

    @property
    def default_headers(self) -> Fields:
        """uvicorn makes new ones each second."""
        return self._server_state.default_headers

    def is_crowded(self) -> bool:
        """Is `limit_concurrency` reached?"""
        limit = self._limit
        state = self._server_state
        return limit is not None and (len(state.connections) >= limit or len(state.tasks) >= limit)

    def answered(self) -> None:
        """Count for `limit_max_requests`."""
        self._server_state.total_requests += 1


def offers_websockets(config: Config) -> bool:
    """Is there something that answers WebSockets?

    With `--ws auto` uvicorn has none for HTTP/1.1 where no library for it is installed; here none
    is needed. WSGI knows no WebSockets.
    """
    if config.ws == "auto":
        return config.interface != "wsgi"
    return config.ws_protocol_class is not None


def original(app: Any) -> Any:
    """The application within the middleware that uvicorn itself puts around it."""
    while type(app).__module__.startswith("uvicorn.middleware.") and hasattr(app, "app"):
        app = app.app
    return app


class UvicornRoster(Roster):
    """The HTTP/2 connections of one uvicorn server, whose class for them is `kind`."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        state: dict[str, Any],
        kind: type[Protocol],
    ) -> None:
        # What `h2ws-fast serve` was told.
        told: Mapping[str, Any] = getattr(config, "h2ws_fast", {})
        synthesize = told.get("synthesize_h1_headers", False)
        self.application = UvicornApplication(config, server_state, state, synthesize)
        options = CommonOptions()
        options.http = ("h2", "h1") if "http/1.1" in kind.alpn_protocols else ("h2",)
        options.ssl = config.ssl
        options.websockets = self.application.websockets
        options.accept_key = kind.h2_accept_key
        compression = "deflate" if config.ws_per_message_deflate else None
        options.deflate = deflate_from(compression, ServerPerMessageDeflateFactory)
        # RFC 8441 section 3 is only advertised where something answers it.
        answers = options.websockets or bool(self.application.tunnels)
        settings: dict[str, Any] = {} if answers else {"enable_connect_protocol": False}
        if config.h11_max_incomplete_event_size is not None:
            settings["max_header_list_size"] = config.h11_max_incomplete_event_size
        limits = {
            "max_message": config.ws_max_size,
            # How long an application may take before it accepts is its own affair, as over HTTP/1.1.
            "handshake_timeout_s": None,
            "idle_timeout_s": config.timeout_keep_alive or AT_ONCE_S,
            "first_request_timeout_s": config.timeout_keep_alive or FIRST_REQUEST_S,
        }
        options.settings = Settings(**settings | {**kind.h2_settings, **told.get("settings", {})})
        options.limits = Limits(**limits | {**kind.h2_limits, **told.get("limits", {})})
        options.logger = self.application.logger
        options.observer = check_observer(kind.h2_observer)
        admission = Admission(
            options.logger,
            max_connections=None,
            max_connections_per_address=None,
            memory_budget=None,
            observer=options.observer,
        )
        super().__init__(options, admission)
        hub = running_hub()
        admission.start(hub.time)
        interval = config.ws_ping_interval or None
        self._keeper = Keeper(hub, interval, config.ws_ping_timeout, self._wires)
        # uvicorn waits for these, and cancels them.
        self._tasks = server_state.tasks


class Nobody(Endpoint):
    """What is left here of a connection that was handed on: it passes what was read."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    def receive_data(self, data: Any, now: float = 0.0) -> list[Any]:
        """See `Endpoint.receive_data`."""
        self._protocol.data_received(bytes(data))
        return []


class Protocol(ASGIWire):
    """The class for uvicorn's option `http`: one connection.

    A class that inherits from it may say what uvicorn has no options for: `h2_settings`, arguments
    of `Settings`, `h2_limits`, arguments of `Limits`, `h2_accept_key` as `accept_key` of
    `h2ws_fast.serve`, and `h2_observer`, an Observer, which is told as there; what is handed on to
    uvicorn's own classes is closed to it.
    """

    __slots__ = ("_app_state", "_config", "_connections", "_loop", "_server_state")

    alpn_protocols: ClassVar[list[str]] = ["h2", "http/1.1"]
    h2_settings: ClassVar[Mapping[str, Any]] = {}
    h2_limits: ClassVar[Mapping[str, Any]] = {}
    h2_observer: ClassVar[Observer | None] = None
    h2_accept_key: ClassVar[bool] = True

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        roster: UvicornRoster | None = getattr(server_state, "h2ws_fast", None)
        if roster is None:
            roster = UvicornRoster(config, server_state, app_state, type(self))
            vars(server_state)["h2ws_fast"] = roster
        super().__init__(roster, running_hub(), roster.application)
        self._config = config
        self._server_state = server_state
        self._connections: set[Any] = server_state.connections  # uvicorn waits for them
        self._app_state = app_state
        self._loop = _loop

    def _opened(self) -> bool:
        self._connections.add(self)
        return super()._opened()

    def _lost(self, exc: BaseException | None) -> None:
        self._connections.discard(self)
        super()._lost(exc)

    def _speak(self, h2: bool) -> Endpoint:
        if h2:
            return super()._speak(True)
        self._connections.discard(self)
        self.server._forget(self)
        if not self.secure:  # over TLS ALPN told before anybody was told of it
            tell(self.observer, "connection_closed", self)
        self.observer = None
        protocol = _h1_class()(
            config=self._config,
            server_state=self._server_state,
            app_state=self._app_state,
            _loop=self._loop,
        )
        transport = whole(self.transport)
        transport.set_write_buffer_limits()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        rest = Nobody(protocol)
        self.become(rest)
        return rest

    def shutdown(self) -> None:
        """End gracefully: uvicorn is about to."""
        self.leave()


class HTTP2Protocol(Protocol):
    """The same for HTTP/2 alone, as behind a proxy that speaks nothing else."""

    __slots__ = ()

    alpn_protocols: ClassVar[list[str]] = ["h2"]


class Tracing(Traced):
    """What the classes for `h2ws-fast serve --trace` are mixed with: all frames go to stderr."""

    __slots__ = ()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        tracer = log_tracer(trace_log(), server=True)
        assert tracer is not None  # the log takes all
        self.tracer = tracer  # type: ignore[misc]  # a slot of its subclasses

    def _speak(self, h2: bool) -> Endpoint:
        if not h2:
            self.tracer.note("HTTP/1.1 is left to uvicorn, and no more is told of it")
        spoken: Endpoint = super()._speak(h2)  # type: ignore[misc]  # of a Protocol
        return spoken


class TracedProtocol(Tracing, Protocol):
    """A Protocol that prints what goes over HTTP/2."""

    __slots__ = ("reading", "tracer")


class TracedHTTP2Protocol(Tracing, HTTP2Protocol):
    """The same for HTTP/2 alone."""

    __slots__ = ("reading", "tracer")


def _h1_class() -> Any:
    # What `--http auto` means.
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    return AutoHTTPProtocol
