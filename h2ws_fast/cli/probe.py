"""One HTTP/2 connection of `h2ws-fast check`: the engine, a transport, and what came over it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from ..engine import Connection, Limits, Role
from ..engine import events as e
from ..engine.agreement import ClientPerMessageDeflateFactory
from ..engine.constants import CANCEL, ERROR_NAMES, NORMAL_CLOSURE
from ..errors import StreamClosed
from ..printable import printable
from ..trace import Tracer
from .seen import Seen

__all__ = ["Exchange", "Probe", "error_name"]

READ_SIZE = 65536
MAX_MESSAGE = 4 * 2**20
MAX_BODY = 4096  # octets of a response that are kept

Fields = list[tuple[str, str]]


def error_name(code: int) -> str:
    """Return the name of an error code of HTTP/2."""
    return ERROR_NAMES.get(code, f"error {code:#x}")


class Exchange:
    """What came on one stream. `closed` is the event that ended a WebSocket.

    `took`: the seconds until there was an answer, or until now.
    """

    def __init__(self) -> None:
        self._asked = time.monotonic()
        self._answered: float | None = None
        self.status: int | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.opened = False
        self.subprotocol: str | None = None
        self.body = b""
        self.size = 0
        self.messages: list[str | bytes] = []
        self.pongs: list[bytes] = []
        self.closed: Any = None
        self.reset: Any = None
        self.ended = False

    def field(self, name: bytes) -> str | None:
        """The value of a field of the response, as it may be shown."""
        for key, value in self.headers:
            if key == name:
                return printable(value)
        return None

    @property
    def took(self) -> float:
        """How long it was until the answer?"""
        return (time.monotonic() if self._answered is None else self._answered) - self._asked

    @property
    def answered(self) -> bool:
        """Is there an answer, or will there be none?"""
        return self.status is not None or self.over

    @property
    def over(self) -> bool:
        """Will nothing more come?"""
        return self.ended or self.reset is not None or self.closed is not None

    def take(self, event: Any) -> None:
        """An event of the stream."""
        kind = type(event)
        if self._answered is None:
            self._answered = time.monotonic()
        if kind in (e.TextMessage, e.BytesMessage):
            self.messages.append(event.data)
        elif kind in (e.Opened, e.Responded):
            self.status, self.headers = event.status, event.headers
            if kind is e.Opened:
                self.opened, self.subprotocol = True, event.subprotocol
            else:
                self.ended = event.ended
        elif kind is e.Data:
            self.size += len(event.data)
            self.body += event.data[: max(0, MAX_BODY - len(self.body))]
        elif kind is e.Ended:
            self.ended = True
        elif kind is e.Ponged:
            self.pongs.append(event.data)
        elif kind is e.Closed:
            self.closed = event
        elif kind is e.Reset:
            self.reset = event


class Probe:
    """A connection to look at a server with.

    `start` says the preface and reads from then on; `until` waits for what is to come. `seen` is
    the wire itself, `exchanges` what the engine made of it, stream by stream.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        secure: bool,
        tracer: Tracer | None = None,
    ) -> None:
        self.conn = Connection(
            Role.CLIENT, limits=Limits(max_message=MAX_MESSAGE), auto_credit=True, secure=secure
        )
        self.seen = Seen()
        self.exchanges: dict[int, Exchange] = {}
        self.deflate = ClientPerMessageDeflateFactory(threshold=0)
        self.pongs: set[bytes] = set()
        self.terminated: Any = None
        self.lost = False
        self._reader = reader
        self._writer = writer
        self._tracer = tracer
        self._news = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Say the preface, and read."""
        self._reading = asyncio.get_running_loop().create_task(self._read())
        self.flush()

    async def end(self) -> None:
        """Say GOAWAY, and be gone."""
        if not self.over:
            self.conn.abort(0)
            self.flush()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(0.5):
                await self._writer.wait_closed()
        self._writer.transport.abort()

    @property
    def over(self) -> bool:
        """Is it the end of the connection?"""
        return self.lost or self.terminated is not None

    def why(self) -> str:
        """Say why it is over."""
        if self.seen.goaway is not None:
            code, debug = self.seen.goaway
            words = f": {printable(debug)}" if debug else ""
            return f"the server sent GOAWAY({error_name(code)}){words}"
        event = self.terminated
        if event is not None and not event.remote and event.error_code:
            return (
                f"the server broke HTTP/2: {error_name(event.error_code)}, "
                f"{printable(event.reason)}"
            )
        return "the server, or a proxy, closed the connection without a word"

    async def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until the condition holds; say whether it does, or time or connection were over."""
        due = time.monotonic() + seconds
        while not condition():
            left = due - time.monotonic()
            if left <= 0 or self.over:
                return False
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._news.wait()
        return True

    def websocket(
        self, authority: str, path: str, *, scheme: str, headers: Fields, subprotocols: list[str]
    ) -> int:
        """Ask for a WebSocket that may compress; return the stream."""
        stream_id = self.conn.connect_websocket(
            authority,
            path,
            scheme=scheme,
            headers=headers,
            subprotocols=subprotocols,
            deflate=self.deflate,
        )
        return self._asked(stream_id)

    def request(self, headers: Fields, *, end_stream: bool = True) -> int:
        """Send a request; return the stream."""
        return self._asked(self.conn.request(headers, end_stream))

    def _asked(self, stream_id: int) -> int:
        self.exchanges[stream_id] = Exchange()
        self.flush()
        return stream_id

    def close(self, stream_id: int, reason: str = "") -> None:
        """Begin the closing handshake of a WebSocket that may be over."""
        with contextlib.suppress(StreamClosed):
            self.conn.close_websocket(stream_id, NORMAL_CLOSURE, reason)
        self.flush()

    def forget(self, stream_id: int) -> None:
        """Reset a stream that is of no more use."""
        with contextlib.suppress(StreamClosed):
            self.conn.reset(stream_id, CANCEL)
        self.flush()

    async def ping(self, word: bytes, seconds: float) -> bool:
        """Send an HTTP/2 PING of eight octets; was it acknowledged in time?

        What the server sent before the answer has been read then.
        """
        if not (self.over or self.conn.terminated):
            self.conn.ping(0, word)
            self.flush()
        return await self.until(lambda: word in self.pongs, seconds)

    def flush(self) -> None:
        """Write what the engine has to say."""
        now = time.monotonic()
        while octets := self.conn.data_to_send(now=now):
            data = b"".join([bytes(memoryview(each)) for each in octets])
            if self._tracer is not None:
                self._tracer.sent(data)
            self._writer.write(data)

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(READ_SIZE):
                if self._tracer is not None:
                    self._tracer.received(data)
                self.seen.feed(data)
                self._take(self.conn.receive_data(data, time.monotonic()))
                self.flush()
                self._news.set()
        except OSError:
            pass  # a reset is an end, too
        self.lost = True
        self._take(self.conn.receive_eof(time.monotonic()))
        self._news.set()

    def _take(self, events: list[Any]) -> None:
        for event in events:
            if type(event) is e.PingAcknowledged:
                self.pongs.add(event.data)
            elif type(event) is e.Terminated:
                self.terminated = event
            else:
                exchange = self.exchanges.get(getattr(event, "stream_id", 0))
                if exchange is not None:
                    exchange.take(event)
