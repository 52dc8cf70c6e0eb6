"""An ordinary request: scope type `http`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import ClientDisconnected, LocalProtocolError, StreamClosed
from .exchange import HOP_BY_HOP, PIECE, STATUSES, Exchange, outgoing, stripped
from .file import File
from .scope import client_of, http_scope, target_of

if TYPE_CHECKING:
    from .application import Message
    from .wire import ASGIWire

__all__ = ["HTTPExchange"]

# What of the response the application owes next
HEAD = 0
BODY = 1
TRAILERS = 2
NOTHING = 3


class HTTPExchange(Exchange):
    """One request and its response."""

    __slots__ = ("_bodyless", "_inviting", "_owed", "_told", "_trailers")

    def __init__(self, wire: ASGIWire, event: Any) -> None:
        super().__init__(wire, event.stream_id, http_scope(wire, event), event.ended)
        self._owed = HEAD
        self._told = False  # the application knows that the request is whole
        self._bodyless = False
        self._trailers: list[Any] | None = None
        self._inviting = not event.ended and any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in event.headers
        )

    # -- receive ----------------------------------------------------------------------------------

    async def receive(self) -> Message:
        """Await `http.request`, or `http.disconnect`."""
        while True:
            if self._gone or self._owed == NOTHING:
                return {"type": "http.disconnect"}
            if not self._told and (self._ended or self._pieces is not None):
                self._told = self._ended
                return {
                    "type": "http.request",
                    "body": self._take(),
                    "more_body": not self._ended,
                }
            if self._inviting:
                self._invite()
            await self._wait()

    def _is_over(self) -> bool:
        return self._gone or self._owed == NOTHING

    def _invite(self) -> None:
        # RFC 9110 section 10.1.1: the client waits for it before it sends the body.
        self._inviting = False
        if self._owed == HEAD:
            self.wire.conn.respond(self.stream_id, [STATUSES[100]])
            self.wire.touch()

    # -- send -------------------------------------------------------------------------------------

    async def send(self, message: Message) -> None:
        """Take a message of the response."""
        if self._gone:
            raise ClientDisconnected("the client went away")
        kind = message["type"]
        owed = self._owed
        if owed == BODY and kind == "http.response.body":
            await self._send_body(message.get("body", b""), message.get("more_body", False))
        elif owed == HEAD and kind == "http.response.start":
            self._send_head(message)
        elif owed == HEAD and kind == "http.response.early_hint":
            self._send_hint(message["links"])
        elif owed == BODY and kind == "http.response.pathsend":
            await self._send_file(message["path"])
        elif owed == TRAILERS and kind == "http.response.trailers":
            self._send_trailers(message)
        else:
            raise RuntimeError(f"Unexpected ASGI message '{kind}': expected {_EXPECTED[owed]}.")

    def _send_head(self, message: Message) -> None:
        wire = self.wire
        application = wire.application
        status = message["status"]
        fields: list[Any] = [STATUSES[status], *application.default_headers]
        if status < 200:
            raise RuntimeError(f"A response begins with a final status, not {status}.")
        length = outgoing(fields, message.get("headers", ()), wire)
        bodyless = status == 204 or status == 304 or self.scope["method"] == "HEAD"
        if status == 204 and length >= 0:
            # RFC 9110 section 8.6: "MUST NOT send a Content-Length" in a 204.
            fields = [field for field in fields if field[0] != b"content-length"]
        try:
            self._respond(fields, bodyless)
        except StreamClosed:
            self._gone = True
            raise ClientDisconnected("the client went away") from None
        self._owed = BODY
        self._bodyless = bodyless
        if not bodyless:
            self._left = length
            if message.get("trailers", False):
                self._trailers = []
        if application.access_log:
            self._log(status)

    async def _send_body(self, body: Any, more: bool) -> None:
        if not self._bodyless:
            n = len(body)
            if self._left >= 0:
                self._keep_promise(n, more)
            if more:
                if n:
                    await self._write(body, False)
                return
            if self._trailers is not None:
                self._owed = TRAILERS
                if n:
                    await self._write(body, False)
                return
            if n > PIECE:
                await self._write(body, True)
            else:
                # As `_write` does, without a coroutine of its own: the most frequent case.
                try:
                    self.wire.conn.send_data(self.stream_id, body, True)
                except StreamClosed:
                    self._gone = True
                    raise ClientDisconnected("the client went away") from None
                self.wire.touch()
        if not more:
            self._complete()

    def _complete(self) -> None:
        # RFC 9113 section 8.1: a response may be complete before its request is. What still comes
        # is of no interest, and must not stop the connection.
        self._owed = NOTHING
        self._leave()
        self._wake()
        self.wire.application.answered()

    def _send_hint(self, links: Any) -> None:
        fields: list[Any] = [STATUSES[103]]
        fields.extend((b"link", link) for link in links)
        self._respond(fields, False)

    async def _send_file(self, path: Any) -> None:
        # A piece at a time, read by another thread: the event loop waits for no disk. What is no
        # longer than a piece takes one way there and back.
        call = self.wire.hub.loop.run_in_executor
        file = File(path)
        try:
            piece = await call(None, file.begin, 0 if self._bodyless else PIECE)
            if not self._bodyless:
                if 0 <= self._left != file.size:
                    raise RuntimeError("The file's size differs from Content-Length")
                while file.left:
                    await self._send_body(piece, True)
                    if self._gone:
                        raise ClientDisconnected("the client went away")
                    piece = await call(None, file.read, PIECE)
        finally:
            if not file.over:
                await call(None, file.close)
        if self._gone:
            raise ClientDisconnected("the client went away")
        await self._send_body(piece, False)

    def _send_trailers(self, message: Message) -> None:
        trailers = self._trailers
        assert trailers is not None
        for name, value in message.get("headers", ()):
            name = name.lower()
            if name not in HOP_BY_HOP:
                trailers.append((name, value))
        if message.get("more_trailers", False):
            return
        conn = self.wire.conn
        try:
            # RFC 9110 section 6.5.1: trailers are for those who said that they keep them.
            if trailers and (b"te", b"trailers") in self.scope["headers"]:
                try:
                    conn.send_trailers(self.stream_id, trailers)
                except ValueError:
                    conn.send_trailers(self.stream_id, stripped(trailers))
            else:
                conn.send_data(self.stream_id, b"", True)
        except StreamClosed:
            self._gone = True
            raise ClientDisconnected("the client went away") from None
        self.wire.touch()
        self._complete()

    # -- the end ----------------------------------------------------------------------------------

    def turn_away(self, status: int, text: bytes) -> None:
        """Answer instead of the application, which is not asked."""
        wire = self.wire
        wire.conn.attach(self.stream_id, self)
        wire.route(self.stream_id, self._event)
        self._owed = NOTHING
        self._answer(status, b"" if self.scope["method"] == "HEAD" else text)
        self._leave()
        wire.application.answered()
        if wire.application.access_log:
            self._log(status)

    def _finish(self, failed: bool) -> None:
        owed = self._owed
        if self._gone or owed == NOTHING:
            self._drop()
            if owed != NOTHING:
                self.wire.application.answered()
            return
        logger = self.wire.application.logger
        if owed == HEAD:
            if not failed:
                logger.error("ASGI callable returned without starting response.")
            self._owed = NOTHING
            try:
                if self.scope["method"] == "HEAD":
                    self._answer(500, b"")
                else:
                    self._answer(500, b"Internal Server Error")
            except LocalProtocolError:
                self._reset()
            self._leave()
            if self.wire.application.access_log:
                self._log(500)
        elif self._bodyless:
            self._owed = NOTHING
            self._leave()
        else:
            if not failed:
                logger.error("ASGI callable returned without completing response.")
            self._owed = NOTHING
            self._reset()
        self.wire.application.answered()

    def _log(self, status: int) -> None:
        scope = self.scope
        self.wire.application.access_logger.info(
            '%s - "%s %s HTTP/%s" %d',
            client_of(scope),
            scope["method"],
            target_of(scope),
            scope["http_version"],
            status,
        )


_EXPECTED = {
    HEAD: "'http.response.start' or 'http.response.early_hint'",
    BODY: "'http.response.body' or 'http.response.pathsend'",
    TRAILERS: "'http.response.trailers'",
    NOTHING: "nothing after a response that is complete",
}
