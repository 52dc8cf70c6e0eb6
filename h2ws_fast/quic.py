"""A connection of HTTP/2 by the interface of QUIC's streams, for programs that fall back to TCP.

`connect` and `serve`, `QuicConnectionProtocol` with `quic_event_received` and `create_stream`, the
connection below it (`_quic`) and the events have the names and the shape that aioquic gives them:
where UDP does not get through, a program goes on with these imports. What `connect` and `serve` are
given is Session's and `h2ws_fast.serve`'s: a URI, and no QuicConfiguration. Each stream of QUIC is an
extended CONNECT; its number goes with it in a field. Either end opens streams, of one direction too.

What HTTP/2 cannot say: RST_STREAM ends both directions, so `reset_stream` and `stop_stream` of a
stream of two directions are one and the same. There are no datagrams here. `send_stream_data` knows
no back-pressure; the writers of `create_stream` do: `drain()` waits for the peer.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, cast

from . import errors
from .aio.client.session import Session
from .aio.http import fields_of
from .aio.opener import Opener
from .aio.server.server import Server
from .aio.server.server import serve as serve_h2
from .aio.server.session import ServerSession
from .aio.stream_transport import LIMIT, Reader, StreamTransport
from .aio.tunnel import Tunnel
from .engine.prepare import prepare

__all__ = [
    "ConnectionTerminated",
    "HandshakeCompleted",
    "QuicConnection",
    "QuicConnectionProtocol",
    "QuicEvent",
    "StopSendingReceived",
    "StreamDataReceived",
    "StreamReset",
    "connect",
    "serve",
]

TOKEN = "quic-stream"
NUMBER = "quic-stream-id"
MAX_NUMBER = 2**62 - 1
MAX_CODE = 2**32 - 1
# Numbers of streams may come in another order than they were taken in, by no more than this.
MAX_DISORDER = 4 * 1024
AGAIN_S = (0.01, 0.05, 0.25, 1.0)  # how long after a refusal a stream is asked for again
LOOK_S = 0.1  # how often to look whether there is room for one, where nothing tells

_prepare: Any = prepare  # the engine's inner modules are not typed

StreamHandler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]


class QuicEvent:
    """What happened on a connection."""


@dataclass
class HandshakeCompleted(QuicEvent):
    """Streams may be opened."""

    alpn_protocol: str | None = "h2"
    early_data_accepted: bool = False
    session_resumed: bool = False


@dataclass
class ConnectionTerminated(QuicEvent):
    """The connection is over."""

    error_code: int
    frame_type: int | None
    reason_phrase: str


@dataclass
class StreamDataReceived(QuicEvent):
    """Octets of a stream; with `end_stream` they are its last."""

    data: bytes
    end_stream: bool
    stream_id: int


@dataclass
class StreamReset(QuicEvent):
    """The peer ends its direction of a stream in the middle."""

    error_code: int
    stream_id: int


@dataclass
class StopSendingReceived(QuicEvent):
    """The peer wants no more of what this end sends on a stream."""

    error_code: int
    stream_id: int


def is_unidirectional(stream_id: int) -> bool:
    """Does a stream with this number go in one direction? RFC 9000 section 2.1."""
    return bool(stream_id & 2)


class Channel(asyncio.Protocol):
    """One stream, from its first octet on: what is written before it is open waits."""

    def __init__(
        self, connection: QuicConnection, stream_id: int, priority: str | None = None
    ) -> None:
        self.connection = connection
        self.stream_id = stream_id
        self.priority = priority
        self.transport: StreamTransport | None = None
        mine = connection._is_mine(stream_id)
        one_way = is_unidirectional(stream_id)
        self.may_send = mine or not one_way
        self.may_receive = not mine or not one_way
        self.sent_end = not self.may_send
        self.received_end = not self.may_receive
        self.waiting = 0  # octets that wait for it to be open
        self._queue: list[bytes] = []
        self._reset: int | None = None
        self.paused = False
        self.streams: asyncio.StreamReaderProtocol | None = None  # of its reader and writer
        self._held = False  # its writer was told to write no more for now
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self.transport = cast(StreamTransport, transport)
        if self._reset is not None:
            self.reset(self._reset)
            return
        self._hold(False)
        for data in self._queue:
            self.transport.write(data)
        self._queue.clear()
        self.waiting = 0
        if self.sent_end:
            self.transport.write_eof()
        if self.paused:
            self.transport.pause_reading()

    def _hold(self, held: bool) -> None:
        if self.streams is not None and held != self._held:
            self._held = held
            (self.streams.pause_writing if held else self.streams.resume_writing)()

    def pause_writing(self) -> None:
        """The peer takes less than is written."""
        self._hold(True)

    def resume_writing(self) -> None:
        """It has taken it."""
        self._hold(False)

    def send(self, data: bytes, end_stream: bool) -> None:
        """Send octets, now or when it is open."""
        if self.sent_end:
            raise ValueError(f"this end's direction of stream {self.stream_id} has ended")
        self.sent_end = end_stream
        if self.transport is None:
            self._queue.append(data)
            self.waiting += len(data)
            if self.waiting > LIMIT:
                self._hold(True)
            return
        self.transport.write(data)
        if end_stream:
            self.transport.write_eof()
            self._close_at_the_end()

    def reset(self, error_code: int) -> None:
        """End both directions. Raises ValueError for a code that HTTP/2 has no room for."""
        if not 0 <= error_code <= MAX_CODE:
            raise ValueError(f"an error code of HTTP/2 has 32 bits, this is none: {error_code}")
        self.sent_end = self.received_end = True
        self._reset = error_code
        if self.transport is not None:
            tunnel: Tunnel = self.transport.get_extra_info("tunnel")
            tunnel.abort(error_code)

    def pause(self, paused: bool) -> None:
        """Hold the peer back, or let it go on. Nobody is held back once the connection is gone."""
        paused = paused and not self.connection._gone
        self.paused = paused
        if self.transport is not None:
            (self.transport.pause_reading if paused else self.transport.resume_reading)()

    def data_received(self, data: bytes) -> None:
        """Octets."""
        if not self.received_end:
            self.connection._deliver(StreamDataReceived(data, False, self.stream_id))

    def eof_received(self) -> bool:
        """The peer's direction has ended."""
        if not self.received_end:
            self.received_end = True
            self.connection._deliver(StreamDataReceived(b"", True, self.stream_id))
        self._close_at_the_end()
        return True

    def _close_at_the_end(self) -> None:
        transport = self.transport
        # Who closes a session ends the streams' directions that were not ended here.
        sent_end = self.sent_end or self.connection._gone
        if transport is not None and sent_end and self.received_end:
            transport.close()

    def gone(self) -> None:
        """The connection is gone: what has arrived is handed on, and the end."""
        self.pause(False)
        self._close_at_the_end()

    def fail(self, error: Exception) -> None:
        """It will not be open."""
        lost = ConnectionResetError(str(error))
        lost.__cause__ = errors.StreamReset(getattr(error, "error_code", 0), str(error))
        self.connection_lost(lost)

    def connection_lost(self, exc: Exception | None) -> None:
        """Both directions are over."""
        cause = None if exc is None else exc.__cause__
        code = cause.error_code if isinstance(cause, errors.StreamReset) else 0
        received_end, sent_end = self.received_end, self.sent_end
        self.received_end = self.sent_end = True
        self.connection._channels.pop(self.stream_id, None)
        if not self.over.done():
            self.over.set_result(None)
        if exc is not None and not received_end:
            self.connection._deliver(StreamReset(code, self.stream_id))
        if exc is not None and not sent_end:
            self.connection._deliver(StopSendingReceived(code, self.stream_id))
        if self.streams is not None:
            self.streams.connection_lost(exc)
        self.connection._look_whether_over()


class Numbers:
    """The numbers of streams that were taken."""

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._highest = -1

    def add(self, number: int) -> bool:
        """Take one. False: it was taken before, or is so old that it may have been."""
        if number in self._recent or number < self._highest - MAX_DISORDER:
            return False
        self._recent.add(number)
        self._highest = max(self._highest, number)
        if len(self._recent) > MAX_DISORDER:
            self._recent = {n for n in self._recent if n >= self._highest - MAX_DISORDER}
        return True


class QuicConnection:
    """What a protocol has as `_quic`: streams by number."""

    def __init__(self, opener: Opener, *, is_client: bool) -> None:
        self._opener = opener
        self._is_client = is_client
        self._channels: dict[int, Channel] = {}
        self._next = [0 if is_client else 1, 2 if is_client else 3]
        self._taken = [Numbers(), Numbers()]  # the peer's, of each kind
        self._behind: set[Channel] = set()  # for which the peer has no room yet
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: asyncio.Task[None] | None = None
        self._gone = False
        self._deliver: Callable[[QuicEvent], None] = lambda event: None

    def _is_mine(self, stream_id: int) -> bool:
        return (stream_id & 1 == 0) == self._is_client

    def get_next_available_stream_id(self, is_unidirectional: bool = False) -> int:
        """Return the number that the next stream of this end has; it is taken by its first use."""
        return self._next[is_unidirectional]

    def send_stream_data(self, stream_id: int, data: bytes, end_stream: bool = False) -> None:
        """Send octets on a stream, and open it where the number is the next of this end.

        Raises ValueError for a stream that is not there, or whose direction has ended.
        """
        self._channel(stream_id).send(bytes(data), end_stream)

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        """End a stream in the middle. Raises ValueError for a code above 32 bits, and as
        `send_stream_data`."""
        self._channel(stream_id).reset(error_code)

    def stop_stream(self, stream_id: int, error_code: int) -> None:
        """Ask the peer to send no more on a stream: here the same as `reset_stream`."""
        self._channel(stream_id).reset(error_code)

    def prioritize_stream(
        self, stream_id: int, urgency: int = 3, incremental: bool = False
    ) -> None:
        """Have the octets of an open stream leave sooner or later than others: see
        `Tunnel.prioritize`. Raises ValueError for a stream that is not open."""
        channel = self._channels.get(stream_id)
        if channel is None or channel.transport is None:
            raise ValueError(f"stream {stream_id} is not open")
        channel.transport.get_extra_info("tunnel").prioritize(urgency, incremental)

    def _channel(self, stream_id: int, priority: str | None = None) -> Channel:
        channel = self._channels.get(stream_id)
        if channel is not None:
            return channel
        one_way = is_unidirectional(stream_id)
        if stream_id != self._next[one_way]:
            raise ValueError(f"there is no stream {stream_id}")
        self._next[one_way] += 4
        channel = self._channels[stream_id] = Channel(self, stream_id, priority)
        task = asyncio.get_running_loop().create_task(self._open(channel))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return channel

    async def _open(self, channel: Channel) -> None:
        # RFC 9000 section 4.6: beyond the peer's limit a stream waits.
        try:
            tunnel = await self._ask(channel)
        except Exception as error:  # whatever it is, somebody may wait for the stream
            channel.fail(error)
            return
        tunnel.transport(channel)

    async def _ask(self, channel: Channel) -> Tunnel:
        number = {NUMBER: str(channel.stream_id)}
        delays = iter(AGAIN_S)
        while True:
            try:
                return await self._opener.tunnel(
                    TOKEN, headers=number, priority=channel.priority, open_timeout=math.inf
                )
            except errors.StreamReset as error:
                # RFC 9113 section 8.7: it was not processed, and the peer may have room soon.
                delay = next(delays, None) if error.retryable else None
                if delay is None:
                    raise
                await asyncio.sleep(delay)
            except errors.NoAvailableStreams:
                if self._opener._live().conn.draining:
                    raise  # there will never be one
                # A client's session waits by itself, a server's does not.
                self._behind.add(channel)
                ends = [
                    each.over
                    for each in self._channels.values()
                    if self._is_mine(each.stream_id) and each not in self._behind
                ]
                # Other streams of the connection may be in the way, whose ends nobody tells.
                if ends:
                    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                else:
                    await asyncio.sleep(LOOK_S)
            finally:
                self._behind.discard(channel)

    async def _take(self, tunnel: Tunnel) -> None:
        # A stream of the peer. Its number is the peer's to choose, once.
        text = tunnel.request.headers.get(NUMBER, "")
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else -1
        if not 0 <= number <= MAX_NUMBER or self._is_mine(number):
            tunnel.abort()
            return
        if not self._taken[is_unidirectional(number)].add(number):
            tunnel.abort()
            return
        channel = self._channels[number] = Channel(self, number)
        tunnel.transport(channel)
        await channel.over

    async def _stop(self) -> None:
        # Nobody opens streams here any more. A graceful end that was begun is waited for.
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for channel in list(self._channels.values()):
            if channel.transport is None:
                channel.fail(ConnectionResetError("the connection was closed"))
        if self._closing is not None:
            await asyncio.wait([self._closing])

    def _lost(self) -> None:
        # The connection is gone: what has arrived is handed on, whoever was held back.
        self._gone = True
        for channel in list(self._channels.values()):
            channel.gone()
        self._look_whether_over()

    def _look_whether_over(self) -> None:
        if self._gone and not self._channels:
            self._deliver(ConnectionTerminated(0, None, ""))


class StreamAdapter(asyncio.Transport):
    """The transport of a StreamWriter."""

    def __init__(self, connection: QuicConnection, stream_id: int) -> None:
        super().__init__()
        self._connection = connection
        self._stream_id = stream_id
        self._closing = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`stream_id` is all it knows."""
        return self._stream_id if name == "stream_id" else default

    def can_write_eof(self) -> bool:
        """Each direction ends apart."""
        return True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send octets."""
        self._connection.send_stream_data(self._stream_id, bytes(data))

    def write_eof(self) -> None:
        """End this end's direction."""
        if not self._closing:
            self._closing = True
            channel = self._connection._channels.get(self._stream_id)
            if channel is not None and not channel.sent_end:
                channel.send(b"", True)

    def close(self) -> None:
        """End this end's direction."""
        self.write_eof()

    def is_closing(self) -> bool:
        """Has it ended?"""
        return self._closing

    def pause_reading(self) -> None:
        """Hold the peer back."""
        self._pause(True)

    def resume_reading(self) -> None:
        """Let it go on."""
        self._pause(False)

    def _pause(self, paused: bool) -> None:
        channel = self._connection._channels.get(self._stream_id)
        if channel is not None:
            channel.pause(paused)


class QuicConnectionProtocol:
    """What a program inherits from: override `quic_event_received`, or take streams as they come.

    With a `stream_handler(reader, writer)` each stream of the peer is handed to it.
    """

    def __init__(self, quic: QuicConnection, stream_handler: StreamHandler | None = None) -> None:
        self._quic = quic
        self._loop = asyncio.get_running_loop()
        self._stream_handler = stream_handler
        self._stream_readers: dict[int, asyncio.StreamReader] = {}
        self._closed: asyncio.Future[None] = self._loop.create_future()
        quic._deliver = self._received

    def quic_event_received(self, event: QuicEvent) -> None:
        """An event of the connection: by default octets go to the readers of their streams."""
        if isinstance(event, StreamDataReceived):
            reader = self._stream_readers.get(event.stream_id)
            if reader is None:
                reader, writer = self._streams(event.stream_id)
                if self._stream_handler is not None:
                    self._stream_handler(reader, writer)
            reader.feed_data(event.data)
            if event.end_stream:
                reader.feed_eof()
                del self._stream_readers[event.stream_id]
        elif isinstance(event, StreamReset):
            reader = self._stream_readers.pop(event.stream_id, None)
            if reader is not None:
                reader.set_exception(ConnectionResetError(f"reset: {event.error_code:#x}"))
        elif isinstance(event, ConnectionTerminated):
            self._stream_readers.clear()  # each was told of the end of its own stream

    def _received(self, event: QuicEvent) -> None:
        if self._closed.done():
            return
        if isinstance(event, ConnectionTerminated):
            self._closed.set_result(None)
        self.quic_event_received(event)

    async def create_stream(
        self, is_unidirectional: bool = False, *, priority: str | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a stream. Of one that goes in one direction the reader is at its end.

        `priority` is the field of RFC 9218 ("u=1"); `_quic.prioritize_stream` changes it. Raises
        ValueError and TypeError for what no field may be.
        """
        if priority is not None:
            _prepare(fields_of({"priority": priority}), "trailers")
        stream_id = self._quic.get_next_available_stream_id(is_unidirectional)
        self._quic._channel(stream_id, priority)
        reader, writer = self._streams(stream_id)
        if is_unidirectional:
            reader.feed_eof()
            del self._stream_readers[stream_id]
        return reader, writer

    def _streams(self, stream_id: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        adapter = StreamAdapter(self._quic, stream_id)
        reader = Reader(loop=self._loop)
        reader.set_transport(adapter)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self._loop)
        self._stream_readers[stream_id] = reader
        self._quic._channels[stream_id].streams = protocol
        return reader, asyncio.StreamWriter(adapter, protocol, reader, self._loop)

    def transmit(self) -> None:
        """Nothing need be done: what was queued leaves by itself."""

    async def wait_connected(self) -> None:
        """Return at once: `connect` has waited."""

    def close(self, error_code: int = 0, reason_phrase: str = "") -> None:
        """End the connection; `await wait_closed()` then. HTTP/2 tells the peer neither the code nor
        the reason: `ConnectionTerminated` has 0 and "" always."""
        opener: Any = self._quic._opener
        if self._quic._closing is None:
            self._quic._closing = self._loop.create_task(opener.close())

    async def wait_closed(self) -> None:
        """Wait until the connection is over."""
        await asyncio.shield(self._closed)


def _make(
    opener: Opener,
    create_protocol: Callable[..., QuicConnectionProtocol],
    stream_handler: StreamHandler | None,
    *,
    is_client: bool,
) -> QuicConnectionProtocol:
    protocol = create_protocol(
        QuicConnection(opener, is_client=is_client), stream_handler=stream_handler
    )
    protocol._received(HandshakeCompleted())
    return protocol


@contextlib.asynccontextmanager
async def connect(
    uri: str,
    *,
    create_protocol: Callable[..., QuicConnectionProtocol] = QuicConnectionProtocol,
    stream_handler: StreamHandler | None = None,
    **arguments: Any,
) -> AsyncIterator[QuicConnectionProtocol]:
    """Connect to a server of `serve`, over HTTP/2. The arguments are those of `Session`."""
    made: asyncio.Future[QuicConnectionProtocol] = asyncio.get_running_loop().create_future()

    async def take(tunnel: Tunnel) -> None:
        # The server may open streams before the connection is known here to be there.
        await (await asyncio.shield(made))._quic._take(tunnel)

    async with Session(uri, tunnels={TOKEN: take}, **arguments) as session:
        protocol = _make(session, create_protocol, stream_handler, is_client=True)
        made.set_result(protocol)
        watching = asyncio.create_task(_watch(session, protocol._quic))
        try:
            yield protocol
        finally:
            await protocol._quic._stop()
            await session.close()
            await watching


def serve(
    host: str | None = None,
    port: int | None = None,
    *,
    create_protocol: Callable[..., QuicConnectionProtocol] = QuicConnectionProtocol,
    stream_handler: StreamHandler | None = None,
    **arguments: Any,
) -> Server:
    """Serve those who `connect`, over HTTP/2. The arguments are those of `h2ws_fast.serve`."""
    there: dict[Any, QuicConnectionProtocol] = {}

    async def take(tunnel: Tunnel) -> None:
        protocol = there.get(tunnel.request.session)
        if protocol is None:
            tunnel.abort()  # no client of ours, which takes streams; or the server is closing
            return
        await protocol._quic._take(tunnel)

    async def on_session(session: ServerSession) -> None:
        protocol = _make(session, create_protocol, stream_handler, is_client=False)
        there[session] = protocol
        try:
            await _watch(session, protocol._quic)
        finally:
            del there[session]
            await protocol._quic._stop()

    return serve_h2(host=host, port=port, tunnels={TOKEN: take}, on_session=on_session, **arguments)


async def _watch(opener: Opener, connection: QuicConnection) -> None:
    try:
        await opener.wait_closed()
    finally:
        connection._lost()
