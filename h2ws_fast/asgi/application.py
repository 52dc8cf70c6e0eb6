"""The application: what all connections of one server know of it."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from email.utils import formatdate
from typing import Any, TypeAlias, cast

__all__ = ["AT_ONCE_S", "ASGIApplication", "Application", "Message", "Receive", "Scope", "Send"]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
# What applications, frameworks and middleware are: their own types differ in detail.
ASGIApplication: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]

Fields: TypeAlias = list[tuple[bytes, bytes]]

# Where other servers are told 0 seconds of keep-alive: a connection ends with its last stream.
AT_ONCE_S = 0.001
TASK_NAME = "ASGI application"  # one for all: asyncio would write a new one for each


class Application:
    """An ASGI application as its server runs it.

    `tunnels` and `synthesize_h1_headers` are those of `serve`; None leaves them to attributes of
    the application, or of `declaring` where `app` is only what is around it.
    """

    def __init__(
        self,
        app: ASGIApplication,
        *,
        state: dict[str, Any],
        root_path: str = "",
        websockets: bool = True,
        tunnels: Iterable[str] | None = None,
        synthesize_h1_headers: bool | None = None,
        headers: Fields | None = None,
        date_header: bool = False,
        access_log: bool = False,
        logger: Any = None,
        access_logger: Any = None,
        declaring: Any = None,
    ) -> None:
        declaring = app if declaring is None else declaring
        self.app = app
        self.state = state
        self.root_path = root_path
        self.raw_root_path = root_path.encode("utf-8")
        self.websockets = websockets
        # An application says by attributes what no server's options have a place for.
        if tunnels is None:
            tunnels = cast("Iterable[str]", getattr(declaring, "h2ws_fast_tunnels", ()))
        if synthesize_h1_headers is None:
            synthesize_h1_headers = getattr(declaring, "h2ws_fast_synthesize_h1_headers", False)
        self.tunnels = frozenset(token.lower() for token in tunnels)
        self.synthesize_h1_headers = bool(synthesize_h1_headers)
        self.access_log = access_log
        self.logger = logger or logging.getLogger("h2ws_fast.asgi")
        self.access_logger = access_logger or logging.getLogger("h2ws_fast.asgi.access")
        self.asgi = {"version": "3.0", "spec_version": "2.5"}
        self.fresh_context = False  # tasks begin with no context variables set
        # What runs when a task has ended: it sets nothing, so one serves all tasks of one loop.
        self.context = contextvars.Context()
        self.on_answered: Callable[[], None] | None = None
        # Told, in place of the access log, of a request that does not reach the application.
        self.on_declined: Callable[[Scope, int], None] | None = None
        self._headers = headers or []
        self._date_header = date_header
        self._dated: Fields = self._headers
        self._second = 0.0

    @property
    def default_headers(self) -> Fields:
        """What stands first in every response."""
        if self._date_header:
            now = time.time()
            # Also where the clock was set back.
            if not 0 <= now - self._second < 1:
                self._second = float(int(now))
                self._dated = [(b"date", formatdate(now, usegmt=True).encode()), *self._headers]
        return self._dated

    def is_crowded(self) -> bool:
        """Is there more to do than may be done at once? Then 503 is the answer."""
        return False

    def answered(self) -> None:
        """A request was answered, or a WebSocket is over."""
        if self.on_answered is not None:
            self.on_answered()

    def start(
        self, loop: asyncio.AbstractEventLoop, scope: Scope, receive: Receive, send: Send
    ) -> asyncio.Task[Any]:
        """Run the application for one scope, in a task."""
        try:
            work: Any = self.app(scope, receive, send)
        except Exception as error:
            work = _raise(error)
        if not asyncio.iscoroutine(work):
            work = _wait(work)
        if self.fresh_context:
            return loop.create_task(work, name=TASK_NAME, context=contextvars.Context())
        return loop.create_task(work, name=TASK_NAME)


async def _raise(error: BaseException) -> None:
    raise error


async def _wait(awaitable: Awaitable[Any]) -> Any:
    return await awaitable
