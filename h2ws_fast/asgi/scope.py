"""Scopes: what the application is told of a request before it begins.

Section numbers are those of "HTTP & WebSocket ASGI Message Format", version 2.5.
"""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from .application import Scope
    from .wire import ASGIWire

__all__ = ["client_of", "http_scope", "target_of", "tunnel_scope", "websocket_scope"]

HTTP_EXTENSIONS: dict[str, dict[str, Any]] = {
    "http.response.trailers": {},
    "http.response.early_hint": {},
    "http.response.pathsend": {},
}


def http_scope(wire: ASGIWire, event: Any) -> dict[str, Any]:
    """The scope of an ordinary request."""
    application = wire.application
    target = event.path
    path, _, query = target.partition("?")
    raw_path = path.encode()
    if "%" in path:
        path = unquote(path)
    if application.root_path:
        path = application.root_path + path
        raw_path = application.raw_root_path + raw_path
    return {
        "type": "http",
        "asgi": application.asgi,
        "http_version": wire.http_version,
        "server": wire.server_address,
        "client": wire.client_address,
        "scheme": wire.scheme,
        "method": event.method,
        "root_path": application.root_path,
        "path": path,
        "raw_path": raw_path,
        "query_string": query.encode(),
        "headers": _headers(wire, event),
        # Shallow: what the lifespan put there is shared, what a request adds is its own.
        "state": application.state.copy(),
        "extensions": HTTP_EXTENSIONS.copy(),
    }


def websocket_scope(wire: ASGIWire, event: Any) -> dict[str, Any]:
    """The scope of a WebSocket, over HTTP/2 as over HTTP/1.1."""
    scope = http_scope(wire, event)
    del scope["method"]
    scope["type"] = "websocket"
    scope["scheme"] = "wss" if wire.scheme == "https" else "ws"
    headers = scope["headers"]
    scope["subprotocols"] = [
        token.strip()
        for name, value in headers
        if name == b"sec-websocket-protocol"
        for token in value.decode("latin-1").split(",")
        if token.strip()
    ]
    scope["extensions"] = {"websocket.http.response": {}}
    if wire.application.synthesize_h1_headers and wire.http_version == "2":
        _synthesize(headers)
    return scope


def tunnel_scope(wire: ASGIWire, event: Any) -> dict[str, Any]:
    """The scope of an extended CONNECT with a token other than `websocket`: see `tunnel`."""
    scope = http_scope(wire, event)
    del scope["method"]
    scope["type"] = "tunnel"
    scope["protocol"] = event.protocol
    scope["extensions"] = {"tunnel.http.response": {}}
    return scope


def _headers(wire: ASGIWire, event: Any) -> list[tuple[bytes, bytes]]:
    headers: list[tuple[bytes, bytes]] = event.headers
    authority = event.authority
    if authority and wire.http_version == "2":
        # "if the :authority pseudo header is present its value must be added to the start of the
        # iterable with host as the header name or replace any existing host header".
        for name, _ in headers:
            if name == b"host":
                headers = [field for field in headers if field[0] != b"host"]
                break
        headers.insert(0, (b"host", authority.encode()))
    return headers


def _synthesize(headers: list[tuple[bytes, bytes]]) -> None:
    # What HTTP/2 has no use for, and some middleware looks for.
    present = {name for name, _ in headers}
    for name, value in (
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-version", b"13"),
        (b"sec-websocket-key", base64.b64encode(os.urandom(16))),
    ):
        if name not in present:
            headers.append((name, value))


def client_of(scope: Scope) -> str:
    """The client's address, for a log."""
    client = scope.get("client")
    return f"{client[0]}:{client[1]}" if client else ""


def target_of(scope: Scope) -> str:
    """The path and query, for a log."""
    target = quote(scope["path"])
    query = scope["query_string"]
    return f"{target}?{query.decode('latin-1')}" if query else target
