"""What is known of origins, for a while."""

from __future__ import annotations

import time

from .question import Origin

__all__ = ["Remembered"]

REMEMBER_S = 600.0
MAX_REMEMBERED = 1000


class Remembered:
    """Origins of which something was found out in the last ten minutes."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until: dict[Origin, float] = {}

    def __contains__(self, origin: Origin) -> bool:
        until = self._until.get(origin)
        return until is not None and time.monotonic() < until

    def add(self, origin: Origin) -> None:
        """Remember it from now on; the oldest is forgotten where they are too many."""
        self._until.pop(origin, None)
        self._until[origin] = time.monotonic() + REMEMBER_S
        if len(self._until) > MAX_REMEMBERED:
            del self._until[next(iter(self._until))]
