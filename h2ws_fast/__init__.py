"""WebSockets and any other byte stream over HTTP/2: RFC 8441."""

from ._twins import COMPILED
from .aio.client.connect import connect, unix_connect
from .aio.client.pool import Pool
from .aio.client.session import Session
from .aio.http import Headers, Request, Response
from .aio.server.dialer import Dialer
from .aio.server.server import SAME_ORIGIN, Server, serve
from .aio.state import State
from .aio.tunnel import Tunnel
from .aio.websocket import WebSocket, broadcast
from .errors import (
    AlpnError,
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    ConnectionTerminated,
    ExtendedConnectUnsupported,
    H2WSError,
    InvalidHandshake,
    InvalidProxy,
    InvalidProxyMessage,
    InvalidProxyStatus,
    InvalidStatus,
    InvalidURI,
    LocalProtocolError,
    NegotiationError,
    NoAvailableStreams,
    PoolFull,
    ProxyError,
    SecurityError,
    StreamClosed,
    StreamReset,
)

__all__ = [
    "COMPILED",
    "SAME_ORIGIN",
    "AlpnError",
    "ConcurrencyError",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "ConnectionTerminated",
    "Dialer",
    "ExtendedConnectUnsupported",
    "H2WSError",
    "Headers",
    "InvalidHandshake",
    "InvalidProxy",
    "InvalidProxyMessage",
    "InvalidProxyStatus",
    "InvalidStatus",
    "InvalidURI",
    "LocalProtocolError",
    "NegotiationError",
    "NoAvailableStreams",
    "Pool",
    "PoolFull",
    "ProxyError",
    "Request",
    "Response",
    "SecurityError",
    "Server",
    "Session",
    "State",
    "StreamClosed",
    "StreamReset",
    "Tunnel",
    "WebSocket",
    "broadcast",
    "connect",
    "serve",
    "unix_connect",
]
