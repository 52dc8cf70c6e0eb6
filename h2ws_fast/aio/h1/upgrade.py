"""A WebSocket over HTTP/1.1, the client's end: its handshake, and the connection of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import h11

from ...engine import Limits, Role
from ...engine.buffers import Pool
from ...engine.constants import NO_ERROR
from ...engine.endpoint import Endpoint
from ...engine.events import SinkFailed, Terminated
from ...engine.h1 import Upgraded
from ...engine.handshake import check_accepted, is_token, new_key
from ...engine.headers import MalformedMessage
from ...errors import ConnectionTerminated, InvalidHandshake, InvalidStatus, NegotiationError
from ..http import Headers, Request, Response
from ..protocol import Hub
from .head import Gathering, InvalidHead
from .pace import PacedWire

__all__ = ["Handshake", "UpgradeWire", "dialling"]

MAX_REFUSAL = 65536  # octets of a refusal's body that are kept
MAX_INFORMED = 20  # 1xx before the answer

# What the handshake itself says.
RESERVED = frozenset(
    (
        "connection",
        "content-length",
        "host",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
        "transfer-encoding",
        "upgrade",
    )
)

Opened = Callable[[Upgraded, Response, "str | None"], None]


class Handshake(Endpoint):
    """Asks for an upgrade and reads the answer: RFC 6455 section 4.1.

    On a 101 that is in order `opened(upgraded, response, subprotocol)` is called; the octets behind
    it are then `early`. Otherwise `failed(error)`: an InvalidStatus with the whole refusal where
    there is one. Both are called at most once. `headers` are the fields of the application.
    Raises ValueError where `subprotocols` or `headers` cannot be sent.
    """

    __slots__ = (
        "_exchange",
        "_failed",
        "_gathering",
        "_informed",
        "_key",
        "_limits",
        "_offered",
        "_opened",
        "_out",
        "_pool",
        "_queue",
        "_refusal",
        "_response",
        "_size",
        "early",
        "terminated",
    )

    def __init__(
        self,
        request: Request,
        subprotocols: Iterable[str],
        limits: Limits,
        opened: Opened,
        failed: Callable[[BaseException], None],
        *,
        pool: Pool | None = None,
    ) -> None:
        self._offered = list(subprotocols)
        if len(set(self._offered)) != len(self._offered):
            raise ValueError(f"a subprotocol is offered twice: {self._offered}")
        for name in self._offered:
            if not is_token(name):
                raise ValueError(f"the subprotocol {name!r} is not a token")
        for name in request.headers:
            if name in RESERVED:
                raise ValueError(f"{name} is for the handshake to say; leave it out")
        self._limits = limits
        self._opened = opened
        self._failed = failed
        self._pool = pool
        self._gathering = Gathering()
        self._informed = 0
        self._queue: list[Any] = []
        self._response: Response | None = None
        self._refusal: list[bytes] = []
        self._size = 0
        self.early = b""
        self.terminated = False
        self._key = new_key()
        fields = [
            ("Host", request.authority),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", self._key.decode()),
            ("Sec-WebSocket-Version", "13"),
        ]
        if self._offered:
            fields.append(("Sec-WebSocket-Protocol", ", ".join(self._offered)))
        fields += list(request.headers.raw_items())
        self._exchange = h11.Connection(h11.CLIENT, MAX_REFUSAL)
        try:
            asked = h11.Request(
                method="GET",
                target=request.path,
                headers=[
                    (name.encode("latin-1"), value.encode("latin-1")) for name, value in fields
                ],
            )
        except h11.LocalProtocolError as error:
            raise ValueError(str(error)) from error
        self._out = (self._exchange.send(asked) or b"") + (
            self._exchange.send(h11.EndOfMessage()) or b""
        )

    def receive_data(self, data: Any, now: float = 0.0) -> list[Any]:
        """See `Connection.receive_data`."""
        if not self.terminated:
            try:
                if self._response is None:
                    self._gathering.add(bytes(data))
                    self._read_heads()
                else:
                    self._read_body(bytes(data))
            except InvalidHead as error:
                self._fail(InvalidHandshake(f"the answer is no HTTP: {error.reason}"))
            except h11.RemoteProtocolError as error:
                self._fail(self._refused() or InvalidHandshake(f"the answer is no HTTP: {error}"))
        return self.events()

    def receive_eof(self, now: float = 0.0) -> list[Any]:
        """See `Connection.receive_eof`."""
        if not self.terminated:
            lost = ConnectionTerminated(NO_ERROR, "the server closed the connection unanswered")
            self._fail(self._refused() or lost)
        return self.events()

    def events(self) -> list[Any]:
        """See `Connection.events`."""
        events = self._queue
        self._queue = []
        return events

    def data_to_send(self, max_bytes: int = 65536, now: float = 0.0) -> list[bytes]:
        """See `Connection.data_to_send`."""
        out = self._out
        self._out = b""
        return [out] if out and not self.terminated else []

    @property
    def reading(self) -> bool:
        """Should more be read from the transport now?"""
        return True

    @property
    def leaving(self) -> bool:
        """Is this side done? The server ends a connection that came to nothing."""
        return False

    def shutdown(self, error_code: int = NO_ERROR, reason: bytes = b"") -> None:
        """Give up."""
        self.abort()

    def abort(self, error_code: int = NO_ERROR, reason: bytes = b"") -> None:
        """Give up."""
        if not self.terminated:
            self._fail(self._refused() or ConnectionTerminated(NO_ERROR, "given up by this end"))

    def _read_heads(self) -> None:
        while self._response is None and not self.terminated:
            head = self._gathering.take()
            if head is None:
                return
            self._exchange.receive_data(head)
            event = self._exchange.next_event()
            if isinstance(event, h11.InformationalResponse) and event.status_code != 101:
                self._informed += 1
                if self._informed > MAX_INFORMED:
                    self._fail(InvalidHandshake("too many interim responses"))
            elif isinstance(event, h11.InformationalResponse):
                self._accept(_response(event), list(event.headers))
            elif isinstance(event, h11.Response):
                self._response = _response(event)
                self._read_body(self._gathering.rest())

    def _accept(self, response: Response, fields: list[tuple[bytes, bytes]]) -> None:
        try:
            subprotocol = check_accepted(self._key, fields, self._offered)
        except MalformedMessage as error:
            self._fail(NegotiationError(error.reason))
            return
        self.terminated = True
        self.early = self._gathering.rest()
        self._opened(Upgraded(Role.CLIENT, self._limits, pool=self._pool), response, subprotocol)

    def _read_body(self, data: bytes) -> None:
        if data:
            self._exchange.receive_data(data)
        while True:
            event = self._exchange.next_event()
            if isinstance(event, h11.Data):
                self._refusal.append(bytes(event.data)[: MAX_REFUSAL - self._size])
                self._size += len(event.data)
                if self._size < MAX_REFUSAL:
                    continue
            elif not isinstance(event, h11.EndOfMessage):
                return
            error = self._refused()
            assert error is not None
            self._fail(error)
            return

    def _refused(self) -> InvalidStatus | None:
        # What the server has said so far, if it was a refusal.
        if self._response is None:
            return None
        self._response.body = b"".join(self._refusal)
        return InvalidStatus(self._response)

    def _fail(self, error: BaseException) -> None:
        self.terminated = True
        self._queue.append(Terminated(NO_ERROR, str(error), False))
        self._failed(error)


def _response(event: Any) -> Response:
    headers = Headers.received([(name, value) for name, value in event.headers])
    return Response(event.status_code, headers)


class UpgradeWire(PacedWire, asyncio.BufferedProtocol):
    """The connection of one WebSocket over HTTP/1.1.

    `opening` ends when the handshake does, `gone` when the transport is. `on_open(response,
    subprotocol)` makes the WebSocket ready; what came behind the 101 is received then.
    """

    __slots__ = ("_handshake", "_on_open", "_on_over", "gone", "opening")

    def __init__(
        self,
        hub: Hub,
        limits: Limits,
        request: Request,
        subprotocols: Iterable[str],
        on_open: Callable[[Response, str | None], None],
        on_over: Callable[[UpgradeWire], None],
    ) -> None:
        handshake = Handshake(
            request, subprotocols, limits, self._accepted, self._refused, pool=hub.pool
        )
        super().__init__(hub, handshake, limits.write_high)
        self._handshake: Handshake | None = handshake
        self._on_open = on_open
        self._on_over = on_over
        self.opening: asyncio.Future[None] = hub.loop.create_future()
        self.gone: asyncio.Future[None] = hub.loop.create_future()
        self.watched = True

    def _accepted(self, conn: Upgraded, response: Response, subprotocol: str | None) -> None:
        handshake = self._handshake
        assert handshake is not None
        self._handshake = None
        self.become(conn)
        self._on_open(response, subprotocol)
        if handshake.early:
            for event in conn.receive_data(handshake.early, self.hub.time()):
                self._event(event)
        if not self.opening.done():
            self.opening.set_result(None)

    def _refused(self, error: BaseException) -> None:
        if not self.opening.done():
            self.opening.set_exception(error)
            self.opening.exception()  # nobody need look

    def _event(self, event: Any) -> None:
        if type(event) is Terminated:
            self.over = True
        elif type(event) is SinkFailed:
            self.hub.loop.call_exception_handler(
                {"message": "the receiver of a WebSocket failed", "exception": event.error}
            )

    def _lost(self, exc: BaseException | None) -> None:
        if not self.opening.done():
            self.opening.set_exception(
                exc or ConnectionTerminated(NO_ERROR, "the connection was lost")
            )
            self.opening.exception()  # nobody need look
        self._on_over(self)
        if not self.gone.done():
            self.gone.set_result(None)


@contextlib.asynccontextmanager
async def dialling(hub: Hub, key: Any) -> AsyncIterator[None]:
    """Keep others from opening a WebSocket over HTTP/1.1 to the same place meanwhile.

    RFC 6455 section 4.1: "There MUST be no more than one connection in a CONNECTING state."
    """
    name = ("dialling", key)
    lock, waiting = hub.known.get(name) or (asyncio.Lock(), 0)
    hub.known[name] = (lock, waiting + 1)
    try:
        async with lock:
            yield
    finally:
        lock, waiting = hub.known.pop(name)
        if waiting > 1:
            hub.known[name] = (lock, waiting - 1)
