"""A WebSocket: scope type `websocket`.

Until it is accepted the stream's events come here; from then on to the WebSocket of the asyncio
layer, which is compiled, and whose messages only change their clothes here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..aio.websocket import WebSocket, new_websocket, open_websocket
from ..engine.handshake import HANDSHAKE_FIELDS
from ..errors import (
    ClientDisconnected,
    ConcurrencyError,
    ConnectionClosed,
    LocalProtocolError,
    StreamClosed,
)
from .exchange import Exchange, outgoing, stripped
from .scope import client_of, target_of, websocket_scope

if TYPE_CHECKING:
    from .application import Message
    from .wire import ASGIWire

__all__ = ["WebSocketExchange"]

# What the application has done
NOTHING = 0
ACCEPTED = 1
CLOSED = 2  # with websocket.close, or by its return
DENYING = 3  # a response was begun instead
DENIED = 4

# Of `websocket.accept`: there is `subprotocol`, and compression is the server's to negotiate.
NOT_THE_APPLICATIONS = (b"sec-websocket-protocol", b"sec-websocket-extensions")
# What it may say, and does where it hands on another server's answer, though it is not its to say; and
# RFC 9110 section 9.3.6: what opens a tunnel has no content.
LEFT_OUT = HANDSHAKE_FIELDS | {b"content-length"}

NORMAL_CLOSURE = 1000
ABNORMAL_CLOSURE = 1006
INTERNAL_ERROR = 1011
SERVICE_RESTART = 1012


class WebSocketExchange(Exchange):
    """One WebSocket from its handshake to its end."""

    __slots__ = ("_receiver", "_state", "_told", "ws")

    _receiver: Any  # what gives the next message, as often as it is awaited
    ws: WebSocket | None

    def __init__(self, wire: ASGIWire, event: Any) -> None:
        super().__init__(wire, event.stream_id, websocket_scope(wire, event), False)
        self._state = NOTHING
        self._told = False  # the application has had websocket.connect
        self._receiver = None
        self.ws = None

    # -- receive ----------------------------------------------------------------------------------

    async def receive(self) -> Message:
        """Await `websocket.connect`, `websocket.receive` or `websocket.disconnect`."""
        receiver = self._receiver
        if receiver is not None and self._told:
            try:
                message = await receiver
            except ConnectionClosed:
                self._wake()
                return self._disconnect()
            except ConcurrencyError:
                # Another task receives, as it may: what comes next is for one of the two.
                await self._wait()
                return await self.receive()
            except BaseException:  # it was cancelled
                self._wake()
                raise
            if self._waiting is not None:
                self._wake()
            if type(message) is str:
                return {"type": "websocket.receive", "text": message}
            return {"type": "websocket.receive", "bytes": message}
        if not self._told:
            self._told = True
            return {"type": "websocket.connect"}
        while not self._gone and self._state != DENIED:
            await self._wait()
            if self._receiver is not None:
                return await self.receive()
        return {"type": "websocket.disconnect", "code": ABNORMAL_CLOSURE, "reason": ""}

    def _disconnect(self) -> Message:
        ws = self.ws
        assert ws is not None
        code = ws.close_code
        reason = ws.close_reason
        if code == ABNORMAL_CLOSURE and self.wire.leaving and self._state == ACCEPTED:
            # We said so, and the client did not answer in time.
            code = SERVICE_RESTART
        return {"type": "websocket.disconnect", "code": code, "reason": reason or ""}

    # -- send -------------------------------------------------------------------------------------

    async def send(self, message: Message) -> None:
        """Take what the application says."""
        kind = message["type"]
        if self._state == ACCEPTED:
            ws = self.ws
            assert ws is not None
            if kind == "websocket.send":
                data = message.get("bytes")
                if data is None:
                    data = message["text"]
                try:
                    await ws.send(data)
                except ConnectionClosed:
                    raise ClientDisconnected("the WebSocket is closed") from None
            elif kind == "websocket.close":
                self._close(message)
            else:
                raise _unexpected(kind, "'websocket.send' or 'websocket.close'")
            return
        if self._gone:
            raise ClientDisconnected("the client went away")
        if self._state == NOTHING:
            if kind == "websocket.accept":
                self._accept(message)
            elif kind == "websocket.close":
                self._deny(403)
                self._log("403")
            elif kind == "websocket.http.response.start":
                self._begin_denial(message)
            else:
                raise _unexpected(
                    kind,
                    "'websocket.accept', 'websocket.close' or 'websocket.http.response.start'",
                )
        elif self._state == DENYING and kind == "websocket.http.response.body":
            if await self._send_denial(message):
                self._denied()
        elif self.ws is not None and self.ws.close_code is not None:
            raise ClientDisconnected("the WebSocket is closed")
        else:
            raise _unexpected(kind, "nothing after 'websocket.close'")

    def _accept(self, message: Message) -> None:
        wire = self.wire
        if wire.leaving:
            # The engine would close it at once.
            self._deny(503)
            self._log("503")
            self._gone = True
            raise ClientDisconnected("the server is shutting down")
        fields: list[Any] = list(wire.application.default_headers)
        outgoing(fields, message.get("headers", ()))
        for name, _ in fields:
            if name in NOT_THE_APPLICATIONS or name[:1] == b":":
                raise ValueError(f"websocket.accept must not have the header {name!r}")
        fields = [field for field in fields if field[0] not in LEFT_OUT]
        ws = new_websocket(wire, self.stream_id, None)
        conn = wire.conn
        conn.attach(self.stream_id, ws)
        subprotocol = message.get("subprotocol") or None
        deflate = wire.server.options.deflate
        try:
            try:
                conn.accept_websocket(self.stream_id, subprotocol, headers=fields, deflate=deflate)
            except ValueError:
                conn.accept_websocket(
                    self.stream_id, subprotocol, headers=stripped(fields), deflate=deflate
                )
        except StreamClosed:
            self._gone = True
            raise ClientDisconnected("the client went away") from None
        except BaseException:
            conn.attach(self.stream_id, self)
            raise
        wire.touch()
        open_websocket(ws)
        self.ws = ws
        self._receiver = ws.recv()
        self._state = ACCEPTED
        self._log("[accepted]")
        self.scope = None  # whether it is kept is for the application to say
        self._wake()

    def _close(self, message: Message) -> None:
        assert self.ws is not None
        if self.ws.close_code is not None:
            raise ClientDisconnected("the WebSocket is closed")
        code = message.get("code")
        self.ws._start_closing(
            NORMAL_CLOSURE if code is None else code, message.get("reason") or ""
        )
        self._state = CLOSED

    def _deny(self, status: int) -> None:
        # Without a body: Firefox leaves a connection where a refused WebSocket came with one.
        try:
            self._answer(status, b"")
        except StreamClosed:
            self._gone = True
            raise ClientDisconnected("the client went away") from None
        self._denied()

    def _begin_denial(self, message: Message) -> None:
        fields = self._denial(message)
        try:
            self._respond(fields, False)
        except StreamClosed:
            self._gone = True
            raise ClientDisconnected("the client went away") from None
        self._state = DENYING
        self._log(str(message["status"]))

    def _denied(self) -> None:
        self._state = DENIED
        self._wake()

    # -- the end ----------------------------------------------------------------------------------

    def _is_gone(self) -> bool:
        return self._gone or (self.ws is not None and self.ws.close_code is not None)

    def _finish(self, failed: bool) -> None:
        state = self._state
        self.wire.application.answered()
        if self.ws is not None:
            if state == ACCEPTED:
                self._state = CLOSED
            self.ws._abandon(INTERNAL_ERROR if failed else NORMAL_CLOSURE)
        elif self._gone or state == DENIED:
            return
        elif state == NOTHING:
            if not failed:
                self.wire.application.logger.error(
                    "ASGI callable returned without completing handshake."
                )
            try:
                self._deny(500)
                self._log("500")
            except ClientDisconnected:
                return
            except LocalProtocolError:
                self._reset()
        else:
            if not failed:
                self.wire.application.logger.error(
                    "ASGI callable returned without completing response."
                )
            self._reset()

    def _log(self, outcome: str) -> None:
        scope = self.scope
        if scope is not None:
            self.wire.application.logger.info(
                '%s - "WebSocket %s" %s', client_of(scope), target_of(scope), outcome
            )


def _unexpected(kind: str, expected: str) -> RuntimeError:
    return RuntimeError(f"Unexpected ASGI message '{kind}': expected {expected}.")
