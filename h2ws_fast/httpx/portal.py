"""A thread with an event loop, in which coroutines run for others."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["Portal"]

T = TypeVar("T")

# Loops of the process that this one was forked from. They share their selectors with it: one that
# is collected here would take its sockets out of them there.
INHERITED: list[Any] = []


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    if thread.is_alive():
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


class Portal:
    """Runs coroutines in one event loop for any number of threads. Its thread starts on demand."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._finalizer: Any = None

    @property
    def running(self) -> bool:
        """Is there a thread?"""
        return self._thread is not None and self._thread.is_alive()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or not self.running:
                if self._loop is not None:
                    INHERITED.append(self._loop)  # this process was forked from the thread's
                    self._finalizer.detach()
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_serve, args=(self._loop,), name="h2ws_fast.httpx", daemon=True
                )
                self._thread.start()
                self._finalizer = weakref.finalize(self, _stop, self._loop, self._thread)
            return self._loop

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there and wait for what it returns or raises.

        An interrupt (Ctrl-C) in the calling thread cancels it.
        """
        future = asyncio.run_coroutine_threadsafe(coroutine, self._started())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """End the thread; what still runs in it is cancelled."""
        with self._lock:
            if self._loop is None or not self.running:
                return
            self._finalizer.detach()
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        assert thread is not None
        _stop(loop, thread)
