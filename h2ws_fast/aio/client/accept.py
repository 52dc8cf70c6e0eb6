"""Sessions with servers that dial in: the listening end of a connection is its client."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl as ssl_module
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any

from .. import tls
from ..arguments import check_callables, check_count
from ..protocol import Hub, limit_unsent, running_hub
from ..traced import traced
from .session import Session
from .wire import ClientWire

__all__ = ["Acceptor", "accept_sessions"]


class Arrived(Session):
    """The Session of a connection that was accepted."""

    _acceptor: Acceptor

    def _make_wire(self, hub: Hub) -> ClientWire:
        return traced(ArrivedWire, self._tracer(), self, hub)


class ArrivedWire(ClientWire):
    """Its connection."""

    __slots__ = ()

    def _opened(self) -> bool:
        opened = super()._opened()
        session = self.session
        assert isinstance(session, Arrived)
        if opened and not session._acceptor._arrived(session):
            self.refuse()
            return False
        return opened


class Acceptor:
    """What `accept_sessions` returns: await it, or use it with `async with`, to start it."""

    def __init__(
        self,
        on_session: Callable[[Session], Awaitable[Any]],
        make: Callable[[], Arrived],
        start: dict[str, Any],
        most: int | None,
        log: Any,
    ) -> None:
        self._on_session = on_session
        self._make = make
        self._start = start
        self._most = float("inf") if most is None else most
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets."""
        return () if self._server is None else tuple(self._server.sockets)

    def _arrived(self, session: Arrived) -> bool:
        if len(self._tasks) >= self._most:
            return False
        task = asyncio.get_running_loop().create_task(self._run(session))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _run(self, session: Arrived) -> None:
        try:
            await session._extended()  # its SETTINGS have come, in `open_timeout` by the engine
            await self._on_session(session)
        except Exception:
            self._log.exception("on_session failed")
        finally:
            await session.close()

    def _protocol(self, hub: Hub) -> ClientWire:
        session = self._make()
        session._acceptor = self
        session._arrive(hub)
        wire = session._wire
        assert wire is not None
        return wire

    async def _await(self) -> Acceptor:
        hub = running_hub()
        self._server = await hub.loop.create_server(
            functools.partial(self._protocol, hub), **self._start
        )
        for listener in self._server.sockets:
            limit_unsent(listener)
        return self

    def __await__(self) -> Generator[Any, None, Acceptor]:
        return self._await().__await__()

    async def close(self) -> None:
        """Accept no more, cancel every `on_session` and close their sessions; wait for that."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def __aenter__(self) -> Acceptor:
        return await self

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        await self.close()


def accept_sessions(
    on_session: Callable[[Session], Awaitable[Any]],
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    ssl: ssl_module.SSLContext | None = None,
    uri: str | None = None,
    max_sessions: int | None = 1000,
    session: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Acceptor:
    """Listen for servers that dial in (`Server.dial`), and be the client of each.

    `on_session(session)`, a coroutine function, is called with a Session for each connection, whose
    WebSockets, requests and streams the other end serves; when it returns the session is closed.
    `ssl` is a server's context (`h2ws_fast.aio.tls.server_context`; ask for certificates there, to
    know who comes), `uri` what requests name (`https://localhost`, without TLS `http://`), `session`
    holds further arguments of Session. Beyond `max_sessions` connections are closed. Other arguments
    go to `create_server`.
    """
    check_callables(on_session=on_session)
    check_count(none=True, max_sessions=max_sessions)
    if ssl is not None:
        ssl = tls.prepare(ssl, server=True, http=("h2",))
        kwargs["ssl"] = ssl
    arguments = dict(session or {})
    name = uri or ("http://localhost" if ssl is None else "https://localhost")
    # Never used to connect: what it says of ALPN is looked at when a connection has come.
    context = None if ssl is None else tls.client_context(verify=False)
    make = functools.partial(Arrived, name, ssl=context, proxy=None, **arguments)
    log = make().logger
    start = {"host": host, "port": port, **kwargs}
    return Acceptor(on_session, make, start, max_sessions, log)
