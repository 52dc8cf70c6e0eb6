"""See `h2ws_fast.websockets`."""

from . import client, router, server

__all__ = ["client", "router", "server"]
