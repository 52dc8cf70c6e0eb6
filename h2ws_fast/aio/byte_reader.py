"""The octets of a stream for who reads them as from an `asyncio.StreamReader`.

    engine --Data--> Receiving (pieces as they came) --take--> ByteReader --> who reads

A piece that fits is handed on as it came; a copy is made only of what is split or put together.
Whoever waits is woken by the event itself.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .stream_transport import StreamTransport
    from .tunnel import Receiving

__all__ = ["ByteReader"]

JOINED = 2**16  # octets up to which pieces are put together: a copy costs less than a read, then


def first_end(data: bytes | bytearray, separators: tuple[bytes, ...], at: int) -> tuple[int, int]:
    """Return where, from `at` on, the separator that ends first begins and ends; (-1, -1)."""
    found = (-1, -1)
    for separator in separators:
        begin = data.find(separator, at)
        end = begin + len(separator)
        if begin >= 0 and (found[1] < 0 or end < found[1]):
            found = begin, end
    return found


class ByteReader:
    """What of a stream is read. Each method is what asyncio says of it, whatever version runs.

    While fewer octets than `limit` wait here, the peer is given credit for what comes at once, and
    for the rest when it is read. One task reads at a time: ConcurrencyError, a RuntimeError, else.
    """

    __slots__ = ("_at", "_buffer", "_exception", "_limit", "_lost", "_receiving", "_transport")

    _transport: StreamTransport

    def __init__(self, receiving: Receiving, limit: int) -> None:
        if limit <= 0:
            raise ValueError("limit must be above 0")
        self._receiving = receiving
        self._limit = limit
        # The beginning of what waits, where pieces were taken apart: one as it came, from `_at` on,
        # or what several were put together to. Empty once all of it was handed on.
        self._buffer: bytes | bytearray = b""
        self._at = 0
        self._exception: ConnectionError | None = None
        self._lost = False

    # -- what the transport tells -------------------------------------------------------------------

    def begin(self, transport: StreamTransport) -> None:
        """From here on the octets are for this reader."""
        self._transport = transport
        self._receiving.ahead = self._limit

    def lost(self, reason: ConnectionError | None) -> None:
        """The stream is over. What arrived whole is read whole: then the reason is not for us."""
        self._lost = True
        if not self._receiving.ended:
            self._exception = reason
        self._receiving.wake()

    def leave(self) -> None:
        """Another takes the octets from here on."""
        self._receiving.ahead = 0
        self._receiving.held -= self._left()
        self._buffer = b""
        self._at = 0

    def keep(self) -> None:
        """What comes is about to be dropped: what has come, up to `limit`, is read yet."""
        self._gather(self._limit)

    # -- how it stands --------------------------------------------------------------------------------

    def exception(self) -> ConnectionError | None:
        """Return what ended the stream before its end, or None."""
        return self._exception

    def at_eof(self) -> bool:
        """Has the peer ended its side, and was everything read?"""
        receiving = self._receiving
        if receiving.held:
            return False
        return receiving.ended or (self._lost and self._exception is None)

    @property
    def untouched(self) -> bool:
        """Has nothing come that was not read, and no end?"""
        return not (self._receiving.ended or self._receiving.held)

    # -- reading --------------------------------------------------------------------------------------

    async def read(self, n: int = -1) -> bytes:
        """Return up to n octets as soon as there are any, b"" at the end; all of them with -1."""
        if self._exception is not None:
            raise self._exception.with_traceback(None)
        if n < 0:
            return await self._read_all()
        if n == 0:
            return b""
        while not self._buffer:
            data = self._receiving.take(min(n, JOINED))
            if len(data) > n:
                self._add(data)
            elif data:
                self._tell()
                return data
            elif not await self._more():
                return b""
        return self._cut(n)

    async def _read_all(self) -> bytes:
        pieces = [self._cut(self._left())]
        while data := await self.read(self._limit):
            pieces.append(data)
        return b"".join(pieces)

    async def readexactly(self, n: int) -> bytes:
        """Return n octets. Raises asyncio.IncompleteReadError where the end comes before."""
        if n < 0:
            raise ValueError("n must not be below 0")
        if self._exception is not None:
            raise self._exception.with_traceback(None)
        if n and not self._buffer:
            data = self._receiving.take(n)
            if len(data) == n:
                self._tell()
                return data
            self._add(data)
        while (left := self._left()) < n:
            if not (self._gather(n - left) or await self._more()):
                raise asyncio.IncompleteReadError(self._cut(left), n)
        return self._cut(n)

    async def readuntil(self, separator: bytes | tuple[bytes, ...] = b"\n") -> bytes:
        """Return what comes up to a separator, and it: of several the one that ends first.

        Raises asyncio.IncompleteReadError where the end comes before, LimitOverrunError where more
        than `limit` octets come before it; these wait still.
        """
        separators = separator if isinstance(separator, tuple) else (separator,)
        if not (separators and all(separators)):
            raise ValueError("a separator has at least one octet")
        if self._exception is not None:
            raise self._exception.with_traceback(None)
        longest = max(map(len, separators))
        seen = 0  # octets in which no separator begins
        while True:
            begin, end = first_end(self._buffer, separators, self._at + seen)
            if end >= 0:
                break
            left = self._left()
            seen = max(0, left + 1 - longest)
            if seen > self._limit:
                raise asyncio.LimitOverrunError("no separator within the limit", seen)
            if not (self._gather(1) or await self._more()):
                raise asyncio.IncompleteReadError(self._cut(left), None)
        if begin - self._at > self._limit:
            raise asyncio.LimitOverrunError("the separator is behind the limit", begin - self._at)
        return self._cut(end - self._at)

    async def readline(self) -> bytes:
        """Return a line, without its end where the stream ended first.

        Raises ValueError where it is longer than `limit`; it is dropped as far as it has come.
        """
        try:
            return await self.readuntil(b"\n")
        except asyncio.IncompleteReadError as error:
            return error.partial
        except asyncio.LimitOverrunError as error:
            ends = self._buffer.startswith(b"\n", self._at + error.consumed)
            self._cut(error.consumed + 1 if ends else self._left())
            raise ValueError(error.args[0]) from None

    def __aiter__(self) -> ByteReader:
        return self

    async def __anext__(self) -> bytes:
        if line := await self.readline():
            return line
        raise StopAsyncIteration

    async def _more(self) -> bool:
        # Wait for more. False: it has ended.
        if not (self._receiving.ended or self._lost):
            await self._receiving.arrival()
        if self._exception is not None:
            raise self._exception.with_traceback(None)
        return self._receiving.ready or not (self._receiving.ended or self._lost)

    def _gather(self, most: int) -> bool:
        # Take what waits, up to so much or one piece, into the buffer. False: nothing did.
        data = self._receiving.take(most)
        if data:
            self._add(data)
        return bool(data)

    def _left(self) -> int:
        return len(self._buffer) - self._at

    def _add(self, data: bytes) -> None:
        # Behind what the buffer has.
        buffer = self._buffer
        if not buffer:
            self._buffer = data
        else:
            if isinstance(buffer, bytes):
                self._buffer = buffer = bytearray(memoryview(buffer)[self._at :])
            else:
                del buffer[: self._at]
            self._at = 0
            buffer += data
        self._receiving.held += len(data)

    def _cut(self, n: int) -> bytes:
        # Hand on the first n octets of the buffer, or all that there are.
        buffer = self._buffer
        end = self._at + n
        data = bytes(buffer[self._at : end])  # `bytes` are copied once
        if end < len(buffer):
            self._at = end
        else:
            self._buffer = b""
            self._at = 0
        self._receiving.held -= len(data)
        self._tell()
        return data

    def _tell(self) -> None:
        # The transport waits with the end until it was read.
        if self._receiving.finished:
            self._transport.attend()
