"""Counters of a command, for whoever asks at an address of their own."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from typing import Any

from .. import Request, Response, serve
from ..aio.server.server import Server

__all__ = ["counters_at", "json_response"]

HEADERS = {"content-type": "application/json", "cache-control": "no-store"}


def json_response(counters: dict[str, Any]) -> Response:
    """Counters, as who asks for `/stats` gets them."""
    return Response(200, HEADERS, json.dumps(counters, indent=2) + "\n")


def counters_at(listener: socket.socket, stats: Callable[[], dict[str, Any]]) -> Server:
    """A server to start, that answers GET /stats with what `stats()` says then and the process."""

    async def answer(request: Request) -> Response:
        if request.path.partition("?")[0] != "/stats":
            return Response(404)
        if request.method not in ("GET", "HEAD"):
            return Response(405, {"allow": "GET, HEAD"})
        return json_response({"pid": os.getpid(), **stats()})

    return serve(on_request=answer, sock=listener, close_timeout=1, max_connections=100)
