"""HTTP/1.1 has no windows: what nobody takes must stay with the peer by TCP's own.

After each batch the transport is told to stop reading where too much waits for the application, and
to go on where it was taken.
"""

import contextlib
import socket
import struct

from ...engine.constants import NEVER
from ...engine.h1 import Upgraded
from ...engine.octets import Octets
from ..protocol import Wire
from .bypass import bypass

RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of no seconds: close() sends RST

# Octets of whole messages that wait, and 64 for each: as many as the window of a stream.
MAX_UNREAD = 262144


class PacedWire(Wire):
    """A Wire that may carry HTTP/1.1. Set `watched` where it does."""

    __slots__ = ("bypass", "held", "left")

    def __init__(self, hub, conn, write_high):
        super().__init__(hub, conn, write_high)
        self.held = False  # the transport does not read now
        self.left = False  # this side of the transport was ended
        self.bypass = None  # how a tunnel reads and writes over plain TCP

    @property
    def http_version(self):
        """What is spoken: "2" or "1.1"."""
        return "1.1" if self.watched else "2"

    def become(self, conn):
        """See `Wire.become`."""
        Wire.become(self, conn)
        if type(conn) is Octets and self.transport is not None and self.bypass is None:
            self.bypass = bypass(self, self.held)

    def connection_lost(self, exc):
        passed = self.bypass
        if passed is not None:
            self.bypass = None
            passed.leave()
        Wire.connection_lost(self, exc)

    # Behind a proxy's 101 octets pass without what a Wire does for all others. That, and `bypass`,
    # is what makes a message from a tunnel over HTTP/2 to one over HTTP/1.1 and back cheap.

    def _rests(self):
        conn = self.conn
        if type(conn) is not Octets or self.held:
            return False
        octets = conn
        return octets.at_rest()

    def _leave(self, now):
        conn = self.conn
        if type(conn) is Octets and self._takes():
            octets = conn
            data = octets.sole()
            if data is not None:
                self.touched = False
                try:
                    if self.bypass is not None:
                        self.bypass.write(data)
                    else:
                        self.transport.write(data)
                except (OSError, RuntimeError) as error:
                    self._write_failed(error)
                # Nothing waits and nothing ends now: only what is read may begin or cease to rest.
                if self.held or not octets.takes_more():
                    self._settled()
                return
        self._settle(None, now)

    def _takes(self):
        # Does the transport take octets, and does no timer run?
        return (
            not self.paused
            and not self.closing
            and not self.over
            and self.due == NEVER
            and self.transport is not None
        )

    def _settled(self):
        # After every message of a WebSocket: compiled, it is a sixth of what Python takes.
        conn = self.conn
        upgraded = type(conn) is Upgraded
        if type(conn) is Octets:
            octets = conn
            if octets.broken:
                self._cut_off()
                return
            held = not octets.takes_more()
            if held == self.held and (self.left or not octets.has_left()):
                return
        else:
            held = conn.unread > MAX_UNREAD if upgraded else not conn.reading
            if upgraded and held == self.held:
                return
        transport = self.transport
        if transport is None or self.closing or transport.is_closing():
            return
        if not upgraded and conn.leaving and not self.left:
            self.left = True
            if transport.can_write_eof():
                try:
                    transport.write_eof()
                except OSError as error:  # the peer has reset it in this moment
                    self._write_failed(error)
                    return
            elif type(conn) is Octets:
                self.hub.loop.call_later(self.patience_s(), self._end_both)
        if held != self.held:
            self.held = held
            if self.bypass is not None:
                if held:
                    self.bypass.pause()
                else:
                    self.bypass.resume()
            elif held:
                transport.pause_reading()
            else:
                transport.resume_reading()

    def patience_s(self):
        """How long the peer of a tunnel may go on over TLS, which here cannot end one side alone.

        It may be waiting for nothing but this end.
        """
        return 0.0

    def _end_both(self):
        if not self.lost and not self.closing:
            self.settle(self.conn.receive_eof(self.hub.time()))

    def _cut_off(self):
        # A tunnel was broken, or a body that ends with the connection: TCP's reset tells the peer
        # so, where FIN would say that all went well.
        transport = self.transport
        if transport is None or self.closing:
            return
        sock = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            # The loops hand out stand-ins without setsockopt.
            with socket.fromfd(sock.fileno(), sock.family, sock.type) as twin:
                twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.abort()


class ReadingWire(PacedWire):
    """One that is an `asyncio.Protocol` and gets `bytes` of each read, for an engine that keeps them
    as they are."""

    # Apart: a transport keeps a method that it finds, 64 octets for each connection.

    __slots__ = ()

    def data_received(self, data):
        """Octets came. Such an engine reads no clock: see `_rests`."""
        self._receive(data, 0.0)
