"""Log lines that a peer can cause: so many and no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Notices"]

BURST = 20
RATE = 1.0  # lines a second


class Notices:
    """Writes to `log` at most 20 lines at once and one more each second.

    A peer that opens a thousand connections and breaks each must not fill a disk. What was left
    out is counted and told with the next line.
    """

    __slots__ = ("_left", "_level", "_log", "_out", "_stamp", "_time")

    def __init__(self, log: Any, level: int, time: Callable[[], float]) -> None:
        self._level = level
        self._log = log
        self._time = time
        self._left = float(BURST)
        self._stamp = time()
        self._out = 0

    def write(self, text: str, *arguments: Any) -> None:
        """Log a line, or count that it was left out."""
        now = self._time()
        self._left = min(float(BURST), self._left + (now - self._stamp) * RATE)
        self._stamp = now
        if self._left < 1:
            self._out += 1
            return
        self._left -= 1
        if self._out:
            text += " (%d lines were left out before this one)"
            arguments = (*arguments, self._out)
            self._out = 0
        self._log.log(self._level, text, *arguments)
