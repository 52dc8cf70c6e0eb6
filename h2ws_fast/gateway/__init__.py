"""A reverse proxy between HTTP/1.1 and HTTP/2, WebSockets and every other tunnel included."""

from .aware import Aware
from .backend import Backend
from .fields import Forwarding
from .gateway import Gateway, gateway
from .routes import Route, Routes
from .table import Table, Token
from .upstream import Upstream

__all__ = [
    "Aware",
    "Backend",
    "Forwarding",
    "Gateway",
    "Route",
    "Routes",
    "Table",
    "Token",
    "Upstream",
    "gateway",
]
