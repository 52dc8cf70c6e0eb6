"""An ordinary request and its response: the server's end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ...engine.constants import CANCEL
from ...engine.events import Reset
from ...errors import StreamClosed, StreamReset
from ..http import Body, Request, Response, octets_of, response_fields, text_response
from ..tunnel import Receiving, Sending, reset

if TYPE_CHECKING:
    from .wire import ServerWire

__all__ = ["Exchange", "answer"]


class Exchange:
    """A request that `on_request` answers. Attach `feed` to its stream, and run `run` in `task`."""

    __slots__ = ("receiving", "request", "sending", "task", "wire")

    def __init__(self, wire: ServerWire, stream_id: int, request: Request, ended: bool) -> None:
        self.wire = wire
        self.request = request
        self.receiving = Receiving(wire, stream_id, ended=ended)
        self.sending = Sending(wire, stream_id)
        self.task: asyncio.Task[None] | None = None
        if not ended:
            request._body = self.receiving
            expected = request.headers.get("expect", "")
            self.receiving.invite = expected.lower() == "100-continue"

    def feed(self, event: Any) -> None:
        """An event of the stream."""
        self.receiving.feed(event)
        self.sending.feed(event)
        # Nobody wants the answer any more: the work stops, or resets would pile it up.
        if type(event) is Reset and self.task is not None:
            self.task.cancel()

    async def run(self) -> None:
        """Have the request answered, and send the answer."""
        server = self.wire.server
        stream_id = self.sending.stream_id
        answered = False
        try:
            assert server.options.on_request is not None
            try:
                response = await server.options.on_request(self.request)
                if not isinstance(response, Response):
                    raise TypeError(f"on_request returned {response!r}, not a Response")
            except Exception as error:
                if isinstance(error, StreamReset) and self.sending.failed:
                    return  # of this stream, and not of another that the application reads
                server.logger.exception("on_request failed")
                response = text_response(500, "Internal Server Error\n")
            answered = True
            await self._send(response)
        except asyncio.CancelledError:
            reset(self.wire, stream_id, CANCEL)
            raise
        except Exception as error:
            # Where this stream is over already nobody misses the rest.
            open_still = self.wire.fail(stream_id)
            if open_still or not isinstance(error, StreamClosed | StreamReset):
                server.logger.exception("sending a response failed")
        finally:
            if answered and not self.receiving.finished:
                # RFC 9113 section 8.1: a response may be complete before its request is. What
                # still comes is of no interest, and must not stop the connection.
                self.receiving.discard()
                self.wire.discard(stream_id, receiver=self.feed)
                # Whoever reads on must not take for the end what is none, nor wait for it.
                self.receiving.fail(StreamReset(CANCEL, "the request was answered"))

    async def _send(self, response: Response) -> None:
        wire = self.wire
        sending = self.sending
        method = self.request.method
        body = octets_of(response.body)
        end = method == "HEAD" or (body == b"" and not response.trailers)
        wire.conn.respond(sending.stream_id, _head(wire, response, body, method), end)
        wire.touch()
        if end:
            sending.ended = True
        else:
            await sending.write_body(body, lambda: response.trailers)


def answer(wire: ServerWire, stream_id: int, response: Response, method: str) -> None:
    """Send a response whose body is at hand, without a task. `method` is that of the request."""
    body = octets_of(response.body)
    if not isinstance(body, bytes):
        raise TypeError("the body of a refusal must be bytes or str")
    head = _head(wire, response, body, method)
    if method == "HEAD" or not body:
        wire.conn.respond(stream_id, head, True)
    else:
        wire.conn.respond(stream_id, head, False)
        wire.conn.send_data(stream_id, body, True)
    wire.touch()


def _head(wire: ServerWire, response: Response, body: Body, method: str) -> list[tuple[str, str]]:
    if response.status in (204, 304) and method != "HEAD" and body != b"":
        # RFC 9110 sections 15.3.5 and 15.4.5: the client would take it for the next response, or fail.
        raise ValueError(f"a {response.status} has no body")
    fields = [(":status", str(response.status))]
    fields += response_fields(response, wire.http_version)
    fields += [
        field for field in wire.server.options.extra_headers if field[0] not in response.headers
    ]
    if isinstance(body, bytes) and response.status not in (204, 304) and response.status >= 200:
        length = response.headers.get("content-length")
        if length is None:
            if method != "CONNECT":
                fields.append(("content-length", str(len(body))))
        elif method != "HEAD" and length != str(len(body)):
            # Who reads would wait for the rest, or take it for the next response.
            raise ValueError(f"content-length is {length}, and the body has {len(body)} octets")
    return fields
