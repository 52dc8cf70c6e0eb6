"""A client's HTTP/2 connection, and who waits for streams on it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...engine import Connection, Role
from ...engine.constants import INADEQUATE_SECURITY, NO_ERROR
from ...engine.endpoint import Endpoint
from ...engine.events import GoawayReceived, Requested, SinkFailed, Terminated
from ...errors import AlpnError, ConnectionTerminated, InvalidHandshake
from .. import tls
from ..hub import Hub
from ..protocol import Wire

if TYPE_CHECKING:
    from .session import Session

__all__ = ["ClientWire"]

NOBODY = Endpoint()


class ClientWire(Wire, asyncio.BufferedProtocol):
    """The connection of a Session."""

    __slots__ = ("failure", "gone", "on_idle", "retired", "session", "ungreeted", "waiting")

    session: Session
    gone: asyncio.Future[None]
    retired: bool  # another connection has taken its place: it ends with its last stream
    failure: BaseException | None  # why it came to nothing, or is over
    ungreeted: list[asyncio.Future[None]]  # who waits for SETTINGS
    waiting: deque[asyncio.Future[None]]  # ... for a free stream
    on_idle: Callable[[], None] | None  # to be called once when no stream is open any more

    def __init__(self, session: Session, hub: Hub) -> None:
        conn = Connection(
            Role.CLIENT,
            session._settings,
            session._limits,
            pool=hub.pool,
            # What a server opens has a scheme, too: over TLS it is https. Without it a proxy may
            # have TLS with either end.
            secure=True if session._ssl is not None else None,
        )
        super().__init__(hub, conn, session._limits.write_high)
        self.queue_high, self.queue_low = session._queue
        self.session = session
        self.observer = session._observer
        self.retired = False
        self.failure = None
        self.ungreeted = []
        self.waiting = deque()
        self.on_idle = None
        self.gone = hub.loop.create_future()

    @property
    def http_version(self) -> str:
        """What is spoken."""
        return "2"

    @property
    def log(self) -> Any:
        """The logger of the session."""
        return self.session.logger

    def _opened(self) -> bool:
        session = self.session
        if session._ssl is not None:
            tls_object = self.transport.get_extra_info("ssl_object")
            selected = tls_object.selected_alpn_protocol()
            if selected != "h2" and session._http == "auto":
                # It may still carry a WebSocket over HTTP/1.1.
                session._spare = self.transport
                self.become(NOBODY)
                return False
            if selected != "h2":
                # RFC 9113 section 3.2: without ALPN's word no preface goes out.
                self.failure = AlpnError(selected)
                self.refuse()
                return False
            problem = tls.check_negotiated(tls_object)
            if problem is not None:
                self.failure = InvalidHandshake(problem)
                self.conn.abort(INADEQUATE_SECURITY, problem.encode())
        if session._keeper is not None:
            session._keeper.add(self)
        return True

    def _event(self, event: Any) -> None:
        if type(event) is Terminated:
            self.over = True
            self.patient = not event.remote and event.error_code != NO_ERROR
            if not self.retired:
                if self.failure is None:
                    self.failure = ConnectionTerminated(event.error_code, _text(event.reason))
                self.wake_all()
        elif type(event) is GoawayReceived:
            if not self.retired:
                self.wake_all()
            self.session._goaway()
        elif type(event) is Requested:
            self.session._serving.requested(self, event)
        elif type(event) is SinkFailed:
            self.session.logger.error("stream %d failed", event.stream_id, exc_info=event.error)

    def _settled(self) -> None:
        # After each batch while it is watched.
        conn = self.conn
        if self.retired:
            if conn.open_streams == 0 and not conn.terminated:
                self.watched = False
                conn.shutdown()
                self.touch()
        elif conn.settings_received:
            # What the server can do concerns everybody, also those for whom no stream is free.
            _wake(self.ungreeted)
            self._hand_out()
        if self.on_idle is not None and conn.open_streams == 0:
            call, self.on_idle = self.on_idle, None
            self.hub.loop.call_soon(call)
            self.watched = bool(self.waiting or self.ungreeted)

    def _hand_out(self) -> None:
        # To those who wait, as many streams as are free.
        waiting = self.waiting
        most = self.conn.peer_max_concurrent_streams
        free = len(waiting) if most is None else most - self.conn.own_streams
        while waiting and free > 0:
            future = waiting.popleft()
            if not future.done():
                future.set_result(None)
                free -= 1
        self.watched = bool(waiting) or self.on_idle is not None

    def _lost(self, exc: BaseException | None) -> None:
        self.session._forget(self)
        if self.failure is None or (
            exc is not None and isinstance(self.failure, ConnectionTerminated)
        ):
            self.failure = ConnectionTerminated(NO_ERROR, "the connection was lost")
            self.failure.__cause__ = exc
        self.wake_all()
        self.gone.set_result(None)

    async def greeted(self) -> None:
        """Wait until SETTINGS have come, or the connection changed its state. Look again then."""
        future: asyncio.Future[None] = self.hub.loop.create_future()
        self.ungreeted.append(future)
        self.watched = True
        try:
            await future
        finally:
            if future in self.ungreeted:
                self.ungreeted.remove(future)

    async def wait(self, *, first: bool = False) -> None:
        """Wait until a stream is free, or the connection changed its state.

        Look at it again then. `first`: before all others who wait.
        """
        future: asyncio.Future[None] = self.hub.loop.create_future()
        if first:
            self.waiting.appendleft(future)
        else:
            self.waiting.append(future)
        self.watched = True
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._settled()  # the free stream is for the next
            elif future in self.waiting:
                self.waiting.remove(future)
            raise

    def wake_all(self) -> None:
        """Have everybody who waits look again."""
        _wake(self.ungreeted)
        _wake(self.waiting)
        self.watched = self.on_idle is not None

    def leave(self) -> None:
        """Another connection is there: who waits goes to that one, and this ends when it is empty."""
        self.wake_all()
        self.watched = True
        self.touch()

    def why(self) -> BaseException:
        """Why it is over: an error of its own for each caller, or one would collect their frames."""
        failure = self.failure
        if failure is None:
            return ConnectionTerminated()
        if type(failure) is not ConnectionTerminated:
            return failure.with_traceback(None)
        error = ConnectionTerminated(failure.error_code, failure.reason)
        error.__cause__ = failure.__cause__
        return error


def _wake(waiting: list[asyncio.Future[None]] | deque[asyncio.Future[None]]) -> None:
    for future in waiting:
        if not future.done():
            future.set_result(None)
    waiting.clear()


def _text(reason: Any) -> str:
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason or "")
