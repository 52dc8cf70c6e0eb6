"""A WebSocket that the gateway reads: a message layer on each hop, and messages between them.

What concerns one hop stays there: pings, compression, masks, the sizes of frames. Messages pass in
the pieces in which they come, none of them held whole; Close codes pass. Back-pressure goes end to
end: a piece is taken from its stream when what came before has left on the other.
"""

from __future__ import annotations

import asyncio
import codecs
from typing import TYPE_CHECKING, Any

from ..aio.http import Request, fields_of
from ..aio.websocket import new_websocket, open_websocket
from ..engine.constants import NO_STATUS_RCVD, WS_INTERNAL_ERROR
from ..engine.events import Reset
from ..engine.handshake import split_list, values_of
from ..errors import ConnectionClosed, InvalidStatus
from .fields import Refused, response_fields

if TYPE_CHECKING:
    from .upstream import Upstream
    from .wire import GatewayWire

__all__ = ["Conversation"]

PATIENCE = 0.8  # of the time that an opening handshake has

# What each hop says for itself.
OWN = frozenset(
    (
        b"sec-websocket-accept",
        b"sec-websocket-extensions",
        b"sec-websocket-key",
        b"sec-websocket-protocol",
        b"sec-websocket-version",
        b"te",
        b"expect",
    )
)


class Conversation:
    """One WebSocket between a client of the gateway and a backend."""

    token = "websocket"

    def __init__(self, wire: GatewayWire, event: Any, upstream: Upstream, head: Any) -> None:
        self._wire = wire
        self._stream_id: int = event.stream_id
        self._upstream = upstream
        self._request = Request.received(event, wire)
        self._started = wire.hub.time()
        self._task: asyncio.Task[None] | None = None
        self.address = ""  # of the backend
        self.authority: str = event.authority
        self.status = 0
        self.octets = [0, 0]  # of messages: from the client, and to it
        self.path: str = event.path
        values = values_of(event.headers, b"sec-websocket-protocol")
        self.subprotocols = [
            each.decode("latin-1") for value in values for each in split_list(value)
        ]
        self.fields = [
            (text(name), text(value))
            for name, value in head
            if text(name)[:1] != ":" and text(name).encode("latin-1") not in OWN
        ]
        self.options = wire.server.options.aware  # of the backend's hop
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin."""
        wire = self._wire
        wire.conn.attach(self._stream_id, self._feed)
        wire.route(self._stream_id, self._feed)
        self._task = wire.hub.loop.create_task(self._run())
        wire._own(self._task)
        # The client hears why, before its own end of the handshake is given up.
        patience = wire.server.options.limits.handshake_timeout_s * PATIENCE
        if patience != float("inf"):
            self._timer = wire.hub.loop.call_later(patience, self._late)

    def _feed(self, event: Any) -> None:
        # Before it is open there is nothing to hear but that the client has gone.
        if type(event) is Reset and self._task is not None:
            self.status = 499
            self._task.cancel()

    def _late(self) -> None:
        self._refuse(504, "the backend did not answer in time")
        assert self._task is not None
        self._task.cancel()

    def _refuse(self, status: int, reason: str) -> None:
        if not self.status:
            self.status = status
            self._wire.refuse_handshake(self._stream_id, status, reason)

    def _stop_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _run(self) -> None:
        wire = self._wire
        try:
            await self._upstream.start(self)
        except Refused as error:
            self._refuse(error.status, error.reason)
        except asyncio.CancelledError:
            self._refuse(503, "shutting down")
            raise
        except Exception:
            wire.server.logger.exception("a WebSocket could not be forwarded")
            self._refuse(500, "the gateway failed")
        finally:
            self._stop_clock()
            seconds = wire.hub.time() - self._started
            wire.conversed(self, seconds)

    def declined(self, error: InvalidStatus) -> None:
        """The backend refused: so does the gateway, in its words."""
        self._stop_clock()
        response = error.response
        self.status = response.status
        body: Any = response.body or b""
        fields = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in fields_of(response.headers)
        ]
        kept = response_fields(fields, tunnel=True)
        self._wire.decline(self._stream_id, response.status, kept, bytes(body))

    async def carry(self, back: Any) -> None:
        """The backend agreed: open the client's end, and carry messages until both have closed."""
        self._stop_clock()
        wire = self._wire
        front = new_websocket(wire, self._stream_id, self._request)
        front.subprotocol = back.subprotocol
        fields = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in fields_of(back.response.headers)
        ]
        kept = [each for each in response_fields(fields, tunnel=True) if each[0] not in OWN]
        try:
            wire.conn.attach(self._stream_id, front)
            wire.conn.accept_websocket(
                self._stream_id,
                back.subprotocol,
                headers=kept,
                deflate=wire.server.options.deflate,
            )
        except BaseException:
            back.abort()
            raise
        self.status = 200
        open_websocket(front)
        wire.touch()
        ways = [
            asyncio.create_task(self._pump(0, front, back)),
            asyncio.create_task(self._pump(1, back, front)),
        ]
        try:
            await asyncio.gather(*ways)
            for ws in (front, back):
                await ws.wait_closed()
        except BaseException:
            for ws in (front, back):
                ws.abort()
            raise
        finally:
            for way in ways:
                way.cancel()

    async def _pump(self, way: int, source: Any, target: Any) -> None:
        parts = source._streaming()
        begun = False  # some of a message has gone
        decoder: codecs.IncrementalDecoder | None = None
        fresh = True
        gone = False  # nobody is there to take it
        while True:
            try:
                octets, is_text, final = await parts.next()
            except ConnectionClosed as closed:
                tell(closed, target)
                return
            if gone:
                continue
            self.octets[way] += len(octets)
            if fresh:
                decoder = codecs.getincrementaldecoder("utf-8")() if is_text else None
            piece = octets if decoder is None else decoder.decode(octets, final)
            try:
                # What came at once leaves at once; otherwise piece by piece.
                if final and not begun:
                    await target.send(piece)
                elif piece or final:
                    begun = True
                    await target._send_fragment(piece, final, True)
            except ConnectionClosed:
                # The other way tells the source, whose own Close comes behind what it has sent.
                gone = True
            fresh = final
            begun = begun and not final


def tell(closed: ConnectionClosed, target: Any) -> None:
    """One hop is over: end the other in the same way."""
    said = closed.rcvd
    if said is None or closed.rcvd_then_sent is False:
        said = closed.sent  # what the gateway itself found wrong, or was told by the other hop
    if said is None:
        target.abort()
        return
    try:
        target._start_closing(None if said.code == NO_STATUS_RCVD else said.code, said.reason)
    except ValueError:  # 1010, which only clients say
        target._start_closing(WS_INTERNAL_ERROR, "")


def text(value: str | bytes) -> str:
    """A field's name or value."""
    return value if isinstance(value, str) else value.decode("latin-1")
