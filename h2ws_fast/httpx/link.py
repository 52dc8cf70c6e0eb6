"""One connection to one origin: a Session that httpx's requests go over."""

from __future__ import annotations

import asyncio
import socket
import ssl as ssl_module
import urllib.parse
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import httpx

from ..aio.client.link import Link
from ..aio.opener import FAREWELL_S
from ..engine import Limits
from ..engine.constants import NO_ERROR
from .exchange import Exchange
from .question import Origin, Question

__all__ = ["HttpxLink", "Way"]

# `aclose` waits so long for the server to see that nothing more comes.
CLOSE_S = 2.0


class Way:
    """How connections are made: what httpx's own transport is told too."""

    __slots__ = ("keepalive_s", "local_address", "proxy", "socket_options", "ssl", "uds")

    def __init__(
        self,
        ssl: ssl_module.SSLContext,
        keepalive_s: float | None,
        uds: str | None,
        local_address: str | None,
        socket_options: Iterable[Any] | None,
        proxy: httpx.Proxy | None,
    ) -> None:
        self.ssl = ssl
        self.proxy = proxy
        self.keepalive_s = keepalive_s
        self.uds = uds
        self.local_address = local_address
        self.socket_options = list(socket_options or ())

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of a Session that say where it leads."""
        if self.proxy is not None:
            return _through(self.proxy)
        if self.uds is not None:
            return {"unix": True, "path": self.uds, "proxy": None}
        if self.local_address is not None:
            return {"local_addr": (self.local_address, 0), "proxy": None}
        return {"proxy": None}

    def apply(self, sock: Any) -> None:
        """Set the options of a socket."""
        if sock is None or not self.socket_options:
            return
        # The loops hand out stand-ins without setsockopt.
        with socket.fromfd(sock.fileno(), sock.family, sock.type) as twin:
            for option in self.socket_options:
                twin.setsockopt(*option)


def _through(proxy: httpx.Proxy) -> dict[str, Any]:
    # As a Session is told of a proxy. Of SOCKS, names are the proxy's to resolve, as with httpx.
    url, login = proxy.url, ""
    scheme = "socks5h" if url.scheme.startswith("socks") else url.scheme
    if proxy.auth is not None:
        login = ":".join(urllib.parse.quote(each, safe="") for each in proxy.auth) + "@"
    where: dict[str, Any] = {"proxy": f"{scheme}://{login}{url.netloc.decode('ascii')}"}
    if scheme == "https":
        where["proxy_ssl"] = proxy.ssl_context or httpx.create_ssl_context()
    return where


class HttpxLink(Link):
    """A connection and the requests on it. `await connect()` it first.

    `gone(link)` is called when it is over.
    """

    def __init__(self, origin: Origin, way: Way, gone: Callable[[Any], None]) -> None:
        # How long anything may take is what each request says.
        limits = Limits(
            write_timeout_s=None,
            handshake_timeout_s=None,
            client_idle_timeout_s=way.keepalive_s or None,
            shutdown_timeout_s=CLOSE_S / 2,
        )
        super().__init__(
            origin.uri,
            origin,
            gone,
            ssl=way.ssl if origin.secure else None,
            server_hostname=origin.server_hostname,
            open_timeout=None,
            ping_interval=None,
            close_timeout=CLOSE_S,
            limits=limits,
            **way.arguments,
        )
        self.way = way
        self.exchanges: weakref.WeakSet[Exchange] = weakref.WeakSet()

    async def connect(self) -> HttpxLink:
        """Connect. Raises AlpnError where the server does not speak HTTP/2, and OSError."""
        try:
            await super().connect()
        except BaseException:
            self._abort()
            raise
        self.way.apply(self._live().transport.get_extra_info("socket"))
        return self

    async def open(self, question: Question, *, end: bool) -> Exchange:
        """Open a stream with a request that ends here, or whose body follows.

        Waits while the server's limit on streams is reached. Raises ExtendedConnectUnsupported,
        NoAvailableStreams (the server takes no more), ConnectionTerminated, and httpx's timeouts.
        """
        patience = question.patience
        if question.websocket:
            try:
                async with asyncio.timeout(patience.connect):
                    await self._extended()
            except TimeoutError as error:
                raise httpx.ConnectTimeout("the server's SETTINGS have not come") from error
        try:
            async with asyncio.timeout(patience.pool):
                stream_id = await self._start(
                    lambda: int(
                        self._live().conn.request(question.fields, end_stream=end, octets=True)
                    )
                )
        except TimeoutError as error:
            raise httpx.PoolTimeout("the server lets no more streams be open") from error
        wire = self._live()
        exchange = Exchange(wire, stream_id, patience, question.promised)
        exchange.sending.ended = end
        self.exchanges.add(exchange)
        wire.conn.attach(stream_id, exchange.feed)
        wire.touch()
        return exchange

    def abort(self) -> None:
        """Close the connection at once: the server sees a GOAWAY, where it still can."""
        self._abort()

    async def aclose(self) -> None:
        """Reset what is open, but for tunnels that were ended here; close the connection."""
        left = [exchange for exchange in self.exchanges if exchange.leaving]
        for exchange in list(self.exchanges):
            if not exchange.leaving:
                exchange.close()
        if left:
            self._shutdown()
            await asyncio.wait([wire.gone for wire in self._wires()], timeout=FAREWELL_S)
            for exchange in left:
                exchange.close()
        for wire in self._wires():
            # A server opens nothing, so there is nothing that a graceful shutdown would wait for.
            if not wire.lost and not wire.conn.terminated:
                wire.conn.abort(NO_ERROR)
                wire.touch()
        await self.close()
