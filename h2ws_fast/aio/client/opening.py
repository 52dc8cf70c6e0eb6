"""WebSockets and tunnels that a client opens, until they are open."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Any

from ...engine.constants import CANCEL
from ...engine.events import Data, Ended, Opened, Reset, Responded
from ...errors import InvalidStatus, StreamReset
from ..arguments import check_callbacks
from ..http import Request, Response
from ..tunnel import reset
from ..websocket import WebSocket, new_websocket, open_websocket

if TYPE_CHECKING:
    from ..protocol import Wire

__all__ = ["Opening", "Wanted", "in_time"]

MAX_REFUSAL = 65536  # octets of a refusal's body that are kept


@contextlib.asynccontextmanager
async def in_time(seconds: float | None) -> AsyncIterator[None]:
    """Raise TimeoutError after so many seconds (None and `math.inf`: never); or InvalidStatus, where
    an Opening inside of this was refused by then, and only the refusal's body did not come to its
    end."""
    try:
        async with asyncio.timeout(None if seconds == math.inf else seconds):
            yield
    except TimeoutError as late:
        cancelled = late.__cause__
        refusal = None if cancelled is None else cancelled.__cause__
        if isinstance(refusal, InvalidStatus):
            raise refusal from None
        raise


class Wanted:
    """A WebSocket that a session asks for, over HTTP/2 or HTTP/1.1.

    `make` it when it is asked for, again for each attempt; it is `opened` when the server agrees.
    """

    __slots__ = ("authority", "headers", "on_close", "on_message", "path", "subprotocols", "ws")

    ws: WebSocket

    def __init__(
        self,
        path: str,
        subprotocols: list[str],
        headers: list[tuple[str, str]],
        on_message: Callable[[WebSocket, Any], Any] | None,
        on_close: Callable[[WebSocket], Any] | None,
    ) -> None:
        self.authority: str | None = None  # in place of the connection's
        self.path = path
        self.subprotocols = subprotocols
        self.headers = headers
        self.on_message = on_message
        self.on_close = on_close

    @classmethod
    def of(
        cls,
        path: str,
        subprotocols: Iterable[str] | None,
        headers: list[tuple[str, str]],
        origin: str | None,
        priority: str | None,
        on_message: Callable[[WebSocket, Any], Any] | None,
        on_close: Callable[[WebSocket], Any] | None,
    ) -> Wanted:
        """Make it of what the user said. Raises TypeError and ValueError."""
        check_callbacks(on_message, on_close)
        if isinstance(subprotocols, str):
            raise TypeError("subprotocols is a list of str, not one str")
        if origin is not None:
            headers.append(("origin", origin))
        if priority is not None:
            headers.append(("priority", priority))
        return cls(path, list(subprotocols or ()), headers, on_message, on_close)

    def make(self, wire: Wire, stream_id: int, request: Request) -> None:
        """It was asked for, with this request on this stream."""
        self.ws = new_websocket(wire, stream_id, request)

    def opened(self, response: Response, subprotocol: str | None) -> None:
        """The server agreed. What comes on the stream goes to the WebSocket from here on."""
        ws = self.ws
        ws.response = response
        ws.subprotocol = subprotocol
        ws.wire.conn.attach(ws.stream_id, ws)
        open_websocket(ws)
        if self.on_message is not None:
            ws._deliver(None, self.on_message, self.on_close)


class Opening:
    """A stream that the server has not answered yet, or that it refuses.

    `await until_opened()`; on a 2xx `opened(event)` was called.
    """

    __slots__ = ("body", "future", "opened", "response", "size", "stream_id", "wire")

    def __init__(self, wire: Wire, stream_id: int, opened: Callable[[Any], None]) -> None:
        self.wire = wire
        self.stream_id = stream_id
        self.future: asyncio.Future[None] = wire.hub.loop.create_future()
        self.opened = opened
        self.response: Response | None = None
        self.body: list[bytes] = []
        self.size = 0

    async def until_opened(self) -> None:
        """Raise InvalidStatus where it is refused, StreamReset where it is reset.

        Cancelling it resets the stream. A refusal that had begun is the error's cause then.
        """
        self.wire.conn.attach(self.stream_id, self.feed)
        self.wire.touch()
        try:
            await self.future
        except asyncio.CancelledError as error:
            reset(self.wire, self.stream_id, CANCEL)
            raise error from self._refusal(False)

    def feed(self, event: Any) -> None:
        """An event of the stream."""
        kind = type(event)
        if kind is Opened:
            self.opened(event)
            self._finish(None)
        elif kind is Responded:
            self.response = Response.received(event, None, None)
            if event.ended:
                self._refused(True)
        elif kind is Data:
            self.wire.conn.consumed(event.stream_id, event.credit)
            self.wire.touch()
            if self.size <= MAX_REFUSAL:
                self.body.append(event.data[: MAX_REFUSAL - self.size])
                self.size += len(event.data)
                if self.size > MAX_REFUSAL:
                    self._refused(False)
                    reset(self.wire, self.stream_id, CANCEL)  # it may be without end
        elif kind is Ended:
            self._refused(True)
        elif kind is Reset:
            if self.response is not None:
                self._refused(False)
            else:
                error = StreamReset(event.error_code, event.reason, event.retryable)
                self._finish(error)

    def _refusal(self, whole: bool) -> InvalidStatus | None:
        # What the server has said so far, if it was a refusal.
        if self.response is None:
            return None
        self.response.body = b"".join(self.body)
        return InvalidStatus(self.response, whole)

    def _refused(self, whole: bool) -> None:
        self._finish(self._refusal(whole))

    def _finish(self, error: BaseException | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(error)
