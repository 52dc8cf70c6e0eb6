"""One connection to one origin: a Session that httpx's requests go over."""

from __future__ import annotations

import asyncio
import socket
import ssl as ssl_module
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import httpx

from ..aio.client.session import FAREWELL_S, Session
from ..engine import Limits
from ..engine.constants import NO_ERROR
from .exchange import Exchange
from .question import Origin, Question

__all__ = ["Link", "Way"]

# `aclose` waits so long for the server to see that nothing more comes.
CLOSE_S = 2.0
# RFC 9113 section 5.1.1: the identifiers of a connection's streams run out at 2**30.
MAX_STREAMS = 2**29


class Way:
    """How connections are made: what httpx's own transport is told too."""

    __slots__ = ("keepalive_s", "local_address", "socket_options", "ssl", "uds")

    def __init__(
        self,
        ssl: ssl_module.SSLContext,
        keepalive_s: float | None,
        uds: str | None,
        local_address: str | None,
        socket_options: Iterable[Any] | None,
    ) -> None:
        self.ssl = ssl
        self.keepalive_s = keepalive_s
        self.uds = uds
        self.local_address = local_address
        self.socket_options = list(socket_options or ())

    async def connected(self) -> dict[str, Any]:
        """More arguments of `create_connection`; a socket that is connected already among them."""
        if self.uds is not None:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.setblocking(False)
                await asyncio.get_running_loop().sock_connect(sock, self.uds)
            except BaseException:
                sock.close()
                raise
            return {"sock": sock}
        if self.local_address is not None:
            return {"local_addr": (self.local_address, 0)}
        return {}

    def apply(self, sock: Any) -> None:
        """Set the options of a socket."""
        if sock is None or not self.socket_options:
            return
        # The loops hand out stand-ins without setsockopt.
        with socket.fromfd(sock.fileno(), sock.family, sock.type) as twin:
            for option in self.socket_options:
                twin.setsockopt(*option)


class Link(Session):
    """A connection and the requests on it. `await connect()` it first.

    `idle(link)` is called when its last stream has ended, `gone(link)` when the connection has.
    """

    def __init__(
        self,
        origin: Origin,
        way: Way,
        kwargs: dict[str, Any],
        idle: Callable[[Link], None],
        gone: Callable[[Link], None],
    ) -> None:
        # How long anything may take is what each request says.
        limits = Limits(
            write_timeout_s=None,
            handshake_timeout_s=None,
            client_idle_timeout_s=way.keepalive_s or None,
            shutdown_timeout_s=CLOSE_S / 2,
        )
        super().__init__(
            origin.uri,
            ssl=way.ssl if origin.secure else None,
            server_hostname=origin.server_hostname,
            open_timeout=None,
            ping_interval=None,
            close_timeout=CLOSE_S,
            limits=limits,
            **kwargs,
        )
        self.origin = origin
        self.way = way
        self.reserved = 0  # requests that are led here, or may be, and have no stream yet
        self.opened = 0
        self.exchanges: weakref.WeakSet[Exchange] = weakref.WeakSet()
        self._idle = idle
        self._gone = gone

    def _dialled(self, http: tuple[str, ...]) -> dict[str, Any]:
        # Both are offered, so that a server of HTTP/1.1 says so: RFC 7301 lets it fail otherwise.
        return super()._dialled(("h2", "h1"))

    async def connect(self) -> Link:
        """Connect. Raises AlpnError where the server does not speak HTTP/2, and OSError."""
        try:
            await super().connect()
        except BaseException:
            self._abort()
            raise
        wire = self._live()
        self.way.apply(wire.transport.get_extra_info("socket"))
        wire.gone.add_done_callback(lambda _: self._gone(self))
        return self

    @property
    def usable(self) -> bool:
        """Does the server take new requests on it?"""
        return self.connected and self.opened < MAX_STREAMS

    @property
    def busy(self) -> bool:
        """Is a request on it, or about to be?"""
        if self.reserved:
            return True
        return self._wire is not None and int(self._wire.conn.open_streams) > 0

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
        self.opened += 1
        exchange = Exchange(wire, stream_id, patience, question.promised, self._ended)
        exchange.sending.ended = end
        self.exchanges.add(exchange)
        wire.conn.attach(stream_id, exchange.feed)
        wire.touch()
        return exchange

    def _ended(self) -> None:
        # The stream is counted until its event has been handled.
        wire = self._wire
        if wire is not None:
            wire.hub.loop.call_soon(self._idle, self)

    def retire(self) -> None:
        """Take no more requests; the connection ends with its last stream."""
        self._shutdown()

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
