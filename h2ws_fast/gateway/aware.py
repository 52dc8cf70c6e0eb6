"""How the messages of WebSockets are read."""

from __future__ import annotations

from typing import NamedTuple

from ..aio.arguments import check_count, check_seconds, deflate_from
from ..engine.agreement import ServerPerMessageDeflateFactory

__all__ = ["Aware"]


class Aware(NamedTuple):
    """How an Upstream speaks whose WebSockets are read: what it says here goes before the gateway's.

    `ping_interval` and `ping_timeout`, in seconds, are for its backends; clients, whose connections
    may lead to other upstreams too, are pinged as the gateway says. `max_size` octets are allowed to
    a message of either side, and to one of a client no more than the gateway's `max_size`.
    `compression` ("deflate" or None) is what both hops may agree on.
    """

    ping_interval: float | None = 20
    ping_timeout: float | None = 20
    max_size: int | None = 2**20
    compression: str | None = "deflate"

    def check(self) -> None:
        """Raises TypeError and ValueError for what makes no sense."""
        check_seconds(ping_interval=self.ping_interval, ping_timeout=self.ping_timeout)
        check_count(none=True, max_size=self.max_size)
        self.deflate()

    def deflate(self) -> ServerPerMessageDeflateFactory | None:
        """How a client's WebSocket compresses."""
        return deflate_from(self.compression, ServerPerMessageDeflateFactory)
