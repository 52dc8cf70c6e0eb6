"""How the transports of a client are made: straight, over a Unix socket, or through a proxy."""

from __future__ import annotations

import asyncio
import contextlib
import ssl as ssl_module
from typing import Any

from ...errors import ConnectionTerminated, InvalidProxyMessage, LocalProtocolError
from ..kernel_queue import limit_unsent
from ..tunnel import Tunnel
from ..uri import Target
from .forward import Landing, connect_request
from .proxy import Proxy, find_proxy, parse_proxy
from .race import adopt, connect_tcp
from .socks import connect_socks

__all__ = ["Way"]

# Of `create_connection`: what concerns TLS with the server. The rest concerns the socket.
TLS = frozenset(("ssl_handshake_timeout", "ssl_shutdown_timeout"))
PROXY_TLS = TLS | {"ssl", "server_hostname"}
SOCKET = frozenset(("family", "proto", "flags", "local_addr", "happy_eyeballs_delay"))


class Way:
    """The way to a server, with what the user said of it: the keyword arguments of `connect`.

    `sock` is a connected socket, for one connection, and `transport` a Tunnel or an asyncio transport; `unix` and `path` a Unix socket; `host` and
    `port` lead elsewhere than the URI. `proxy` is True (what the environment says), None or an
    address; none is asked where there is a socket. `proxy_ssl`, `proxy_server_hostname` and
    the timeouts with that prefix are of TLS to the proxy. Raises InvalidProxy, TypeError and
    ValueError for what makes no sense.
    """

    def __init__(
        self,
        target: Target,
        proxy: str | bool | None,
        user_agent: str | None,
        arguments: dict[str, Any],
        transport: Any = None,
    ) -> None:
        kwargs = dict(arguments)
        self.target = target
        self._user_agent = user_agent
        self._transport = transport
        self._sock = kwargs.pop("sock", None)
        self._used = False
        self._unix = bool(kwargs.pop("unix", False))
        self._path = kwargs.pop("path", None)
        if self._path is not None and not self._unix:
            raise TypeError("path is of a Unix socket: say unix=True too")
        if self._unix and (self._path is None) == (self._sock is None):
            raise ValueError("a Unix socket has a path, or is given as sock")
        self.redirected = kwargs.get("host") is not None or kwargs.get("port") is not None
        self.host: str = kwargs.pop("host", None) or target.host
        self.port: int = kwargs.pop("port", None) or target.port
        self._tls = {name: kwargs.pop(name) for name in TLS & kwargs.keys()}
        self._to_proxy = {
            name.removeprefix("proxy_"): kwargs.pop(name)
            for name in list(kwargs)
            if name.startswith("proxy_")
        }
        proxys = (f"proxy_{name}" for name in self._to_proxy.keys() - PROXY_TLS)
        if unknown := {*proxys, *(kwargs.keys() - SOCKET)}:
            raise TypeError(f"unexpected keyword arguments: {', '.join(sorted(unknown))}")
        self._socket = kwargs
        self.proxy = self._choose(proxy)

    def _choose(self, proxy: str | bool | None) -> Proxy | None:
        if self._unix or self.once or proxy is None or proxy is False:
            return None
        address = find_proxy(self.target) if proxy is True else proxy
        if address is None:
            return None
        chosen = parse_proxy(address)
        if chosen.secure and self._to_proxy.get("ssl", True) is None:
            raise ValueError("proxy_ssl=None is incompatible with an https:// proxy")
        if not chosen.secure and self._to_proxy.get("ssl") is not None:
            raise ValueError(f"proxy_ssl is incompatible with a proxy of {chosen.scheme}://")
        return chosen

    @property
    def once(self) -> bool:
        """Does it lead to one connection only? That is so of a socket."""
        return self._sock is not None or self._transport is not None

    @property
    def fixed(self) -> bool:
        """Does it lead to one place, whatever the URI says?"""
        return self.redirected or self._unix or self.once

    @property
    def place(self) -> tuple[Any, ...]:
        """What tells places apart, of which each has one handshake over HTTP/1.1 at a time."""
        return (self._path, self._sock) if self._unix else (self.host, self.port)

    async def open(self, protocol: Any, tls: dict[str, Any]) -> Any:
        """Make a transport for a protocol of asyncio's, with TLS where `tls` says so, and return it.

        `tls` has `ssl`, `server_hostname` and `ssl_shutdown_timeout` as `create_connection` takes
        them; {} for cleartext. Raises OSError and ProxyError.
        """
        if tls:
            tls = {**tls, **self._tls}
        loop = asyncio.get_running_loop()
        if self.once:
            if self._used:
                raise LocalProtocolError("another connection is needed, and sock is for one")
            self._used = True
        if self._transport is not None:
            return run_on(self._transport, protocol)
        if self._sock is not None:
            transport = await adopt(protocol, self._sock, tls)
        elif self._unix:
            transport, _ = await loop.create_unix_connection(lambda: protocol, self._path, **tls)
        elif self.proxy is None:
            transport = await connect_tcp(protocol, self.host, self.port, tls, **self._socket)
        elif self.proxy.socks:
            sock = await connect_socks(
                self.proxy,
                self.host,
                self.port,
                **{name: each for name, each in self._socket.items() if name == "local_addr"},
            )
            transport = await adopt(protocol, sock, tls)
        else:
            transport = await self._through(self.proxy, protocol, tls)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):  # it is lost already, and the protocol tells why
                limit_unsent(sock)
        return transport

    async def _through(self, proxy: Proxy, protocol: Any, tls: dict[str, Any]) -> Any:
        # TCP to an HTTP proxy, TLS with it where it wants that, and then TLS with the server.
        loop = asyncio.get_running_loop()
        landing = Landing(connect_request(proxy, self.host, self.port, self._user_agent))
        transport: Any = await connect_tcp(
            landing, proxy.host, proxy.port, self._proxy_tls(proxy), **self._socket
        )
        try:
            await landing.agreed
            if tls:
                if landing.early:
                    raise InvalidProxyMessage("there is more behind the proxy's answer")
                transport = await loop.start_tls(
                    transport,
                    landing,
                    tls["ssl"],
                    server_hostname=tls["server_hostname"],
                    ssl_handshake_timeout=tls.get("ssl_handshake_timeout"),
                    ssl_shutdown_timeout=tls.get("ssl_shutdown_timeout"),
                )
            if landing.lost or transport.is_closing():
                raise ConnectionTerminated(0, "the connection was lost behind the proxy")
        except BaseException:
            transport.abort()
            raise
        hand_over(transport, protocol, landing.early)
        if landing.paused and not transport.is_closing():
            transport.resume_reading()
        return transport

    def _proxy_tls(self, proxy: Proxy) -> dict[str, Any]:
        if not proxy.secure:
            return {}
        tls = dict(self._to_proxy)
        context = tls.get("ssl", True)
        if context is True:
            context = ssl_module.create_default_context()
            context.set_alpn_protocols(["http/1.1"])
        tls["ssl"] = context
        tls.setdefault("server_hostname", proxy.host)
        return tls


def run_on(transport: Any, protocol: Any) -> Any:
    """Run a protocol on a transport, or on a Tunnel, that is connected; return the transport."""
    if isinstance(transport, Tunnel):
        return transport.transport(protocol)
    hand_over(transport, protocol, b"")
    transport.resume_reading()
    return transport


def hand_over(transport: Any, protocol: Any, early: bytes) -> None:
    """Give a transport to the protocol that it was made for, and what has come on it before."""
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    at = 0
    while at < len(early):
        buffer = protocol.get_buffer(-1)
        piece = early[at : at + len(buffer)]
        buffer[: len(piece)] = piece
        protocol.buffer_updated(len(piece))
        at += len(piece)
