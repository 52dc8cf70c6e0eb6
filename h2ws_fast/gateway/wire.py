"""A connection of a client of the gateway: what becomes of each request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..aio.hub import Hub
from ..aio.server.accepted import AcceptedWire
from ..aio.tunnel import reset
from ..engine.constants import INTERNAL_ERROR
from ..engine.dialect import Upgrade
from ..errors import LocalProtocolError, StreamClosed
from ..printable import printable
from .access import note, note_crossing
from .conversation import Conversation
from .crossing import LAST_WORDS_S, Crossing
from .fields import Refused, by_connection, by_upgrade, plain_address
from .sides import Sided

if TYPE_CHECKING:
    from .gateway import Gateway
    from .relay import Half

__all__ = ["GatewayWire"]


class GatewayWire(Sided, AcceptedWire):
    """One connection of a Gateway."""

    __slots__ = ("_introduced", "address")

    server: Gateway
    address: str  # the client's, "" where there is none

    def __init__(self, server: Gateway, hub: Hub) -> None:
        super().__init__(server, hub)
        self._introduced: tuple[str, int] | None = None  # the client for whom a proxy has connected
        self.address = ""

    def _opened(self) -> bool:
        if self.arrival is not None:
            self._introduced = self.arrival.introduced
        peer = self.remote_address
        if isinstance(peer, tuple):
            self.address = plain_address(str(peer[0]))
        return super()._opened()

    @property
    def takes_streams(self) -> bool:
        """Does the client take streams that servers open, and the gateway give it some?"""
        return self.http_version == "2" and bool(self.conn.can_connect)

    @property
    def remote_address(self) -> Any:
        """The client's address: that which a proxy has named, else that of the transport."""
        return self._introduced or super().remote_address

    def _requested(self, event: Any) -> None:
        refusal = 0 if self.full else 503  # REFUSED_STREAM has no status
        if not self._may_begin(event):
            self._note_refused(event, refusal)
            return
        gateway = self.server
        gateway.counts["requests"] += 1
        token = event.protocol
        try:
            if event.method == "CONNECT" and token is None:
                raise Refused(501, "this is no forward proxy")
            if token is not None and token.lower() not in gateway.table:
                # RFC 9220 section 3: "501 (Not Implemented)" for a `:protocol` that is not known.
                raise Refused(501, f"unsupported protocol {token}")
            forwarding, address = gateway.forwarding, self.address
            scheme = forwarding.scheme(event, self.secure, address)
            fields = forwarding.request_fields(event, self.http_version, address, scheme)
            upstream = gateway.routes.find(event.authority, event.path)
            how = upgrade = None
            if token is not None and gateway.options.dialect:
                known = gateway.table[token.lower()]
                if self.http_version != "2":
                    how = by_connection(event, known)
                elif self.conn.speaks_dialect and (upgrade := Upgrade.read(event.headers)):
                    fields, how = by_upgrade(upgrade, event, fields, known)
            if upstream is None:
                raise Refused(404, "no route")
            if gateway.closing:
                raise Refused(503, "shutting down")
        except Refused as error:
            self._answer(event.stream_id, token, error.status, error.reason, event.method)
            if token is None and event.method != "CONNECT" and not event.ended:
                self.discard(event.stream_id)
            self._note_refused(event, error.status)
            return
        authority = event.authority or upstream.backends[0].target.authority
        head: list[tuple[Any, Any]] = [(":method", event.method)]
        if token is not None:
            head = [(":method", "CONNECT"), (":protocol", token)]
        head += [(":scheme", scheme), (":authority", authority), (":path", event.path)]
        gateway.counts["tunnels" if token is not None else "plain"] += 1
        reads = upstream.aware and token is not None and token.lower() == "websocket"
        try:
            if how is None and reads:
                Conversation(self, event, upstream, fields).start()
            else:
                crossing = Crossing(self, event, upstream, head + fields, how)
                crossing.switches = upgrade is not None
                if how is not None and how.body:
                    self.conn.take_first(event.stream_id, how.body)
                crossing.start()
        except StreamClosed:
            self._note_refused(event, 499)  # it was reset in the read that brought it

    def refuse_request(self, half: Half, token: str | None, status: int, reason: str) -> None:
        """Answer a request in the backend's place."""
        if self.lost:
            return
        try:
            self._answer(half.stream_id, token, status, reason)
        except (StreamClosed, LocalProtocolError):
            return
        if token is None and not half.ended:
            half.drop()
            self.discard(half.stream_id)

    def refuse_handshake(self, stream_id: int, status: int, reason: str) -> None:
        """Answer a WebSocket's opening handshake in the backend's place."""
        if self.lost:
            return
        try:
            self._answer(stream_id, "websocket", status, reason)
        except (StreamClosed, LocalProtocolError):
            return

    def decline(self, stream_id: int, status: int, fields: Any, body: bytes, whole: bool) -> None:
        """Answer it as the backend did; where its body is not `whole` this one breaks off, too."""
        if self.lost:
            return
        ends = whole and not body
        try:
            self.conn.respond(stream_id, [(":status", str(status)), *fields], ends)
            if body:
                self.conn.send_data(stream_id, body, whole)
            if not whole:
                # Behind what was sent, so that the client has that.
                self.hub.loop.call_later(LAST_WORDS_S, reset, self, stream_id, INTERNAL_ERROR)
        except (StreamClosed, LocalProtocolError):
            return
        self.touch()

    def _answer(
        self, stream_id: int, token: str | None, status: int, reason: str, method: str = ""
    ) -> None:
        self.server.admission.note(
            "stream %d of %s was answered %d: %s",
            stream_id,
            self.address,
            status,
            printable(reason),
        )
        # Without a body: Firefox leaves a connection where a refused WebSocket came with one.
        fields = [(":status", str(status))]
        if method != "CONNECT" and token is None:
            fields.append(("content-length", "0"))
        self.conn.respond(stream_id, fields, True)
        self.touch()

    def _note_refused(self, event: Any, status: int) -> None:
        note(self, event.method, event.path, status, event.authority, event.protocol)

    def conversed(self, conversation: Conversation, seconds: float) -> None:
        """A WebSocket whose messages were read is over."""
        told = conversation
        whose = told.status, told.authority, told.token
        octets = told.octets[0], told.octets[1]
        note(self, "CONNECT", told.path, *whose, octets, seconds, told.address)

    def crossed(self, crossing: Crossing, method: str, path: str, seconds: float) -> None:
        """A request and what it opened are over."""
        note_crossing(self, crossing, method, path, seconds)
