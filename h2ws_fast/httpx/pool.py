"""The connections of a transport: one for each origin, opened on demand."""

from __future__ import annotations

import asyncio
from collections import deque

import httpx

from ..errors import (
    ConnectionTerminated,
    ExtendedConnectUnsupported,
    InvalidHandshake,
    NoAvailableStreams,
)
from .exchange import Exchange
from .faults import ByHttp1, connecting, exchanging
from .link import Link, Way
from .question import Origin, Patience, Question
from .remembered import Remembered

__all__ = ["Pool"]

RETRY_S = 0.5  # before the second attempt to connect again; twice as long before each further one
MAX_TRIES = 4  # connections that take no more streams, one after the other, for one request


def closed() -> httpx.ConnectError:
    """For a request that waits for a connection when all of them are closed."""
    return httpx.ConnectError("the transport was closed")


class Dialling:
    """A connection that is being made, and how many requests wait for it."""

    __slots__ = ("task", "waiters")

    def __init__(self, task: asyncio.Task[Link]) -> None:
        self.task = task
        self.waiters = 0


class Waiter:
    """A request whose origin is not connected, until there is room for that."""

    __slots__ = ("connect_s", "granted", "origin")

    def __init__(self, origin: Origin, connect_s: float | None) -> None:
        self.origin = origin
        self.connect_s = connect_s
        self.granted: asyncio.Future[Dialling] = asyncio.get_running_loop().create_future()


class Pool:
    """Leads each request to the connection of its origin."""

    def __init__(self, way: Way, limits: httpx.Limits, retries: int) -> None:
        self._way = way
        most = limits.max_connections
        self._most = float("inf") if most is None else most
        idle = limits.max_keepalive_connections
        if limits.keepalive_expiry == 0:
            idle = 0
        self._most_idle = float("inf") if idle is None else idle
        self._retries = retries
        self._loop: asyncio.AbstractEventLoop | None = None
        self._links: dict[Origin, Link] = {}  # that take requests, the latest used last
        self._leaving: set[Link] = set()
        self._dialling: dict[Origin, Dialling] = {}
        self._tasks: set[asyncio.Task[Link]] = set()
        # For room for another connection; of their origins none is connected or being so.
        self._waiting: deque[Waiter] = deque()
        self._closings = 0  # how often all of them were closed
        self.without_h2 = Remembered()
        self.without_websockets = Remembered()

    async def open(self, question: Question, *, end: bool) -> Exchange:
        """Open a stream for a request, on a connection that may be made for it.

        A connection that turns out to take no more is replaced: nothing was sent on it (RFC 9113
        section 8.7). Raises ByHttp1 where the origin wants that, and httpx's errors.
        """
        origin = question.origin
        tries = MAX_TRIES
        closings = self._closings
        while True:
            tries -= 1
            link = await self._reserve(origin, question.patience)
            try:
                with exchanging():
                    try:
                        return await link.open(question, end=end)
                    except ExtendedConnectUnsupported as error:
                        self.without_websockets.add(origin)
                        raise ByHttp1 from error
                    except (NoAvailableStreams, ConnectionTerminated):
                        if not tries or closings != self._closings:
                            raise
            finally:
                self._release(link)
            self._retire(link)

    # -- connections ------------------------------------------------------------------------------

    async def _reserve(self, origin: Origin, patience: Patience) -> Link:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # Those of a loop that is over, or of a process that forked, are beyond reach.
            self._loop = loop
            self._links = {}
            self._leaving = set()
            self._dialling = {}
            self._tasks = set()
            self._waiting.clear()
        while True:
            link = self._links.pop(origin, None)
            if link is None:
                link = await self._made(origin, patience)
            elif not link.usable:
                self._leave(link)
                continue
            else:
                self._links[origin] = link
                link.reserved += 1
            return link

    def _release(self, link: Link) -> None:
        link.reserved -= 1
        self._idle(link)

    async def _made(self, origin: Origin, patience: Patience) -> Link:
        # A reserved one.
        dialling = self._dialling.get(origin)
        if dialling is None:
            dialling = await self._room(origin, patience)
        else:
            dialling.waiters += 1
        task = dialling.task
        try:
            with connecting():
                try:
                    async with asyncio.timeout(self._total(patience.connect)):
                        await asyncio.wait({task})
                    if task.cancelled():
                        raise closed()
                    link = task.result()
                except InvalidHandshake as error:
                    # ALPN, or a suite that HTTP/2 prohibits.
                    self.without_h2.add(origin)
                    raise ByHttp1 from error
            link.reserved += 1
            return link
        finally:
            self._give_up(origin, dialling)

    def _give_up(self, origin: Origin, dialling: Dialling) -> None:
        # One request less waits for it.
        dialling.waiters -= 1
        if dialling.waiters:
            return
        task = dialling.task
        if not task.done():
            task.cancel()
            self._forget(origin, task)
        elif not task.cancelled() and task.exception() is None:
            self._release(task.result())

    def _total(self, connect_s: float | None) -> float | None:
        # What all attempts may take together.
        if connect_s is None:
            return None
        return connect_s * (self._retries + 1) + RETRY_S * ((1 << self._retries) - 1)

    def _forget(self, origin: Origin, task: asyncio.Task[Link] | None) -> None:
        dialling = self._dialling.get(origin)
        if dialling is not None and dialling.task is task:
            del self._dialling[origin]
            self._let_in()

    async def _dial(self, origin: Origin, connect_s: float | None) -> Link:
        try:
            delay = 0.0
            for left in range(self._retries, -1, -1):
                try:
                    async with asyncio.timeout(connect_s):
                        kwargs = await self._way.connected()
                        link = await Link(
                            origin, self._way, kwargs, self._idle, self._gone
                        ).connect()
                    self._links[origin] = link
                    link.reserved += 1  # until nobody waits for this any more
                    return link
                except OSError:  # TimeoutError is one
                    if not left:
                        raise
                await asyncio.sleep(delay)
                delay = delay * 2 or RETRY_S
            raise AssertionError("unreachable")
        finally:
            self._forget(origin, asyncio.current_task())

    def _retire(self, link: Link) -> None:
        # It takes no more requests.
        if self._links.get(link.origin) is link:
            del self._links[link.origin]
        self._leave(link)
        self._let_in()

    def _leave(self, link: Link) -> None:
        if link.connected:
            self._leaving.add(link)
            link.retire()
        elif link.busy:
            self._leaving.add(link)

    def _gone(self, link: Link) -> None:
        self._leaving.discard(link)
        if self._links.get(link.origin) is link:
            del self._links[link.origin]
        self._let_in()

    # -- bounds -----------------------------------------------------------------------------------

    def _idle(self, link: Link) -> None:
        if link.busy or self._links.get(link.origin) is not link:
            return
        idle = [each for each in self._links.values() if not each.busy]
        if len(idle) > self._most_idle:
            self._retire(idle[0])
        self._let_in()

    def _full(self) -> bool:
        if len(self._links) + len(self._dialling) < self._most:
            return False
        for link in self._links.values():
            if not link.busy:
                del self._links[link.origin]
                self._leave(link)
                return False
        return True

    async def _room(self, origin: Origin, patience: Patience) -> Dialling:
        # Wait until one more connection may be made; whoever waits longest is first. What is made
        # then is for everybody who waits for that origin.
        waiter = Waiter(origin, patience.connect)
        self._waiting.append(waiter)
        self._let_in()
        granted = waiter.granted
        try:
            async with asyncio.timeout(patience.pool):
                return await granted
        except (asyncio.CancelledError, TimeoutError) as error:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif not granted.cancelled() and granted.exception() is None:
                self._give_up(origin, granted.result())
            if isinstance(error, TimeoutError):
                what = "as many connections are open as limits allow"
                raise httpx.PoolTimeout(what) from error
            raise

    def _let_in(self) -> None:
        while True:
            while self._waiting and self._waiting[0].granted.done():
                self._waiting.popleft()  # it was cancelled
            if not self._waiting or self._full():
                return
            self._connect(self._waiting[0])

    def _connect(self, first: Waiter) -> None:
        origin = first.origin
        task = asyncio.get_running_loop().create_task(self._dial(origin, first.connect_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        dialling = self._dialling[origin] = Dialling(task)
        waiting = self._waiting
        self._waiting = deque()
        for waiter in waiting:
            if waiter.origin != origin:
                self._waiting.append(waiter)
            elif not waiter.granted.done():
                dialling.waiters += 1
                waiter.granted.set_result(dialling)

    def abort(self) -> None:
        """Close every connection at once, and wait for nobody."""
        for link in [*self._links.values(), *self._leaving]:
            link.abort()

    async def aclose(self) -> None:
        """Close every connection; what is open on them is reset."""
        if self._loop is not asyncio.get_running_loop():
            return
        self._closings += 1
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.granted.done():
                waiter.granted.set_exception(closed())
        self._dialling.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        links = [*self._links.values(), *self._leaving]
        self._links.clear()
        closings = [link.aclose() for link in links]
        await asyncio.gather(*closings, *tasks, return_exceptions=True)
