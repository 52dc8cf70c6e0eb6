"""A stream of HTTP/2 as asyncio knows octets: a transport, and a reader and writer of it.

    Tunnel           octets both ways, with `recv` and `send`
    StreamTransport  the same as an `asyncio.Transport`: any protocol of asyncio's runs on it
    ByteStream       the same with the methods of `StreamReader` and `StreamWriter`

What a tunnel receives is handed to the protocol from the event loop, never from within the read
that brought it: a protocol may do there whatever it does over TCP, another HTTP/2 connection too.
"""

from __future__ import annotations

import asyncio
import asyncio.base_events
import ssl as ssl_module
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..engine.constants import CANCEL, NO_ERROR
from ..errors import LocalProtocolError, StreamReset

if TYPE_CHECKING:
    from .tunnel import Receiving, Tunnel

__all__ = ["ByteStream", "StreamTransport"]

LIMIT = 2**16  # octets that a reader holds before it stops reading, as asyncio has it
CHUNK = 2**18  # octets that are handed on and credited at a time, as of one read of TCP
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
    """

    # What `asyncio.BaseEventLoop.start_tls` asks for.
    _start_tls_compatible = True

    def __init__(self, tunnel: Tunnel) -> None:
        super().__init__()
        self._tunnel = tunnel
        self._loop = tunnel._sending.wire.hub.loop
        self._protocol: Any = None
        self._buffered = False  # is it an asyncio.BufferedProtocol?
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
        self._protocol = protocol
        self._buffered = isinstance(protocol, asyncio.BufferedProtocol)

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
            tunnel._receiving.discard()
            tunnel._await_end()
        tunnel._sending.wire.pull()
        self.heard()

    def abort(self) -> None:
        """Reset the stream."""
        self._closing = self._aborted = True
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
            self._loop.call_soon(self._run)

    def _run(self) -> None:
        self._scheduled = False
        if self._lost:
            return
        tunnel = self._tunnel
        receiving = tunnel._receiving
        sending = tunnel._sending
        if not self._cut:
            self._hand_over(receiving)
        if receiving.error is not None:
            self._end(receiving.error)
            return
        if (
            receiving.finished
            and not (receiving.ready or self._rest)
            and not (self._eof or self._paused or self._closing)
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
        self._tell(self._protocol.connection_lost, reason)

    def __repr__(self) -> str:
        state = "closed" if self._lost else "closing" if self._closing else "open"
        return f"<StreamTransport {state} stream {self._tunnel.stream_id}>"


class Reader(asyncio.StreamReader):
    """One that keeps what arrived whole: behind the peer's end a loss concerns the writer alone."""

    _whole = False

    def feed_eof(self) -> None:
        self._whole = True
        super().feed_eof()

    def set_exception(self, exc: Exception) -> None:
        if not self._whole:
            super().set_exception(exc)


class ByteStream:
    """A stream of octets with the methods of `asyncio.StreamReader` and `asyncio.StreamWriter`.

    `read`, `readexactly`, `readuntil`, `readline` and `async for line in stream` receive; `write`,
    `writelines` and `await drain()` send; `write_eof()` ends this side, `close()` and
    `await wait_closed()` both, `reset()` at once. Each is what asyncio says of it. Where the peer
    resets the stream they raise ConnectionResetError, whose cause is the StreamReset.

    `transport` is the asyncio transport below, for protocols of one's own.
    """

    __slots__ = ("__weakref__", "_below", "_reader", "_writer", "tunnel")

    def __init__(self, tunnel: Tunnel, limit: int = LIMIT) -> None:
        self.tunnel = tunnel
        self._below: ByteStream | None = None
        loop = tunnel._sending.wire.hub.loop
        protocol = self._read_from(loop, limit)
        self._write_to(loop, tunnel.transport(protocol), protocol)

    def _read_from(
        self, loop: asyncio.AbstractEventLoop, limit: int
    ) -> asyncio.StreamReaderProtocol:
        self._reader = Reader(limit, loop)
        return asyncio.StreamReaderProtocol(self._reader, loop=loop)

    def _write_to(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: Any,
        protocol: asyncio.StreamReaderProtocol,
    ) -> None:
        self._writer = asyncio.StreamWriter(transport, protocol, self._reader, loop)

    # -- receiving ----------------------------------------------------------------------------------

    async def read(self, n: int = -1) -> bytes:
        """Return up to n octets as soon as there are any, b"" at the end; all of them with -1."""
        return await self._reader.read(n)

    async def readexactly(self, n: int) -> bytes:
        """Return n octets. Raises asyncio.IncompleteReadError where the end comes before."""
        return await self._reader.readexactly(n)

    async def readuntil(self, separator: bytes = b"\n") -> bytes:
        """Return what comes up to a separator, and it. Raises as `StreamReader.readuntil`."""
        return await self._reader.readuntil(separator)

    async def readline(self) -> bytes:
        """Return a line, without its end where the stream ended first."""
        return await self._reader.readline()

    def at_eof(self) -> bool:
        """Has the peer ended its side, and was everything read?"""
        return self._reader.at_eof()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._reader)

    # -- sending ------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send octets; `await drain()` after it, now and then."""
        self._writer.write(data)

    def writelines(self, data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send octets."""
        self._writer.writelines(data)

    async def drain(self) -> None:
        """Wait while too many octets wait."""
        await self._writer.drain()

    def can_write_eof(self) -> bool:
        """Can this side end alone? So it is, but for TLS."""
        return self._writer.can_write_eof()

    def write_eof(self) -> None:
        """End this side behind what was written; the other goes on."""
        self._writer.write_eof()

    # -- both ---------------------------------------------------------------------------------------

    def close(self) -> None:
        """End this side behind what was written, and drop what the peer still sends."""
        self._writer.close()

    def is_closing(self) -> bool:
        """Is it closed, or about to be?"""
        return self._writer.is_closing()

    async def wait_closed(self) -> None:
        """Wait until what was written has left. Raises what ended the stream before."""
        await self._writer.wait_closed()

    def reset(self, error_code: int = CANCEL) -> None:
        """End both sides at once: the peer sees an abnormal end with this code.

        What reads here, `drain` and `wait_closed` raise ConnectionResetError from then on.
        """
        self.tunnel.abort(error_code)

    def prioritize(self, urgency: int = 3, incremental: bool = False) -> None:
        """See `Tunnel.prioritize`."""
        self.tunnel.prioritize(urgency, incremental)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See `StreamTransport.get_extra_info`; over TLS what its transport knows, too."""
        return self._writer.get_extra_info(name, default)

    @property
    def transport(self) -> Any:
        """The transport below."""
        return self._writer.transport

    @property
    def stream_id(self) -> int:
        """The number of the HTTP/2 stream."""
        return self.tunnel.stream_id

    async def start_tls(
        self,
        context: ssl_module.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> ByteStream:
        """Speak TLS on this stream from here on; return what is secured, this one is used no more.

        It is asyncio's own TLS, whichever loop runs. Raises as `loop.start_tls` does, and
        LocalProtocolError where the peer has sent octets that nobody read, or has ended its side:
        what came before TLS is none of it.
        """
        await self.drain()
        if self._reader._whole or self._reader._buffer:  # type: ignore[attr-defined]
            raise LocalProtocolError("the peer has sent octets, or its end, before TLS began")
        loop = self.tunnel._sending.wire.hub.loop
        secured = ByteStream.__new__(ByteStream)
        secured.tunnel = self.tunnel
        secured._below = self  # whose writer would close the stream once nobody has it
        protocol = secured._read_from(loop, LIMIT)
        # uvloop's takes its own transports alone; this one needs no more of a loop than any has.
        transport = await asyncio.base_events.BaseEventLoop.start_tls(
            loop,  # type: ignore[arg-type]
            self.transport,
            protocol,
            context,
            server_side=server_side,
            server_hostname=server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )
        if transport is None:
            raise ConnectionResetError("the stream ended during the handshake")
        protocol.connection_made(transport)
        secured._write_to(loop, transport, protocol)
        return secured

    async def __aenter__(self) -> ByteStream:
        return self

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if kind is None:
            self.close()
            await self.wait_closed()
        else:
            self.reset()

    def __repr__(self) -> str:
        return f"<ByteStream stream {self.stream_id}>"
