"""The connections of a pool: found, made, shared, bounded in number, and left.

It knows neither messages nor requests: whoever uses it says how a connection is made, and opens
streams on what it is given. `Pool` is one such user, the transports for httpx are another.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from ...errors import H2WSError, LocalProtocolError, PoolFull
from .link import Link
from .session import MAX_WAITING

__all__ = ["MAX_WAITING", "Connections", "NoRoom", "PoolClosed"]

L = TypeVar("L", bound=Link)


class NoRoom(TimeoutError):
    """There was no room for one more connection in time."""


class PoolClosed(LocalProtocolError):
    """All connections were closed while something waited for one."""


class Dialling(Generic[L]):
    """A connection that is being made, and how many streams wait for it."""

    __slots__ = ("task", "waiters")

    def __init__(self, task: asyncio.Task[L]) -> None:
        self.task = task
        self.waiters = 0


class Waiter(Generic[L]):
    """A stream whose origin is not connected, until there is room for that.

    `make` makes a connection of its own for it; without it, what is dialled is for everybody.
    """

    __slots__ = ("connect_s", "granted", "make", "origin")

    def __init__(
        self, origin: Hashable, connect_s: float | None, make: Callable[[], L] | None
    ) -> None:
        self.origin = origin
        self.connect_s = connect_s
        self.make = make
        self.granted: asyncio.Future[Any] = asyncio.get_running_loop().create_future()


class Connections(Generic[L]):
    """Leads each stream to a connection of its origin, made by `dial(origin, connect_s)`.

    `per_origin`: so many connections an origin share its streams, the least laden first; a further
    one is made where each of them has something to do. `most` and `most_idle` bound all of them
    together, and those without streams; the latter go, the longest unused first, where there is no
    room otherwise. `most_waiting` bounds the streams that wait for anything.

        link = await connections.reserve(origin)   # counted for the caller until ...
        connections.release(link)                  # ... it has its stream, or will have none
    """

    def __init__(
        self,
        dial: Callable[[Any, float | None], Coroutine[Any, Any, L]],
        *,
        per_origin: int = 1,
        most: int | None = None,
        most_idle: int | None = None,
        most_waiting: int | None = MAX_WAITING,
    ) -> None:
        self._dial = dial
        self._per_origin = per_origin
        self._most = float("inf") if most is None else most
        self._most_idle = float("inf") if most_idle is None else most_idle
        self._most_waiting = float("inf") if most_waiting is None else most_waiting
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closings = 0
        self._opened = 0
        self._refused = 0
        self._forget_all()

    def _forget_all(self) -> None:
        self._links: dict[Any, list[L]] = {}  # that take streams
        self._used: dict[L, None] = {}  # the same, the latest used last
        self._alone: set[L] = set()  # each for one stream
        self._leaving: set[L] = set()
        self._dialling: dict[Any, list[Dialling[L]]] = {}
        self._tasks: set[asyncio.Task[L]] = set()
        # For room for another connection.
        self._waiting: deque[Waiter[L]] = deque()

    @property
    def closings(self) -> int:
        """How often all of them were closed."""
        return self._closings

    def links(self) -> list[L]:
        """Those that are open, whether or not they still take streams."""
        return [*self._used, *self._alone, *self._leaving]

    @property
    def waiting(self) -> int:
        """Streams that wait: for room, for a connection, or on one that is full."""
        dialled = sum(each.waiters for some in self._dialling.values() for each in some)
        return len(self._waiting) + dialled + sum(link.waiting for link in self._used)

    def stats(self) -> dict[str, Any]:
        """Counts: what is there now, and since the beginning."""
        links = self.links()
        return {
            "connections": len(links),
            "idle": sum(not link.busy for link in self._used),
            "leaving": len(self._leaving),
            "dialling": sum(len(some) for some in self._dialling.values()),
            "waiting": self.waiting,
            "streams": sum(link.streams for link in links),
            "opened": self._opened,
            "refused": {"max_waiting": self._refused},
        }

    # -- one for a stream -------------------------------------------------------------------------

    async def reserve(
        self, origin: Any, *, connect_s: float | None = None, pool_s: float | None = None
    ) -> L:
        """Return a connection of the origin for one more stream; `release` it.

        It may be full, where there is but one an origin: its streams wait in turn. Raises what
        `dial` raises, TimeoutError after `connect_s` seconds of that, NoRoom after `pool_s` seconds
        without room for a connection, PoolFull at once, PoolClosed.
        """
        self._bind()
        most = self._per_origin
        first = False
        while True:
            links = self._usable(origin)
            dialled = self._dialling.get(origin, ())
            link = min(links, key=lambda each: (each.room <= 0, each.load), default=None)
            if link is not None and not link.load:
                return self._take(link)
            # Who waits already goes first.
            full = link is not None and (link.room <= 0 or (link.waiting > 0 and not first))
            dialling = min(dialled, key=lambda each: each.waiters, default=None)
            if len(links) + len(dialled) < most and (link is None or not self._full()):
                dialling = None  # one more
            elif dialling is not None and link is not None:
                if not full and link.load <= dialling.waiters:
                    return self._take(link)
            elif link is not None:
                if full:
                    self._check_waiting()
                if not full or len(links) == 1:
                    return self._take(link)
                await self._some_free(links, first=first)
                first = True
                continue
            self._check_waiting()
            try:
                made = await self._made(origin, dialling, connect_s, pool_s)
            except (OSError, H2WSError):
                if link is None or not self._usable(origin):
                    raise
                most = 0  # there is another: this one was to spread the load
                continue
            if self._per_origin == 1 or made.room >= 0:
                return made
            self.release(made)

    async def reserve_alone(
        self, origin: Any, make: Callable[[], L], *, pool_s: float | None = None
    ) -> L:
        """Return a connection for one stream alone, counted until `gone` says that it is over."""
        self._bind()
        if self._waiting or self._full():
            self._check_waiting()
        link: L = await self._room(Waiter(origin, None, make), pool_s)
        return link

    def release(self, link: L) -> None:
        """The stream that it was reserved for is there, or will not be."""
        link.reserved -= 1
        self.idle(link)

    def retire(self, link: L) -> None:
        """It takes no more streams: it ends with the last one it has."""
        if self._remove(link):
            self._leave(link)
        self._let_in()

    def _bind(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # Those of a loop that is over, or of a process that forked, are beyond reach.
            self._loop = loop
            self._forget_all()

    def _usable(self, origin: Any) -> list[L]:
        links = self._links.get(origin, [])
        for link in [each for each in links if not each.usable]:
            self._remove(link)
            self._leave(link)
        return links

    def _take(self, link: L) -> L:
        link.reserved += 1
        del self._used[link]
        self._used[link] = None
        self._watch(link)
        return link

    def _check_waiting(self) -> None:
        if self.waiting >= self._most_waiting:
            self._refused += 1
            raise PoolFull("max_waiting")

    async def _some_free(self, links: list[L], *, first: bool) -> None:
        # All of them are full: wait for whichever has room, or is over.
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(link.free(first=first)) for link in links]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for link in links:
                link.look_again()  # two may have had room at once, and one is taken

    # -- making them ------------------------------------------------------------------------------

    async def _made(
        self,
        origin: Any,
        dialling: Dialling[L] | None,
        connect_s: float | None,
        pool_s: float | None,
    ) -> L:
        # A reserved one.
        if dialling is None:
            dialling = await self._room(Waiter(origin, connect_s, None), pool_s)
            assert dialling is not None
        else:
            dialling.waiters += 1
        task = dialling.task
        try:
            async with asyncio.timeout(connect_s):
                await asyncio.wait({task})
            if task.cancelled():
                raise PoolClosed("the pool was closed")
            link = task.result()
            link.reserved += 1
            return link
        finally:
            self._give_up(origin, dialling)

    def _give_up(self, origin: Any, dialling: Dialling[L]) -> None:
        # One stream less waits for it.
        dialling.waiters -= 1
        if dialling.waiters:
            return
        task = dialling.task
        if not task.done():
            task.cancel()
            self._dialled(origin, task)
        elif not task.cancelled() and task.exception() is None:
            self.release(task.result())

    def _dialled(self, origin: Any, task: asyncio.Task[L] | None) -> None:
        some = self._dialling.get(origin, [])
        for dialling in some:
            if dialling.task is task:
                some.remove(dialling)
                if not some:
                    del self._dialling[origin]
                self._let_in()
                return

    async def _run_dial(self, origin: Any, connect_s: float | None) -> L:
        try:
            link = await self._dial(origin, connect_s)
            self._opened += 1
            self._links.setdefault(origin, []).append(link)
            self._used[link] = None
            link.reserved += 1  # until nobody waits for this any more
            self._watch()
            return link
        finally:
            self._dialled(origin, asyncio.current_task())

    # -- leaving them -----------------------------------------------------------------------------

    def _remove(self, link: L) -> bool:
        if link not in self._used:
            return False
        del self._used[link]
        some = self._links[link.origin]
        some.remove(link)
        if not some:
            del self._links[link.origin]
        return True

    def _leave(self, link: L) -> None:
        if link.connected:
            self._leaving.add(link)
            link.retire()
        elif link.busy:
            self._leaving.add(link)

    def gone(self, link: L) -> None:
        """It is over. To be called once for each link."""
        self._leaving.discard(link)
        self._alone.discard(link)
        self._remove(link)
        self._let_in()

    # -- bounds -----------------------------------------------------------------------------------

    def idle(self, link: L) -> None:
        """See whether a connection has nothing to do, and is one too many or in the way."""
        if link not in self._used:
            return
        link.look_again()  # a free stream that was left may be another's
        if link.busy:
            self._watch(link)
            return
        idle = [each for each in self._used if not each.busy]
        if len(idle) > self._most_idle:
            self.retire(idle[0])
        self._let_in()

    def _watch(self, link: L | None = None) -> None:
        # Only where it matters: each batch of a connection that is watched costs a call.
        if self._waiting or len(self._used) > self._most_idle:
            for each in self._used if link is None else (link,):
                each.when_idle(self.idle)

    def _full(self) -> bool:
        dialled = sum(len(some) for some in self._dialling.values())
        if len(self._used) + len(self._alone) + dialled < self._most:
            return False
        for link in self._used:
            if not link.busy:
                self._remove(link)
                self._leave(link)
                return False
        return True

    async def _room(self, waiter: Waiter[L], pool_s: float | None) -> Any:
        # Wait until one more connection may be made; whoever waits longest is first. What is
        # dialled then is for everybody who waits for that origin.
        self._waiting.append(waiter)
        self._let_in()
        granted = waiter.granted
        if not granted.done():
            self._watch()
        try:
            async with asyncio.timeout(pool_s):
                return await granted
        except (asyncio.CancelledError, TimeoutError) as error:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif not granted.cancelled() and granted.exception() is None:
                if waiter.make is None:
                    self._give_up(waiter.origin, granted.result())
                else:
                    self.gone(granted.result())
            if isinstance(error, TimeoutError):
                raise NoRoom("as many connections are open as the pool may have") from error
            raise

    def _let_in(self) -> None:
        while True:
            while self._waiting and self._waiting[0].granted.done():
                self._waiting.popleft()  # it was cancelled
            if not self._waiting or self._full():
                return
            first = self._waiting[0]
            if first.make is None:
                self._connect(first)
            else:
                self._waiting.popleft()
                try:
                    link = first.make()
                except Exception as error:  # whoever made room has nothing to do with it
                    first.granted.set_exception(error)
                    continue
                self._opened += 1
                self._alone.add(link)
                first.granted.set_result(link)

    def _connect(self, first: Waiter[L]) -> None:
        origin = first.origin
        task = asyncio.get_running_loop().create_task(self._run_dial(origin, first.connect_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        dialling = Dialling(task)
        self._dialling.setdefault(origin, []).append(dialling)
        waiting = self._waiting
        self._waiting = deque()
        for waiter in waiting:
            if waiter.origin != origin or waiter.make is not None:
                self._waiting.append(waiter)
            elif not waiter.granted.done():
                dialling.waiters += 1
                waiter.granted.set_result(dialling)

    async def aclose(self, close: Callable[[L], Coroutine[Any, Any, None]]) -> None:
        """Close every connection by `close(link)`; what waits for one raises PoolClosed."""
        if self._loop is not asyncio.get_running_loop():
            return
        self._closings += 1
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.granted.done():
                waiter.granted.set_exception(PoolClosed("the pool was closed"))
        self._dialling.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        links = self.links()
        self._links.clear()
        self._used.clear()
        self._alone.clear()
        closings = [close(link) for link in links]
        await asyncio.gather(*closings, *tasks, return_exceptions=True)
