"""What users tell `serve` and `Session`."""

from __future__ import annotations

import ssl as ssl_module
from collections.abc import Awaitable, Callable, Container, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from ...engine import Limits, Settings
from ...engine.agreement import ServerPerMessageDeflateFactory
from .. import tls
from ..answering import Answering
from ..arguments import check_seconds
from ..h1.reader import GET, WEBSOCKET
from ..http import Request, Response
from ..observer import Observer
from ..tunnel import Tunnel
from ..websocket import WebSocket
from .dialer import Dialer
from .origins import Origins

if TYPE_CHECKING:
    from .session import ServerSession

__all__ = ["CommonOptions", "Options", "secure_from", "start_from"]

HANDSHAKE_S = 60.0  # of TLS where no `open_timeout` is set, as asyncio has it

OnMessage: TypeAlias = Callable[[WebSocket, Any], Any]
OnWebSocket: TypeAlias = Callable[[WebSocket], Any]
OnRequest: TypeAlias = Callable[[Request], Awaitable[Response]]
OnTunnel: TypeAlias = Callable[[Tunnel], Awaitable[Any]] | Answering
OnSession: TypeAlias = Callable[["ServerSession"], Awaitable[Any]]


class CommonOptions:
    """How a server speaks, whatever it answers. Shared by all of its connections."""

    deflate: ServerPerMessageDeflateFactory | None  # how WebSockets compress
    http: tuple[str, ...]  # "h2", "h1"
    ssl: ssl_module.SSLContext | None
    settings: Settings
    limits: Limits
    logger: Any
    websockets: bool  # is there anybody to take them?
    accept_key: bool = True  # is a `sec-websocket-key` over HTTP/2 answered?
    observer: Observer | None = None
    queue: tuple[int, int] = (0, 0)  # high and low mark of messages that wait
    ignoring = False  # an upgrade that is not asked for as it must be is ignored, not refused
    methods: Container[bytes] = GET  # of requests over HTTP/1.1 that may be upgraded
    # Does who connects from this address say first for whom, by the PROXY protocol?
    introduced: Callable[[Any], bool] | None = None

    @property
    def upgrades(self) -> Container[str]:
        """The tokens that a request over HTTP/1.1 may be upgraded to, in lower case."""
        return WEBSOCKET if self.websockets else ()


class Options(CommonOptions):
    """What `serve` was told, shared by all of its connections."""

    handler: OnWebSocket | None
    on_message: OnMessage | None
    on_open: OnWebSocket | None
    on_close: OnWebSocket | None
    on_request: OnRequest | None
    tunnels: dict[str, OnTunnel]
    over_http1: frozenset[str]  # those of them that take upgrades, too
    dialer: Dialer | None
    on_session: OnSession | None
    origins: Origins
    subprotocols: list[str] | None
    select_subprotocol: Callable[[WebSocket, Sequence[str]], str | None] | None
    process_request: Callable[[Any, Request], Any] | None
    process_response: Callable[[Any, Request, Response], Any] | None
    extra_headers: list[tuple[str, str]]

    @property
    def upgrades(self) -> Container[str]:
        """See `CommonOptions.upgrades`."""
        return WEBSOCKET | self.over_http1 if self.websockets else self.over_http1


def start_from(
    options: CommonOptions,
    *,
    host: str | Sequence[str] | None,
    port: int | None,
    backlog: int,
    ping_interval: float | None,
    ping_timeout: float | None,
    open_timeout: float | None,
    close_timeout: float | None,
    others: dict[str, Any],
) -> dict[str, Any]:
    """What a Server needs to start: the arguments of `create_server`, and the pings'."""
    check_seconds(ping_interval=ping_interval, ping_timeout=ping_timeout)
    start = {
        "host": host,
        "port": port,
        "ssl": options.ssl,
        "backlog": backlog,
        "ping_interval": ping_interval,
        "ping_timeout": ping_timeout,
        **others,
    }
    if options.ssl is not None:
        if open_timeout is not None:
            start.setdefault("ssl_handshake_timeout", open_timeout)
        start.setdefault("ssl_shutdown_timeout", tls.shutdown_timeout(close_timeout))
    return start


def secure_from(start: dict[str, Any]) -> dict[str, Any] | None:
    """Take what concerns TLS out of what `start_from` returned: the arguments of `start_tls`."""
    context = start.pop("ssl")
    if context is None:
        return None
    return {
        "sslcontext": context,
        "ssl_handshake_timeout": start.pop("ssl_handshake_timeout", HANDSHAKE_S),
        "ssl_shutdown_timeout": start.pop("ssl_shutdown_timeout"),
    }
