"""What one client may send through a proxy: so many octets a second."""

from __future__ import annotations

from collections.abc import Hashable

__all__ = ["Quota", "Quotas"]

# The longest packet, with its headers, passes under any rate.
LEAST_BURST = 65535 + 48.0


class Quota:
    """One client's. `rate` in octets a second, of which a second's worth may come at once, or one
    packet of any length; None: no limit. `sockets`: those that it has."""

    __slots__ = ("_at", "_burst", "_left", "_rate", "sockets")

    def __init__(self, rate: float | None, now: float) -> None:
        self.sockets = 0
        self._rate = rate
        self._burst = 0.0 if rate is None else max(float(rate), LEAST_BURST)
        self._left = self._burst
        self._at = now

    def take(self, octets: int, now: float) -> bool:
        """May so many octets pass now?"""
        if self._rate is None:
            return True
        self._fill(self._rate, now)
        if octets > self._left:
            return False
        self._left -= octets
        return True

    def is_whole(self, now: float) -> bool:
        """Is it as if nothing had passed?"""
        if self._rate is not None:
            self._fill(self._rate, now)
        return self._left >= self._burst

    def _fill(self, rate: float, now: float) -> None:
        self._left = min(self._burst, self._left + (now - self._at) * rate)
        self._at = now


class Quotas:
    """Those of all clients, by what tells clients apart.

    One without a socket is kept until it is whole again: whoever leaves and comes back has no more
    than who stays.
    """

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._of: dict[Hashable, Quota] = {}
        self._left: dict[Hashable, Quota] = {}  # those without a socket, the first who left first

    def enter(self, client: Hashable, now: float) -> Quota:
        """Count one more socket of a client."""
        self._forget(now)
        quota = self._of.get(client)
        if quota is None:
            quota = self._left.pop(client) if client in self._left else Quota(self._rate, now)
            self._of[client] = quota
        quota.sockets += 1
        return quota

    def leave(self, client: Hashable, now: float) -> None:
        """One socket less."""
        quota = self._of[client]
        quota.sockets -= 1
        if not quota.sockets:
            self._left[client] = self._of.pop(client)
            self._forget(now)

    def _forget(self, now: float) -> None:
        # Whoever left first may take longest to be whole, for as long as a burst takes to come again:
        # so long others wait behind it.
        while self._left:
            client, quota = next(iter(self._left.items()))
            if not quota.is_whole(now):
                return
            del self._left[client]

    def __len__(self) -> int:
        return len(self._of)
