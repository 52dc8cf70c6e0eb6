"""The connections to a backend for WebSockets whose messages are read."""

from __future__ import annotations

import math
from typing import Any

from ..aio.client.opening import Wanted
from ..aio.client.pool import Pool, PoolLink
from ..aio.uri import Target
from ..aio.websocket import WebSocket
from ..errors import ConnectionTerminated
from .conversation import Conversation
from .fields import Refused

__all__ = ["HopPool"]


class HopLink(PoolLink):
    """One of them."""

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
