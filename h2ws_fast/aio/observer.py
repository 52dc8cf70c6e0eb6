"""What a program may be told of connections and WebSockets as it happens: for metrics, or a log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .protocol import Wire
    from .websocket import WebSocket

__all__ = ["Observer", "check_observer", "tell"]

logger = logging.getLogger("h2ws_fast.aio.observer")


class Observer:
    """Give one to `serve`, `connect` or `Session` as `observer`; override what you want to know.

    A `connection` has `http_version`, `remote_address`, `local_address`, `websockets` (those that
    are open) and `stats()`. The methods are called at once, in the event loop: do little, and call
    no method of a WebSocket but those that only look. What they raise is logged.
    """

    def connection_opened(self, connection: Wire) -> None:
        """A transport is there, with TLS done."""

    def connection_closed(self, connection: Wire) -> None:
        """It is gone. `connection.stats()` tells what it carried."""

    def websocket_opened(self, ws: WebSocket) -> None:
        """The opening handshake of a WebSocket is done."""

    def websocket_closed(self, ws: WebSocket) -> None:
        """A WebSocket that was open is over: see `ws.close_code` and `ws.close_reason`."""

    def limit_reached(self, connection: Wire | None, name: str) -> None:
        """A connection reached one of `Limits`, for the first time of that name.

        None: a newcomer was refused for a limit over all connections, such as `max_connections`.
        """


def tell(observer: Any, name: str, *arguments: Any) -> None:
    """Call a method of an observer, if there is one. Raises nothing."""
    if observer is None:
        return
    try:
        getattr(observer, name)(*arguments)
    except Exception:
        logger.exception("%s of %r failed", name, observer)


def check_observer(observer: Any) -> Observer | None:
    """Raise TypeError for what is neither None nor an Observer."""
    if observer is not None and not isinstance(observer, Observer):
        raise TypeError(f"observer must be an Observer: {observer!r}")
    return observer
