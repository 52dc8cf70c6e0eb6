"""What both sides have of a WebSocket."""

from ...aio.broadcast import broadcast
from ...aio.websocket import WebSocket as Connection

__all__ = ["Connection", "broadcast"]
