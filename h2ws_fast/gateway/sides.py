"""Connections of which a peer may end one side alone, and those over TLS, where that is none of its own."""

from __future__ import annotations

from typing import Any

__all__ = ["Sided"]


class Sided:
    """A Wire that stays open for its own side where the transport has sides."""

    __slots__ = ()

    transport: Any

    def eof_received(self) -> bool:
        """The peer ended its side. See `asyncio.Protocol`."""
        stays: bool = super().eof_received()  # type: ignore[misc]  # of the Wire
        # asyncio's TLS ends with it whatever it is told, and logs a warning for each that says no.
        return stays and self.transport is not None and self.transport.can_write_eof()
