"""What a client still sends on streams whose answer is complete."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ...engine.constants import NO_ERROR
from ...engine.events import Data, Ended, Reset
from ...errors import LocalProtocolError, StreamClosed

if TYPE_CHECKING:
    from .accepted import AcceptedWire

__all__ = ["Remainders"]

# A client that has its answer ends its side by itself, mostly at once: it has so long, ...
PATIENCE_S = 5.0
# ... while the server shuts down so long, ...
LEAVING_S = 0.5
# ... and may send so many octets, which nobody reads.
PATIENCE = 2**20


class Remainder:
    """One stream: until when, how many octets more, and the code that ends it then."""

    __slots__ = ("code", "due", "left")

    def __init__(self, due: float, code: int) -> None:
        self.due = due
        self.left = PATIENCE
        self.code = code


class Remainders:
    """The streams of one HTTP/2 connection on which only the client's end is awaited.

    RFC 9113 section 8.1: behind a complete response RST_STREAM(NO_ERROR) asks the client to send
    no more of its request. Without it the stream would stay open for as long as the client likes.
    """

    __slots__ = ("_streams", "_timer", "_wire")

    def __init__(self, wire: AcceptedWire) -> None:
        self._wire = wire
        self._streams: dict[int, Remainder] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, stream_id: int, code: int = NO_ERROR) -> None:
        """Await the end of the client's side, but not for long."""
        wire = self._wire
        patience = LEAVING_S if wire.leaving else PATIENCE_S
        self._streams[stream_id] = Remainder(wire.hub.time() + patience, code)
        if self._timer is None:
            self._timer = wire.hub.loop.call_later(patience, self._look)

    def feed(self, event: Any) -> None:
        """An event of a stream on which nobody else listens."""
        if type(event) is Data:
            self._wire.conn.consumed(event.stream_id, event.credit)
            self._wire.touch()
        self.heard(event)

    def heard(self, event: Any) -> None:
        """An event of a stream whose own receiver throws away what comes."""
        kind = type(event)
        if kind is Data:
            self.took(event.stream_id, len(event.data))
        elif kind is Ended or kind is Reset:
            self.discard(event.stream_id)

    def took(self, stream_id: int, n: int) -> None:
        """So many octets came, and were thrown away."""
        remainder = self._streams.get(stream_id)
        if remainder is not None:
            remainder.left -= n
            if remainder.left < 0:
                self._stop(stream_id, remainder)

    def discard(self, stream_id: int) -> None:
        """The stream is over."""
        if self._streams.pop(stream_id, None) is not None and not self._streams:
            self.forget()

    def hurry(self) -> None:
        """The server shuts down."""
        due = self._wire.hub.time() + LEAVING_S
        for remainder in self._streams.values():
            remainder.due = min(remainder.due, due)
        self._schedule()

    def forget(self) -> None:
        """The connection is over, or nothing is awaited."""
        self._streams.clear()
        self._schedule()

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._streams:
            hub = self._wire.hub
            due = min(remainder.due for remainder in self._streams.values())
            self._timer = hub.loop.call_later(max(due - hub.time(), 0.01), self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._wire.hub.time()
        for stream_id, remainder in list(self._streams.items()):
            if remainder.due <= now:
                self._stop(stream_id, remainder)
        self._schedule()

    def _stop(self, stream_id: int, remainder: Remainder) -> None:
        wire = self._wire
        if wire.conn.waiting(stream_id):
            # A reset would overtake the answer, which the client is to have first.
            remainder.due = wire.hub.time() + LEAVING_S
            return
        self._streams.pop(stream_id, None)
        try:
            wire.conn.reset(stream_id, remainder.code)
        except (StreamClosed, LocalProtocolError):
            return
        wire.touch()
