"""A WebSocket that the gateway reads: a message layer on each hop, and messages between them.

What concerns one hop stays there: pings, compression, masks, the sizes of frames. Messages pass in
the pieces in which they come, none of them held whole; Close codes pass. Back-pressure goes end to
end: a piece is taken from its stream when what came before has left on the other.
"""

from __future__ import annotations

import asyncio
import codecs
from typing import TYPE_CHECKING, Any

from ..aio.http import Request, Response
from ..aio.websocket import new_websocket, open_websocket
from ..engine.constants import MESSAGE_TOO_BIG, NO_STATUS_RCVD, WS_INTERNAL_ERROR
from ..engine.events import Reset
from ..engine.handshake import split_list, values_of
from ..errors import ConnectionClosed, H2WSError, InvalidStatus
from .aware import Aware
from .fields import Refused, answer_fields, response_fields

if TYPE_CHECKING:
    from .backend import Backend
    from .upstream import Upstream
    from .wire import GatewayWire

__all__ = ["Conversation"]

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
    left: tuple[Backend, ...] = ()  # one that hung up is the last it asks

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
        self.late = False  # the backend did not answer in time
        self.asked = False  # a backend was: there is no room that it waits for
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
        own = upstream.aware
        self.aware = own if isinstance(own, Aware) else wire.server.options.aware
        self._hop: tuple[Any, Backend] | None = None  # the backend's end
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin."""
        wire = self._wire
        wire.conn.attach(self._stream_id, self._feed)
        wire.route(self._stream_id, self._feed)
        self._task = wire.hub.loop.create_task(self._run())
        wire._own(self._task)
        patience = wire.server.options.patience_s
        if patience != float("inf"):
            self._timer = wire.hub.loop.call_later(patience, self._late)

    @property
    def left_unanswered(self) -> bool:
        """Was a backend asked, that has not answered in time?"""
        return self.late and self.asked

    def _feed(self, event: Any) -> None:
        # Before it is open there is nothing to hear but that the client has gone.
        if type(event) is Reset and self._task is not None:
            self.status = 499
            self._task.cancel()

    def _late(self) -> None:
        self.late = True
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
            await self._carry()
        except Refused as error:
            self._refuse(error.status, error.reason)
        except H2WSError as error:  # the client has gone in this moment
            self._refuse(502, str(error))
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
        kept = answer_fields(response.status, octets_of(response), self._wire, tunnel=True)
        body: Any = response.body or b""
        self._wire.decline(self._stream_id, response.status, kept, bytes(body), error.whole)

    def begun(self, back: Any, backend: Backend) -> None:
        """The backend agreed, and this is its end; `backend.release()` is called once, when it is over."""
        self._stop_clock()
        self.address = backend.address
        self._hop = back, backend

    async def _carry(self) -> None:
        # Open the client's end, and carry messages until both have closed.
        if self._hop is None:
            return
        back, backend = self._hop
        try:
            await self._converse(back)
        except BaseException:
            back.abort()
            raise
        finally:
            backend.release()

    async def _converse(self, back: Any) -> None:
        wire = self._wire
        front = new_websocket(wire, self._stream_id, self._request)
        front.subprotocol = back.subprotocol
        kept = response_fields(octets_of(back.response), tunnel=True)
        wire.conn.attach(self._stream_id, front)
        wire.conn.accept_websocket(
            self._stream_id,
            back.subprotocol,
            headers=[each for each in kept if each[0] not in OWN],
            deflate=self.aware.deflate(),
        )
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
            front.abort()
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
        size = 0  # of a message, so far
        most = self.aware.max_size if way == 0 else None  # the backend's hop sees to its own
        while True:
            try:
                octets, is_text, final = await parts.next()
            except ConnectionClosed as closed:
                tell(closed, target)
                return
            if gone:
                continue
            self.octets[way] += len(octets)
            size += len(octets)
            if most is not None and size > most:
                source._start_closing(MESSAGE_TOO_BIG, "")
                gone = True
                continue
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
            size = 0 if final else size
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


def octets_of(response: Response) -> list[tuple[bytes, bytes]]:
    """The fields of an answer, as they were."""
    return [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in response.headers.raw_items()
    ]


def text(value: str | bytes) -> str:
    """A field's name or value."""
    return value if isinstance(value, str) else value.decode("latin-1")
