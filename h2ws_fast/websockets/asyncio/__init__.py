"""See `h2ws_fast.websockets`."""

from . import client, connection, router, server

__all__ = ["client", "connection", "router", "server"]
