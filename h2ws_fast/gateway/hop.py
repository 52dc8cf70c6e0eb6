"""The connections to a backend for WebSockets whose messages are read."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, TypeVar

from ..aio.client.opening import Wanted
from ..aio.client.pool import Origin, Pool, PoolLink
from ..aio.uri import Target
from ..aio.websocket import WebSocket
from ..errors import ConnectionTerminated
from .aware import Aware
from .conversation import Conversation
from .fields import Refused

__all__ = ["HopPool"]

T = TypeVar("T")

# Of the task that asks: until when it may wait for a connection, and for a stream on it; and what for.
ROOM: ContextVar[asyncio.Timeout] = ContextVar("room")
ASKING: ContextVar[Conversation] = ContextVar("asking")


def ask() -> None:
    """There is room: what is waited for from here on is the backend's to give."""
    ROOM.get().reschedule(None)
    ASKING.get().asked = True


class HopLink(PoolLink):
    """One of them."""

    # RFC 6455 section 4.1 has one client open one after the other; these are of many.
    _in_turn = False

    async def _start(self, attempt: Callable[[], int]) -> int:
        stream_id = await super()._start(attempt)
        ask()
        return stream_id

    async def _websocket(self, wanted: Wanted) -> WebSocket:
        if self._over_h1:  # and connecting has its own bound
            ask()
        try:
            return await super()._websocket(wanted)
        except Exception as error:
            ASKING.get().asked = False  # it has said something, or is lost; another may be asked
            if isinstance(error, OSError | ConnectionTerminated) and is_asked(wanted):
                raise Refused(502, str(error)) from error
            raise


def is_asked(wanted: Wanted) -> bool:
    """Was the handshake sent? Then the backend could be reached, and no other one is asked."""
    ws = getattr(wanted, "ws", None)
    return ws is not None and (ws.wire.lost or ws.wire.transport is not None)


class HopPool(Pool):
    """A Pool that asks for what a client has asked for. `open_timeout` is for room and connecting.

    Refused where a handshake was sent and nothing came of it; otherwise it raises as `Pool` does.
    """

    _kind = HopLink

    def __init__(self, aware: Aware, **arguments: Any) -> None:
        super().__init__(**aware._asdict(), **arguments)
        self._most: int = arguments["max_connections"]

    @property
    def full(self) -> bool:
        """Is there no room for one more WebSocket?"""
        told = self.stats()
        if told["connections"] - told["leaving"] + told["dialling"] >= self._most:
            return True
        return any(link.usable and link.room <= 0 for link in self._connections.links())

    def retire(self) -> None:
        """From here on each connection ends with the last WebSocket on it."""
        retire = self._connections.retire
        for link in self._connections.links():
            if link.busy:
                link.when_idle(retire)  # GOAWAY would close what is open with 1001
            else:
                retire(link)

    async def _over_h1(self, origin: Origin, act: Callable[[Any], Awaitable[T]]) -> T:
        # As long again, where HTTP/2 was tried.
        patience = self._open_timeout
        due = None if patience is None else asyncio.get_running_loop().time() + patience
        ROOM.get().reschedule(due)
        return await super()._over_h1(origin, act)

    async def converse(self, target: Target, conversation: Conversation) -> WebSocket:
        """Open the backend's end; how long it may take to answer is for the caller to say.

        Raises TimeoutError where nothing could be asked in `open_timeout` seconds.
        """
        asked: dict[str, Any] = {
            "additional_headers": conversation.fields,
            "subprotocols": conversation.subprotocols,
            "user_agent_header": None,
            "authority": conversation.authority or target.authority,
        }
        # The path as it came: what a URI may not hold is the client's and the backend's to know.
        target = target._replace(path=conversation.path)
        async with asyncio.timeout(self._open_timeout) as room:
            ROOM.set(room)
            ASKING.set(conversation)
            return await self._websocket(target, math.inf, asked)
