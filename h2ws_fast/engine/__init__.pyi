from .connection import Connection as Connection
from .connection import Role as Role
from .limits import Limits as Limits
from .settings import Settings as Settings
from .sink import Sink as Sink

__all__ = ["Connection", "Limits", "Role", "Settings", "Sink"]
