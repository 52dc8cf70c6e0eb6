"""A thread with an event loop, in which coroutines run for others."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import httpx

__all__ = ["Portal"]

T = TypeVar("T")

# What is open stays here: the loops of the process that this one was forked from share their
# selectors with it, and one that is collected here would take its sockets out of them there.
OPEN: set[asyncio.AbstractEventLoop] = set()


def _serve(loop: asyncio.AbstractEventLoop, cut_off: Callable[[], None]) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        cut_off()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        # A socket is closed in the iteration after the one that is told to.
        loop.run_until_complete(asyncio.sleep(0))
    finally:
        asyncio.set_event_loop(None)
        loop.close()
        OPEN.discard(loop)


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    if thread.is_alive():
        loop.call_soon_threadsafe(loop.stop)
        # Whoever collects garbage gets here, and that may be the thread itself.
        if thread is not threading.current_thread():
            thread.join()


class Portal:
    """Runs coroutines in one event loop for any number of threads, until it is stopped.

    `cut_off` is called in that thread at the end: what is still open was forgotten, and is closed
    without waiting for anybody. It must not lead back to what holds the portal.
    """

    def __init__(self, cut_off: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._stopped = False
        self._loop = asyncio.new_event_loop()
        OPEN.add(self._loop)
        self._thread = threading.Thread(
            target=_serve, args=(self._loop, cut_off), name="h2ws_fast.httpx", daemon=True
        )
        self._thread.start()
        self._finalizer = weakref.finalize(self, _stop, self._loop, self._thread)

    @property
    def running(self) -> bool:
        """Is there a thread? There is none in a process that was forked from its own."""
        return self._thread.is_alive()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there and wait for what it returns or raises.

        An interrupt (Ctrl-C) in the calling thread cancels it. Raises httpx.ReadError where `stop`
        was called, meanwhile or before: the coroutine is cancelled, or never begins.
        """
        with self._lock:
            if self._stopped or not self.running:
                coroutine.close()
                raise httpx.ReadError("the transport was closed")
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise httpx.ReadError("the transport was closed") from None
        except BaseException:
            future.cancel()
            raise

    def stop(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `last`, and end the thread; what still runs in it then is cancelled."""
        with self._lock:
            # What came before is a task by the time that the loop stops, and nothing comes behind.
            if self._stopped or not self.running:
                return
            self._stopped = True
            ending = asyncio.run_coroutine_threadsafe(last(), self._loop)
        try:
            ending.result()
        finally:
            self._finalizer.detach()
            _stop(self._loop, self._thread)
