"""The connections to one backend over HTTP/1.1: used again, bounded in number, and waited for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from ..aio.h1.pace import ReadingWire
from ..engine import Limits
from ..engine.events import Terminated
from ..engine.octets import Octets
from ..errors import NoAvailableStreams
from .crossing import LAST_WORDS_S
from .h1 import H1Client
from .sides import Sided

__all__ = ["MOST", "H1Link", "H1Links"]

MAX_IDLE = 64  # that wait for another request
# A tunnel has a connection of its own, and Linux has 28 232 ports (net.ipv4.ip_local_port_range) for
# connections to one address and port: beyond them connecting fails, for whoever else goes there too.
MOST = 20_000
MAX_WAITING = 1000  # requests that wait for one; more would outlast their clients' patience


class H1Link(Sided, ReadingWire, asyncio.Protocol):
    """A connection to a backend over HTTP/1.1, and the tunnel that it may become."""

    __slots__ = ("_links", "client")

    def __init__(self, links: H1Links, hub: Any, limits: Limits) -> None:
        self._links = links
        self.client = H1Client(limits, self._rest, self.become)
        super().__init__(hub, self.client, limits.write_high)
        self.watched = True

    def _rest(self) -> None:
        self._links.rest(self)

    def _event(self, event: Any) -> None:
        if type(event) is Terminated:
            self.over = True
            self._links.gone(self)

    def _lost(self, exc: BaseException | None) -> None:
        self._links.gone(self)

    def patience_s(self) -> float:
        """See `PacedWire`: an answer may be under way."""
        return LAST_WORDS_S

    @property
    def usable(self) -> bool:
        """Can it take a request now?"""
        return not (self.lost or self.closing or self.client.terminated)

    def leave(self) -> None:
        """End, as soon as nothing is under way."""
        self.client.shutdown()
        self.touch()


class H1Links:
    """Those that `dial(links)` makes, `most` at once, those that are being made counted in.

    Whoever comes when there are so many waits for one that is free, or for room, in turn.
    """

    def __init__(self, dial: Callable[[H1Links], Awaitable[H1Link]], most: int) -> None:
        self._dial = dial
        self._most = most
        self._all: set[H1Link] = set()
        self._idle: list[H1Link] = []
        self._dialling = 0
        self._waiting: deque[asyncio.Future[H1Link | None]] = deque()
        self._refused = 0
        self._retired = False

    def __len__(self) -> int:
        return len(self._all)

    async def take(self, patience_s: float | None, fresh: bool = False) -> H1Link:
        """Return one for a request; with `fresh` none that waits for another, where there is room.

        Raises what `dial` raises, ConnectionResetError where the backend hung up before it could be
        used, and NoAvailableStreams: too many wait, or none was free in time."""
        while True:
            has_room = len(self._all) + self._dialling < self._most
            while self._idle and not (fresh and has_room):
                link = self._idle.pop()
                if link.usable:
                    return link
            if has_room:
                break
            granted = await self._granted(patience_s)
            if granted is None:
                self._dialling -= 1  # the room that was kept for it
                break
            if granted.usable:
                return granted
        self._dialling += 1
        try:
            link = await self._dial(self)
            if not link.usable:  # it was closed at once, before it could be counted
                raise ConnectionResetError("the backend closed the connection at once")
            self._all.add(link)
            return link
        finally:
            self._dialling -= 1
            self._let_in(None)

    async def _granted(self, patience_s: float | None) -> H1Link | None:
        if len(self._waiting) >= MAX_WAITING:
            self._refused += 1
            raise NoAvailableStreams("too many requests wait for a connection")
        granted: asyncio.Future[H1Link | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(granted)
        try:
            async with asyncio.timeout(patience_s):
                return await granted
        except (TimeoutError, asyncio.CancelledError) as error:
            if granted in self._waiting:
                self._waiting.remove(granted)
            elif granted.done() and not granted.cancelled():
                self._give_back(granted.result())  # it came in the same moment
            if isinstance(error, TimeoutError):
                self._refused += 1
                raise NoAvailableStreams("all of its connections are in use") from error
            raise

    def _give_back(self, link: H1Link | None) -> None:
        if link is not None:
            self.rest(link)
        else:
            self._dialling -= 1
            self._let_in(None)

    def _let_in(self, link: H1Link | None) -> bool:
        # Whoever waits longest has this connection, or room for another.
        while self._waiting:
            if link is None and len(self._all) + self._dialling >= self._most:
                return False
            granted = self._waiting.popleft()
            if not granted.done():
                if link is None:
                    self._dialling += 1
                granted.set_result(link)
                return True
        return False

    def rest(self, link: H1Link) -> None:
        """It has nothing to do."""
        if link.usable and self._let_in(link):
            return
        if link.usable and len(self._idle) < MAX_IDLE and not self._retired:
            self._idle.append(link)
        else:
            link.leave()

    def gone(self, link: H1Link) -> None:
        """It is over."""
        if link in self._all:
            self._all.discard(link)
            if link in self._idle:
                self._idle.remove(link)
            self._let_in(None)

    def stats(self) -> dict[str, int]:
        """Counters: connections, those that are idle, what waits for one and what did in vain."""
        return {
            "h1_connections": len(self._all),
            "h1_idle": len(self._idle),
            "h1_waiting": len(self._waiting),
            "h1_refused": self._refused,
        }

    def welcome(self) -> None:
        """They are used again, if that was over."""
        self._retired = False

    def retire(self) -> None:
        """From here on each ends with what is under way on it."""
        self._retired = True
        for link in list(self._idle):
            link.leave()

    def abort(self) -> None:
        """End all of them now."""
        for link in list(self._all):
            if isinstance(link.conn, Octets) or not link.client.terminated:
                link.conn.abort()
            link.abort()
