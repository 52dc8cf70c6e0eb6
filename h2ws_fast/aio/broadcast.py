"""One message to many WebSockets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..engine.constants import TRY_AGAIN_LATER
from ..errors import ConcurrencyError, ConnectionClosed
from .awaitable import READY
from .state import OPEN
from .websocket import WebSocket

POLICIES = ("drop", "conflate", "close", "wait")


class Draining:
    """Awaits that none of some WebSockets holds more than its `write_limit` any longer."""

    __slots__ = ("websockets",)

    def __init__(self, websockets):
        self.websockets = websockets

    def __await__(self):
        for ws in self.websockets:
            try:
                future = ws._drain()
                if future is not None:
                    yield from future.__await__()
            except ConnectionClosed:
                continue


def broadcast(
    connections: Iterable[WebSocket],
    message: Any,
    raise_exceptions: bool = False,
    *,
    text: bool | None = None,
    policy: str | Callable[[WebSocket], str] | None = None,
) -> Any:
    """Send one message to many WebSockets, framed once for all that frame it alike.

    Those that are not open are passed over. Nobody is waited for, and `policy` says what becomes
    of the message where more than `write_limit` octets wait for one recipient already:

        None        it waits in memory, until keepalive ends who does not read
        "drop"      this recipient does not get it
        "conflate"  it waits alone, and a later one of this kind takes its place until there is room
        "close"     the recipient is closed with 1013
        "wait"      it waits in memory; `await broadcast(...)` waits until nobody holds more than
                    his `write_limit`, or is gone

    or a function of the WebSocket that returns one of the names. `text` as in `WebSocket.send`.

    Who is sending a fragmented message, or whose connection holds too much, does not get it: a
    warning is logged, or with `raise_exceptions` all such errors are raised at the end as an
    ExceptionGroup. Raises TypeError for what is no message, ValueError for an unknown policy.
    """
    data = message_of(message, text)
    if policy is not None and policy not in POLICIES and not callable(policy):
        raise ValueError(f"policy is one of {POLICIES}, a function, or None: {policy!r}")
    return _broadcast(connections, data, bool(raise_exceptions), policy)


def _broadcast(connections, data, raising, policy):
    groups = {}
    errors = []
    waited = []
    for ws in connections:
        if ws._state != OPEN:
            continue
        if ws._extra is not None and ws._extra.sending is not None:
            error = ConcurrencyError("a fragmented message is being sent")
            _skip(ws.logger, error, errors, raising)
            continue
        if policy == "wait":
            waited.append(ws)
        elif policy is not None and _is_withheld(ws, data, policy, waited):
            continue
        group = groups.get(ws.wire)
        if group is None:
            groups[ws.wire] = [ws.stream_id]
        else:
            group.append(ws.stream_id)
    packed = {}  # what is compressed once for all
    for wire, group in groups.items():
        try:
            wire.conn.send_many(group, data, packed)
        except Exception as error:
            _skip(wire.log, error, errors, raising)
        wire._touch()
    if errors:
        raise ExceptionGroup("a broadcast did not reach everybody", errors)
    return Draining(waited) if waited else READY


def message_of(message, text):
    # What the engine sends: str or bytes.
    if isinstance(message, str):
        return message.encode() if text is False else message
    if isinstance(message, bytes | bytearray | memoryview):
        data = bytes(message)
        return data.decode() if text else data
    raise TypeError(f"a message is str or bytes-like: {type(message)!r}")


def _skip(log, error, errors, raising):
    if raising:
        failure = error
        if not isinstance(error, ConcurrencyError):
            failure = RuntimeError("a message could not be queued")
            failure.__cause__ = error
        errors.append(failure)
    else:
        log.warning("left out of a broadcast: %s", error)


def _is_withheld(ws, data, policy, waited):
    # More waits for this recipient than should: does the message not go out now?
    wire = ws.wire
    if ws._extra is not None and ws._extra.conflated is not None:
        ws._conflate(data)
        return True
    if wire.conn.waiting(ws.stream_id) <= wire.write_high:
        return False
    if not wire.hub.busy:
        wire.pull()
        if ws._state != OPEN:
            return True
        if wire.conn.waiting(ws.stream_id) <= wire.write_high:
            return False
    chosen = policy(ws) if callable(policy) else policy
    if chosen == "conflate":
        ws._conflate(data)
    elif chosen == "close":
        ws._start_closing(TRY_AGAIN_LATER, "too slow a reader")
    elif chosen == "wait":
        waited.append(ws)
        return False
    elif chosen != "drop":
        raise ValueError(f"policy returned {chosen!r}, not one of {POLICIES}")
    return True
