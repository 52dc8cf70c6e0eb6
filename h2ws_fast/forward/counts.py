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
        self.sent = 0  # octets towards the target
        self.received = 0

    async def carry(self, tunnel: Tunnel, sock: socket.socket) -> None:
        """Make one of a tunnel and a socket until both have ended, and count what passes."""
        self.opened += 1
        self.open += 1
        splice = Splice(tunnel, sock)
        try:
            await splice.run()
        finally:
            self.open -= 1
            self.sent += splice.to_tunnel
            self.received += splice.to_socket

    def __str__(self) -> str:
        return (
            f"{self.open} open, {self.opened} in all, {self.failed} failed, "
            f"{self.sent} octets sent, {self.received} received"
        )
