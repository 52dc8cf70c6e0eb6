"""The states of a WebSocket."""

from ..aio.state import State

__all__ = ["State"]
