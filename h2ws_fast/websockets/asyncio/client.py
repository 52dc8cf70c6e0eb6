"""The client."""

from __future__ import annotations

import os
from typing import Any

from ...aio.client import connect as native
from ...aio.client.reconnect import process_exception
from ...aio.websocket import WebSocket as ClientConnection
from ..arguments import adapted
from ..extensions.permessage_deflate import client_factory

__all__ = ["ClientConnection", "connect", "process_exception", "unix_connect"]


class connect(native.connect):
    """`h2ws_fast.connect`, with `extensions`; `create_connection` raises TypeError unless None."""

    def __init__(self, uri: str, **kwargs: Any) -> None:
        super().__init__(uri, **adapted(kwargs, client_factory))


def unix_connect(
    path: str | os.PathLike[str] | None = None, uri: str | None = None, **kwargs: Any
) -> native.connect:
    """As `connect`, over a Unix socket."""
    return native.unix_connect(path, uri, **adapted(kwargs, client_factory))
