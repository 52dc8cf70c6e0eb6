"""The names of `websockets`, for programs written for its asyncio interface.

    import h2ws_fast.websockets as websockets
    from h2ws_fast.websockets.asyncio.server import serve

What differs stands in docs/websockets.md, name by name.
"""

from . import asyncio, datastructures, exceptions, frames, http11, protocol, typing
from .asyncio.client import ClientConnection, connect, unix_connect
from .asyncio.router import Router, route, unix_route
from .asyncio.server import Server, ServerConnection, basic_auth, broadcast, serve, unix_serve
from .datastructures import Headers, HeadersLike, MultipleValuesError
from .exceptions import *  # noqa: F403  # each of them, by the one list of their names
from .frames import Close, CloseCode
from .http11 import Request, Response
from .protocol import State
from .typing import Data, LoggerLike, Origin, StatusLike, Subprotocol

__all__ = [
    "ClientConnection",
    "Close",
    "CloseCode",
    "Data",
    "Headers",
    "HeadersLike",
    "LoggerLike",
    "MultipleValuesError",
    "Origin",
    "Request",
    "Response",
    "Router",
    "Server",
    "ServerConnection",
    "State",
    "StatusLike",
    "Subprotocol",
    "asyncio",
    "basic_auth",
    "broadcast",
    "connect",
    "datastructures",
    "exceptions",
    "frames",
    "http11",
    "protocol",
    "route",
    "serve",
    "typing",
    "unix_connect",
    "unix_route",
    "unix_serve",
]
__all__ += exceptions.__all__
