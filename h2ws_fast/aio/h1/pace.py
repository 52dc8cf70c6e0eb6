"""HTTP/1.1 has no windows: what nobody takes must stay with the peer by TCP's own.

After each batch the transport is told to stop reading where too much waits for the application, and
to go on where it was taken.
"""

from __future__ import annotations

from typing import Any

from ...engine.h1 import Upgraded
from ..protocol import Wire

__all__ = ["PacedWire"]

MAX_UNREAD = 262144  # octets of whole messages that wait: as many as the window of a stream


class PacedWire(Wire):
    """A Wire that may carry HTTP/1.1. Set `watched` where it does."""

    __slots__ = ("held", "left")

    held: bool
    left: bool

    def __init__(self, hub: Any, conn: Any, write_high: int) -> None:
        super().__init__(hub, conn, write_high)
        self.held = False  # the transport does not read now
        self.left = False  # this side of the transport was ended

    @property
    def http_version(self) -> str:
        """What is spoken: "2" or "1.1"."""
        return "1.1" if self.watched else "2"

    def _settled(self) -> None:
        transport = self.transport
        if transport is None or self.closing or transport.is_closing():
            return
        conn = self.conn
        if type(conn) is Upgraded:
            held = conn.unread > MAX_UNREAD
        else:
            held = not conn.reading
            if conn.leaving and not self.left:
                self.left = True
                if transport.can_write_eof():
                    transport.write_eof()
        if held != self.held:
            self.held = held
            if held:
                transport.pause_reading()
            else:
                transport.resume_reading()
