"""One connection of a pool: a Session that knows how much it has to do."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .session import Session

__all__ = ["Link"]

# RFC 9113 section 5.1.1: the identifiers of a connection's streams run out at 2**30.
MAX_STREAMS = 2**29


class Link(Session):
    """A connection to `origin`, and what is on it. `await connect()` it first.

    `gone(link)` is called when it is over.
    """

    def __init__(
        self, uri: str, origin: Any, gone: Callable[[Any], None], **arguments: Any
    ) -> None:
        super().__init__(uri, **arguments)
        self._max_waiting = math.inf  # who leads streams here counts all that wait
        self.origin = origin
        self.reserved = 0  # streams that are led here, or may be, and are not opened yet
        self.opened = 0  # streams so far
        self._gone = gone

    def _secured(self, http: tuple[str, ...]) -> dict[str, Any]:
        # Both are offered, so that a server of HTTP/1.1 says so: RFC 7301 lets it fail otherwise.
        return super()._secured(("h2", "h1") if http == ("h2",) else http)

    def _goaway(self) -> None:
        # It ends with its last stream, even where the server only announces that it will leave:
        # HAProxy says no more, and waits for its clients.
        wire = self._wire
        if wire is not None:
            wire.on_idle = self._shutdown
            wire.watched = True

    def _forget(self, wire: Any) -> None:
        super()._forget(wire)
        # Over HTTP/1.1 a WebSocket that was misdirected (421) has another connection by now.
        if self._wire is wire or (self._wire is None and not self._others):
            self._gone(self)

    async def _start(self, attempt: Callable[[], int]) -> int:
        stream_id = await super()._start(attempt)
        self.opened += 1
        return stream_id

    @property
    def usable(self) -> bool:
        """Does the server take new streams on it?"""
        return self.connected and self.opened < MAX_STREAMS

    @property
    def streams(self) -> int:
        """How many streams are open that were opened here; a WebSocket over HTTP/1.1 is one."""
        wire = self._wire
        if wire is None:
            return len(self._others)
        return 0 if wire.lost else int(wire.conn.own_streams)

    @property
    def waiting(self) -> int:
        """How many wait on it, for SETTINGS or a stream."""
        wire = self._wire
        return 0 if wire is None else len(wire.waiting) + len(wire.ungreeted)

    @property
    def load(self) -> int:
        """Streams that are open or will be."""
        return self.streams + self.waiting + self.reserved

    @property
    def room(self) -> float:
        """How many streams more the server allows, those that are led here counted in."""
        most = None if self._wire is None else self._wire.conn.peer_max_concurrent_streams
        return math.inf if most is None else most - self.streams - self.reserved

    @property
    def busy(self) -> bool:
        """Is a stream on it, or about to be?"""
        return self.load > 0

    async def free(self, *, first: bool) -> None:
        """Wait for a free stream, or for the end of the connection."""
        await self._live().wait(first=first)

    def look_again(self) -> None:
        """Wake whoever waits for a stream that is free."""
        wire = self._wire
        if wire is not None and wire.waiting and not wire.lost:
            wire._settled()

    def when_idle(self, call: Callable[[Any], None]) -> None:
        """Call `call(link)` once, soon after its last stream has ended."""
        wire = self._wire
        if wire is not None and wire.on_idle is None:
            wire.on_idle = lambda: call(self)
            wire.watched = True

    def retire(self) -> None:
        """Take no more streams; the connection ends with the last one."""
        self._shutdown()
