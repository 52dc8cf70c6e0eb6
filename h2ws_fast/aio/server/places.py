"""The sockets that a proxy has open for its clients: so many of all, so many of each."""

from __future__ import annotations

from collections.abc import Hashable

from ..http import Request
from .admission import address_of

__all__ = ["Places", "by_address"]


def by_address(request: Request) -> Hashable:
    """Clients are told apart by their address, and those of IPv6 by their /64."""
    address: Hashable = address_of(request.remote_address)
    return address


class Places:
    """At most `max_sockets` at once, and of one client `max_sockets_per_client`."""

    __slots__ = ("_max_sockets", "_max_sockets_per_client", "_of", "taken")

    def __init__(self, max_sockets: int, max_sockets_per_client: int) -> None:
        self._max_sockets = max_sockets
        self._max_sockets_per_client = max_sockets_per_client
        self._of: dict[Hashable, int] = {}
        self.taken = 0

    def room(self, client: Hashable) -> bool:
        """May this client have one more?"""
        mine = self._of.get(client, 0)
        return self.taken < self._max_sockets and mine < self._max_sockets_per_client

    def enter(self, client: Hashable) -> bool:
        """Count one more; False where there is no room for it."""
        if not self.room(client):
            return False
        self.taken += 1
        self._of[client] = self._of.get(client, 0) + 1
        return True

    def leave(self, client: Hashable) -> None:
        """One less."""
        self.taken -= 1
        self._of[client] -= 1
        if not self._of[client]:
            del self._of[client]
