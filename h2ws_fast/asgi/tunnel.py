"""A tunnel of octets: scope type `tunnel`, which ASGI itself does not know.

An extended CONNECT (RFC 8441) with a token other than `websocket` that the application asked for.

    scope     as that of an HTTP request, with `protocol` (the token) and without `method`
    receive   {"type": "tunnel.connect"}, once and first
              {"type": "tunnel.receive", "data": bytes, "more_data": bool}; without more data the
              client has ended its side, and may still read
              {"type": "tunnel.disconnect", "code": int}; the error code of the RST_STREAM
    send      {"type": "tunnel.accept", "headers": [...]}
              {"type": "tunnel.send", "data": bytes, "more_data": True}; without more data this
              side ends, and the client may still send
              {"type": "tunnel.close"}: 403 before the tunnel is accepted, else this side ends, and
              the client's a little later, by RST_STREAM(CANCEL) where it does not by itself
              {"type": "tunnel.http.response.start" and ".body"}: an answer instead of a tunnel

What the application does not take waits with the client, and what the client does not take makes
`send` wait. The return of the application closes the tunnel, its exception resets it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..engine.constants import CANCEL, NO_ERROR
from ..engine.events import Reset
from ..errors import ClientDisconnected, StreamClosed
from .exchange import STATUSES, Exchange, outgoing
from .scope import tunnel_scope

if TYPE_CHECKING:
    from .application import Message
    from .wire import ASGIWire

__all__ = ["TunnelExchange"]

# What the application has done
NOTHING = 0
ACCEPTED = 1
CLOSED = 2  # this side is ended, and nothing more is received
DENYING = 3
DENIED = 4


class TunnelExchange(Exchange):
    """One tunnel."""

    __slots__ = ("_code", "_known", "_sent", "_state", "_told")

    def __init__(self, wire: ASGIWire, event: Any) -> None:
        super().__init__(wire, event.stream_id, tunnel_scope(wire, event), event.ended)
        self._state = NOTHING
        self._told = False  # the application has had tunnel.connect
        self._known = False  # the application knows that the client's side has ended
        self._sent = False  # this side has ended
        self._code = NO_ERROR

    def _event(self, event: Any) -> None:
        if type(event) is Reset:
            self._code = event.error_code
        super()._event(event)

    def _is_over(self) -> bool:
        return self._gone or self._state in (CLOSED, DENYING, DENIED)

    async def receive(self) -> Message:
        """Await `tunnel.connect`, `tunnel.receive` or `tunnel.disconnect`."""
        if not self._told:
            self._told = True
            return {"type": "tunnel.connect"}
        while True:
            if self._pieces is not None or (self._ended and not self._known and not self._gone):
                self._known = self._ended
                return {
                    "type": "tunnel.receive",
                    "data": self._take(),
                    "more_data": not self._ended,
                }
            if self._is_over() or (self._ended and self._sent):
                return {"type": "tunnel.disconnect", "code": self._code}
            await self._wait()

    async def send(self, message: Message) -> None:
        """Take what the application says."""
        if self._gone:
            raise ClientDisconnected("the tunnel is over")
        kind = message["type"]
        state = self._state
        if state == ACCEPTED and kind == "tunnel.send" and not self._sent:
            more = message.get("more_data", True)
            self._sent = not more
            data = message.get("data", b"")
            if data or not more:
                await self._write(data, not more)
        elif state == ACCEPTED and kind == "tunnel.close":
            self._close()
        elif state == NOTHING and kind == "tunnel.accept":
            fields: list[Any] = [STATUSES[200], *self.wire.application.default_headers]
            outgoing(fields, message.get("headers", ()))
            self._begin([field for field in fields if field[0] != b"content-length"], ACCEPTED)
        elif state == NOTHING and kind == "tunnel.close":
            self._refuse(403)
        elif state == NOTHING and kind == "tunnel.http.response.start":
            self._begin(self._denial(message), DENYING)
        elif state == DENYING and kind == "tunnel.http.response.body":
            if await self._send_denial(message):
                self._state = DENIED
        else:
            raise RuntimeError(f"Unexpected ASGI message '{kind}'.")

    def _begin(self, fields: list[Any], state: int) -> None:
        # The state first: what came before the answer is delivered within it.
        before = self._state
        self._state = state
        try:
            self._respond(fields, False)
        except StreamClosed:
            self._gone = True
            raise ClientDisconnected("the client went away") from None
        except BaseException:
            self._state = before
            raise

    def _refuse(self, status: int) -> None:
        self._answer(status, b"")
        self._state = DENIED
        self._wake()

    def _close(self) -> None:
        self._state = CLOSED
        if not self._sent:
            self._sent = True
            try:
                self.wire.conn.send_data(self.stream_id, b"", True)
            except StreamClosed:
                self._gone = True
        self._leave(CANCEL)
        self.wire.touch()
        self._wake()

    def _finish(self, failed: bool) -> None:
        state = self._state
        self.wire.application.answered()
        if self._gone or state in (CLOSED, DENIED):
            return
        if state == NOTHING:
            if not failed:
                self.wire.application.logger.error(
                    "ASGI callable returned without completing handshake."
                )
            self._refuse(500)
        elif state == DENYING or failed:
            self._reset()
        else:
            self._close()
            if not self._ended:
                self._code = CANCEL
