"""The connections to a backend for WebSockets whose messages are read."""

from __future__ import annotations

import math
from typing import Any

from ..aio.client.opening import Wanted
from ..aio.client.pool import Pool, PoolLink
from ..aio.uri import Target
from ..aio.websocket import WebSocket
from ..errors import ConnectionTerminated
from .aware import Aware
from .conversation import Conversation
from .fields import Refused

__all__ = ["HopPool"]


class HopLink(PoolLink):
    """One of them."""

    # RFC 6455 section 4.1 has one client open one after the other; these are of many.
    _in_turn = False

    async def _websocket(self, wanted: Wanted) -> WebSocket:
        try:
            return await super()._websocket(wanted)
        except (OSError, ConnectionTerminated) as error:
            if is_asked(wanted):
                raise Refused(502, str(error)) from error
            raise


def is_asked(wanted: Wanted) -> bool:
    """Was the handshake sent? Then the backend could be reached, and no other one is asked."""
    ws = getattr(wanted, "ws", None)
    return ws is not None and (ws.wire.lost or ws.wire.transport is not None)


class HopPool(Pool):
    """A Pool that asks for what a client has asked for. `open_timeout` is for connecting alone.

    Refused where a handshake was sent and nothing came of it; otherwise it raises as `Pool` does.
    """

    _kind = HopLink

    def __init__(self, aware: Aware, **arguments: Any) -> None:
        super().__init__(**aware._asdict(), **arguments)

    def retire(self) -> None:
        """From here on each connection ends with the last WebSocket on it."""
        retire = self._connections.retire
        for link in self._connections.links():
            if link.busy:
                link.when_idle(retire)  # GOAWAY would close what is open with 1001
            else:
                retire(link)

    async def converse(self, target: Target, conversation: Conversation) -> WebSocket:
        """Open the backend's end; how long that may take is for the caller to say."""
        asked: dict[str, Any] = {
            "additional_headers": conversation.fields,
            "subprotocols": conversation.subprotocols,
            "user_agent_header": None,
            "authority": conversation.authority or target.authority,
        }
        # The path as it came: what a URI may not hold is the client's and the backend's to know.
        return await self._websocket(target._replace(path=conversation.path), math.inf, asked)
