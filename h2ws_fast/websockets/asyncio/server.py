"""The server."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ...aio.broadcast import broadcast
from ...aio.http import Request
from ...aio.server import server
from ...aio.server.basic_auth import basic_auth
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
    given.setdefault("origins", None)
    given["process_request"] = _with_host(given.get("process_request"))
    return given


def _with_host(process_request: Callable[[Any, Request], Any] | None) -> Any:
    # Over HTTP/2 `:authority` says what the field Host said: RFC 9113 section 8.3.1.
    def process(connection: Any, request: Request) -> Any:
        if request.authority and "host" not in request.headers:
            request.headers["host"] = request.authority
        return None if process_request is None else process_request(connection, request)

    return process


def serve(
    handler: Callable[[WebSocket], Any],
    host: str | None = None,
    port: int | None = None,
    **kwargs: Any,
) -> Server:
    """`h2ws_fast.serve` with the defaults of `websockets`: every Origin may ask (`origins=None`).

    `request.headers` has Host over HTTP/2, too. `extensions` takes one factory of permessage-deflate;
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
