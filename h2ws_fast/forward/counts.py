"""What was forwarded."""

from __future__ import annotations

import socket

from ..aio.splice import Splice
from ..aio.tunnel import Tunnel

__all__ = ["Counts"]


class Counts:
    """Of one rule, or of all."""

    def __init__(self) -> None:
        self.opened = 0
        self.open = 0
        self.failed = 0
        self.turned_away = 0  # of those that failed: beyond what there may be at once
        self.sent = 0  # octets into tunnels, of what has ended
        self.received = 0
        self._carried: set[Splice] = set()

    async def carry(
        self, tunnel: Tunnel, sock: socket.socket, half_closed_timeout: float | None = None
    ) -> None:
        """Make one of a tunnel and a socket until both have ended, and count what passes.

        Both are reset where one side ended and nothing came for `half_closed_timeout` seconds since.
        Raises StreamReset where the other end has reset the tunnel.
        """
        self.opened += 1
        self.open += 1
        splice = Splice(tunnel, sock, half_closed_timeout=half_closed_timeout)
        self._carried.add(splice)
        try:
            await splice.run()
        finally:
            self._carried.discard(splice)
            self.open -= 1
            self.sent += splice.to_tunnel
            self.received += splice.to_socket
        if splice.failure is not None:
            raise splice.failure

    def octets(self) -> tuple[int, int]:
        """Sent and received so far, by what is open, too."""
        sent = self.sent + sum(splice.to_tunnel for splice in self._carried)
        return sent, self.received + sum(splice.to_socket for splice in self._carried)

    def __str__(self) -> str:
        sent, received = self.octets()
        return (
            f"{self.open} open, {self.opened} in all, {self.failed} failed, "
            f"{sent} octets sent, {received} received"
        )
