"""HTTP/1.1 with the verbs and events of an HTTP/2 connection: what serves the one serves the other.

    H1Connection    requests, one after the other, until one of them becomes something else
    Upgraded        a WebSocket: the engine's message layer on the whole connection
    Octets          a tunnel: the connection's octets as they are

Each request is a stream that opens when the one before is done, so numbers count up from 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import h11

from ...engine import Role
from ...engine.agreement import ServerPerMessageDeflateFactory
from ...engine.constants import CANCEL, INTERNAL_ERROR, NO_ERROR
from ...engine.endpoint import Endpoint
from ...engine.h1 import Upgraded
from ...engine.handshake import accept_value, check_added, has_token, is_token
from ...engine.octets import Octets
from ...errors import LocalProtocolError, StreamClosed
from .reader import DROP, OVER, Fields, H1Reader, make_response

__all__ = ["H1Connection", "fields_for_h1"]


def fields_for_h1(headers: Iterable[tuple[str | bytes, str | bytes]]) -> Fields:
    """Fields as `h11` takes them; raises TypeError and ValueError as the engine does."""
    fields = []
    for name, value in headers:
        octets = []
        for each in (name, value):
            if isinstance(each, str):
                each = each.encode("latin-1")
            elif not isinstance(each, bytes):
                raise TypeError(f"a header field is str or bytes: {each!r}")
            octets.append(each)
        fields.append((octets[0], octets[1]))
    return fields


class H1Connection(H1Reader):
    """The server's end of an HTTP/1.1 connection.

    `scheme` is "http" or "https". `upgrades`: requests to upgrade to one of these tokens (in lower
    case) come as `Requested` with that protocol, and wait for `accept_websocket` or `respond`; other
    tokens are ignored, as RFC 9110 section 7.8 allows. `ignoring`: so is one for a WebSocket that
    Connection does not name, which is refused otherwise. `methods`: those of such requests, but for
    WebSockets'; an extended CONNECT keeps none, and no body either way. `on_upgrade(octets, conn, early)` is told
    when a request becomes something else: write `octets`, go on with `conn`, and let it receive
    `early` first.
    """

    __slots__ = ()

    def _current(self, stream_id: int) -> h11.Connection:
        if stream_id != self._stream_id or self._exchange is None or self._answered:
            raise StreamClosed(f"request {stream_id} is over")
        return self._exchange

    def attach(self, stream_id: int, sink: Any, on_message: Any = None) -> None:
        """See `Connection.attach`."""
        self._current(stream_id)
        self._sink = sink

    def respond(
        self,
        stream_id: int,
        headers: Iterable[tuple[str | bytes, str | bytes]],
        end_stream: bool = False,
        octets: bool = False,
    ) -> None:
        """See `Connection.respond`. A 2xx to an upgrade becomes a 101."""
        exchange = self._current(stream_id)
        (name, value), *fields = fields_for_h1(headers)
        if name != b":status":
            raise ValueError("a response begins with :status")
        status = int(value)
        if self._responding:
            raise LocalProtocolError("the response was begun")
        if status == 101:
            raise ValueError("an upgrade is accepted by accept_websocket")
        if octets and self._upgrading and 200 <= status <= 299:
            self._switch(exchange, fields)
            return
        if status < 200:
            if exchange.their_http_version != b"1.0":
                self._write(
                    exchange.send(make_response(h11.InformationalResponse, status, fields)) or b""
                )
            return
        if self._upgrading and self._gathering:
            # Its sender took it for granted that it is no longer HTTP: it is nobody's request.
            self._last = True
        names = {name.lower() for name, _ in fields}
        if end_stream and status not in (204, 304) and not self._head_only:
            if b"content-length" not in names:
                fields.append((b"content-length", b"0"))
        closes = has_token(
            [value for name, value in fields if name.lower() == b"connection"], b"close"
        )
        if self._last or closes or exchange.they_are_waiting_for_100_continue:
            # What it waits to send would be taken for the next request, or never come.
            self._last = True
            if not closes:
                fields.append((b"connection", b"close"))
        head = exchange.send(make_response(h11.Response, status, fields)) or b""
        lines = head.lower()
        self._chunked = b"\r\ntransfer-encoding: chunked\r\n" in lines
        self._bare = not self._chunked and b"\r\ncontent-length: " not in lines
        self._write(head)
        self._responding = True
        if end_stream:
            self._write(exchange.send(h11.EndOfMessage()) or b"")
            self._response_ended()

    def send_data(self, stream_id: int, data: Any, end_stream: bool = False) -> int:
        """See `Connection.send_data`."""
        exchange = self._current(stream_id)
        try:
            if len(data):
                pieces = exchange.send_with_data_passthrough(h11.Data(data=bytes(data))) or []
                for piece in pieces:
                    self._write(piece)
            if end_stream:
                self._write(exchange.send(h11.EndOfMessage()) or b"")
        except h11.LocalProtocolError as error:
            raise LocalProtocolError(str(error)) from error
        if end_stream:
            self._response_ended()
        return self._unsent.octets

    def send_trailers(
        self, stream_id: int, headers: Iterable[tuple[str | bytes, str | bytes]]
    ) -> None:
        """See `Connection.send_trailers`. Where the body is not chunked they are left out."""
        exchange = self._current(stream_id)
        fields = fields_for_h1(headers) if self._chunked else []
        try:
            self._write(exchange.send(h11.EndOfMessage(headers=fields)) or b"")
        except h11.LocalProtocolError as error:
            raise LocalProtocolError(str(error)) from error
        self._response_ended()

    def accept_websocket(
        self,
        stream_id: int,
        subprotocol: str | None = None,
        *,
        headers: Iterable[tuple[str | bytes, str | bytes]] = (),
        deflate: ServerPerMessageDeflateFactory | None = None,
    ) -> None:
        """Answer 101, and hand over to `on_upgrade`: this connection is no more.

        The sink that was attached goes along. Raises ValueError for a subprotocol that was not
        offered, and for a field of the handshake in `headers`.
        """
        exchange = self._current(stream_id)
        if self._upgrading != "websocket":
            raise LocalProtocolError("the request does not ask for a WebSocket")
        fields: Fields = []
        if subprotocol is not None:
            if not is_token(subprotocol) or subprotocol not in self._offered:
                raise ValueError(f"the subprotocol {subprotocol!r} was not offered")
            fields.append((b"Sec-WebSocket-Protocol", subprotocol.encode()))
        answer = None
        if deflate is not None and self._offers is not None:
            answer = deflate.accept(self._offers)
            if answer is not None:
                fields.append((b"Sec-WebSocket-Extensions", answer[0]))
        added = fields_for_h1(headers)
        check_added(added)
        fields += added
        agreed = None if answer is None else answer[1]
        upgraded = Upgraded(
            Role.SERVER, self._limits, pool=self._pool, agreed=agreed, stream_id=stream_id
        )
        upgraded.attach(stream_id, self._sink)
        self._hand_over(exchange, fields, upgraded)

    def _switch(self, exchange: h11.Connection, fields: Fields) -> None:
        tunnel = Octets(self._limits, self._stream_id)
        tunnel.attach(self._stream_id, self._sink)
        self._hand_over(exchange, fields, tunnel)

    def _hand_over(self, exchange: h11.Connection, fields: Fields, conn: Endpoint) -> None:
        agreed = [(b"Upgrade", self._upgrading.encode()), (b"Connection", b"Upgrade")]
        if self._upgrading == "websocket":
            agreed.append((b"Sec-WebSocket-Accept", accept_value(self._key)))
        response = make_response(h11.InformationalResponse, 101, agreed + fields)
        self._write(exchange.send(response) or b"")
        octets = b"".join(self._unsent.take(self._unsent.octets))
        early = self._gathering.rest()
        self.terminated = True
        self._phase = OVER
        self._exchange = None
        self._sink = None
        self._unmark()
        self._on_upgrade(octets, conn, early)

    def consumed(self, stream_id: int, credit: int) -> None:
        """See `Connection.consumed`."""
        if stream_id == self._stream_id:
            self._untaken = max(0, self._untaken - credit)

    def waiting(self, stream_id: int) -> int:
        """See `Connection.waiting`."""
        return self._unsent.octets if stream_id == self._stream_id else 0

    def reset(self, stream_id: int, error_code: int = CANCEL) -> None:
        """Give the exchange up: HTTP/1.1 can do so only by closing the connection.

        Where nothing of a response was sent, INTERNAL_ERROR is answered with 500.
        """
        self._current(stream_id)
        if error_code == INTERNAL_ERROR and not self._responding:
            self._sink = None
            self._refuse(500, "Internal Server Error")
        else:
            self._end("given up by this end", False)

    def turn_away(self, reason: str) -> None:
        """Answer 503 to whatever the client may ask: it may not come in."""
        self._refuse(503, reason)

    def shutdown(self, error_code: int = NO_ERROR, reason: bytes = b"") -> None:
        """End after the request that is being answered, or at once where there is none."""
        self._last = True
        if self._exchange is None and self._phase != DROP:
            self._end("shut down", False)

    def abort(self, error_code: int = NO_ERROR, reason: bytes = b"") -> None:
        """End at once."""
        self._end(reason.decode("latin-1") or "ended by this end", False)

    @property
    def octets_held(self) -> int:
        """See `Connection.octets_held`."""
        return self._untaken + self._unsent.octets + len(self._gathering)

    def stats(self) -> dict[str, Any]:
        """See `Connection.stats`."""
        return {
            "octets_received": self._received,
            "octets_sent": self._sent,
            "requests": self._stream_id,
            "octets_queued": self._unsent.octets,
            "limits": dict(self._hits),
        }
