"""The frame of a chunked body, looked over before `h11` takes it apart: RFC 9112 section 7.1.

`h11` lets blanks stand behind a chunk's size, bare CR and NUL in its extensions and bare LF in
trailers. Two readers that end a body at different octets are how requests are smuggled, so none of it
passes here.
"""

from __future__ import annotations

from .head import InvalidHead

__all__ = ["MAX_CHUNK_LINE", "ChunkAllowance", "ChunkGuard"]

MAX_DIGITS = 16  # of a size: more than 64 bits are nobody's
MAX_SIZE = 2**63 - 1  # what more is becomes negative for some readers
CONTROLS = bytes([*range(9), *range(11, 13), *range(14, 32), 127])
# Octets of a chunk's first line, and of all trailers. `h11` looks only at lines that are not whole:
# one that came in one piece would have no bound.
MAX_CHUNK_LINE = 16384

# Chunks under 32 octets in request bodies, in a burst; each longer one gives one back. One of a single
# octet is six on the wire, and 10 us of work for us ...
SMALL_CHUNKS = 4096
SMALL_CHUNK = 32
# ... and the number a second that are forgiven: who types, or tells of events, may do so all day.
SMALL_CHUNKS_RATE = 100

SIZE = 0
EXTENSION = 1
SIZE_LF = 2
DATA = 3
DATA_CR = 4
DATA_LF = 5
TRAILER = 6  # at the beginning of a line
TRAILER_LINE = 7
TRAILER_LF = 8
LAST_LF = 9
DONE = 10

CR, LF, SEMICOLON = 0x0D, 0x0A, 0x3B
HEX = b"0123456789abcdefABCDEF"


class ChunkAllowance:
    """The small chunks that the bodies of one connection may still have."""

    __slots__ = ("_left", "_since")

    def __init__(self) -> None:
        self._left: float = SMALL_CHUNKS
        self._since = 0.0

    def at(self, now: float) -> None:
        """Octets arrive now."""
        if now > self._since:
            forgiven = (now - self._since) * SMALL_CHUNKS_RATE
            self._left = min(self._left + forgiven, SMALL_CHUNKS)
            self._since = now

    def take(self, n: int) -> None:
        """A chunk of n octets begins. Raises InvalidHead where there were too many small ones."""
        if n >= SMALL_CHUNK:
            self._left = min(self._left + 1, SMALL_CHUNKS)
        elif self._left < 1:
            raise InvalidHead(400, "the chunks of the body are too small", "small_chunks")
        else:
            self._left -= 1


class ChunkGuard:
    """Follows one body through whatever pieces it comes in; what is behind its end is not its own."""

    __slots__ = ("_allowance", "_digits", "_left", "_line", "_state")

    def __init__(self, allowance: ChunkAllowance | None = None) -> None:
        self._allowance = allowance  # None: it may have any number of small chunks
        self._state = SIZE
        self._digits = b""
        self._left = 0
        self._line = 0  # octets of what is no data, since the last data

    def check(self, data: bytes) -> None:
        """Look at the next octets. Raises InvalidHead."""
        at = 0
        n = len(data)
        while at < n:
            state = self._state
            if state == DATA:
                step = min(self._left, n - at)
                self._left -= step
                at += step
                if not self._left:
                    self._state = DATA_CR
                continue
            if state == DONE:
                return
            if state == EXTENSION or state == TRAILER_LINE:
                end = data.find(b"\r", at)
                line = data[at : n if end < 0 else end]
                if b"\n" in line:
                    raise InvalidHead(400, "a line of a chunked body does not end with CR LF")
                if line.translate(None, CONTROLS) != line:
                    raise InvalidHead(400, "a line of a chunked body has control characters")
                self._count(len(line))
                if end < 0:
                    return
                at = end + 1
                self._state = SIZE_LF if state == EXTENSION else TRAILER_LF
                continue
            self._octet(state, data[at])
            self._count(1)
            at += 1

    def _count(self, n: int) -> None:
        self._line += n
        if self._line > MAX_CHUNK_LINE:
            raise InvalidHead(431, "a line of a chunked body, or its trailers, are too long")

    def _octet(self, state: int, octet: int) -> None:
        if state == SIZE:
            if octet in HEX and len(self._digits) < MAX_DIGITS:
                self._digits += bytes((octet,))
                return
            if not self._digits or octet not in (CR, SEMICOLON):
                raise InvalidHead(400, "a chunk's size is no number")
            self._state = SIZE_LF if octet == CR else EXTENSION
        elif state == TRAILER:
            self._state = LAST_LF if octet == CR else TRAILER_LINE
            if octet == LF:
                raise InvalidHead(400, "a line of a chunked body does not end with CR LF")
        elif octet != (CR if state == DATA_CR else LF):
            raise InvalidHead(400, "a line of a chunked body does not end with CR LF")
        elif state == SIZE_LF:
            self._left = int(self._digits, 16)
            if self._left > MAX_SIZE:
                raise InvalidHead(400, "a chunk's size is too large")
            if self._allowance is not None and self._left:
                self._allowance.take(self._left)
            self._digits = b""
            self._line = 0
            self._state = DATA if self._left else TRAILER
        elif state == DATA_CR:
            self._state = DATA_LF
        elif state == DATA_LF:
            self._state = SIZE
        elif state == TRAILER_LF:
            self._state = TRAILER
        else:
            self._state = DONE
