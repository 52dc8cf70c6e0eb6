"""Sessions with servers that dial in: the listening end of a connection is its client."""

from __future__ import annotations

import asyncio
import functools
import math
import socket
import ssl as ssl_module
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

from ...engine.constants import ENHANCE_YOUR_CALM
from ...errors import ConnectionTerminated
from .. import tls
from ..arguments import check_callables, check_count
from ..hub import Hub, running_hub
from ..kernel_queue import limit_unsent
from ..server.admission import Admission
from ..server.arrival import Arrival
from ..server.options import HANDSHAKE_S, CommonOptions, secure_from
from ..server.roster import Roster
from ..traced import traced
from .session import Session
from .wire import ClientWire

if TYPE_CHECKING:
    from ..server.accepted import AcceptedWire

__all__ = ["Acceptor", "accept_sessions"]


class Arrived(Session):
    """The Session of a connection that was accepted."""

    _acceptor: Acceptor

    def _make_wire(self, hub: Hub) -> ArrivedWire:
        return traced(ArrivedWire, self._tracer(), self, hub)


class ArrivedWire(ClientWire):
    """Its connection."""

    __slots__ = ("arrival",)

    arrival: Arrival | None  # whose place it takes, in `connection_made`

    def __init__(self, session: Arrived, hub: Hub) -> None:
        super().__init__(session, hub)
        self.arrival = None

    @property
    def _acceptor(self) -> Acceptor:
        session = self.session
        assert isinstance(session, Arrived)
        return session._acceptor

    def _opened(self) -> bool:
        acceptor = self._acceptor
        limit = acceptor._admit(self)
        if not super()._opened():
            return False
        if limit is None:
            acceptor._begin(self.session)
        else:
            self.conn.abort(ENHANCE_YOUR_CALM, b"max_sessions is reached")
        return True

    def _lost(self, exc: BaseException | None) -> None:
        super()._lost(exc)
        self._acceptor._forget(self)


class Acceptor(Roster):
    """What `accept_sessions` returns: await it, or use it with `async with`, to start it."""

    def __init__(
        self,
        on_session: Callable[[Session], Awaitable[Any]],
        make: Callable[[], Arrived],
        start: dict[str, Any],
        most: int | None,
        log: Any,
    ) -> None:
        options = CommonOptions()
        options.logger = log
        admission = Admission(
            log, max_connections=most, max_connections_per_address=None, memory_budget=None
        )
        super().__init__(options, admission)
        self._on_session = on_session
        self._make = make
        self._start = start
        self._most = math.inf if most is None else most
        self._server: asyncio.Server | None = None

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets."""
        return () if self._server is None else tuple(self._server.sockets)

    def _admit(self, wire: AcceptedWire | ArrivedWire) -> str | None:
        # Those whose connection is gone count until `on_session` has returned.
        if len(self._tasks) >= self._most:
            self.admission.refuse("max_sessions", wire, "a connection")
            return "max_sessions"
        return super()._admit(wire)

    def _begin(self, session: Session) -> None:
        task = asyncio.get_running_loop().create_task(self._run(session))
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    async def _run(self, session: Session) -> None:
        try:
            await session._greeted()  # its SETTINGS have come, in `open_timeout` by the engine
            await self._on_session(session)
        except ConnectionTerminated:
            return
        except Exception:
            self.logger.exception("on_session failed")
        finally:
            await session.close()

    def _wire(self, hub: Hub) -> ArrivedWire:
        session = self._make()
        session._acceptor = self
        session._arrive(hub)
        wire = session._wire
        assert isinstance(wire, ArrivedWire)
        return wire

    async def _await(self) -> Acceptor:
        hub = running_hub()
        self.admission.start(hub.time)
        start = dict(self._start)
        secure = secure_from(start)

        def factory() -> asyncio.BaseProtocol:
            make = functools.partial(self._wire, hub)
            return make() if secure is None else Arrival(self, hub, make, secure)

        self._server = await hub.loop.create_server(factory, **start)
        for listener in self._server.sockets:
            limit_unsent(listener)
        return self

    def __await__(self) -> Generator[Any, None, Acceptor]:
        return self._await().__await__()

    async def close(self) -> None:
        """Accept no more, cancel every `on_session` and close their sessions; wait for that."""
        if self._server is None:
            return
        self.closing = True
        self._server.close()
        for arrival in list(self._arrivals):
            arrival.abort()
        for task in list(self._tasks):
            task.cancel()
        if self._quiet is None:
            self._quiet = asyncio.get_running_loop().create_future()
        self._check_quiet()
        await asyncio.shield(self._quiet)

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
    holds further arguments of Session. Beyond `max_sessions` connections are closed; those whose TLS
    handshake goes on count, and so do calls of `on_session` that have not returned. Other arguments
    go to `create_server`.
    """
    check_callables(on_session=on_session)
    check_count(none=True, max_sessions=max_sessions)
    if ssl is not None:
        ssl = tls.prepare(ssl, server=True, http=("h2",))
    arguments = dict(session or {})
    name = uri or ("http://localhost" if ssl is None else "https://localhost")
    # Never used to connect: what it says of ALPN is looked at when a connection has come.
    context = None if ssl is None else tls.client_context(verify=False)
    make = functools.partial(Arrived, name, ssl=context, proxy=None, **arguments)
    model = make()
    start = {"host": host, "port": port, "ssl": ssl, **kwargs}
    if ssl is not None:
        start.setdefault("ssl_handshake_timeout", model._open_timeout or HANDSHAKE_S)
        start.setdefault("ssl_shutdown_timeout", tls.shutdown_timeout(model._close_timeout))
    return Acceptor(on_session, make, start, max_sessions, model.logger)
