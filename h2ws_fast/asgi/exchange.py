"""One stream and the application's task that works on it: what every kind of scope has in common."""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..aio import http
from ..engine.constants import INTERNAL_ERROR, NO_ERROR
from ..engine.events import Data, Drained, Ended, Reset
from ..engine.handshake import has_token
from ..engine.sink import Sink
from ..errors import ClientDisconnected, LocalProtocolError, StreamClosed

if TYPE_CHECKING:
    from .application import Message
    from .wire import ASGIWire

__all__ = ["Exchange", "outgoing", "respond", "stripped"]

HOP_BY_HOP = frozenset(name.encode() for name in http.HOP_BY_HOP)
STATUSES = {status: (b":status", b"%d" % status) for status in range(100, 1000)}

# So many octets of one message are given to the engine at once; the rest waits for the peer.
PIECE = 262144
SMALL = 4096  # octets: smaller pieces that wait are put together


def outgoing(fields: list[Any], headers: Iterable[Any], wire: ASGIWire | None = None) -> int:
    """Append an application's headers to `fields`; return its content-length, -1 without one.

    On a `wire` of HTTP/1.1 `connection: close` stays: it ends with this response.
    """
    length = -1
    for name, value in headers:
        name = name.lower()
        if name in HOP_BY_HOP:
            if name == b"connection" and wire is not None and wire.http_version != "2":
                if has_token([value], b"close"):
                    fields.append((name, b"close"))
            continue
        if name == b"content-length":
            length = int(value)
        fields.append((name, value))
    return length


def stripped(fields: list[Any]) -> list[Any]:
    """These fields without whitespace around their values, for a second attempt.

    To be called where ValueError was caught, which is raised on where there is no whitespace: in
    HTTP/1.1 it is no fault, and here it is (RFC 9113 section 8.2.1).
    """
    without = [(name, value.strip()) for name, value in fields]
    if without == fields:
        raise
    return without


def respond(conn: Any, stream_id: int, fields: list[Any], end: bool) -> None:
    """Send a head; whitespace around values is left out."""
    try:
        conn.respond(stream_id, fields, end)
    except ValueError:
        conn.respond(stream_id, stripped(fields), end)


class Exchange(Sink, metaclass=abc.ABCMeta):
    """The stream's receiver, and the `receive` and `send` of its application."""

    __slots__ = (
        "_credit",
        "_drained",
        "_ended",
        "_gone",
        "_left",
        "_pieces",
        "_waiting",
        "scope",
        "stream_id",
        "wire",
    )

    wire: ASGIWire
    stream_id: int
    scope: Any  # a dict; any, since the application may change what is in it

    def __init__(self, wire: ASGIWire, stream_id: int, scope: Any, ended: bool) -> None:
        self.wire = wire
        self.stream_id = stream_id
        self.scope = scope
        self._ended = ended  # the peer's side has
        self._gone = False  # the stream was reset, or its connection is lost
        self._left = -1  # octets that content-length still promises, -1: it promised nothing
        self._pieces: list[bytes] | None = None  # octets that the application has not taken ...
        self._credit = 0  # ... and the window they hold
        self._waiting: list[asyncio.Future[None]] | None = None  # of receive()
        self._drained: asyncio.Future[None] | None = None  # of send()

    def start(self) -> None:
        """Take the stream's events from here on, and let the application work."""
        wire = self.wire
        wire.conn.attach(self.stream_id, self)
        wire.route(self.stream_id, self._event)
        task = wire.application.start(wire.hub.loop, self.scope, self.receive, self.send)
        wire.employ(task)
        # This object as it is, and one context for all: 128 octets less for each stream that a
        # bound method and a copied context cost while it is open.
        task.add_done_callback(self, context=wire.application.context)

    @abc.abstractmethod
    async def receive(self) -> Message:
        """What the application awaits to hear of its client."""

    @abc.abstractmethod
    async def send(self, message: Message) -> None:
        """What the application awaits to answer its client."""

    # -- what the engine calls --------------------------------------------------------------------

    def _data(self, data: bytes, credit: int) -> None:
        if self._is_over():
            self._consume(credit)
            remainders = self.wire.remainders
            if remainders is not None:
                remainders.took(self.stream_id, len(data))
            return
        pieces = self._pieces
        if pieces is None:
            self._pieces = [data]
        elif len(data) < SMALL and len(pieces[-1]) < SMALL:
            pieces[-1] += data  # single octets are not to be kept as objects of 50 each
        else:
            pieces.append(data)
        self._credit += credit
        if self._waiting is not None:
            self._wake()

    def _event(self, event: Any) -> None:
        kind = type(event)
        if kind is Data:  # came with the request, or over HTTP/1.1
            self._data(event.data, event.credit)
        elif kind is Drained:
            drained = self._drained
            if drained is not None and not drained.done():
                drained.set_result(None)
        elif kind is Ended:
            self._ended = True
            self._wake()
            self._is_ended()
        elif kind is Reset:
            self._gone = True
            self._wake()
            self._is_ended()
            drained = self._drained
            if drained is not None and not drained.done():
                drained.set_result(None)

    # -- receiving --------------------------------------------------------------------------------

    def _is_over(self) -> bool:
        # Is what still arrives of no interest?
        return self._gone

    def _wake(self) -> None:
        waiting = self._waiting
        self._waiting = None
        if waiting is not None:
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    async def _wait(self) -> None:
        # More than one task may: middleware listens for the end while the application reads.
        future = self.wire.hub.loop.create_future()
        if self._waiting is None:
            self._waiting = [future]
        else:
            # Without those that were cancelled: somebody may wait again and again with a timeout.
            self._waiting = [each for each in self._waiting if not each.done()]
            self._waiting.append(future)
        await future

    def _take(self) -> bytes:
        # What has arrived; the window opens as wide again.
        pieces = self._pieces
        if pieces is None:
            return b""
        self._pieces = None
        credit = self._credit
        self._credit = 0
        self._consume(credit)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _consume(self, credit: int) -> None:
        if credit:
            self.wire.conn.consumed(self.stream_id, credit)
            self.wire.touch()

    def _is_ended(self) -> None:
        remainders = self.wire.remainders
        if remainders is not None:
            remainders.discard(self.stream_id)

    def _leave(self, code: int = NO_ERROR) -> None:
        # This side is complete, and of the client's nothing more is of interest.
        self._drop()
        if not self._ended and not self._gone:
            self.wire.await_end(self.stream_id, code)

    def _drop(self) -> None:
        # Nobody reads what is left.
        self._pieces = None
        credit = self._credit
        self._credit = 0
        if not self._gone:
            self._consume(credit)

    # -- sending ----------------------------------------------------------------------------------

    def _respond(self, fields: list[Any], end: bool) -> None:
        respond(self.wire.conn, self.stream_id, fields, end)
        self.wire.touch()

    def _keep_promise(self, n: int, more: bool) -> None:
        # Where there is a content-length, so many octets of content may come now. RFC 9113
        # section 8.1.1: to the client a response that has more or fewer is malformed.
        if n > self._left:
            raise RuntimeError("Response content longer than Content-Length")
        if n < self._left and not more:
            raise RuntimeError("Response content shorter than Content-Length")
        self._left -= n

    def _denial(self, message: Message) -> list[Any]:
        # The head of what stands instead of a WebSocket or tunnel. 304 has no content, and speaks
        # of a representation (RFC 9110 section 15.4.5): there is none here.
        status = message["status"]
        if status < 300 or status == 304:
            raise RuntimeError(f"A WebSocket or tunnel is not denied with status {status}.")
        fields: list[Any] = [STATUSES[status], *self.wire.application.default_headers]
        self._left = outgoing(fields, message.get("headers", ()), self.wire)
        return fields

    async def _send_denial(self, message: Message) -> bool:
        # A piece of the body of what stands instead of a WebSocket or tunnel. Was it the last?
        more = bool(message.get("more_body", False))
        body = message.get("body", b"")
        if self._left >= 0:
            self._keep_promise(len(body), more)
        if body or not more:
            await self._write(body, not more)
        return not more

    async def _write(self, data: Any, end: bool) -> None:
        # Octets at the peer's pace.
        wire = self.wire
        conn = wire.conn
        try:
            if len(data) <= PIECE:
                waiting = conn.send_data(self.stream_id, data, end)
            else:
                octets = memoryview(data)
                while len(octets) > PIECE:
                    waiting = conn.send_data(self.stream_id, octets[:PIECE])
                    octets = octets[PIECE:]
                    wire.touch()
                    if waiting > wire.write_high:
                        await self._drain()
                waiting = conn.send_data(self.stream_id, octets, end)
        except StreamClosed:
            self._gone = True
            raise ClientDisconnected("the client went away") from None
        wire.touch()
        if waiting > wire.write_high and not end:
            await self._drain()

    async def _drain(self) -> None:
        wire = self.wire
        wire.pull()
        while not self._gone and wire.conn.waiting(self.stream_id) > wire.write_high:
            future = self._drained
            if future is None or future.done():
                future = self._drained = wire.hub.loop.create_future()
            # Shielded: more than one may wait, and one may be cancelled.
            await asyncio.shield(future)
        self._drained = None
        if self._gone:
            raise ClientDisconnected("the client went away")

    def _reset(self) -> None:
        # Fail the stream: its answer is not whole.
        self._drop()
        try:
            self.wire.conn.reset(self.stream_id, INTERNAL_ERROR)
        except (StreamClosed, LocalProtocolError):
            return
        self.wire.touch()

    # -- the end ----------------------------------------------------------------------------------

    def __call__(self, task: asyncio.Task[Any]) -> None:
        """The application's task has ended."""
        self.wire.dismiss(task)
        logger = self.wire.application.logger
        failed = True
        if task.cancelled():
            logger.error("The ASGI application was cancelled")
        else:
            error = task.exception()
            if error is None:
                failed = False
                if task.result() is not None:
                    logger.error(
                        "ASGI callable should return None, but returned '%s'.", task.result()
                    )
            elif self._is_gone() and came_of_disconnection(error):
                logger.debug("the application ended as its client went away: %r", error)
            else:
                logger.error("Exception in ASGI application\n", exc_info=error)
        try:
            self._finish(failed)
        except StreamClosed:
            pass
        except Exception:
            logger.exception("ending an exchange failed")
            self._reset()
        if task.cancelled():
            self.wire.pull()  # whoever cancels it may end the event loop at once
        # A task that the application left behind, in `receive`, hears of no end but this one.
        self._gone = True
        self._wake()

    def _is_gone(self) -> bool:
        return self._gone

    @abc.abstractmethod
    def _finish(self, failed: bool) -> None:
        """Answer what the application left unanswered. `failed`: it raised."""

    def _answer(self, status: int, text: bytes) -> None:
        # Instead of the application.
        fields: list[Any] = [STATUSES[status], *self.wire.application.default_headers]
        if text:
            fields.append((b"content-type", b"text/plain; charset=utf-8"))
            fields.append((b"content-length", b"%d" % len(text)))
        respond(self.wire.conn, self.stream_id, fields, not text)
        if text:
            self.wire.conn.send_data(self.stream_id, text, True)
        self.wire.touch()


def came_of_disconnection(error: BaseException | None) -> bool:
    """Is this ClientDisconnected, or what an application made of it?

    That is what was raised `from` it, and a framework's own exception of that meaning, which is
    raised while it is handled. Any other that is raised meanwhile, as in a `finally`, is a bug.
    """
    seen = 0
    while error is not None and seen < 20:
        if isinstance(error, ClientDisconnected):
            return True
        if isinstance(error, BaseExceptionGroup):
            return all(came_of_disconnection(each) for each in error.exceptions)
        cause = error.__cause__
        if cause is None and "disconnect" in type(error).__name__.lower():
            cause = error.__context__
        error = cause
        seen += 1
    return False
