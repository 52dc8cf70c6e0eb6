"""`AsyncTransport`: `httpx.AsyncClient` over HTTP/2."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx

from ..engine.events import Opened
from .arguments import Arguments
from .exchange import Exchange
from .faults import ByHttp1
from .fetch import fetch, respond
from .network import AsyncNetworkStream
from .question import Question

__all__ = ["AsyncTransport"]


class AsyncTransport(Arguments, httpx.AsyncBaseTransport):
    """HTTP/2 for httpx, and for httpx-ws: `httpx.AsyncClient(transport=AsyncTransport())`.

    Each origin has one connection, which is opened on demand and shared by all requests and
    WebSockets that lead there. A server that does not speak HTTP/2, by ALPN's word, is left to
    `httpx.AsyncHTTPTransport`, which is given the same arguments; so are cleartext origins, unless
    `prior_knowledge` says that they speak HTTP/2 at once and there is no `proxy`, and WebSockets
    that a server takes over HTTP/1.1 alone.

    The arguments are those of `httpx.AsyncHTTPTransport`. Of `limits`, `max_connections` bounds the
    origins that are connected at once, `max_keepalive_connections` those of them that no request is
    on, and `keepalive_expiry` is how many seconds one of these is kept.

    For asyncio and uvloop. Raises ValueError where `verify` is a context that allows TLS below 1.2.
    """

    _other: httpx.AsyncHTTPTransport | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return its response, whose body is read from its `stream`."""
        question = Question(request)
        if not self._takes(request, question):
            return await self._by_http1(request)
        body: Any = request.stream
        if isinstance(body, httpx.ByteStream):
            body = b"".join(body)
        elif not question.with_body:
            body = b""
        try:
            exchange, head = await fetch(self._pool, question, body)
        except ByHttp1:
            return await self._by_http1(request)
        except httpx.RequestError as error:
            error.request = request
            raise
        tunnel = type(head) is Opened
        stream = AsyncBody(exchange, question.patience.read, tunnel=tunnel)
        return respond(question, head, stream, AsyncNetworkStream(exchange, tunnel=tunnel))

    async def _by_http1(self, request: httpx.Request) -> httpx.Response:
        if self._other is None:
            self._other = httpx.AsyncHTTPTransport(**self._others)
        return await self._other.handle_async_request(request)

    async def aclose(self) -> None:
        """Close every connection; what is open on them is reset."""
        other, self._other = self._other, None
        await self._pool.aclose()
        if other is not None:
            await other.aclose()


class AsyncBody(httpx.AsyncByteStream):
    """The content of a response, read at the pace of whoever iterates."""

    def __init__(self, exchange: Exchange, read_s: float | None, *, tunnel: bool) -> None:
        self._exchange = exchange
        self._read_s = read_s
        self._tunnel = tunnel
        self.extensions: dict[str, Any] = {}  # the response's

    async def read(self) -> bytes:
        """Return what has come; b"" at the end, when `extensions` tell the trailers."""
        exchange = self._exchange
        try:
            data = await exchange.read(self._read_s)
        except TimeoutError as error:
            exchange.close()
            raise httpx.ReadTimeout("the server does not go on") from error
        if not data and exchange.receiving.trailers is not None:
            fields = list(exchange.receiving.trailers.raw_items())
            self.extensions["trailers"] = httpx.Headers(fields)
        return data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while data := await self.read():
                yield data
        except (GeneratorExit, asyncio.CancelledError):
            self.leave()
            raise

    async def aclose(self) -> None:
        """Give up what was not read: the stream is reset, the connection goes on."""
        self.leave()

    def leave(self) -> None:
        """The same, where nothing can be awaited."""
        if self._tunnel:
            self._exchange.leave(httpx.ReadError("the response was closed"))
        else:
            self._exchange.close()
