"""The sans-IO engine: bytes in, events out; verbs in, bytes out. No sockets, no clocks."""

from .connection import Connection, Role
from .limits import Limits
from .settings import Settings
from .sink import Sink

__all__ = ["Connection", "Limits", "Role", "Settings", "Sink"]
