"""One WebSocket as its user sees it.

Receiving, sending and closing act at once and hand out small objects to await, of which the usual
ones exist already: a message that is ready, or a send below `write_limit`, allocates nothing.

    recv(), async for   a Receiver, one for each WebSocket and way of reading, used again and again;
                        it yields the WebSocket's Waiter while there is nothing to read
    send()              READY; or, above `write_limit`, an Awaited that ends when the peer caught up
    ping(), close()     an Awaited

All of them pass for coroutines: `asyncio.create_task(ws.recv())` works.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import os
import random
import uuid
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any

from ..engine.constants import NEVER
from ..engine.events import Closed, Drained, Ponged
from ..engine.sink import Sink
from ..errors import (
    Close,
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    LocalProtocolError,
    StreamClosed,
)
from .protocol import _raise, new_waiter

logger = logging.getLogger("h2ws_fast.aio.websocket")


class State(enum.IntEnum):
    """The state of a WebSocket: RFC 6455."""

    CONNECTING = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3


CONNECTING = 0
OPEN = 1
CLOSING = 2
CLOSED = 3

_STATES = tuple(State)

PENDING = object()  # nothing to read now, or nothing to yield

# Messages that carry no credit (empty ones) do not fill the flow-control window: so many may wait.
MAX_EMPTY = 65536

NORMAL_CLOSURE = 1000
GOING_AWAY = 1001
NO_STATUS_RCVD = 1005
INTERNAL_ERROR = 1011
TRY_AGAIN_LATER = 1013


class Receiver:
    """The next message of one WebSocket, as often as it is awaited."""

    __slots__ = ("iterating", "ws")

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        message = self._step()
        if message is PENDING:
            return self.ws._waiter
        raise StopIteration(message)

    def send(self, value):
        message = self._step()
        if message is PENDING:
            return self.ws._waiter
        raise StopIteration(message)

    def throw(self, kind, value=None, traceback=None):
        self.close()
        if value is None:
            value = kind() if isinstance(kind, type) else kind
        raise value if traceback is None else value.with_traceback(traceback)

    def close(self):
        # A waiter that has its callback belongs to the task that waits, which is not this one: a
        # task ends its own wait before it throws. It may be another that was cancelled at once.
        waiter = self.ws._waiter
        if waiter is not None and waiter.state == 1:  # YIELDED
            waiter.reset()

    def _step(self):
        # The message, or PENDING once the waiter is ready to be yielded; raises at the end.
        ws = self.ws
        waiter = ws._waiter
        if waiter is not None and waiter.state != 0:
            raise ConcurrencyError("another task already waits for a message of this WebSocket")
        if ws._first is not None:
            return ws._take()
        if ws._state == CLOSED:
            if self.iterating and ws._is_ok():
                raise StopAsyncIteration
            raise ws._error()
        if waiter is None:
            waiter = new_waiter(ws.wire.hub)
            ws._waiter = waiter
        waiter.begin()
        return PENDING


def new_receiver(ws, iterating):
    receiver = Receiver.__new__(Receiver)
    receiver.ws = ws
    receiver.iterating = iterating
    return receiver


class Awaited:
    """A coroutine without a body: it has its result or error already, or waits for one future.

    `source()` makes that future when the first `await` comes, or returns None where there is no
    need to wait any more.
    """

    __slots__ = ("error", "source", "value", "waiting")

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        result = self._step()
        if result is PENDING:
            raise StopIteration(self.value)
        return result

    def send(self, value):
        result = self._step()
        if result is PENDING:
            raise StopIteration(self.value)
        return result

    def _step(self):
        # What is to be yielded; PENDING says that nothing is, and that `value` is the result.
        waiting = self.waiting
        if waiting is None:
            if self.error is not None:
                raise self.error
            if self.source is None:
                return PENDING
            future = self.source()
            if future is None:
                return PENDING
            waiting = future.__await__()
            self.waiting = waiting
        try:
            return next(waiting)
        except StopIteration as stop:
            self.value = stop.value
            return PENDING

    def throw(self, kind, value=None, traceback=None):
        waiting = self.waiting
        if waiting is not None:
            if value is None and traceback is None:
                return waiting.throw(kind)
            return waiting.throw(kind, value, traceback)
        if value is None:
            value = kind() if isinstance(kind, type) else kind
        raise value

    def close(self):
        waiting = self.waiting
        if waiting is not None:
            self.waiting = None
            waiting.close()

    def done(self):
        """Is there nothing to wait for? After a `send` that need not wait this is true."""
        return self._is_ready()

    def _is_ready(self):
        return self.waiting is None and self.error is None and self.source is None


def _awaited():
    result = Awaited.__new__(Awaited)
    result.value = None
    result.error = None
    result.source = None
    result.waiting = None
    return result


def finished(value):
    """An Awaited that has its result."""
    result = _awaited()
    result.value = value
    return result


def failed(error):
    """An Awaited that raises."""
    result = _awaited()
    result.error = error
    return result


def pending(source):
    """An Awaited that waits for the future which `source` makes."""
    result = _awaited()
    result.source = source
    return result


READY = finished(None)


def _waiting(futures):
    # The list of futures to which one more comes, without those that were cancelled: somebody may
    # wait again and again, each time with a timeout.
    if futures is None:
        return []
    if len(futures) & 15 == 15:
        return [each for each in futures if not (each[0] if type(each) is tuple else each).done()]
    return futures


class Extra:
    """What few WebSockets need, or only at their end."""

    __slots__ = ("callback", "closers", "drainers", "id", "paused", "pings", "sending")

    def __init__(self):
        self.callback = None  # the callback of messages, while they are held back
        self.paused = False
        self.id = None
        self.pings = None  # payload -> (future, when)
        self.drainers = None  # futures of send()
        self.closers = None  # futures of close(), wait_closed() and late send()
        self.sending = None  # a future, while a fragmented message is being sent


class WebSocket(Sink):
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
        "_closed",
        "_credit",
        "_due",
        "_empty",
        "_extra",
        "_first",
        "_inbox",
        "_inbox_at",
        "_index",
        "_iterator",
        "_latency",
        "_on_closed",
        "_pinged",
        "_receiver",
        "_state",
        "_waiter",
        "request",
        "response",
        "stream_id",
        "subprotocol",
        "wire",
    )

    def __init__(self) -> None:
        raise TypeError("a WebSocket comes from connect(), serve() or Session.websocket()")

    # -- receiving --------------------------------------------------------------------------------

    def recv(self, decode: bool | None = None) -> Any:
        """Await the next message: `str` or `bytes`.

        `decode=True` makes binary messages `str`, `decode=False` makes text `bytes`. Cancelling
        loses no message. Raises ConnectionClosed (ConnectionClosedOK, ConnectionClosedError) when
        the WebSocket is closed and everything was read, ConcurrencyError where another task is
        receiving.
        """
        if decode is not None:
            return self._recv_as(decode)
        if self._receiver is None:
            self._receiver = new_receiver(self, False)
        return self._receiver

    async def _recv_as(self, decode):
        message = await self.recv()
        if decode and isinstance(message, bytes):
            return message.decode()
        if not decode and isinstance(message, str):
            return message.encode()
        return message

    def __aiter__(self) -> WebSocket:
        """Iterate over messages until the WebSocket is closed; raise ConnectionClosedError where
        that was not proper."""
        if self._iterator is None:
            self._iterator = new_receiver(self, True)
        return self

    def __anext__(self) -> Any:
        if self._iterator is None:
            self._iterator = new_receiver(self, True)
        return self._iterator

    def _take(self):
        # The oldest message that waits; its credit goes back to the peer.
        message = self._first
        credit = self._credit
        inbox = self._inbox
        if inbox is None:
            self._first = None
        else:
            at = self._inbox_at
            self._first = inbox[at]
            self._credit = inbox[at + 1]
            at += 2
            if at == len(inbox):
                self._inbox = None
                self._inbox_at = 0
            else:
                self._inbox_at = at
        if credit:
            self.wire.conn.consumed(self.stream_id, credit)
            self.wire._touch()
        else:
            self._empty -= 1
        return message

    def _message(self, data, credit):
        # The engine delivers a message, by direct call.
        if self._callback is not None:
            try:
                self._callback(self, data)
            except BaseException as error:
                self._callback_failed(error)
            if credit:
                self.wire.conn.consumed(self.stream_id, credit)
            return None
        if self._first is None:
            self._first = data
            self._credit = credit
        else:
            inbox = self._inbox
            if inbox is None:
                inbox = []
                self._inbox = inbox
            inbox.append(data)
            inbox.append(credit)
        if not credit:
            self._empty += 1
            if self._empty > MAX_EMPTY:
                self._start_closing(TRY_AGAIN_LATER, "too many messages are waiting")
        waiter = self._waiter
        if waiter is not None:
            waiter.wake()
        return None

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
            self.wire.hub.loop.call_soon(_raise, error)
        else:
            logger.error("a callback of %r failed", self, exc_info=error)
        self._start_closing(INTERNAL_ERROR, "")

    # -- sending ----------------------------------------------------------------------------------

    def send(self, message: Any, text: bool | None = None) -> Any:
        """Send a message; await the result to keep to the peer's pace.

        The call queues the message; awaiting it waits only while more than `write_limit` octets
        wait on this WebSocket. A callback that cannot await looks at `done()` of the result, or
        leaves that out and lets the messages wait in memory. `str` is sent as text; `bytes`,
        `bytearray` and `memoryview` as binary; `text=True` and `text=False` say otherwise. An
        iterable, or an asynchronous iterable, of either is sent as one message in fragments;
        there the work begins with `await`.

        Awaiting raises ConnectionClosed where the WebSocket is closed or closing.
        """
        if self._state == OPEN and text is None:
            kind = type(message)
            if (kind is bytes or kind is str) and (
                self._extra is None or self._extra.sending is None
            ):
                return self._send(message)
        return self._send_any(message, text)

    def _send(self, message):
        wire = self.wire
        try:
            waiting = wire.conn.send_message(self.stream_id, message)
        except StreamClosed:
            return pending(self._fail_later)
        except Exception as error:
            return failed(error)
        wire._touch()
        if waiting <= wire.write_high:
            return READY
        return self._congested()

    def _congested(self):
        wire = self.wire
        if not wire.hub.busy:
            wire.pull()
            if self._state == OPEN and wire.conn.waiting(self.stream_id) <= wire.write_high:
                return READY
        return pending(self._drain)

    def _drain(self):
        # A future for the end of congestion, or None where it is over.
        if self._state == CLOSED:
            return self._fail_later()
        if self.wire.conn.waiting(self.stream_id) <= self.wire.write_high:
            return None
        future = self.wire.hub.loop.create_future()
        extra = self._extras()
        extra.drainers = _waiting(extra.drainers)
        extra.drainers.append(future)
        return future

    def _fail_later(self):
        # A future that ends with ConnectionClosed when the closing handshake is over.
        if self._state == CLOSED:
            raise self._error()
        future = self.wire.hub.loop.create_future()
        extra = self._extras()
        extra.closers = _waiting(extra.closers)
        extra.closers.append((future, True))
        return future

    def _send_any(self, message, text):
        if isinstance(message, str):
            if text is False:
                message = message.encode()
        elif isinstance(message, bytes | bytearray | memoryview):
            message = bytes(message)
            if text:
                try:
                    message = message.decode()
                except UnicodeDecodeError as error:
                    return failed(error)
        elif isinstance(message, Mapping):
            return failed(TypeError("a mapping is no message: send its keys() or json"))
        elif isinstance(message, Iterable | AsyncIterable):
            return self._send_fragments(message, text)
        else:
            return failed(
                TypeError(f"a message is str, bytes-like, or an iterable: {type(message)!r}")
            )
        if self._state != OPEN:
            return self._not_open()
        if self._extra is not None and self._extra.sending is not None:
            result = _awaited()
            result.waiting = self._send_after(message).__await__()
            return result
        return self._send(message)

    def _not_open(self):
        if self._state == CONNECTING:
            return failed(LocalProtocolError("the WebSocket is not open yet"))
        return pending(self._fail_later)

    async def _send_after(self, message):
        # A fragmented message is under way: nothing may come between.
        while self._extra is not None and self._extra.sending is not None:
            await asyncio.shield(self._extra.sending)
        if self._state != OPEN:
            await self._not_open()
        await self._send(message)

    async def _send_fragments(self, message, text):
        while self._extra is not None and self._extra.sending is not None:
            await asyncio.shield(self._extra.sending)
        if self._state != OPEN:
            await self._not_open()
        extra = self._extras()
        extra.sending = self.wire.hub.loop.create_future()
        kind = None
        begun = False
        try:
            if isinstance(message, AsyncIterable):
                async for piece in message:
                    kind, piece = self._fragment(piece, kind, text)
                    await self._send_fragment(piece, False)
                    begun = True
            else:
                for piece in message:
                    kind, piece = self._fragment(piece, kind, text)
                    await self._send_fragment(piece, False)
                    begun = True
            if begun:
                await self._send_fragment("" if isinstance(piece, str) else b"", True)
        except BaseException as error:
            # Half a message is out and the rest will not come: the WebSocket is of no use.
            if begun and not isinstance(error, ConnectionClosed):
                self._start_closing(INTERNAL_ERROR, "error in fragmented message")
            raise
        finally:
            sending = extra.sending
            extra.sending = None
            if not sending.done():
                sending.set_result(None)

    def _fragment(self, piece, kind, text):
        found = str if isinstance(piece, str) else bytes
        if not isinstance(piece, str | bytes | bytearray | memoryview):
            raise TypeError(f"a fragment is str or bytes-like: {type(piece)!r}")
        if kind is not None and found is not kind:
            raise TypeError("the fragments of a message are all text or all binary")
        if found is str:
            return found, piece.encode() if text is False else piece
        piece = bytes(piece)
        return found, piece.decode() if text else piece

    async def _send_fragment(self, piece, final):
        if self._state != OPEN:
            await self._not_open()
        try:
            waiting = self.wire.conn.send_fragment(self.stream_id, piece, final)
        except StreamClosed:
            await pending(self._fail_later)
            return
        self.wire._touch()
        if waiting > self.wire.write_high:
            await self._congested()

    # -- ping and pong ----------------------------------------------------------------------------

    def ping(self, data: Any = None) -> Any:
        """Send a ping; `await` gives a future whose result is the round trip in seconds.

        The payload is four random octets unless given. Raises ConcurrencyError where the same
        payload is on its way already, ConnectionClosed where the WebSocket is closed.
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
        """Send a pong nobody asked for: a sign of life. Pings are answered without you."""
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
                code = INTERNAL_ERROR
                reason = "close during fragmented message"
            self._start_closing(code, reason)
        return self.wait_closed()

    def _start_closing(self, code, reason):
        if self._state != OPEN:
            return
        try:
            self.wire.conn.close_websocket(self.stream_id, code, reason)
        except StreamClosed:
            return
        if self._state == OPEN:
            self._state = CLOSING
        self.wire._touch()

    def wait_closed(self) -> Any:
        """Await the end of the WebSocket."""
        return READY if self._state == CLOSED else pending(self._until_closed)

    def _until_closed(self):
        if self._state == CLOSED:
            return None
        future = self.wire.hub.loop.create_future()
        extra = self._extras()
        extra.closers = _waiting(extra.closers)
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
        await self.close(NORMAL_CLOSURE if kind is None else INTERNAL_ERROR)

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
        elif kind is Closed:
            self._over(event)
        return None

    def _over(self, event):
        self._closed = event
        self._state = CLOSED
        self._pinged = None
        websockets = self.wire.websockets
        if self._index >= 0:
            last = websockets.pop()
            if last is not self:
                websockets[self._index] = last
                last._index = self._index
            self._index = -1
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
                code = INTERNAL_ERROR
                logger.debug("the handler of %r ended with its connection: %s", self, error)
            elif error is not None:
                code = INTERNAL_ERROR
                logger.error("the handler of %r failed", self, exc_info=error)
        self._start_closing(code, "")
        self._first = None
        self._inbox = None
        self._inbox_at = 0

    def _extras(self):
        if self._extra is None:
            self._extra = Extra()
        return self._extra

    def _is_ok(self):
        event = self._closed
        return (
            event.received is not None
            and event.sent is not None
            and event.received[0] in (NORMAL_CLOSURE, GOING_AWAY, NO_STATUS_RCVD)
            and event.sent[0] in (NORMAL_CLOSURE, GOING_AWAY, NO_STATUS_RCVD)
        )

    def _error(self):
        # A new ConnectionClosed that tells how this WebSocket ended.
        event = self._closed
        received = None if event.received is None else Close(*event.received)
        sent = None if event.sent is None else Close(*event.sent)
        order = event.received_first if received is not None and sent is not None else None
        kind = ConnectionClosedOK if self._is_ok() else ConnectionClosedError
        return kind(received, sent, order)

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
    def latency(self) -> float:
        """The latest round trip of a ping, in seconds; 0.0 before the first."""
        return self._latency

    @property
    def http_version(self) -> str:
        """What carries it: "2" (a stream among others) or "1.1" (a connection of its own)."""
        return self.wire.http_version

    @property
    def remote_address(self) -> Any:
        """The peer's address, or None where the connection is gone."""
        return self._address("peername")

    @property
    def local_address(self) -> Any:
        """This end's address, or None where the connection is gone."""
        return self._address("sockname")

    def _address(self, which):
        transport = self.wire.transport
        return None if transport is None else transport.get_extra_info(which)

    def respond(self, status: int, text: str = "") -> Any:
        """Make the plain text Response with which `process_request` may refuse."""
        from .http import text_response

        return text_response(status, text)

    def __repr__(self) -> str:
        return f"<WebSocket stream {self.stream_id} {self.state.name}>"


def new_websocket(wire, stream_id, request):
    """Make a WebSocket that is not open yet."""
    ws = WebSocket.__new__(WebSocket)
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
    ws._inbox = None
    ws._inbox_at = 0
    ws._empty = 0
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


EARLY = 0.25  # of the interval: so much sooner may a ping go, with others or by chance


class Keeper:
    """Pings every WebSocket each `interval` seconds and fails those without an answer in time.

    One timer for all of a server's connections: it looks at a connection only when the earliest
    of its WebSockets is due. Nothing is allocated for a WebSocket but the time it is due. Those of
    one connection are pinged together, in one write; when, differs between connections by chance,
    so that those who came together do not stay so. The engines' own far deadlines are its too.
    """

    __slots__ = ("hub", "interval", "payload", "step", "timeout", "timer", "wires")

    def __init__(self, hub, interval, timeout, wires):
        self.hub = hub
        self.interval = interval
        self.timeout = 0.0 if timeout is None else timeout
        self.step = (interval if timeout is None else min(interval, timeout)) / 8
        self.wires = wires  # a server's own set of its connections
        self.timer = None
        self.payload = b""

    def add(self, wire):
        """Watch over a connection."""
        wire.keeper = self
        wire.keep_due = NEVER
        self.wires.add(wire)

    def discard(self, wire):
        """Forget a connection."""
        self.wires.discard(wire)
        if not self.wires and self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def waits(self, wire, now):
        """Is the engine's deadline so far away that this timer may look after it?"""
        if wire.due <= now + 2 * self.step:
            return False
        self._run()
        return True

    def _run(self):
        if self.timer is None:
            self.timer = self.hub.loop.call_later(self.step, self._tick)

    def _opened(self, ws):
        self._due(ws, self.hub.time() + self.interval * (1 - EARLY * random.random()))
        self._run()

    def _due(self, ws, when):
        ws._due = when
        wire = ws.wire
        if when < wire.keep_due:
            wire.keep_due = when

    def _answered(self, ws):
        # `_due` was when the ping went out, plus the time it had.
        now = self.hub.time()
        sent = ws._due - self.timeout
        ws._latency = now - sent
        self._due(ws, max(now, sent + self.interval))

    def _tick(self):
        self.timer = self.hub.loop.call_later(self.step, self._tick)
        now = self.hub.time()
        self.payload = os.urandom(4)
        idle = True
        for wire in list(self.wires):
            if self._look(wire, now):
                idle = False
        if idle:
            # The next WebSocket starts it again.
            self.timer.cancel()
            self.timer = None

    def _look(self, wire, now):
        # Is there anything to wait for on this connection?
        waits = False
        if wire.timer is None and wire.due != NEVER:
            waits = True
            if wire.due <= now + 2 * self.step:
                wire.due = NEVER
                wire._arm(now)
        if wire.websockets:
            waits = True
            if wire.keep_due <= now:
                self._walk(wire, now)
        return waits

    def _walk(self, wire, now):
        earliest = NEVER
        soon = now + self.interval * EARLY
        for ws in list(wire.websockets):
            if ws._due <= (soon if ws._pinged is None else now) and ws._state == OPEN:
                # A peer whose messages wait here, unread, may have no window left for its pong.
                if ws._pinged is not None and ws._first is None:
                    ws._pinged = None
                    ws._start_closing(INTERNAL_ERROR, "keepalive ping timeout")
                    continue
                try:
                    wire.conn.ping(ws.stream_id, self.payload)
                except StreamClosed:
                    continue
                if self.timeout:
                    ws._pinged = self.payload
                    ws._due = now + self.timeout
                else:
                    ws._due = now + self.interval
            if ws._due < earliest and ws._state == OPEN:
                earliest = ws._due
        wire.keep_due = earliest
        wire._touch()


def broadcast(websockets: Iterable[WebSocket], message: Any, text: bool | None = None) -> None:
    """Send one message to many WebSockets, encoded once for each connection.

    Those that are not open are skipped. Nobody is waited for: what a slow peer does not take
    waits in memory until keepalive ends it.
    """
    if isinstance(message, str):
        if text is False:
            message = message.encode()
    elif isinstance(message, bytes | bytearray | memoryview):
        message = bytes(message)
        if text:
            message = message.decode()
    else:
        raise TypeError(f"a message is str or bytes-like: {type(message)!r}")
    groups = {}
    for ws in websockets:
        if ws._state == OPEN and (ws._extra is None or ws._extra.sending is None):
            group = groups.get(ws.wire)
            if group is None:
                groups[ws.wire] = [ws.stream_id]
            else:
                group.append(ws.stream_id)
    for wire, stream_ids in groups.items():
        wire.conn.send_many(stream_ids, message)
        wire._touch()


if hasattr(Receiver, "__pyx_vtable__"):
    # Compiled: the interpreter asks for a message by C slots, `am_send` up to 3.11 (Cython has no
    # name for it), `tp_iternext` since. A message that is ready then costs 55 ns instead of 190.
    _set_slots()  # noqa: F821  # stands in the .pxd
