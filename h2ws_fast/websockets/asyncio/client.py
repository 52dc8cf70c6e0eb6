"""The client."""

from __future__ import annotations

import os
from typing import Any

from ...aio.client import connect as native
from ...aio.websocket import WebSocket as ClientConnection
from ..arguments import dropped

__all__ = ["ClientConnection", "connect", "unix_connect"]


class connect(native.connect):
    """`h2ws_fast.connect`; `extensions` and `create_connection` raise TypeError unless None."""

    def __init__(self, uri: str, **kwargs: Any) -> None:
        super().__init__(uri, **dropped(kwargs))


def unix_connect(
    path: str | os.PathLike[str] | None = None, uri: str | None = None, **kwargs: Any
) -> native.connect:
    """As `connect`, over a Unix socket."""
    return native.unix_connect(path, uri, **dropped(kwargs))
