"""One request on a stream of its own, its answer, and how long either may take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import Any

import httpx

from ..aio.client.wire import ClientWire
from ..aio.tunnel import Receiving, Sending, again, iterating, reset
from ..engine.constants import CANCEL
from ..engine.events import Ended, Informed, Opened, Reset, Responded
from ..errors import LocalProtocolError, StreamReset
from .faults import broken
from .question import Patience

__all__ = ["Exchange"]

PIECE = (
    65536  # octets of a body that are queued at once: what is queued is not timed piece by piece
)

LINGER_S = 10.0  # from our END_STREAM on a tunnel to the server's


class Gone(Exception):
    """The stream was reset under a body: whoever waits for the answer, or reads it, is told."""


class Exchange:
    """A stream from its request to its end.

    The timeouts mean what they mean to httpx: `write` is how long nothing of the body may leave,
    `read` how long nothing may come, and the second begins where the first ends.
    """

    __slots__ = (
        "__weakref__",
        "_answered",
        "_arrival",
        "_left",
        "_over",
        "_owed",
        "_patience",
        "_rest",
        "_timer",
        "_uploading",
        "_wire",
        "_writing",
        "failure",
        "head",
        "leaving",
        "receiving",
        "sending",
    )

    def __init__(
        self, wire: ClientWire, stream_id: int, patience: Patience, promised: int | None
    ) -> None:
        self._wire = wire
        self._patience = patience
        self._owed = promised  # octets of the body that content-length still promises
        self.receiving = Receiving(wire, stream_id)
        self.sending = Sending(wire, stream_id)
        # A Responded, or the Opened of a CONNECT.
        self.head: asyncio.Future[Any] = wire.hub.loop.create_future()
        self.leaving = False  # a tunnel that was ended here, and not by the server yet
        self.failure: Exception | None = None  # why it was ended here
        self._answered = False  # `answer` has returned
        self._over = False  # the server has ended or reset the stream
        self._rest = b""  # what had arrived when the stream was reset
        self._uploading: asyncio.Task[None] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._arrival: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._left = 0  # octets that waited to leave when that was looked at

    @property
    def stream_id(self) -> int:
        """The number of the HTTP/2 stream."""
        return self.sending.stream_id

    @property
    def readable(self) -> bool:
        """Would `answer`, or `read` after it, return at once?"""
        if not self._answered:
            return self.head.done()
        return bool(self._rest) or self.receiving.ready or self.receiving.finished

    def feed(self, event: Any) -> None:
        """An event of the stream."""
        kind = type(event)
        if kind is Responded or kind is Opened:
            if kind is Responded and event.ended:
                self._over = True
                self.receiving.feed(Ended(event.stream_id))
            self._stop_watching()
            if not self.head.done():
                self.head.set_result(event)
        elif kind is Informed:
            return  # RFC 9110 section 15.2: a client may ignore it
        else:
            if kind is Reset:
                # The peer's last words may have come in the same read as its reset.
                self._rest += self.receiving.take()
                self._stop_uploading()
            self.receiving.feed(event)
            self.sending.feed(event)
            if kind is Reset or kind is Ended:
                self._over = True
                self.leaving = False
            if self._over and (kind is Reset or self.sending.ended):
                self._stop_watching()
            if kind is Reset:
                self._refuse(StreamReset(event.error_code, event.reason, event.retryable))
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    # -- sending ----------------------------------------------------------------------------------

    def upload(self, body: bytes | AsyncIterable[bytes]) -> None:
        """Send the body, from a task of its own unless it is short."""
        if isinstance(body, bytes) and len(body) <= PIECE:
            self._wire.conn.send_data(self.stream_id, body, True)
            self.sending.ended = True
            self._wire.touch()
            self.watch()
            return
        self._uploading = self._wire.hub.loop.create_task(self._upload(body))

    async def _upload(self, body: bytes | AsyncIterable[bytes]) -> None:
        try:
            if isinstance(body, bytes):
                for at in range(0, len(body), PIECE):
                    await self._write(body[at : at + PIECE])
            else:
                async with iterating(body) as pieces:
                    async for piece in pieces:
                        await self._write(piece)
            self.finish()
        except Gone:
            return
        except Exception as error:
            # The body's own iterator failed: neither side gets to its end.
            self.fail(error)

    async def _write(self, piece: bytes) -> None:
        if self._owed is not None:
            self._owed -= len(piece)
            if self._owed < 0:
                raise httpx.LocalProtocolError("the body is longer than its content-length")
        for at in range(0, len(piece), PIECE):
            part = piece if len(piece) <= PIECE else piece[at : at + PIECE]
            self.watch()
            try:
                await self.sending.write(part)
            except StreamReset as error:
                raise Gone from error
            except LocalProtocolError as error:
                raise httpx.LocalProtocolError(str(error)) from error
            self._stop_watching()

    def finish(self) -> None:
        """The body ends here. Raises httpx.LocalProtocolError where it is not whole.

        RFC 9113 section 8.1.1: to the server a request is malformed whose content-length is not
        the length of its content.
        """
        if self._owed:
            raise httpx.LocalProtocolError("the body is shorter than its content-length")
        self.sending.finish()
        if not self.head.done():
            self.watch()

    async def push(self, piece: Any, *, end: bool = False) -> bool:
        """Send a piece, or the `end`, and wait for room or until there is something to read.

        Returns whether there is room for more: until then `room` is to be called. What is wrong
        with the piece is raised by `answer`, or by `read` after it.
        """
        self._writing = self._wire.hub.loop.create_task(self._push(piece, end))
        return await self.room()

    async def _push(self, piece: Any, end: bool) -> None:
        try:
            if end:
                self.finish()
            else:
                await self._write(piece)
        except Gone:
            return
        except Exception as error:
            self.fail(error)

    async def room(self) -> bool:
        """Wait for room for another piece, or until there is something to read."""
        writing = self._writing
        assert writing is not None
        while not writing.done():
            if self.readable:
                return False
            self._arrival = self._wire.hub.loop.create_future()
            await asyncio.wait({writing, self._arrival}, return_when=asyncio.FIRST_COMPLETED)
        return True

    # -- time -------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Have the head come, or the rest of the body leave, in time."""
        self._left = int(self._wire.conn.waiting(self.stream_id))
        self._arm()

    def _arm(self) -> None:
        self._stop_watching()
        delay = self._patience.write if self._left else self._patience.read
        if delay is None:
            # What leaves has no limit, but what comes then may have one: look again.
            delay = self._patience.read
        if delay is not None:
            self._timer = self._wire.hub.loop.call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        waiting = int(self._wire.conn.waiting(self.stream_id))
        stuck = waiting == self._left
        if not stuck or (waiting and self._patience.write is None):
            self._left = waiting
            self._arm()
        elif waiting:
            self.fail(httpx.WriteTimeout("the server does not take the body of the request"))
        else:
            self.fail(httpx.ReadTimeout("the server does not answer"))

    def _stop_watching(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- reading ----------------------------------------------------------------------------------

    def _lost(self) -> BaseException | None:
        # Why the transport was lost, where it was.
        failure = self._wire.failure
        return failure.__cause__ if self._wire.lost and failure is not None else None

    async def answer(self) -> Any:
        """Wait for the head of the response: a Responded, or the Opened of a CONNECT.

        Raises StreamReset, caused by what the transport was lost by, or what `fail` was given.
        """
        try:
            head = await self.head
        except StreamReset as error:
            if error is self.failure:  # the body raised it: it is that of another stream
                raise
            raise again(error) from self._lost()
        self._answered = True
        return head

    async def read(self, timeout: float | None) -> bytes:
        """Return what has come, b"" at the end. Raises what httpx raises, and TimeoutError."""
        try:
            if not self.readable:
                async with asyncio.timeout(timeout):
                    return await self.receiving.read()
            return self._rest or self.receiving.take() or await self.receiving.read()
        except StreamReset as error:
            if self._rest:  # what came in one read with the reset
                return self._rest
            if self.failure is not None:
                raise self.failure from None
            raise broken(error, self._lost()) from error
        finally:
            self._rest = b""

    # -- the end ----------------------------------------------------------------------------------

    def fail(self, error: Exception) -> None:
        """End it here: whoever waits for the answer, or reads it, is raised this error."""
        if self.failure is None:
            self.failure = error
        self._refuse(error)
        self.close()

    def _refuse(self, error: Exception) -> None:
        if not self.head.done():
            self.head.set_exception(error)
            self.head.exception()  # nobody has to look at it

    def leave(self, error: Exception) -> None:
        """End this side of a tunnel, and let the other end unread; a reader is raised this error.

        The server has `LINGER_S` for that.
        """
        if self.sending.ended:
            return
        self.failure = error
        self.sending.finish()
        if not self._over:
            self.leaving = True
            self.receiving.discard()
            self.receiving.fail(StreamReset(CANCEL, "closed here"))
            self._timer = self._wire.hub.loop.call_later(LINGER_S, self.close)

    def close(self) -> None:
        """Nobody wants the rest: reset the stream, unless both sides have ended."""
        self._stop_watching()
        self._stop_uploading()
        if not (self._over and self.sending.ended):
            reset(self._wire, self.stream_id, CANCEL)

    def _stop_uploading(self) -> None:
        if self._uploading is not None:
            self._uploading.cancel()
            self._uploading = None
