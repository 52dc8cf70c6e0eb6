"""The HTTP/2 connections to the server, made again whenever they are gone."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeAlias, TypeVar

from ..aio.client.reconnect import STABLE_S, backoff
from ..aio.client.session import Session
from ..aio.tunnel import Tunnel
from ..errors import ConnectionTerminated, H2WSError, NoAvailableStreams, StreamReset

__all__ = ["Link", "Unavailable", "words"]

logger = logging.getLogger("h2ws_fast.forward")

T = TypeVar("T")

AGAIN_S = 0.1  # the first delay before a stream that was refused is asked for again

# Called as (number, session) for each connection.
Attendant: TypeAlias = Callable[[int, Session], Coroutine[Any, Any, None]]


class Unavailable(ConnectionError):
    """There is no connection to the server, and none came in time."""


def words(error: BaseException) -> str:
    """What an error says; of one that says nothing, its name."""
    return str(error) or type(error).__name__


class Watched(Session):
    """A Session that tells when it takes no more streams, and whether any were open then."""

    left: asyncio.Event
    idle = False

    @property
    def leads_beside(self) -> bool:
        """Do tunnels go over HTTP/1.1, each on a connection of its own?"""
        return self._over_h1

    def _goaway(self) -> None:
        if not self.left.is_set():
            self.idle = self.stats().get("open_streams") == 0
            self.left.set()


class Link:
    """So many connections to one server, used in turn; `async with` it.

    Each is made again when it is gone or the server takes no more streams on it: at once the first
    time, and after delays that are random and grow where that fails, or lasts for less than half a
    minute. One that lasted longer and on which nothing was open when the server left it, as servers
    do with what nobody uses, is made again when it is asked for; with an attendant at once, too.
    What is open on a connection that was replaced goes on until it ends. `arguments` are those of
    `Session`; `connections` stripes what is forwarded over several. `delays()` gives the delays in
    seconds.
    """

    def __init__(
        self,
        uri: str,
        *,
        connections: int = 1,
        patience: float = 10.0,
        delays: Callable[[], Iterator[float]] = backoff,
        **arguments: Any,
    ) -> None:
        self._uri = uri
        self._arguments = arguments
        self._patience = patience
        self._delays = delays
        self._sessions: list[Watched | None] = [None] * connections
        self._turn = 0
        self._changed = asyncio.Event()
        self._wanted = asyncio.Event()
        self._asking = 0
        self._attendants: list[Attendant] = []
        self._attending: dict[int, list[asyncio.Task[None]]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._retired: set[asyncio.Task[None]] = set()
        self.connects = 0
        self.failures = 0
        # What is wrong with the URI or the arguments is found out here.
        self.headers = self._make().target.headers

    def _make(self) -> Watched:
        session = Watched(self._uri, **self._arguments)
        session.left = asyncio.Event()
        return session

    async def __aenter__(self) -> Link:
        """Make the first connection; raises what `Session.connect` does."""
        first = self._make()
        await first.connect()
        self._keep(0, first)
        for number in range(1, len(self._sessions)):
            self._keep(number, None)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections, each with what is open on it."""
        attending = itertools.chain.from_iterable(self._attending.values())
        tasks = [*self._tasks, *self._retired, *attending]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(each.close() for each in self._sessions if each is not None))
        self._sessions = [None] * len(self._sessions)

    def attend(self, attendant: Attendant) -> None:
        """Have `attendant(number, session)` run for each connection there is and will be, as a task
        that is cancelled when the connection is gone or the server takes no more streams on it.

        `number` counts the connections from 0; one that takes the place of another has its number.
        """
        self._attendants.append(attendant)
        self._wanted.set()
        for number, session in enumerate(self._sessions):
            if session is not None:
                self._start(attendant, number, session)

    def _start(self, attendant: Attendant, number: int, session: Session) -> None:
        task = asyncio.get_running_loop().create_task(attendant(number, session))
        self._attending.setdefault(number, []).append(task)

    def _keep(self, number: int, session: Watched | None) -> None:
        if session is not None:
            self._entered(number, session)
        task = asyncio.get_running_loop().create_task(self._run(number))
        self._tasks.append(task)

    def _entered(self, number: int, session: Watched) -> None:
        self.connects += 1
        self._sessions[number] = session
        for attendant in self._attendants:
            self._start(attendant, number, session)
        self._changed.set()

    async def _run(self, number: int) -> None:
        # Keep one of the connections.
        time = asyncio.get_running_loop().time
        delays = self._again()
        while True:
            session = self._sessions[number]
            if session is None:
                session = await self._connect(delays)
                self._entered(number, session)
            begun = time()
            waits = [
                asyncio.ensure_future(session.left.wait()),
                asyncio.ensure_future(session.wait_closed()),
            ]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
            self._sessions[number] = None
            for task in self._attending.pop(number, ()):
                task.cancel()
            self._retire(session)
            # A server that takes connections and ends each is none that is back.
            lasted = time() - begun >= STABLE_S
            if lasted:
                delays = self._again()
            if lasted and session.idle:
                logger.info("the server has ended a connection that nobody used")
                await self._wanted.wait()
                continue
            delay = next(delays)
            logger.warning("a connection to the server is gone: again in %.1f s", delay)
            await asyncio.sleep(delay)

    def _again(self) -> Iterator[float]:
        return itertools.chain((0.0,), self._delays())

    def _retire(self, session: Watched) -> None:
        # What is open on it may end by itself.
        async def wait() -> None:
            try:
                await session.wait_closed()
            except asyncio.CancelledError:
                await session.close()
                raise

        task = asyncio.get_running_loop().create_task(wait())
        self._retired.add(task)
        task.add_done_callback(self._retired.discard)

    async def _connect(self, delays: Iterator[float]) -> Watched:
        while True:
            session = self._make()
            try:
                await session.connect()
                return session
            except (OSError, H2WSError) as error:
                self.failures += 1
                delay = next(delays)
                logger.warning("connecting failed (%s): again in %.1f s", words(error), delay)
            await asyncio.sleep(delay)

    async def session(self) -> Session:
        """The connection whose turn it is; wait for one for `patience` seconds, then raise
        Unavailable."""
        return await self._session(asyncio.get_running_loop().time() + self._patience)

    async def _session(self, due: float) -> Watched:
        self._asking += 1
        self._wanted.set()  # those that nobody used are made again
        try:
            return await self._next(due)
        finally:
            self._asking -= 1
            if not self._asking and not self._attendants:
                self._wanted.clear()

    async def _next(self, due: float) -> Watched:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(due):
                while True:
                    for _ in self._sessions:
                        self._turn = (self._turn + 1) % len(self._sessions)
                        session = self._sessions[self._turn]
                        if session is not None and session.connected:
                            return session
                    self._changed.clear()
                    await self._changed.wait()
        raise Unavailable("there is no connection to the server")

    async def open(self, ask: Callable[[Session], Awaitable[T]]) -> T:
        """What `ask(session)` opens on the connection whose turn it is.

        It is asked for again where the server has provably processed nothing of it (RFC 9113
        section 8.7), since it had left or refused the stream, within `patience` seconds; over HTTP/1.1
        nobody can know, and it is asked for once. Raises what `session` and `ask` do.
        """
        time = asyncio.get_running_loop().time
        due = time() + self._patience
        delay = AGAIN_S
        while True:
            session = await self._session(due)
            try:
                return await ask(session)
            except (NoAvailableStreams, ConnectionTerminated, StreamReset) as error:
                # Of the former two nothing was sent, over HTTP/2: over HTTP/1.1 that may have been
                # the answer to an Upgrade.
                if isinstance(error, StreamReset):
                    lost = not error.retryable
                else:
                    lost = isinstance(error, ConnectionTerminated) and session.leads_beside
                if lost or time() + delay >= due:
                    raise
            if session.connected:  # it refuses; elsewhere there is another, or there will be
                await asyncio.sleep(delay)
                delay *= 2

    async def connect_tcp(self, authority: str) -> Tunnel:
        """Have the server connect to a TCP port: see `open`, and `Session.connect_tcp`.

        What it has in `authorization` is said as a proxy reads it, too, unless it has something of
        its own for that.
        """
        names = {name.lower() for name, _ in self.headers}
        fields = list(self.headers)
        if "proxy-authorization" not in names:
            known = [value for name, value in fields if name.lower() == "authorization"]
            fields += [("proxy-authorization", value) for value in known]
        return await self.open(lambda session: session.connect_tcp(authority, headers=fields))

    async def tunnel(self, token: str, path: str) -> Tunnel:
        """Open a tunnel to the server by a token: see `open`, and `Session.tunnel`."""
        return await self.open(lambda session: session.tunnel(token, path, headers=self.headers))

    @property
    def connected(self) -> int:
        """Connections that there are now."""
        return sum(each is not None and each.connected for each in self._sessions)
