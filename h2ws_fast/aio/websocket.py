"""One WebSocket as its user sees it.

Receiving, sending and closing act at once and hand out small objects to await, of which the usual
ones exist already: a message that is ready, or a send below `write_limit`, allocates nothing.

    recv(), async for   a Receiver, one for each WebSocket and way of reading, used again and again;
                        it yields the WebSocket's Waiter while there is nothing to read
    send()              READY; or, above `write_limit`, an Awaited that ends when the peer caught up
    ping(), close()     an Awaited

All of them pass for coroutines: `asyncio.create_task(ws.recv())` works. Reading is inherited from
Inbox, what keepalive needs from Kept, sending from Outgoing.
"""

from __future__ import annotations

import logging
import os
import uuid
import weakref
from typing import Any

from ..engine.constants import GOING_AWAY, NORMAL_CLOSURE, WS_INTERNAL_ERROR
from ..engine.events import Closed, Drained, MessagePart, Ponged, Shed
from ..errors import ConcurrencyError, ConnectionClosed, LocalProtocolError, StreamClosed
from .awaitable import READY, failed, finished, following, pending
from .extra import still_waiting
from .hub import reraise
from .observer import tell
from .outgoing import Outgoing
from .parts import Parts, Pieces, invalid_reason
from .state import CLOSED, CONNECTING, OPEN, State
from .urgency import prioritize

_STATES = tuple(State)


class WebSocket(Outgoing):
    """A WebSocket over one HTTP/2 stream, or over an upgraded HTTP/1.1 connection.

    Receive with `async for message in ws` or `await ws.recv()`, send with `await ws.send(message)`,
    end with `await ws.close()`. `str` is text, `bytes` is binary, both ways. One task may receive
    at a time; sending needs no order.

    `request` and `response` are those of the opening handshake. Attributes of your own may be set;
    subclassing is not supported.
    """

    __slots__ = (
        "__dict__",
        "__weakref__",
        "_callback",
        "_index",
        "_on_closed",
        "request",
        "response",
        "subprotocol",
    )

    # -- callbacks --------------------------------------------------------------------------------

    def _message(self, data, credit):
        # The engine delivers a message, by direct call.
        if self._callback is None:
            return self._put(data, credit)
        try:
            self._callback(self, data)
        except BaseException as error:
            self._callback_failed(error)
        if credit:
            self.wire.conn.consumed(self.stream_id, credit)
        return None

    # -- messages in pieces -----------------------------------------------------------------------

    def recv_streaming(self, decode: bool | None = None) -> Any:
        """Iterate over the next message piece by piece, each as it arrives: `async for`.

        None of it is held for longer than that: what is not taken waits with the peer, by flow
        control, and a message of any size needs no more memory than the window of its stream
        (`max_size` still limits the whole). A piece is what one read brought, whatever the frames
        were. `decode` as in `recv`; characters stay whole. From the first call on every message of
        this WebSocket arrives so, and `recv` joins the pieces.

        Cancelling before the first piece loses nothing. Who leaves the iteration later must go on
        with the same iterator or close the WebSocket: `recv` and another `recv_streaming` raise
        ConcurrencyError until the message is read to its end. Raises as `recv` does.
        """
        return Pieces(self, decode)

    def _streaming(self):
        extra = self._extras()
        if extra.parts is None:
            if self._is_awaited():
                raise ConcurrencyError("another task already waits for a message of this WebSocket")
            if self._callback is not None or extra.paused:
                raise LocalProtocolError("the messages of this WebSocket go to on_message")
            extra.parts = Parts(self)
            self._receiver = None
            self._iterator = None
            if self._state == OPEN:
                try:
                    self.wire.conn.stream_messages(self.stream_id)
                except StreamClosed:
                    pass  # what has come can be read
        return extra.parts

    def _join(self, iterating):
        extra = self._extra
        if extra is None or extra.parts is None:
            return None
        return following(extra.parts.join(None, iterating))

    def _is_unread(self):
        extra = self._extra
        return self._first is not None or (
            extra is not None and extra.parts is not None and len(extra.parts) > 0
        )

    def _unread_octets(self):
        octets = Outgoing._unread_octets(self)
        extra = self._extra
        if extra is not None and extra.parts is not None:
            octets += extra.parts.octets()
        return octets

    async def _undecodable(self, error):
        code, reason = invalid_reason(error)
        self._start_closing(code, reason)
        await pending(self._fail_later)

    def pause_reading(self) -> None:
        """Hold messages back from `on_message`: what arrives waits with the peer, by flow control.

        For the callback interface, as a transport's method of that name. Do it where `send` has
        congested what the messages lead to.
        """
        extra = self._extras()
        extra.paused = True
        if self._callback is not None:
            extra.callback = self._callback
            self._callback = None

    def resume_reading(self) -> None:
        """Deliver messages to `on_message` again; those that waited come at once."""
        extra = self._extra
        if extra is None or not extra.paused:
            return
        extra.paused = False
        if extra.callback is not None:
            self._callback = extra.callback
            extra.callback = None
            self._hand_over()

    def _callback_failed(self, error):
        if isinstance(error, SystemExit | KeyboardInterrupt):
            self.wire.hub.loop.call_soon(reraise, error)
        else:
            self.logger.error("a callback of %r failed", self, exc_info=error)
        self._start_closing(WS_INTERNAL_ERROR, "")

    def prioritize(self, urgency: Any = 3, incremental: Any = False) -> None:
        """Have its messages leave sooner or later than other octets of the connection (RFC 9218).

        `urgency` from 0, first, to 7, last; with `incremental` in turn with others. A client asks
        its server for the same. Does nothing where the WebSocket is over, nor over HTTP/1.1, where
        it has a connection of its own. Raises ValueError for an urgency beyond 0 to 7.
        """
        prioritize(self.wire, self.stream_id, urgency, incremental)

    # -- ping and pong ----------------------------------------------------------------------------

    def ping(self, data: Any = None) -> Any:
        """Send a ping; `await` gives a future whose result is the round trip in seconds.

        The payload is four random octets unless given, and at most 125. Raises ValueError for more,
        ConcurrencyError where the same payload is on its way already, ConnectionClosed where the
        WebSocket is closed.
        """
        if self._state != OPEN:
            return self._not_open()
        if data is None:
            data = os.urandom(4)
        elif isinstance(data, str):
            data = data.encode()
        elif isinstance(data, bytes | bytearray | memoryview):
            data = bytes(data)
        else:
            return failed(TypeError("the payload of a ping is str or bytes-like"))
        extra = self._extras()
        if extra.pings is None:
            extra.pings = {}
        if data in extra.pings:
            return failed(ConcurrencyError("a ping with the same payload is on its way"))
        try:
            self.wire.conn.ping(self.stream_id, data)
        except StreamClosed:
            return pending(self._fail_later)
        except Exception as error:
            return failed(error)
        future = self.wire.hub.loop.create_future()
        extra.pings[data] = (future, self.wire.hub.time())
        self.wire._touch()
        return finished(future)

    def pong(self, data: Any = b"") -> Any:
        """Send a pong nobody asked for: a sign of life. Pings are answered without you.

        The payload has at most 125 octets. Raises ValueError for more, ConnectionClosed where the
        WebSocket is closed.
        """
        if self._state != OPEN:
            return self._not_open()
        if isinstance(data, str):
            data = data.encode()
        elif not isinstance(data, bytes | bytearray | memoryview):
            return failed(TypeError("the payload of a pong is str or bytes-like"))
        try:
            self.wire.conn.pong(self.stream_id, bytes(data))
        except StreamClosed:
            return pending(self._fail_later)
        except Exception as error:
            return failed(error)
        self.wire._touch()
        return READY

    def _ponged(self, data):
        if self._pinged is not None and data == self._pinged:
            # Keepalive's own: `_due` was the deadline of this answer.
            self._pinged = None
            keeper = self.wire.keeper
            keeper._answered(self)
        extra = self._extra
        if extra is None or not extra.pings or data not in extra.pings:
            return
        now = self.wire.hub.time()
        # One pong answers all pings before it: RFC 6455 section 5.5.3.
        for payload in list(extra.pings):
            future, sent = extra.pings.pop(payload)
            if not future.done():
                future.set_result(now - sent)
            if payload == data:
                self._latency = now - sent
                break

    # -- closing ----------------------------------------------------------------------------------

    def close(self, code: int = NORMAL_CLOSURE, reason: str = "") -> Any:
        """Begin the closing handshake; await the result to see it done.

        The Close goes out behind what was sent before. A peer that does not answer within
        `close_timeout` is cut off. Does nothing where the WebSocket is closed or closing.
        Raises ValueError where `code` may not be sent or `reason` is longer than 123 octets.
        """
        if self._state == OPEN:
            if self._extra is not None and self._extra.sending is not None:
                code = WS_INTERNAL_ERROR
                reason = "close during fragmented message"
            self._start_closing(code, reason)
        return self.wait_closed()

    def wait_closed(self) -> Any:
        """Await the end of the WebSocket."""
        return READY if self._state == CLOSED else pending(self._until_closed)

    def _until_closed(self):
        if self._state == CLOSED:
            return None
        future = self.wire.hub.loop.create_future()
        extra = self._extras()
        extra.closers = still_waiting(extra.closers)
        extra.closers.append((future, False))
        return future

    def abort(self) -> None:
        """Reset the stream at once, without a closing handshake: the peer sees 1006."""
        try:
            self.wire.conn.reset(self.stream_id)
        except StreamClosed:
            return
        self.wire._touch()

    async def __aenter__(self) -> WebSocket:
        return self

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        await self.close(NORMAL_CLOSURE if kind is None else WS_INTERNAL_ERROR)

    def _event(self, event):
        # The engine delivers any other event, by direct call.
        kind = type(event)
        if kind is Ponged:
            self._ponged(event.data)
        elif kind is Drained:
            extra = self._extra
            if extra is not None and extra.drainers:
                drainers = extra.drainers
                extra.drainers = None
                for future in drainers:
                    if not future.done():
                        future.set_result(None)
            if extra is not None and extra.conflated is not None:
                self._send_conflated()
        elif kind is MessagePart:
            self._extra.parts.put(event)
        elif kind is Closed:
            self._over(event)
        elif kind is Shed:
            self._forget()
        return None

    def _forget(self):
        # Nobody will read what waits.
        self._clear()
        if self._extra is not None and self._extra.parts is not None:
            self._extra.parts.clear()

    def _over(self, event):
        self._closed = event
        self._state = CLOSED
        self._pinged = None
        if self._is_unread():
            self.wire._left_unread(self)
        websockets = self.wire.websockets
        if self._index >= 0:
            last = websockets.pop()
            if last is not self:
                websockets[self._index] = last
                last._index = self._index
            self._index = -1
            if self.wire.observer is not None:
                tell(self.wire.observer, "websocket_closed", self)
            if self.wire.logs:
                self.logger.info("connection closed")
        extra = self._extra
        if extra is not None:
            if extra.drainers:
                for future in extra.drainers:
                    if not future.done():
                        future.set_exception(self._error())
                extra.drainers = None
            if extra.pings:
                for future, _ in extra.pings.values():
                    if not future.done():
                        future.set_exception(self._error())
                        future.exception()  # nobody need look
                extra.pings = None
            if extra.closers:
                for future, failing in extra.closers:
                    if future.done():
                        continue
                    if failing:
                        future.set_exception(self._error())
                    else:
                        future.set_result(None)
                extra.closers = None
            extra.conflated = None
            if extra.parts is not None:
                extra.parts.wake()
        waiter = self._waiter
        if waiter is not None:
            waiter.wake()
        self._tell_closed()

    def _deliver(self, on_open, on_message, on_close):
        # Hand this WebSocket to callbacks; what arrived with the handshake comes after `on_open`.
        if on_open is not None:
            try:
                on_open(self)
            except BaseException as error:
                self._callback_failed(error)
        if self._extra is not None and self._extra.paused:
            self._extra.callback = on_message
        else:
            self._callback = on_message
            self._hand_over()
        self._on_closed = on_close
        if self._state == CLOSED:
            self._tell_closed()

    def _hand_over(self):
        # To the callback, what has waited.
        while self._first is not None and self._callback is not None:
            try:
                self._callback(self, self._take())
            except BaseException as error:
                self._callback_failed(error)

    def _when_closed(self, callback):
        # Call `callback(ws)` when it is over.
        self._on_closed = callback
        if self._state == CLOSED:
            self._tell_closed()

    def _tell_closed(self):
        on_closed = self._on_closed
        if on_closed is not None:
            self._on_closed = None
            try:
                on_closed(self)
            except BaseException as error:
                self._callback_failed(error)

    def _handled(self, task):
        # The handler's task has ended: so does the WebSocket.
        code = NORMAL_CLOSURE
        if task.cancelled():
            code = GOING_AWAY
        else:
            error = task.exception()
            if isinstance(error, ConnectionClosed):
                code = WS_INTERNAL_ERROR
                self.logger.debug("the handler of %r ended with its connection: %s", self, error)
            elif error is not None:
                code = WS_INTERNAL_ERROR
                self.logger.error("connection handler failed", exc_info=error)
        self._abandon(code)

    def _abandon(self, code):
        # Nobody reads or writes any more.
        self._start_closing(code, "")
        self._forget()
        # They know it, too: without them it goes at once, and not when the collector comes.
        self._receiver = None
        self._iterator = None

    # -- what it is -------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """CONNECTING, OPEN, CLOSING or CLOSED."""
        return _STATES[self._state]

    @property
    def close_code(self) -> int | None:
        """The code it was closed with (1006: without a Close from the peer); None before that."""
        return None if self._closed is None else self._closed.code

    @property
    def close_reason(self) -> str | None:
        """The reason it was closed with; None before that."""
        return None if self._closed is None else self._closed.reason

    @property
    def id(self) -> uuid.UUID:
        """A random identifier, for logs."""
        extra = self._extras()
        if extra.id is None:
            extra.id = uuid.uuid4()
        return extra.id

    @property
    def logger(self) -> Any:
        """The logger of its server or session; what it logs has `websocket`, this object."""
        extra = self._extras()
        if extra.logger is None:
            extra.logger = logging.LoggerAdapter(self.wire.log, {"websocket": weakref.proxy(self)})
        return extra.logger

    @property
    def latency(self) -> float:
        """The latest round trip of a ping, in seconds; 0.0 before the first."""
        return self._latency

    @property
    def connection(self) -> Any:
        """What carries it, and others: with `http_version`, `websockets`, addresses, `stats()`."""
        return self.wire

    def stats(self) -> dict[str, Any]:
        """What is now: `state`, `latency_s`, `messages_unread` (or pieces of some) and
        `octets_unsent`. What its connection carried is in `ws.connection.stats()`."""
        unread = self._unread()
        if self._extra is not None and self._extra.parts is not None:
            unread += len(self._extra.parts)
        return {
            "state": self.state.name,
            "latency_s": self._latency,
            "messages_unread": unread,
            "octets_unsent": 0 if self._state == CLOSED else self.wire.conn.waiting(self.stream_id),
        }

    @property
    def http_version(self) -> str:
        """What carries it: "2" (a stream among others) or "1.1" (a connection of its own)."""
        return self.wire.http_version

    @property
    def compression(self) -> Any:
        """What was agreed on for compression (an `Agreed`), or None; None too once it is over."""
        if self._state == CONNECTING or self._state == CLOSED:
            return None
        return self.wire.conn.deflated(self.stream_id)

    @property
    def remote_address(self) -> Any:
        """The peer's address, and after the end what it was."""
        return self.wire.remote_address

    @property
    def local_address(self) -> Any:
        """This end's address, and after the end what it was."""
        return self.wire.local_address

    def respond(self, status: int, text: str = "") -> Any:
        """Make the plain text Response with which `process_request` may refuse."""
        from .http import text_response

        return text_response(status, text)

    def __repr__(self) -> str:
        return f"<WebSocket stream {self.stream_id} {self.state.name}>"


COMPILED = hasattr(WebSocket, "__pyx_vtable__")


def new_websocket(wire, stream_id, request):
    """Make a WebSocket that is not open yet."""
    ws = WebSocket.__new__(WebSocket)
    if COMPILED:
        _drop_dict(ws)  # noqa: F821  # stands in the .pxd: nobody has set an attribute yet
    ws.wire = wire
    ws.stream_id = stream_id
    ws.request = request
    ws.response = None
    ws.subprotocol = None
    ws._state = CONNECTING
    ws._callback = None
    ws._on_closed = None
    ws._closed = None
    ws._first = None
    ws._credit = 0
    ws._rest = None
    ws._rest_at = 0
    ws._waiter = None
    ws._receiver = None
    ws._iterator = None
    ws._extra = None
    ws._pinged = None
    ws._latency = 0.0
    ws._due = 0.0
    ws._index = -1
    return ws


def open_websocket(ws):
    """The handshake is done: from here on it sends and is kept alive."""
    if ws._state != CONNECTING:
        return  # the peer closed it in the same read
    ws._state = OPEN
    wire = ws.wire
    ws._index = len(wire.websockets)
    wire.websockets.append(ws)
    keeper = wire.keeper
    if keeper is not None:
        keeper._opened(ws)
    if wire.observer is not None:
        tell(wire.observer, "websocket_opened", ws)
    if wire.logs:
        ws.logger.info("connection open")
