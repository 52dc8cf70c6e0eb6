"""HTTP/1.1 has no windows: what nobody takes must stay with the peer by TCP's own.

After each batch the transport is told to stop reading where too much waits for the application, and
to go on where it was taken.
"""

from ...engine.h1 import Upgraded
from ..protocol import Wire

MAX_UNREAD = 262144  # octets of whole messages that wait: as many as the window of a stream


class PacedWire(Wire):
    """A Wire that may carry HTTP/1.1. Set `watched` where it does."""

    __slots__ = ("held", "left")

    def __init__(self, hub, conn, write_high):
        super().__init__(hub, conn, write_high)
        self.held = False  # the transport does not read now
        self.left = False  # this side of the transport was ended

    @property
    def http_version(self):
        """What is spoken: "2" or "1.1"."""
        return "1.1" if self.watched else "2"

    def _settled(self):
        # After every message of a WebSocket: compiled, it is a sixth of what Python takes.
        conn = self.conn
        upgraded = type(conn) is Upgraded
        held = conn.unread > MAX_UNREAD if upgraded else not conn.reading
        if upgraded and held == self.held:
            return
        transport = self.transport
        if transport is None or self.closing or transport.is_closing():
            return
        if not upgraded and conn.leaving and not self.left:
            self.left = True
            if transport.can_write_eof():
                transport.write_eof()
        if held != self.held:
            self.held = held
            if held:
                transport.pause_reading()
            else:
                transport.resume_reading()
