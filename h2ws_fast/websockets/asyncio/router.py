"""A handler for each path."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ...aio.server import router
from ...aio.server.router import Router
from .server import Server, adapted

if TYPE_CHECKING:
    from werkzeug.routing import Map

__all__ = ["Router", "route", "unix_route"]


def route(url_map: Map, *args: Any, **kwargs: Any) -> Server:
    """See `h2ws_fast.route`, and `serve` here for what differs."""
    return router.route(url_map, *args, **adapted(kwargs))


def unix_route(
    url_map: Map, path: str | bytes | os.PathLike[str] | None = None, **kwargs: Any
) -> Server:
    """As `route`, on a Unix socket."""
    return route(url_map, unix=True, path=path, **kwargs)
