"""The server."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from typing import Any

from ...aio.broadcast import broadcast
from ...aio.http import Request
from ...aio.server import server
from ...aio.server.basic_auth import basic_auth
from ...aio.server.origins import OPAQUE_ORIGIN
from ...aio.server.server import Server
from ...aio.websocket import WebSocket
from ...aio.websocket import WebSocket as ServerConnection
from .. import arguments
from ..extensions.permessage_deflate import server_factory

__all__ = ["Server", "ServerConnection", "basic_auth", "broadcast", "serve", "unix_serve"]


def adapted(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `serve` as `h2ws_fast.serve` takes them."""
    arguments.adapted(given, server_factory)
    # Who wants to know whose pages ask says so: https://www.rfc-editor.org/rfc/rfc6455#section-10.2
    given["origins"] = _with_null(given.get("origins"))
    given["process_request"] = _as_asked(given.get("process_request"))
    return given


def _with_null(origins: Any) -> Any:
    # Who lists "null", or a pattern of it, means it here: that of a page from a file, or a sandbox.
    if isinstance(origins, str) or not isinstance(origins, Iterable):
        return origins
    kept = [OPAQUE_ORIGIN if origin == "null" else origin for origin in origins]
    patterns = [origin for origin in kept if isinstance(origin, re.Pattern)]
    if any(isinstance(each.pattern, str) and each.fullmatch("null") for each in patterns):
        kept.append(OPAQUE_ORIGIN)
    return kept


def _as_asked(process_request: Callable[[Any, Request], Any] | None) -> Any:
    # Over HTTP/2 `:authority` says what the field Host said (RFC 9113 section 8.3.1), and CONNECT
    # with `:protocol` what Upgrade and Connection said (RFC 8441 section 5).
    def process(connection: Any, request: Request) -> Any:
        headers = request.headers
        if request.authority and "host" not in headers:
            headers["host"] = request.authority
        if request.protocol == "websocket" and "upgrade" not in headers:
            headers["upgrade"] = "websocket"
            headers["connection"] = "Upgrade"
        return None if process_request is None else process_request(connection, request)

    return process


def serve(
    handler: Callable[[WebSocket], Any],
    host: str | None = None,
    port: int | None = None,
    **kwargs: Any,
) -> Server:
    """`h2ws_fast.serve` with the defaults of `websockets`: every Origin may ask (`origins=None`), and a
    list may name "null".

    `request.headers` has Host over HTTP/2, too, and that of a WebSocket Upgrade and Connection.
    `extensions` takes one factory of permessage-deflate;
    `create_connection` raises TypeError unless it is None.
    """
    return server.serve(handler, host, port, **adapted(kwargs))


def unix_serve(
    handler: Callable[[WebSocket], Any],
    path: str | bytes | os.PathLike[str] | None = None,
    **kwargs: Any,
) -> Server:
    """As `serve`, on a Unix socket."""
    return serve(handler, unix=True, path=path, **kwargs)
