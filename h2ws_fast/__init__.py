"""WebSockets and any other byte stream over HTTP/2: RFC 8441."""

from ._twins import COMPILED
from .aio.broadcast import broadcast
from .aio.bytestream import ByteStream
from .aio.client.accept import accept_sessions
from .aio.client.connect import connect, unix_connect
from .aio.client.pool import Pool
from .aio.client.session import Session
from .aio.codes import CloseCode
from .aio.http import Headers, Request, Response
from .aio.observer import Observer
from .aio.server.basic_auth import basic_auth
from .aio.server.dialer import Dialer
from .aio.server.router import Router, route, unix_route
from .aio.server.server import SAME_ORIGIN, Server, serve, unix_serve
from .aio.server.session import ServerSession
from .aio.state import State
from .aio.tunnel import Tunnel
from .aio.websocket import WebSocket
from .engine.agreement import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory
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
    "ByteStream",
    "ClientPerMessageDeflateFactory",
    "CloseCode",
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
    "Observer",
    "Pool",
    "PoolFull",
    "ProxyError",
    "Request",
    "Response",
    "Router",
    "SecurityError",
    "Server",
    "ServerSession",
    "ServerPerMessageDeflateFactory",
    "Session",
    "State",
    "StreamClosed",
    "StreamReset",
    "Tunnel",
    "WebSocket",
    "accept_sessions",
    "basic_auth",
    "broadcast",
    "connect",
    "route",
    "serve",
    "unix_connect",
    "unix_route",
    "unix_serve",
]
