"""What waits to leave over HTTP/1.1."""

from __future__ import annotations

from collections import deque

from ...engine import Limits
from ...engine.constants import NEVER

__all__ = ["Unsent"]


class Unsent:
    """Octets in the order in which they leave, `octets` in all.

    Some of them must have left by `due`, which `arm` sets. `drained()` is True once after more than
    `write_high` have waited, when no more than `write_low` are left.
    """

    __slots__ = ("_high", "_limits", "_pieces", "due", "octets")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pieces: deque[bytes | memoryview] = deque()
        self._high = False
        self.octets = 0
        self.due = NEVER

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def add(self, data: bytes) -> None:
        """Append octets; none are nothing."""
        if data:
            self._pieces.append(data)
            self.octets += len(data)
            if self.octets > self._limits.write_high:
                self._high = True

    def take(self, max_bytes: int) -> list[bytes | memoryview]:
        """What leaves now, at most `max_bytes` in all; the peer has some time for the rest."""
        pieces = self._pieces
        buffers = []
        while pieces and max_bytes > 0:
            piece = pieces[0]
            if len(piece) > max_bytes:
                piece = memoryview(piece)  # a slice of bytes would copy the rest each time
                pieces[0] = piece[max_bytes:]
                piece = piece[:max_bytes]
            else:
                pieces.popleft()
            max_bytes -= len(piece)
            self.octets -= len(piece)
            buffers.append(piece)
        if buffers:
            self.due = NEVER
        return buffers

    def clear(self) -> None:
        """Nothing of it leaves any more."""
        self._pieces.clear()
        self.octets = 0
        self.due = NEVER

    def arm(self, now: float) -> None:
        """Give what waits its time, from now on where it had none."""
        if not self._pieces:
            self.due = NEVER
        elif self.due == NEVER:
            self.due = now + self._limits.write_timeout_s

    def drained(self) -> bool:
        """May more be written again, that had to wait? Said once."""
        if self._high and self.octets <= self._limits.write_low:
            self._high = False
            return True
        return False
