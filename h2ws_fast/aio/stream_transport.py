"""A stream of HTTP/2 as a transport of asyncio's: any of its protocols runs on it.

What a tunnel receives is handed to the protocol from the event loop, never from within the read
that brought it: a protocol may do there whatever it does over TCP, another HTTP/2 connection too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..engine.constants import CANCEL, NO_ERROR, PULL_MORE
from ..errors import StreamReset

if TYPE_CHECKING:
    from .byte_reader import ByteReader
    from .tunnel import Receiving, Tunnel

__all__ = ["StreamTransport"]

LIMIT = 2**16  # octets that a reader holds before it stops reading, as asyncio has it
CHUNK = PULL_MORE  # octets that are handed on and credited at a time: those of one read of TCP
# While the last octets of a closed transport wait for the peer's window: how often to look.
FIRST_LOOK_S = 0.01
LAST_LOOK_S = 1.0


class StreamTransport(asyncio.Transport):
    """The octets of a Tunnel for a protocol of asyncio's. Made by `Tunnel.transport`.

    What the protocol does not want yet (`pause_reading`) stays with the peer, by flow control; it is
    told to pause where the stream's own queue is long. `close()` ends this side behind what waits,
    `write_eof()` this side alone, `abort()` both sides at once. A reset of the peer's arrives as
    ConnectionResetError, whose cause is the StreamReset.

    Where the peer had ended its side before, what it sent is handed on first, and its end. Then the
    reset is no error, if it only says (NO_ERROR, CANCEL) that the peer takes no more, and nothing is
    known to wait here that it should have taken.

    With a ByteReader nothing is handed on: that takes the octets itself, until there is another
    protocol (`set_protocol`).
    """

    # What `asyncio.BaseEventLoop.start_tls` asks for.
    _start_tls_compatible = True

    def __init__(
        self,
        tunnel: Tunnel,
        protocol: asyncio.BaseProtocol,
        reader: ByteReader | None = None,
    ) -> None:
        super().__init__()
        self._tunnel = tunnel
        self._reader = reader
        self._loop = tunnel._sending.wire.hub.loop
        self._high = self._low = tunnel._sending.wire.write_high
        self._scheduled = False
        self._paused = False  # reading
        self._rest: bytes | memoryview = b""  # credited, but the protocol had no room, or paused
        self._told = False  # that it shall write no more for now
        self._unsent = False  # octets waited here when the stream was reset
        self._eof = False  # the protocol knows that the peer has ended
        self._cut = False  # this end has reset the stream
        self._closing = False
        self._lost = False
        self._aborted = False
        self._look_s = FIRST_LOOK_S
        self._timer: asyncio.TimerHandle | None = None
        self._begin(protocol)
        if reader is not None:
            reader.begin(self)

    # -- what the protocol may ask of it ------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What a connection knows of its addresses (`peername`, `sockname`), and `tunnel`,
        `stream_id` and `request`. Not what it knows of TLS: this stream has none of its own."""
        tunnel = self._tunnel
        if name == "tunnel":
            return tunnel
        if name == "stream_id":
            return tunnel.stream_id
        if name == "request":
            return tunnel.request
        if name in ("peername", "sockname"):
            wire = tunnel._sending.wire
            address = wire.remote_address if name == "peername" else wire.local_address
            return default if address is None else address
        return default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """From now on this protocol gets what arrives."""
        if self._reader is not None:
            self._reader.leave()
            self._reader = None
        self._begin(protocol)

    def _begin(self, protocol: Any) -> None:
        self._protocol = protocol
        self._buffered = isinstance(protocol, asyncio.BufferedProtocol)

    @property
    def hands_on(self) -> bool:
        """Does the protocol get what arrives, and no reader?"""
        return self._reader is None

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol."""
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def is_closing(self) -> bool:
        """Is it closed, or about to be?"""
        return self._closing

    def is_reading(self) -> bool:
        """Does the protocol get what arrives?"""
        return not self._paused and not self._closing

    def pause_reading(self) -> None:
        """Leave with the peer what its window does not cover."""
        self._paused = True

    def resume_reading(self) -> None:
        """Go on."""
        self._paused = False
        self.heard()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """When to tell the protocol to pause; never below the connection's own `write_limit`, whose
        lower mark is the least at which it is told to go on."""
        wire = self._tunnel._sending.wire
        least = wire.write_high
        if high is None:
            high = least if low is None else 4 * low
        self._high = max(high, least)
        # The connection tells once that little waits, at its own mark: below it nobody would tell.
        self._low = min(max(high if low is None else low, wire.conn.limits.write_low), self._high)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return (low, high)."""
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        """Octets that wait here."""
        return self._tunnel._sending.waiting()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send octets: `bytes` are kept by reference until they leave, others are copied."""
        sending = self._tunnel._sending
        if not data or self._closing or sending.failed:
            return
        if sending.ended:
            raise RuntimeError("this side of the stream was ended")
        try:
            waiting = sending.queue(data)
        except StreamReset as error:
            sending.fail(error)
            self.heard()
            return
        if waiting > self._high and not self._told:
            sending.wire.pull()
            if sending.waiting() > self._high:
                self._told = True
                self._tell(self._protocol.pause_writing)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send octets."""
        for data in list_of_data:
            self.write(data)

    def can_write_eof(self) -> bool:
        """It can: each side ends apart."""
        return True

    def write_eof(self) -> None:
        """End this side; the other goes on."""
        self._tunnel._sending.finish()

    def close(self) -> None:
        """End this side behind what waits, and drop what the peer still sends."""
        if self._closing:
            return
        self._closing = True
        tunnel = self._tunnel
        tunnel._sending.finish()
        if not tunnel._receiving.finished:
            if self._reader is not None:
                self._reader.keep()
            tunnel._receiving.discard()
            tunnel._await_end()
        tunnel._sending.wire.pull()
        self.heard()

    def abort(self) -> None:
        """Reset the stream."""
        self._closing = self._aborted = True
        if self._reader is not None:
            self._reader.keep()
        self._tunnel.abort()
        self.heard()

    def _force_close(self, error: BaseException | None) -> None:
        # asyncio's TLS calls it where a handshake fails.
        self.abort()

    # -- what the tunnel tells ----------------------------------------------------------------------

    def cut(self) -> None:
        """This end has reset the stream: nothing more is handed on but the end."""
        self._cut = True
        self.heard()

    def heard(self) -> None:
        """Something has happened on the stream: see to it soon."""
        if not self._scheduled and not self._lost:
            self._scheduled = True
            self._loop.call_soon(self.attend)

    def attend(self) -> None:
        """See to what has happened on the stream."""
        self._scheduled = False
        if self._lost:
            return
        tunnel = self._tunnel
        receiving = tunnel._receiving
        sending = tunnel._sending
        if not self._cut and self._reader is None:
            self._hand_over(receiving)
        if receiving.error is not None:
            self._end(receiving.error)
            return
        if (
            receiving.finished
            and receiving.held <= receiving.ahead
            and not (self._rest or self._eof or self._paused or self._closing)
        ):
            self._eof = True
            if not self._tell(self._protocol.eof_received):
                self.close()
        error = sending.error
        if error is not None:
            self._unsent = self._unsent or self._told or sending.ended
            if self._cut or self._closing or self._eof:
                known = self._cut or self._unsent or error.error_code not in (NO_ERROR, CANCEL)
                self._end(error if known else None)
                return
        waiting = sending.waiting()
        if self._told and waiting <= self._low:
            self._told = False
            self._tell(self._protocol.resume_writing)
        if self._closing:
            if waiting == 0:
                self._end(None)
            elif self._timer is None:
                self._timer = self._loop.call_later(self._look_s, self._look)

    def _look(self) -> None:
        # Nobody tells when the last of it has left.
        self._timer = None
        self._look_s = min(2 * self._look_s, LAST_LOOK_S)
        self.heard()

    def _hand_over(self, receiving: Receiving) -> None:
        # Octets, for as long as the protocol wants them.
        while not (self._paused or self._closing):
            data = self._rest or receiving.take(CHUNK)
            self._rest = b""
            if not data:
                return
            if self._buffered:
                data = memoryview(data)
                self._rest = data[self._tell(self._put, data) :]
            else:
                self._tell(self._protocol.data_received, bytes(data))

    def _put(self, data: memoryview) -> int:
        # As much as the buffer of an asyncio.BufferedProtocol takes.
        buffer = self._protocol.get_buffer(len(data))
        n = min(len(buffer), len(data))
        if n == 0:
            raise RuntimeError("get_buffer() returned an empty buffer")
        buffer[:n] = data[:n]
        self._protocol.buffer_updated(n)
        return n

    def _tell(self, function: Callable[..., Any], *arguments: Any) -> Any:
        # A protocol that fails has its stream reset, as one over TCP loses its connection.
        try:
            return function(*arguments)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._loop.call_exception_handler(
                {
                    "message": "a protocol on a stream failed",
                    "exception": error,
                    "transport": self,
                    "protocol": self._protocol,
                }
            )
            self.abort()
            return None

    def _end(self, error: StreamReset | None) -> None:
        self._lost = True
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        reason: ConnectionError | None = None
        if error is not None and not self._aborted:
            reason = ConnectionResetError(str(error))
            reason.__cause__ = error
        if self._reader is not None:
            self._reader.lost(reason)
        self._tell(self._protocol.connection_lost, reason)

    def __repr__(self) -> str:
        state = "closed" if self._lost else "closing" if self._closing else "open"
        return f"<StreamTransport {state} stream {self._tunnel.stream_id}>"


class Reader(asyncio.StreamReader):
    """One that keeps what arrived whole: behind the peer's end a loss concerns the writer alone."""

    _buffer: bytearray
    _whole = False

    @property
    def untouched(self) -> bool:
        """Has nothing come that was not read, and no end?"""
        return not (self._whole or self._buffer)

    def feed_eof(self) -> None:
        self._whole = True
        super().feed_eof()

    def set_exception(self, exc: Exception) -> None:
        if not self._whole:
            super().set_exception(exc)
