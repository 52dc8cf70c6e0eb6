"""The application's own beginning and end: scope type `lifespan`."""

from __future__ import annotations

import asyncio
from typing import Any

from .application import ASGIApplication, Message

__all__ = ["MODES", "Lifespan", "StartupFailed"]

MODES = ("auto", "on", "off")
LEAVE_S = 5.0  # what an application has to return after its shutdown


class StartupFailed(RuntimeError):
    """The application said that it cannot start."""


class Lifespan:
    """One run of the application with the scope `lifespan`.

    `mode`: "off" never asks for it; "on" demands it; with "auto" an application that raises at it
    is one that does without.
    """

    def __init__(self, app: ASGIApplication, mode: str, state: dict[str, Any], logger: Any) -> None:
        if mode not in MODES:
            raise ValueError(f'lifespan is "auto", "on" or "off", not {mode!r}')
        self._app = app
        self._mode = mode
        self._state = state
        self._logger = logger
        self._task: asyncio.Task[None] | None = None
        self._said: asyncio.Queue[Message] = asyncio.Queue()
        self._leaving = False  # shutdown() was called
        self._phase: asyncio.Future[str | None] | None = None  # its result is what failed

    async def startup(self) -> None:
        """Start the application. Raises StartupFailed where it says, or raises, that it cannot."""
        if self._mode == "off":
            return
        loop = asyncio.get_running_loop()
        self._phase = loop.create_future()
        self._said.put_nowait({"type": "lifespan.startup"})
        self._task = loop.create_task(self._run())
        failure = await self._phase
        if failure is not None:
            await self._leave(0)
            raise StartupFailed(failure)

    async def shutdown(self) -> None:
        """Let the application end. What goes wrong then is logged."""
        if self._task is None or self._task.done():
            return
        self._leaving = True
        self._phase = asyncio.get_running_loop().create_future()
        self._said.put_nowait({"type": "lifespan.shutdown"})
        failure = await self._phase
        if failure is not None:
            self._logger.error("Application shutdown failed: %s", failure)
        await self._leave(LEAVE_S)

    async def _leave(self, patience_s: float) -> None:
        # It has nothing left to do: it returns, or is made to.
        assert self._task is not None
        if not (await asyncio.wait([self._task], timeout=patience_s))[0]:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self._state,
        }
        failure = None
        try:
            await self._app(scope, self._said.get, self._send)
        except (Exception, asyncio.CancelledError) as error:
            phase = self._phase
            if isinstance(error, asyncio.CancelledError) and (phase is None or phase.done()):
                raise  # nobody waits for it: it was made to end
            if phase is not None and phase.done() and phase.result() is not None:
                return  # it said that it failed, and then raised
            if (
                self._mode == "auto"
                and not self._leaving
                and phase is not None
                and not phase.done()
            ):
                self._logger.info("ASGI 'lifespan' protocol appears unsupported.")
            else:
                self._logger.error("Exception in 'lifespan' protocol\n", exc_info=error)
                failure = repr(error)
        self._end(failure)

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        phase = self._phase
        if kind in ("lifespan.startup.complete", "lifespan.shutdown.complete"):
            self._end(None)
        elif kind == "lifespan.shutdown.failed" and (phase is None or phase.done()):
            # Frameworks say so where they are cancelled: nobody asked for the shutdown.
            self._logger.debug("%s, and was not asked to shut down", kind)
        elif kind in ("lifespan.startup.failed", "lifespan.shutdown.failed"):
            failure = message.get("message") or "the application gives no reason"
            self._logger.error("%s: %s", kind, failure)
            self._end(failure)
        else:
            raise RuntimeError(f"Unexpected ASGI message '{kind}'.")

    def _end(self, failure: str | None) -> None:
        if self._phase is not None and not self._phase.done():
            self._phase.set_result(failure)
