"""An ordinary request and its response: the client's end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...engine.constants import CANCEL
from ...engine.events import Informed, Reset, Responded
from ...errors import StreamReset
from ..http import Headers, Request, Response
from ..tunnel import Receiving, Sending, reset

if TYPE_CHECKING:
    from .wire import ClientWire

__all__ = ["Fetch"]


class Fetch:
    """A request that was sent: `await future` is its response."""

    __slots__ = (
        "__weakref__",
        "future",
        "informed",
        "receiving",
        "request",
        "sending",
        "upload",
    )

    def __init__(
        self,
        wire: ClientWire,
        stream_id: int,
        request: Request,
        informed: Callable[[Response], Any] | None,
    ) -> None:
        self.receiving = Receiving(wire, stream_id)
        self.sending = Sending(wire, stream_id)
        self.request = request
        self.informed = informed
        self.future: asyncio.Future[Response] = wire.hub.loop.create_future()
        self.upload: asyncio.Task[None] | None = None

    async def run_upload(self, body: Any, trailers: Headers | None, log: Any) -> None:
        """Send the body: `bytes`, or what gives them piece by piece."""
        sending = self.sending
        try:
            await sending.write_body(body, lambda: trailers)
        except Exception as error:
            if sending.failed and isinstance(error, StreamReset):
                return  # the response tells
            # The body's own iterator failed, perhaps with the reset of another stream that it
            # reads: neither side gets to its end.
            told = self.future.done()
            if not told:
                self.future.set_exception(error)
            open_still = reset(sending.wire, sending.stream_id, CANCEL)
            if told and (open_still or not isinstance(error, StreamReset)):
                log.exception("the body of a request failed")

    def feed(self, event: Any) -> None:
        """An event of the stream."""
        kind = type(event)
        if kind is Responded:
            if event.ended:
                self.receiving._ended = True
            if not self.future.done():
                response = Response.received(event, self.receiving, self.request)
                self.future.set_result(response)
        elif kind is Informed:
            if self.informed is not None:
                self.informed(Response.received(event, None, self.request))
        else:
            self.receiving.feed(event)
            self.sending.feed(event)
            if kind is Reset:
                if self.upload is not None:
                    self.upload.cancel()  # its next piece may never come
                if not self.future.done():
                    error = StreamReset(event.error_code, event.reason, event.retryable)
                    self.future.set_exception(error)

    def _leave(self) -> None:
        # The session is being closed: it may still come to its end.
        pass

    def _give_up(self) -> bool:
        # The session is closed: reset, unless somebody waits for the response or reads it.
        if self.future.done() and not self.receiving.awaited:
            self.receiving.abort()
        return False
