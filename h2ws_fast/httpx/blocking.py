"""`Transport`: `httpx.Client` over HTTP/2."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import httpx

from ..engine.events import Opened
from .arguments import Arguments
from .exchange import Exchange
from .faults import ByHttp1
from .fetch import answer, fetch, respond
from .network import AsyncNetworkStream, NetworkStream
from .portal import Portal
from .question import Question
from .transport import AsyncBody

__all__ = ["Transport"]

END: Any = object()  # no piece of a body: what an iterator yields may be anything


class Transport(Arguments, httpx.BaseTransport):
    """HTTP/2 for `httpx.Client`, and for httpx-ws in threads: see `AsyncTransport`.

    Any number of threads may use it. The connections live in an event loop of their own, in a
    thread that starts with the first request and ends with `close`. Bodies of requests are iterated
    over in the thread that sends them.
    """

    def _begin(self) -> None:
        self._portal: Portal | None = None
        self._lock = threading.Lock()
        self._other: httpx.HTTPTransport | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return its response, whose body is read from its `stream`."""
        question = Question(request)
        if not self._takes(request, question):
            return self._by_http1(request)
        upload: Upload | None = None
        portal = self._running()
        try:
            content: Any = request.stream
            if isinstance(content, httpx.ByteStream):
                exchange, head = portal.run(fetch(self._pool, question, b"".join(content)))
            elif not question.with_body:
                exchange, head = portal.run(fetch(self._pool, question, b""))
            else:
                exchange = portal.run(self._pool.open(question, end=False))
                upload = Upload(portal, exchange, content)
                try:
                    upload.send()
                    head = portal.run(answer(self._pool, question, exchange))
                except BaseException:
                    upload.close()
                    raise
        except ByHttp1:
            return self._by_http1(request)
        except httpx.RequestError as error:
            error.request = request
            raise
        tunnel = type(head) is Opened
        network = AsyncNetworkStream(exchange, tunnel=tunnel)
        body = AsyncBody(exchange, question.patience.read, tunnel=tunnel)
        stream = Body(portal, body, upload)
        return respond(question, head, stream, NetworkStream(portal, network))

    def _running(self) -> Portal:
        with self._lock:
            if self._portal is None or not self._portal.running:
                self._portal = Portal(self._pool.abort)
            return self._portal

    def _by_http1(self, request: httpx.Request) -> httpx.Response:
        with self._lock:
            if self._other is None:
                self._other = httpx.HTTPTransport(**self._others)
            other = self._other
        return other.handle_request(request)

    def close(self) -> None:
        """Close every connection; what is open on them is reset.

        Requests of other threads raise `httpx.TransportError`s, whatever they wait for.
        """
        # A request that begins meanwhile waits, and has a connection of its own.
        with self._lock:
            other, self._other = self._other, None
            portal, self._portal = self._portal, None
            if portal is not None:
                portal.stop(self._pool.aclose)
        if other is not None:
            other.close()


class Upload:
    """The body of a request, sent as far as possible and read on in between.

    Its pieces are made in the thread that waits for the response and reads it.
    """

    def __init__(self, portal: Portal, exchange: Exchange, content: Iterable[bytes]) -> None:
        self._portal = portal
        self._exchange = exchange
        self._pieces = iter(content)
        self._room = True
        self._ended = False

    def send(self) -> None:
        """Send while there is nothing to read, to the end of the body at the most."""
        while not self._ended and not self._exchange.readable:
            if self._room:
                piece = next(self._pieces, END)
                self._ended = piece is END
                self._room = self._portal.run(self._exchange.push(piece, end=self._ended))
            else:
                self._room = self._portal.run(self._exchange.room())

    def close(self) -> None:
        """Give it up, and the answer with it."""
        with contextlib.suppress(httpx.ReadError):  # it is closed with the transport
            self._portal.run(self._close())

    async def _close(self) -> None:
        self._exchange.close()


class Body(httpx.SyncByteStream):
    """The content of a response, read at the pace of whoever iterates."""

    def __init__(self, portal: Portal, body: AsyncBody, upload: Upload | None) -> None:
        self._portal = portal
        self._body = body
        self._upload = upload

    @property
    def extensions(self) -> dict[str, Any]:
        """The response's."""
        return self._body.extensions

    @extensions.setter
    def extensions(self, extensions: dict[str, Any]) -> None:
        self._body.extensions = extensions

    def __iter__(self) -> Iterator[bytes]:
        try:
            while True:
                if self._upload is not None:
                    self._upload.send()
                data = self._portal.run(self._body.read())
                if not data:
                    return
                yield data
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give up what was not read: the stream is reset, the connection goes on."""
        with contextlib.suppress(httpx.ReadError):  # it is closed with the transport
            self._portal.run(self._body.aclose())
