"""`extensions["network_stream"]`: the octets of one stream, as `httpcore` has those of a socket."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Any

import httpcore
import httpx

from ..errors import LocalProtocolError, StreamReset
from .exchange import Exchange
from .portal import Portal

__all__ = ["AsyncNetworkStream", "NetworkStream"]

# httpcore's names for what a transport calls otherwise.
INFO = {
    "client_addr": "sockname",
    "server_addr": "peername",
    "socket": "socket",
    "ssl_object": "ssl_object",
}


class AsyncNetworkStream(httpcore.AsyncNetworkStream):
    """A stream of an HTTP/2 connection that carries octets both ways: an accepted Upgrade.

    Of any other response it tells about the connection, and reads and writes nothing.
    """

    def __init__(self, exchange: Exchange, *, tunnel: bool) -> None:
        self._exchange = exchange
        self._tunnel = tunnel
        self._rest = memoryview(b"")

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return up to so many octets as soon as there are any, b"" at the end of the stream.

        Raises `httpcore.ReadError` where it was reset or closed here, `httpcore.ReadTimeout`.
        """
        if not self._tunnel:
            raise httpcore.ReadError("read the response: its stream is no tunnel")
        if not self._rest:
            try:
                self._rest = memoryview(await self._exchange.read(timeout))
            except TimeoutError as error:
                raise httpcore.ReadTimeout(str(error)) from error
            except httpx.TransportError as error:
                raise httpcore.ReadError(str(error)) from error
        data = bytes(self._rest[:max_bytes])
        self._rest = self._rest[max_bytes:]
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send octets, at the pace at which the server takes them.

        Raises `httpcore.WriteError` where the stream is over, `httpcore.WriteTimeout`.
        """
        if not self._tunnel or self._exchange.sending.ended:
            raise httpcore.WriteError("the stream is closed, or no tunnel")
        try:
            async with asyncio.timeout(timeout):
                await self._exchange.sending.write(buffer)
        except TimeoutError as error:
            raise httpcore.WriteTimeout("the server does not take what was written") from error
        except (StreamReset, LocalProtocolError) as error:
            raise httpcore.WriteError(str(error)) from error

    async def aclose(self) -> None:
        """End this side behind what was written; the server has ten seconds to end its own."""
        self._leave()

    def _leave(self) -> None:
        if self._tunnel:
            self._exchange.leave(httpx.ReadError("the stream was closed here"))

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Not on a stream: raises httpcore.ConnectError, as where TLS cannot begin."""
        raise httpcore.ConnectError("a stream of HTTP/2 cannot begin TLS of its own")

    def get_extra_info(self, info: str) -> Any:
        """Tell about the connection: `ssl_object`, `client_addr`, `server_addr`, `socket`."""
        name = INFO.get(info)
        transport = self._exchange.sending.wire.transport
        return None if name is None or transport is None else transport.get_extra_info(name)


class NetworkStream(httpcore.NetworkStream):
    """The same for threads. `read` returns when `close` is called meanwhile."""

    def __init__(self, portal: Portal, stream: AsyncNetworkStream) -> None:
        self._portal = portal
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """See `AsyncNetworkStream.read`."""
        try:
            return self._portal.run(self._stream.read(max_bytes, timeout))
        except httpx.ReadError as error:
            raise httpcore.ReadError(str(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """See `AsyncNetworkStream.write`."""
        try:
            self._portal.run(self._stream.write(buffer, timeout))
        except httpx.ReadError as error:
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        """See `AsyncNetworkStream.aclose`."""
        with contextlib.suppress(httpx.ReadError):  # it is closed with the transport
            self._portal.run(self._stream.aclose())

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """Not on a stream: raises httpcore.ConnectError, as where TLS cannot begin."""
        raise httpcore.ConnectError("a stream of HTTP/2 cannot begin TLS of its own")

    def get_extra_info(self, info: str) -> Any:
        """See `AsyncNetworkStream.get_extra_info`."""
        return self._stream.get_extra_info(info)
