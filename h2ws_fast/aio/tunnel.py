"""Octets both ways on one stream: bodies of requests and responses, and tunnels."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from typing import TYPE_CHECKING, Any

from ..engine.constants import CANCEL, INTERNAL_ERROR
from ..engine.events import Closed, Data, Drained, Ended, Reset, Trailers
from ..errors import ConcurrencyError, LocalProtocolError, StreamClosed, StreamReset
from ..printable import printable
from .bytestream import ByteStream
from .http import Headers, Request, Response
from .stream_transport import LIMIT, StreamTransport
from .urgency import prioritize

if TYPE_CHECKING:
    from .byte_reader import ByteReader
    from .protocol import Wire

__all__ = ["Receiving", "Sending", "Tunnel"]

logger = logging.getLogger("h2ws_fast.aio.tunnel")


def reset(wire: Wire, stream_id: int, error_code: int) -> bool:
    """Reset a stream unless it is over. False: it was."""
    try:
        wire.conn.reset(stream_id, error_code)
    except StreamClosed:
        return False
    wire.touch()
    return True


def again(error: StreamReset) -> StreamReset:
    """The same error, to be raised: one that is kept must not collect the frames it passed."""
    return StreamReset(error.error_code, error.reason, error.retryable)


def iterating(body: Any) -> AbstractAsyncContextManager[AsyncIterator[Any]]:
    """Iterate over a body inside of this; at the end a generator is closed, whatever happened.

    Left to the collector, what it holds would outlive its stream.
    """
    iterator = aiter(body)
    return aclosing(iterator) if hasattr(iterator, "aclose") else nullcontext(iterator)


SMALL = 4096  # octets: see Receiving
FEW = 64  # pieces that wait as they came, whatever their size


class Receiving:
    """The octets that arrive on a stream. What nobody reads stays with the peer: flow control.

    `held` counts what waits here. While it is below `ahead`, what comes is credited at once, but for
    small pieces, which are when they are read: many of them together, then.
    """

    __slots__ = (
        "_credits",
        "_discarding",
        "_ended",
        "_error",
        "_pieces",
        "_waiter",
        "ahead",
        "held",
        "invite",
        "stream_id",
        "trailers",
        "wire",
    )

    def __init__(self, wire: Wire, stream_id: int, *, ended: bool = False) -> None:
        self.wire = wire
        self.stream_id = stream_id
        self.trailers: Headers | None = None
        self.held = 0
        self.ahead = 0
        self._pieces: deque[bytes] = deque()
        self._credits: deque[int] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._error: StreamReset | None = None
        self._ended = ended
        self._discarding = False
        self.invite = False  # the client waits for a 100 before it sends anything

    @property
    def finished(self) -> bool:
        """Nothing more arrives."""
        return self._ended or self._error is not None

    @property
    def ended(self) -> bool:
        """The peer has ended its side; nothing that came before was lost."""
        return self._ended

    @property
    def error(self) -> StreamReset | None:
        """Why the rest will not come, or None."""
        return self._error

    @property
    def ready(self) -> bool:
        """Something has arrived that was not read."""
        return bool(self._pieces)

    @property
    def awaited(self) -> bool:
        """A task waits for more."""
        return self._waiter is not None

    def feed(self, event: Any) -> None:
        """An event of the stream."""
        kind = type(event)
        if kind is Data:
            credit = event.credit
            if self._discarding or (credit >= SMALL and self.held < self.ahead):
                self.wire.conn.consumed(self.stream_id, credit)
                self.wire.touch()
                if self._discarding:
                    return
                credit = 0
            data = event.data
            pieces = self._pieces
            if len(pieces) > FEW and len(data) < SMALL and len(pieces[-1]) < SMALL:
                # Single octets are not to be kept as objects of 50 each.
                pieces[-1] += data
                self._credits[-1] += credit
            else:
                pieces.append(data)
                self._credits.append(credit)
            self.held += len(data)
        elif kind is Trailers:
            self.trailers = Headers.received(event.headers)
            return
        elif kind is Ended:
            self._ended = True
        elif kind is Reset:
            self.fail(StreamReset(event.error_code, event.reason, event.retryable))
        else:
            return
        self.wake()

    def fail(self, error: StreamReset) -> None:
        """The rest will not come."""
        if not self._ended and self._error is None:
            self._error = error
            self._drop()
        self.wake()

    def _drop(self) -> int:
        # Forget what waits, and return its credit.
        credit = sum(self._credits)
        self.held -= sum(map(len, self._pieces))
        self._pieces.clear()
        self._credits.clear()
        return credit

    def wake(self) -> None:
        """Whoever waits shall look again."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def read(self) -> bytes:
        """Return the next octets, b"" at the end; raise StreamReset where there is no end."""
        while not self._pieces:
            if self._error is not None:
                raise again(self._error)
            if self._ended:
                return b""
            await self.arrival()
        return self.take(0)

    async def arrival(self) -> None:
        """Wait until something happens. Raises ConcurrencyError where another task does."""
        if self._waiter is not None:
            raise ConcurrencyError("another task already reads this stream")
        if self.invite:
            self._send_continue()
        self._waiter = self.wire.hub.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def take(self, most: float = math.inf) -> bytes:
        """Return what has arrived and was not read, without waiting; b"" where that is nothing.

        Up to `most` octets, or one piece as it came where that is longer. The rest waits, uncredited.
        """
        pieces = self._pieces
        if not pieces:
            return b""
        credits = self._credits
        data = pieces.popleft()
        credit = credits.popleft()
        if pieces:
            taken = [data]
            size = len(data)
            while pieces and (size := size + len(pieces[0])) <= most:
                taken.append(pieces.popleft())
                credit += credits.popleft()
            data = b"".join(taken)
        self.held -= len(data)
        if credit:
            self.wire.conn.consumed(self.stream_id, credit)
            self.wire.touch()
        return data

    def _send_continue(self) -> None:
        # RFC 9110 section 10.1.1.
        self.invite = False
        try:
            self.wire.conn.respond(self.stream_id, [(":status", "100")])
        except (LocalProtocolError, StreamClosed):
            return  # it was answered already, or is over
        self.wire.touch()

    async def read_all(self, limit: int | None = None) -> bytes:
        """Return everything up to the end."""
        pieces = []
        size = 0
        while data := await self.read():
            size += len(data)
            if limit is not None and size > limit:
                raise ValueError(f"the body is longer than {limit} octets")
            pieces.append(data)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def discard(self) -> None:
        """Whatever still comes is of no interest."""
        self._discarding = True
        if credit := self._drop():
            self.wire.conn.consumed(self.stream_id, credit)
            self.wire.touch()

    def abort(self) -> None:
        """Reset the stream unless it has ended."""
        if not self.finished:
            reset(self.wire, self.stream_id, CANCEL)
            self.fail(StreamReset(CANCEL, "given up here"))


class Sending:
    """The octets that leave on a stream, at the peer's pace."""

    __slots__ = ("_drained", "_error", "ended", "stream_id", "wire")

    def __init__(self, wire: Wire, stream_id: int) -> None:
        self.wire = wire
        self.stream_id = stream_id
        self.ended = False
        self._drained: list[asyncio.Future[None]] = []
        self._error: StreamReset | None = None

    @property
    def failed(self) -> bool:
        """Nothing can be sent any more: the stream was reset."""
        return self._error is not None

    def feed(self, event: Any) -> None:
        """An event of the stream."""
        kind = type(event)
        if kind is Drained:
            self._wake()
        elif kind is Reset:
            self.fail(StreamReset(event.error_code, event.reason, event.retryable))

    def fail(self, error: StreamReset) -> None:
        """Nothing can be sent any more. The first to say so tells why."""
        if self._error is None:
            self._error = error
        self._wake()

    def _wake(self) -> None:
        drained = self._drained
        self._drained = []
        for future in drained:
            if not future.done():
                future.set_result(None)

    @property
    def error(self) -> StreamReset | None:
        """Why nothing can be sent any more, or None."""
        return self._error

    def queue(self, data: bytes | bytearray | memoryview, end: bool = False) -> int:
        """Send octets as soon as the peer takes them; return how many of the stream wait."""
        if self._error is not None:
            raise again(self._error)
        try:
            waiting = int(self.wire.conn.send_data(self.stream_id, data, end))
        except StreamClosed as error:
            raise StreamReset(CANCEL, "the peer ended the stream") from error
        self.ended = self.ended or end
        self.wire.touch()
        return waiting

    async def write(self, data: bytes | bytearray | memoryview, *, end: bool = False) -> None:
        """Send octets; wait while too many wait already. `end`: nothing follows.

        Raises StreamReset where the peer no longer takes any.
        """
        waiting = self.queue(data, end)
        if waiting > self.wire.write_high and not end:
            self.wire.pull()
            while self._error is None and self.waiting() > self.wire.write_high:
                future = self.wire.hub.loop.create_future()
                self._drained.append(future)
                try:
                    await future
                except asyncio.CancelledError:
                    if future in self._drained:
                        self._drained.remove(future)
                    raise
            if self._error is not None:
                raise again(self._error)

    def waiting(self) -> int:
        """Octets that wait here."""
        try:
            return int(self.wire.conn.waiting(self.stream_id))
        except StreamClosed:
            return 0

    async def write_body(
        self, body: bytes | AsyncIterable[bytes], trailers: Callable[[], Headers | None]
    ) -> None:
        """Send a whole body, and end this side. `trailers` is asked when the body is at its end.

        Raises StreamReset as `write` does, and what an iterable raises.
        """
        if isinstance(body, bytes):
            if body:
                await self.write(body, end=not trailers())
        else:
            async with iterating(body) as pieces:
                async for piece in pieces:
                    if piece:
                        await self.write(piece)
        self.finish(trailers())

    def finish(self, trailers: Headers | None = None) -> None:
        """End this side."""
        if self.ended or self._error is not None:
            return
        self.ended = True
        try:
            if trailers:
                self.wire.conn.send_trailers(self.stream_id, list(trailers.raw_items()))
            else:
                self.wire.conn.send_data(self.stream_id, b"", True)
        except StreamClosed:
            return
        self.wire.touch()


class Tunnel:
    """A stream of octets both ways: a CONNECT with a token other than `websocket`, or with none.

    `async for data in tunnel` or `await tunnel.recv()` (b"" at the end) receive,
    `await tunnel.send(data)` sends at the peer's pace, `await tunnel.close()` ends this side, and
    both sides are over when the peer has ended its own.
    """

    __slots__ = (
        "__weakref__",
        "_patience",
        "_receiving",
        "_sending",
        "_transport",
        "_was_behind",
        "protocol",
        "request",
        "response",
    )

    def __init__(
        self, wire: Wire, stream_id: int, protocol: str, request: Request, *, ended: bool = False
    ) -> None:
        self.protocol = protocol
        self.request = request
        self.response: Response | None = None
        self._receiving = Receiving(wire, stream_id, ended=ended)
        self._sending = Sending(wire, stream_id)
        self._transport: StreamTransport | None = None
        self._patience: asyncio.TimerHandle | None = None  # with a peer that does not end its side
        self._was_behind = False  # octets waited here when the session's time was over

    def feed(self, event: Any) -> None:
        """An event of the stream."""
        kind = type(event)
        if kind is Closed:
            return
        self._receiving.feed(event)
        if kind is not Data:
            self._sending.feed(event)
        if self._transport is not None and (kind is not Data or self._transport.hands_on):
            self._transport.heard()
        if self._patience is not None and self._receiving.finished:
            self._patience.cancel()
            self._patience = None

    def stream(self, limit: int = LIMIT) -> ByteStream:
        """Return it as a ByteStream, with asyncio's methods; a reader of it holds `limit` octets.

        From then on it is to be used by that alone.
        """
        return ByteStream(self, limit)

    def transport(self, protocol: asyncio.BaseProtocol) -> StreamTransport:
        """Return it as a transport of asyncio's, on which `protocol` runs.

        `connection_made` was called then; what has arrived comes soon. From then on it is to be
        used by that alone.
        """
        return self._carry(protocol)

    def _carry(
        self, protocol: asyncio.BaseProtocol, reader: ByteReader | None = None
    ) -> StreamTransport:
        # As `transport`; with a reader, that takes the octets.
        if self._transport is not None:
            raise LocalProtocolError("this tunnel has a transport already")
        transport = self._transport = StreamTransport(self, protocol, reader)
        protocol.connection_made(transport)
        transport.heard()
        return transport

    def prioritize(self, urgency: int = 3, incremental: bool = False) -> None:
        """Have its octets leave sooner or later than others: 0 first, 7 last (RFC 9218).

        A client asks its server for the same. Does nothing where the stream is over, nor over
        HTTP/1.1, where it has a connection of its own.
        """
        prioritize(self._sending.wire, self.stream_id, urgency, incremental)

    @property
    def stream_id(self) -> int:
        """The number of the HTTP/2 stream."""
        return self._sending.stream_id

    @property
    def failed(self) -> bool:
        """Was the stream reset, by either end?"""
        return self._receiving.error is not None or self._sending.failed

    @property
    def remote_address(self) -> Any:
        """The peer's address, and after the end what it was."""
        return self._sending.wire.remote_address

    async def recv(self) -> bytes:
        """Return the next octets; b"" once the peer ended its side. Raises StreamReset."""
        return await self._receiving.read()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._iterate()

    async def _iterate(self) -> AsyncIterator[bytes]:
        while data := await self._receiving.read():
            yield data

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send octets. Raises StreamReset where the peer no longer takes any."""
        if self._sending.ended:
            raise StreamReset(CANCEL, "this side of the tunnel was closed")
        await self._sending.write(data)

    def send_nowait(self, data: bytes | bytearray | memoryview) -> int:
        """Queue octets whatever waits already, and return how many wait then: `send` would wait
        for the peer above the mark `write_limit`. Raises StreamReset as `send` does."""
        if self._sending.ended:
            raise StreamReset(CANCEL, "this side of the tunnel was closed")
        return self._sending.queue(data)

    @property
    def waiting(self) -> int:
        """Octets that were sent here, and that the peer's window has not let leave."""
        return self._sending.waiting()

    def send_eof(self) -> None:
        """End this side; the other goes on."""
        self._sending.finish()

    async def close(self) -> None:
        """End this side, and drop what the peer still sends until it ends its own."""
        self.close_nowait()

    def close_nowait(self) -> None:
        """As `close`, for what is no coroutine."""
        if self._transport is not None:
            self._transport.close()
            return
        self._sending.finish()
        if not self._receiving.finished:
            self._receiving.discard()
            self._await_end()

    def _await_end(self) -> None:
        # The peer has as long to end its side as at any other end, once all that waits has left.
        patience = self._sending.wire.conn.limits.close_timeout_s
        if patience != float("inf") and self._patience is None:
            loop = self._sending.wire.hub.loop
            self._patience = loop.call_later(patience, self._stop_waiting)

    def _stop_waiting(self) -> None:
        self._patience = None
        if self._sending.waiting():
            self._await_end()
        else:
            self.abort()

    def _awaits_end(self) -> bool:
        # Has this side ended alone?
        return self._sending.ended and not self._receiving.finished

    def _leave(self) -> None:
        # The session is being closed: what was sent shall arrive. Who reads it may go on.
        self._sending.finish()

    def _give_up(self) -> bool:
        # The session is closed, and some time has passed since, or since this was called last. What
        # waits here may still leave, and then the peer has as long again to end its side: True.
        if self._sending.ended and self._sending.waiting():
            self._was_behind = True
            return True
        if self._was_behind:
            self._was_behind = False
            return True
        if not (self._receiving.finished and self._sending.ended):
            self.abort()
        return False

    def abort(self, error_code: int = CANCEL) -> None:
        """Reset the stream (RFC 9113 section 6.4): the peer sees an abnormal end.

        What was not sent yet is dropped; `recv` and `send` raise StreamReset from then on.
        `error_code` has 32 bits, else ValueError. Does nothing where all of it is over.
        """
        sending = self._sending
        if self._receiving.finished and sending.ended and not sending.waiting():
            return  # it is over, and all of it has left
        reset(sending.wire, self.stream_id, error_code)
        error = StreamReset(error_code, "reset here")
        self._receiving.fail(error)
        sending.fail(error)
        if self._transport is not None:
            self._transport.cut()

    async def __aenter__(self) -> Tunnel:
        return self

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if kind is None:
            await self.close()
        else:
            self.abort()

    def __repr__(self) -> str:
        return f"<Tunnel {printable(self.protocol)} stream {self.stream_id}>"


async def run_handler(
    handler: Callable[[Tunnel], Awaitable[Any]], tunnel: Tunnel, log: Any
) -> bool:
    """Run who serves a tunnel, and end it then. False: the stream was reset."""
    try:
        await handler(tunnel)
    except asyncio.CancelledError:
        tunnel.abort()
        raise
    except StreamReset:
        tunnel.abort()
    except Exception as error:
        # Of this stream's own end it has heard as of that of any connection.
        if not (isinstance(error, ConnectionError) and tunnel.failed):
            log.exception("the handler of a tunnel failed")
        tunnel.abort(INTERNAL_ERROR)
    else:
        await tunnel.close()
        return True
    return False
