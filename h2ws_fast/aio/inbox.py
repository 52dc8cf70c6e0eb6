"""Messages that wait for their reader, and the reader that waits for messages.

A message that is ready allocates nothing when it is read: `recv` and `async for` hand out one
Receiver each, again and again, which yields the inbox's Waiter while there is nothing to read.
"""

from __future__ import annotations

from typing import Any

from ..engine.constants import EVENT_OCTETS, GOING_AWAY, NO_STATUS_RCVD, NORMAL_CLOSURE
from ..engine.sink import Sink
from ..errors import Close, ConcurrencyError, ConnectionClosedError, ConnectionClosedOK
from .hub import new_waiter

PENDING = object()  # nothing to read now

# Octets of a message from which on its reader runs at once, not at the end of the read: what one
# read brings of such messages is more than the cache of a core has room for three times.
LARGE = 4096

TRIM = (
    64  # places of what was taken, in the list of what waits: beyond, they are given up by halves
)


class Receiver:
    """The next message of one WebSocket, as often as it is awaited."""

    __slots__ = ("inbox", "iterating")

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        message = self._step()
        if message is PENDING:
            return self.inbox._waiter
        raise StopIteration(message)

    def send(self, value):
        message = self._step()
        if message is PENDING:
            return self.inbox._waiter
        raise StopIteration(message)

    def throw(self, kind, value=None, traceback=None):
        self.close()
        if value is None:
            value = kind() if isinstance(kind, type) else kind
        raise value if traceback is None else value.with_traceback(traceback)

    def close(self):
        # A waiter that has its callback belongs to the task that waits, which is not this one: a
        # task ends its own wait before it throws. It may be another that was cancelled at once.
        waiter = self.inbox._waiter
        if waiter is not None and waiter.state == 1:  # YIELDED
            waiter.reset()

    def _step(self):
        # The message, or PENDING once the waiter is ready to be yielded; raises at the end.
        inbox = self.inbox
        waiter = inbox._waiter
        if waiter is not None and waiter.state != 0:
            raise ConcurrencyError("another task already waits for a message of this WebSocket")
        if inbox._first is not None:
            return inbox._take()
        if inbox._closed is not None:
            if self.iterating and inbox._is_ok():
                raise StopAsyncIteration
            raise inbox._error()
        if waiter is None:
            waiter = new_waiter(inbox.wire.hub)
            inbox._waiter = waiter
        waiter.begin()
        return PENDING


def new_receiver(inbox, iterating):
    receiver = Receiver.__new__(Receiver)
    receiver.inbox = inbox
    receiver.iterating = iterating
    return receiver


class Inbox(Sink):
    """What of a WebSocket is read: the messages that wait, and after them the way it ended."""

    __slots__ = (
        "_closed",
        "_credit",
        "_first",
        "_iterator",
        "_receiver",
        "_rest",
        "_rest_at",
        "_waiter",
        "stream_id",
        "wire",
    )

    def __init__(self) -> None:
        raise TypeError("a WebSocket comes from connect(), serve() or Session.websocket()")

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
            joined = self._join(False)
            if joined is not None:
                return joined
            self._receiver = new_receiver(self, False)
        return self._receiver

    async def _recv_as(self, decode):
        message = await self.recv()
        if decode and isinstance(message, bytes):
            try:
                return message.decode()
            except UnicodeDecodeError as error:
                return await self._undecodable(error)
        if not decode and isinstance(message, str):
            return message.encode()
        return message

    def __aiter__(self) -> Any:
        """Iterate over messages until the WebSocket is closed; raise ConnectionClosedError where
        that was not proper."""
        return self

    def __anext__(self) -> Any:
        if self._iterator is None:
            joined = self._join(True)
            if joined is not None:
                return joined
            self._iterator = new_receiver(self, True)
        return self._iterator

    def _join(self, iterating):
        """What awaits the next message where messages come in pieces; None where they come whole."""
        return None

    def _take(self):
        # The oldest message that waits; its credit goes back to the peer.
        message = self._first
        credit = self._credit
        rest = self._rest
        if rest is None:
            self._first = None
        else:
            at = self._rest_at
            if len(rest) - at == self.wire.queue_low * 2:
                self.wire.conn.withhold(self.stream_id, False)
                self.wire._touch()
            self._first = rest[at]
            self._credit = rest[at + 1]
            rest[at] = None  # whose reader is never done would keep all that it took
            at += 2
            if at == len(rest):
                self._rest = None
                self._rest_at = 0
            elif at >= TRIM and at * 2 >= len(rest):
                del rest[:at]
                self._rest_at = 0
            else:
                self._rest_at = at
        self.wire.conn.consumed(self.stream_id, credit)
        self.wire._touch()
        return message

    def _put(self, data, credit):
        # A message arrives.
        if self._first is None:
            self._first = data
            self._credit = credit
        else:
            rest = self._rest
            if rest is None:
                rest = []
                self._rest = rest
            rest.append(data)
            rest.append(credit)
            if len(rest) - self._rest_at == self.wire.queue_high * 2:
                self.wire.conn.withhold(self.stream_id, True)
        if self._waiter is not None:
            if credit >= LARGE:
                self._waiter.wake_at_once()
            else:
                self._waiter.wake()

    def _clear(self):
        # Nobody will read what waits.
        self._first = None
        self._rest = None
        self._rest_at = 0

    def _is_awaited(self):
        # Does a task wait for a message?
        waiter = self._waiter
        return waiter is not None and waiter.state != 0

    def _is_unread(self):
        """Does a message, or a piece of one, wait for its reader?"""
        return self._first is not None

    def _unread(self):
        # How many messages wait whole.
        if self._first is None:
            return 0
        return 1 if self._rest is None else 1 + (len(self._rest) - self._rest_at) // 2

    def _unread_octets(self):
        # What the messages that wait whole take, about.
        if self._first is None:
            return 0
        octets = EVENT_OCTETS + len(self._first)
        rest = self._rest
        if rest is not None:
            for at in range(self._rest_at, len(rest), 2):
                octets += EVENT_OCTETS + len(rest[at])
        return octets

    def _take_whole(self):
        # The oldest message that came whole, or None.
        return None if self._first is None else self._take()

    def _check_ended(self):
        # There is nothing to read: raise ConnectionClosed where nothing will come.
        if self._closed is not None:
            raise self._error()

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


if hasattr(Receiver, "__pyx_vtable__"):
    # Compiled: the interpreter asks for a message by C slots, `am_send` up to 3.11 (Cython has no
    # name for it), `tp_iternext` since. A message that is ready then costs 55 ns instead of 190.
    _set_slots()  # noqa: F821  # stands in the .pxd
