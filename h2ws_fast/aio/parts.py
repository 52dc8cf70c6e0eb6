"""Messages read in pieces, none of them held whole: `WebSocket.recv_streaming`.

Once it was called, the engine hands over every message of that WebSocket in pieces, and what nobody
has taken is held against the window of its stream. `recv` and `async for` then join them.
"""

from __future__ import annotations

import asyncio
import codecs
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from ..engine.constants import EVENT_OCTETS, INVALID_DATA
from ..errors import ConcurrencyError, ConnectionClosedOK

if TYPE_CHECKING:
    from .websocket import WebSocket

__all__ = ["Parts", "Pieces"]

Piece = tuple[bytes, bool, bool]  # octets, is it of a text, is it the last of its message


class Parts:
    """The pieces of one WebSocket that wait for their reader. One task reads at a time."""

    __slots__ = ("_begun", "_busy", "_future", "_queue", "_ws")

    def __init__(self, ws: WebSocket) -> None:
        self._ws = ws
        self._queue: deque[Any] = deque()
        self._begun: deque[Piece] = deque()  # of a message that `join` was cancelled in
        self._busy = False
        self._future: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._queue)

    def octets(self) -> int:
        """What the pieces that wait take, about."""
        return sum(EVENT_OCTETS + len(part.data) for part in self._queue)

    def put(self, part: Any) -> None:
        """A `MessagePart` has come."""
        self._queue.append(part)
        wire = self._ws.wire
        if wire.queue_high and len(self._queue) == wire.queue_high + 1:
            wire.conn.withhold(self._ws.stream_id, True)
        self.wake()

    def wake(self) -> None:
        """There is something to read, or the WebSocket is closed."""
        future = self._future
        if future is not None and not future.done():
            future.set_result(None)

    def clear(self) -> None:
        """Nobody will read what waits."""
        self._queue.clear()
        self._begun.clear()

    def begin(self) -> None:
        """Become the one who reads."""
        if self._busy or self._ws._is_awaited():
            raise ConcurrencyError("another task already waits for a message of this WebSocket")
        self._busy = True

    def end(self) -> None:
        """Let others read."""
        self._busy = False

    async def next(self) -> Piece:
        """The next piece. Cancelling loses none; raises ConnectionClosed at the end."""
        ws = self._ws
        if self._begun:
            return self._begun.popleft()
        whole = ws._take_whole()
        if whole is not None:
            if isinstance(whole, str):
                return whole.encode(), True, True
            return whole, False, True
        while not self._queue:
            ws._check_ended()
            if self._future is not None:
                raise ConcurrencyError("another task waits for the next piece")
            self._future = asyncio.get_running_loop().create_future()
            try:
                await self._future
            finally:
                self._future = None
        part = self._queue.popleft()
        if ws.wire.queue_low and len(self._queue) == ws.wire.queue_low:
            ws.wire.conn.withhold(ws.stream_id, False)
            ws.wire.touch()
        if part.credit:
            ws.wire.conn.consumed(ws.stream_id, part.credit)
            ws.wire.touch()
        return part.data, part.text, part.final

    async def join(self, decode: bool | None, iterating: bool) -> str | bytes:
        """The next message, whole. Cancelling loses nothing of it."""
        self.begin()
        pieces: list[Piece] = []
        try:
            while True:
                piece = await self.next()
                pieces.append(piece)
                if piece[2]:
                    break
        except asyncio.CancelledError:
            self._begun.extendleft(reversed(pieces))
            raise
        except ConnectionClosedOK:
            if iterating:
                raise StopAsyncIteration from None
            raise
        finally:
            self.end()
        octets = b"".join([piece[0] for piece in pieces])
        if decode or (decode is None and pieces[0][1]):
            return await self.decoded(codecs.getincrementaldecoder("utf-8")(), octets, True)
        return octets

    async def decoded(self, decoder: codecs.IncrementalDecoder, octets: bytes, final: bool) -> str:
        """Octets as text; where they are none the WebSocket fails, as with a text of the peer's."""
        try:
            return decoder.decode(octets, final)
        except UnicodeDecodeError as error:
            return await self._ws._undecodable(error)


class Pieces(AsyncIterator[Any]):
    """The pieces of the next message: see `WebSocket.recv_streaming`."""

    __slots__ = ("_begun", "_decode", "_decoder", "_done", "_ws")

    def __init__(self, ws: WebSocket, decode: bool | None) -> None:
        self._ws = ws
        self._decode = decode
        self._decoder: codecs.IncrementalDecoder | None = None
        self._begun = False
        self._done = False

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> str | bytes:
        if self._done:
            raise StopAsyncIteration
        parts = self._ws._streaming()
        if not self._begun:
            parts.begin()
        while True:
            try:
                octets, text, final = await parts.next()
            except ConcurrencyError:
                raise  # the other task goes on
            except asyncio.CancelledError:
                if not self._begun:
                    parts.end()
                raise
            except BaseException:
                self._finish(parts)
                raise
            if not self._begun:
                self._begun = True
                if self._decode or (self._decode is None and text):
                    self._decoder = codecs.getincrementaldecoder("utf-8")()
            if final:
                self._finish(parts)
            if self._decoder is None:
                return octets
            try:
                piece = await parts.decoded(self._decoder, octets, final)
            except BaseException:
                self._finish(parts)
                raise
            if piece or final:
                return piece

    def _finish(self, parts: Parts) -> None:
        if not self._done:
            self._done = True
            parts.end()


def invalid_reason(error: UnicodeDecodeError) -> tuple[int, str]:
    """Code and reason of the Close for a message that should be text and is none."""
    return INVALID_DATA, f"{error.reason} at position {error.start}"
