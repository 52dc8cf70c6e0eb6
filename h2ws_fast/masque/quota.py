"""What one client may have of a proxy: so many sockets, so many octets a second."""

from __future__ import annotations

from collections.abc import Hashable

__all__ = ["Quota", "Quotas"]


class Quota:
    """One client's. `rate` in octets a second, of which a second's worth may come at once; None: no
    limit."""

    __slots__ = ("_at", "_left", "_rate", "sockets")

    def __init__(self, rate: float | None, now: float) -> None:
        self.sockets = 0
        self._rate = rate
        self._left = 0.0 if rate is None else float(rate)
        self._at = now

    def take(self, octets: int, now: float) -> bool:
        """May so many octets pass now?"""
        rate = self._rate
        if rate is None:
            return True
        self._left = min(rate, self._left + (now - self._at) * rate)
        self._at = now
        if octets > self._left:
            return False
        self._left -= octets
        return True


class Quotas:
    """Those of all clients that have a socket, by what tells clients apart.

    A client that has none is forgotten: whoever comes again begins with a fresh second's worth, which
    the time that a socket takes to be opened pays for many times over.
    """

    def __init__(self, max_sockets: int, rate: float | None) -> None:
        self._max_sockets = max_sockets
        self._rate = rate
        self._of: dict[Hashable, Quota] = {}

    def enter(self, client: Hashable, now: float) -> Quota | None:
        """Count one more socket of a client; None where it has as many as it may."""
        quota = self._of.get(client)
        if quota is None:
            quota = self._of[client] = Quota(self._rate, now)
        if quota.sockets >= self._max_sockets:
            return None
        quota.sockets += 1
        return quota

    def leave(self, client: Hashable) -> None:
        """One socket less."""
        quota = self._of[client]
        quota.sockets -= 1
        if not quota.sockets:
            del self._of[client]

    def __len__(self) -> int:
        return len(self._of)
