"""The connections of a transport: one for each origin, opened on demand."""

from __future__ import annotations

import asyncio

import httpx

from ..aio.client.connections import Connections, NoRoom, PoolClosed
from ..errors import (
    ConnectionTerminated,
    ExtendedConnectUnsupported,
    InvalidHandshake,
    NoAvailableStreams,
    PoolFull,
    ProxyError,
)
from .exchange import Exchange
from .faults import ByHttp1, connecting, exchanging
from .link import HttpxLink, Way
from .question import Origin, Patience, Question
from .remembered import Remembered

__all__ = ["Pool"]

RETRY_S = 0.5  # before the second attempt to connect again; twice as long before each further one
MAX_TRIES = 4  # connections that take no more streams, one after the other, for one request


class Pool:
    """Leads each request to the connection of its origin."""

    def __init__(self, way: Way, limits: httpx.Limits, retries: int) -> None:
        self._way = way
        idle = limits.max_keepalive_connections
        if limits.keepalive_expiry == 0:
            idle = 0
        self._retries = retries
        self.connections = Connections(self._dial, most=limits.max_connections, most_idle=idle)
        self.without_h2 = Remembered()
        self.without_websockets = Remembered()

    async def open(self, question: Question, *, end: bool) -> Exchange:
        """Open a stream for a request, on a connection that may be made for it.

        A connection that turns out to take no more is replaced: nothing was sent on it (RFC 9113
        section 8.7). Raises ByHttp1 where the origin wants that, and httpx's errors.
        """
        connections = self.connections
        tries = MAX_TRIES
        closings = connections.closings
        while True:
            tries -= 1
            link = await self._reserve(question.origin, question.patience)
            try:
                with exchanging():
                    try:
                        return await link.open(question, end=end)
                    except ExtendedConnectUnsupported as error:
                        self.without_websockets.add(question.origin)
                        raise ByHttp1 from error
                    except (NoAvailableStreams, ConnectionTerminated):
                        if not tries or closings != connections.closings:
                            raise
            finally:
                connections.release(link)
            connections.retire(link)

    async def _reserve(self, origin: Origin, patience: Patience) -> HttpxLink:
        with connecting():
            try:
                return await self.connections.reserve(
                    origin, connect_s=self._total(patience.connect), pool_s=patience.pool
                )
            except (NoRoom, PoolFull) as error:
                raise httpx.PoolTimeout(str(error)) from error
            except PoolClosed as error:
                raise httpx.ConnectError("the transport was closed") from error
            except ProxyError as error:
                raise httpx.ProxyError(str(error)) from error
            except InvalidHandshake as error:
                # ALPN, or a suite that HTTP/2 prohibits.
                self.without_h2.add(origin)
                raise ByHttp1 from error

    def _total(self, connect_s: float | None) -> float | None:
        # What all attempts may take together.
        if connect_s is None:
            return None
        return connect_s * (self._retries + 1) + RETRY_S * ((1 << self._retries) - 1)

    async def _dial(self, origin: Origin, total_s: float | None) -> HttpxLink:
        connect_s = total_s
        if total_s is not None:
            connect_s = (total_s - RETRY_S * ((1 << self._retries) - 1)) / (self._retries + 1)
        delay = 0.0
        for left in range(self._retries, -1, -1):
            try:
                async with asyncio.timeout(connect_s):
                    return await HttpxLink(origin, self._way, self.connections.gone).connect()
            except OSError:  # TimeoutError is one
                if not left:
                    raise
            await asyncio.sleep(delay)
            delay = delay * 2 or RETRY_S
        raise AssertionError("unreachable")

    async def aclose(self) -> None:
        """Close every connection; what is open on them is reset."""
        await self.connections.aclose(lambda link: link.aclose())

    def abort(self) -> None:
        """Close every connection at once, and wait for nobody."""
        for link in self.connections.links():
            link.abort()
