"""Where HTTP/2 does not carry WebSockets, HTTP/1.1 does: RFC 6455 beside RFC 8441.

Each such WebSocket has a connection of its own, over which ALPN offers `http/1.1` alone. That an
origin needs it is remembered by the event loop for a while.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ...errors import ConnectionTerminated, LocalProtocolError
from ..h1.upgrade import UpgradeWire, dialling
from ..protocol import Hub
from ..traced import traced
from ..uri import Target
from ..websocket import WebSocket
from .opening import Wanted

if TYPE_CHECKING:
    from .session import Session

__all__ = ["is_remembered", "open_upgraded", "probe", "remember"]

# In cleartext nothing says beforehand whether a server speaks HTTP/2: what it has to say so.
PROBE_S = 3.0
REMEMBER_S = 600.0
MAX_REMEMBERED = 1000


def _origin(target: Target) -> tuple[str, str, int]:
    return target.scheme, target.host, target.port


def is_remembered(hub: Hub, target: Target) -> bool:
    """Did this origin take WebSockets over HTTP/1.1 alone, not long ago?"""
    known: dict[Any, float] = hub.known.get("h1", {})
    until = known.get(_origin(target))
    return until is not None and hub.time() < until


def remember(hub: Hub, target: Target) -> None:
    """Next time begin with HTTP/1.1."""
    known: dict[Any, float] = hub.known.setdefault("h1", {})
    known.pop(_origin(target), None)
    known[_origin(target)] = hub.time() + REMEMBER_S
    if len(known) > MAX_REMEMBERED:
        del known[next(iter(known))]  # the oldest


async def probe(session: Session) -> None:
    """Wait until a server in cleartext has shown that it speaks HTTP/2; leave it where it does not."""
    wire = session._wire
    assert wire is not None
    patience = PROBE_S if session._open_timeout is None else min(PROBE_S, session._open_timeout / 2)
    try:
        async with asyncio.timeout(patience):
            while not session._live().conn.settings_received:
                await wire.greeted()
        return
    except (TimeoutError, ConnectionTerminated):
        if wire.conn.settings_received:
            raise
    wire.abort()
    await asyncio.shield(wire.gone)
    session._wire = None
    session._over_h1 = True


async def open_upgraded(session: Session, wanted: Wanted) -> WebSocket:
    """Open a WebSocket over HTTP/1.1 for a session."""
    hub = session._hub
    if hub is None:
        raise LocalProtocolError("the session is not connected: use async with, or connect()")
    request = session._make_request(
        "GET", wanted.path, wanted.headers, "websocket", wanted.authority
    )
    wire = traced(
        UpgradeWire,
        session._tracer(),
        hub,
        session._limits,
        request,
        wanted.subprotocols,
        wanted.opened,
        session._forget,
        session._deflate,
    )
    wire.log = session.logger
    wire.observer = session._observer
    wire.queue_high, wire.queue_low = session._queue
    wanted.make(wire, 1, request)
    if session._keeper is not None:
        session._keeper.add(wire)
    session._others.add(wire)
    try:
        await _dial(session, hub, wire)
    except BaseException as error:
        refusal = wire.refusal()
        if wire.transport is not None:
            wire.abort()
            hub.loop.call_soon(wire.forsake)
        elif not wire.lost:
            session._forget(wire)
        if isinstance(error, asyncio.CancelledError):
            raise error from refusal  # see `in_time`
        raise
    if session._http == "auto":
        remember(hub, session.target)
    return wanted.ws


async def _dial(session: Session, hub: Hub, wire: UpgradeWire) -> None:
    way = session._way
    async with dialling(hub, way.place):
        spare, session._spare = session._spare, None
        if spare is not None and not spare.is_closing():
            # HTTP/1.1 was chosen on it when HTTP/2 was offered beside.
            spare.set_protocol(wire)
            wire.connection_made(spare)
        else:
            await way.open(wire, session._secured(("h1",)))
        await wire.opening
