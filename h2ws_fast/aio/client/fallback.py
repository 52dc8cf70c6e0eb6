"""Where HTTP/2 does not carry WebSockets and tunnels, HTTP/1.1 does: RFC 6455 beside RFC 8441.

Each of them has a connection of its own, over which ALPN offers `http/1.1` alone. That an
origin needs it is remembered by the event loop for a while.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ...engine.constants import HTTP_1_1_REQUIRED
from ...errors import (
    ConnectionTerminated,
    ExtendedConnectUnsupported,
    LocalProtocolError,
    StreamReset,
)
from ..h1.upgrade import Handshake, TunnelHandshake, UpgradeWire, dialling
from ..http import Request, Response
from ..hub import Hub
from ..traced import traced
from ..tunnel import Tunnel
from ..uri import Target
from ..websocket import WebSocket
from .opening import Wanted

if TYPE_CHECKING:
    from .session import Session

__all__ = ["either", "is_remembered", "open_tunnel", "open_upgraded", "probe", "remember"]

T = TypeVar("T")

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


async def either(
    session: Session, over_h2: Callable[[], Awaitable[T]], over_h1: Callable[[], Awaitable[T]]
) -> T:
    """Open something over HTTP/2; or over HTTP/1.1, where it may be and has to be."""
    if not session._over_h1:
        try:
            return await over_h2()
        except ExtendedConnectUnsupported:
            if session._http != "auto":
                raise
        except StreamReset as error:
            if session._http != "auto" or error.error_code != HTTP_1_1_REQUIRED:
                raise
        session._over_h1 = True
    return await over_h1()


async def open_upgraded(session: Session, wanted: Wanted) -> WebSocket:
    """Open a WebSocket over HTTP/1.1 for a session."""
    hub = _hub(session)
    request = session._make_request(
        "GET", wanted.path, wanted.headers, "websocket", wanted.authority
    )

    def ask(opened: Any, failed: Any) -> Handshake:
        return Handshake(
            request,
            wanted.subprotocols,
            session._limits,
            opened,
            failed,
            pool=hub.pool,
            deflate=session._deflate,
        )

    wire = _wire(session, hub, ask, wanted.opened)
    wire.queue_high, wire.queue_low = session._queue
    wanted.make(wire, 1, request)
    if session._keeper is not None:
        session._keeper.add(wire)
    turn = dialling(hub, session._way.place) if session._in_turn else contextlib.nullcontext()
    async with turn:
        await _upgrade(session, hub, wire)
    return wanted.ws


async def open_tunnel(session: Session, asked: Request, ended: bool) -> Tunnel:
    """Open a tunnel over HTTP/1.1 for a session; `ended`: this side of it is."""
    hub = _hub(session)
    request = session._make_request(
        "GET", asked.path, list(asked.headers.raw_items()), asked.protocol
    )

    def ask(opened: Any, failed: Any) -> TunnelHandshake:
        return TunnelHandshake(request, session._limits, opened, failed)

    def opened(response: Response, subprotocol: str | None) -> None:
        tunnel.response = response
        wire.conn.attach(1, tunnel.feed)
        # Over TLS a side cannot end alone; what is not written does not disturb.
        if ended and wire.transport.can_write_eof():
            tunnel.send_eof()
        tunnel._sending.ended = ended

    wire = _wire(session, hub, ask, opened)
    tunnel = Tunnel(wire, 1, request.protocol or "", request)
    await _upgrade(session, hub, wire)
    session._exchanges.add(tunnel)
    return tunnel


def _hub(session: Session) -> Hub:
    if session._hub is None:
        raise LocalProtocolError("the session is not connected: use async with, or connect()")
    return session._hub


def _wire(session: Session, hub: Hub, ask: Any, opened: Any) -> UpgradeWire:
    wire = traced(
        UpgradeWire, session._tracer(), hub, session._limits, ask, opened, session._forget
    )
    wire.log = session.logger
    wire.observer = session._observer
    return wire


async def _upgrade(session: Session, hub: Hub, wire: UpgradeWire) -> None:
    # Connect, and wait for the answer.
    session._others.add(wire)
    try:
        spare, session._spare = session._spare, None
        if spare is not None and not spare.is_closing():
            # HTTP/1.1 was chosen on it when HTTP/2 was offered beside.
            spare.set_protocol(wire)
            wire.connection_made(spare)
        else:
            # As over HTTP/2 connecting has the session's time, whatever the handshake has.
            async with asyncio.timeout(session._open_timeout):
                await session._way.open(wire, session._secured(("h1",)))
        await wire.opening
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
