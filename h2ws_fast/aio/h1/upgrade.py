"""A WebSocket or tunnel over HTTP/1.1, the client's end: its handshake, and a connection of its own."""

from __future__ import annotations

import abc
import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, ClassVar

from ...engine import Limits, Role
from ...engine.agreement import ClientPerMessageDeflateFactory
from ...engine.buffers import Pool
from ...engine.constants import NO_ERROR
from ...engine.endpoint import Endpoint
from ...engine.events import SinkFailed, Terminated
from ...engine.h1 import Upgraded
from ...engine.handshake import (
    HANDSHAKE_FIELDS,
    check_accepted,
    check_switched,
    is_token,
    new_key,
    read_offers,
)
from ...engine.headers import MalformedMessage
from ...engine.octets import Octets
from ...errors import ConnectionTerminated, InvalidHandshake, InvalidStatus, NegotiationError
from ..http import Request, Response
from ..hub import Hub
from .answer import Answer
from .pace import PacedWire

__all__ = ["Handshake", "TunnelHandshake", "UpgradeWire", "dialling"]

# What describes content, which a request that asks for a tunnel and its answer have none of:
# RFC 9297 section 3.2, and RFC 9110 sections 8.6 and 15.2.
CONTENT = frozenset(("content-length", "content-type", "transfer-encoding"))

# What the handshake itself says.
RESERVED = frozenset(("connection", "content-length", "host", "transfer-encoding", "upgrade"))
WEBSOCKETS = frozenset(name.decode() for name in HANDSHAKE_FIELDS)

Opened = Callable[[Any, Response, "str | None"], None]


class Asking(Endpoint):
    """Asks for an upgrade to what `request.protocol` names, and reads the answer.

    On a 101 that is in order `opened(conn, response, subprotocol)` is called, where `conn` is what
    goes on with the connection; the octets behind it are then `early`. Otherwise `failed(error)`: an
    InvalidStatus with the whole refusal where there is one. Both are called at most once. Raises
    ValueError where the fields cannot be sent.
    """

    __slots__ = (
        "_answer",
        "_failed",
        "_limits",
        "_opened",
        "_out",
        "_queue",
        "_token",
        "early",
        "terminated",
    )

    reserved: ClassVar[frozenset[str]]  # fields that are not the application's

    def __init__(
        self,
        request: Request,
        limits: Limits,
        opened: Opened,
        failed: Callable[[BaseException], None],
        own: Iterable[tuple[str, str]] = (),
    ) -> None:
        for name in request.headers:
            if name in self.reserved:
                raise ValueError(f"{name} is for the handshake to say; leave it out")
        self._limits = limits
        self._token = request.protocol or "websocket"
        self._opened = opened
        self._failed = failed
        self._queue: list[Any] = []
        self.early = b""
        self.terminated = False
        fields = [
            ("Host", request.authority),
            ("Upgrade", self._token),
            ("Connection", "Upgrade"),
            *own,
            *request.headers.raw_items(),
        ]
        self._answer = Answer("GET", request.path, fields)
        self._out = self._answer.octets

    def receive_data(self, data: Any, now: float = 0.0) -> list[Any]:
        """See `Connection.receive_data`."""
        if not self.terminated:
            try:
                if self._answer.receive(bytes(data)):
                    self._conclude()
            except InvalidHandshake as error:
                self._fail(error)
        return self.events()

    def receive_eof(self, now: float = 0.0) -> list[Any]:
        """See `Connection.receive_eof`."""
        if not self.terminated:
            self._answer.end()
            lost = ConnectionTerminated(NO_ERROR, "the server closed the connection unanswered")
            self._fail(self.refused() or lost)
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
            self._fail(self.refused() or ConnectionTerminated(NO_ERROR, "given up by this end"))

    def _conclude(self) -> None:
        answer = self._answer
        if not answer.switched:
            refusal = self.refused()
            assert refusal is not None
            self._fail(refusal)
            return
        try:
            conn, subprotocol = self._agree(answer)
        except MalformedMessage as error:
            self._fail(NegotiationError(error.reason))
            return
        except NegotiationError as error:
            self._fail(error)
            return
        response = answer.response
        assert response is not None
        self.terminated = True
        self.early = answer.rest()
        self._opened(conn, response, subprotocol)

    @abc.abstractmethod
    def _agree(self, answer: Answer) -> tuple[Endpoint, str | None]:
        """Return what goes on, and the subprotocol. Raises MalformedMessage or NegotiationError."""

    def refused(self) -> InvalidStatus | None:
        """What the server has said so far, if it was a refusal."""
        refusal = self._answer.refusal()
        return None if refusal is None else InvalidStatus(refusal, self._answer.whole)

    def _fail(self, error: BaseException) -> None:
        self.terminated = True
        self._queue.append(Terminated(NO_ERROR, str(error), False))
        self._failed(error)


class Handshake(Asking):
    """That of a WebSocket: RFC 6455 section 4.1. Raises ValueError for `subprotocols`, too."""

    __slots__ = ("_deflate", "_key", "_offered", "_pool")

    reserved = RESERVED | WEBSOCKETS

    def __init__(
        self,
        request: Request,
        subprotocols: Iterable[str],
        limits: Limits,
        opened: Opened,
        failed: Callable[[BaseException], None],
        *,
        pool: Pool | None = None,
        deflate: ClientPerMessageDeflateFactory | None = None,
    ) -> None:
        self._deflate = deflate
        self._offered = list(subprotocols)
        if len(set(self._offered)) != len(self._offered):
            raise ValueError(f"a subprotocol is offered twice: {self._offered}")
        for name in self._offered:
            if not is_token(name):
                raise ValueError(f"the subprotocol {name!r} is not a token")
        self._pool = pool
        self._key = new_key()
        own = [("Sec-WebSocket-Key", self._key.decode()), ("Sec-WebSocket-Version", "13")]
        if self._offered:
            own.append(("Sec-WebSocket-Protocol", ", ".join(self._offered)))
        if deflate is not None:
            own.append(("Sec-WebSocket-Extensions", deflate.offer().decode()))
        super().__init__(request, limits, opened, failed, own)

    def _agree(self, answer: Answer) -> tuple[Endpoint, str | None]:
        deflate = self._deflate
        subprotocol = check_accepted(
            self._key, answer.fields, self._offered, extensions=deflate is not None
        )
        agreed = None if deflate is None else deflate.agree(read_offers(answer.fields))
        return Upgraded(Role.CLIENT, self._limits, pool=self._pool, agreed=agreed), subprotocol


class TunnelHandshake(Asking):
    """That of any other protocol, whose octets go on as they are: RFC 9110 section 7.8."""

    __slots__ = ()

    reserved = RESERVED | CONTENT

    def _agree(self, answer: Answer) -> tuple[Endpoint, str | None]:
        # RFC 9298 section 3.3 says for connect-udp what must be so for all of them.
        check_switched(answer.fields, self._token.lower().encode("latin-1"))
        if any(name.decode("latin-1") in CONTENT for name, _ in answer.fields):
            raise NegotiationError("the answer that opens a tunnel describes content")
        return Octets(self._limits), None


class UpgradeWire(PacedWire, asyncio.BufferedProtocol):
    """The connection of one WebSocket or tunnel over HTTP/1.1; `make(opened, failed)` asks for it.

    `opening` ends when the handshake does, `gone` when the transport is. `on_open(response,
    subprotocol)` makes the WebSocket ready; what came behind the 101 is received then.
    """

    __slots__ = ("_handshake", "_on_open", "_on_over", "gone", "log", "opening")

    log: Any  # the logger of the session

    def __init__(
        self,
        hub: Hub,
        limits: Limits,
        make: Callable[[Opened, Callable[[BaseException], None]], Asking],
        on_open: Callable[[Response, str | None], None],
        on_over: Callable[[UpgradeWire], None],
    ) -> None:
        handshake = make(self._accepted, self._refused)
        super().__init__(hub, handshake, limits.write_high)
        self._handshake: Asking | None = handshake
        self._on_open = on_open
        self._on_over = on_over
        self.opening: asyncio.Future[None] = hub.loop.create_future()
        self.gone: asyncio.Future[None] = hub.loop.create_future()
        self.watched = True
        self.log = None

    def _accepted(self, conn: Any, response: Response, subprotocol: str | None) -> None:
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

    def refusal(self) -> InvalidStatus | None:
        """What the server has said so far, if it was a refusal."""
        return None if self._handshake is None else self._handshake.refused()

    def _refused(self, error: BaseException) -> None:
        if not self.opening.done():
            self.opening.set_exception(error)
            self.opening.exception()  # nobody need look

    def _event(self, event: Any) -> None:
        if type(event) is Terminated:
            self.over = True
        elif type(event) is SinkFailed:
            self.hub.loop.call_exception_handler(
                {"message": "the receiver of an upgrade failed", "exception": event.error}
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
