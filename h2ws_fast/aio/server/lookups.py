"""The addresses of names that clients ask a proxy for.

A name server that does not answer holds a thread for many seconds, whoever has given up meanwhile.
In the loop's own threads a few such names would stop all other work that is done there, and keep
the process from ending. So these have threads of their own, that end with the process, and one
client has but a few of them; what is beyond waits its turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import weakref
from collections.abc import Hashable
from typing import Any

__all__ = ["Lookups"]

AT_ONCE = 32
AT_ONCE_PER_CLIENT = 4


class Lookups:
    """Asks the system's resolver, `at_once` times at once, and `per_client` times for one client."""

    def __init__(self, at_once: int = AT_ONCE, per_client: int = AT_ONCE_PER_CLIENT) -> None:
        self._per_client = per_client
        self._all = asyncio.Semaphore(at_once)
        self._of: weakref.WeakValueDictionary[Hashable, asyncio.Semaphore]
        self._of = weakref.WeakValueDictionary()

    async def find(self, client: Hashable, host: str, port: int, kind: int) -> list[Any]:
        """Return what getaddrinfo does, and raise what it raises. An address needs no thread."""
        with contextlib.suppress(socket.gaierror):
            numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
            return list(socket.getaddrinfo(host, port, type=kind, flags=numeric))
        mine = self._of.get(client)
        if mine is None:
            mine = self._of[client] = asyncio.Semaphore(self._per_client)
        await mine.acquire()
        try:
            await self._all.acquire()
        except BaseException:
            mine.release()
            raise
        return await self._look(mine, host, port, kind)

    def _look(
        self, mine: asyncio.Semaphore, host: str, port: int, kind: int
    ) -> asyncio.Future[list[Any]]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Any]] = loop.create_future()

        def settle(found: list[Any] | None, error: Exception | None) -> None:
            # Not before: whoever waited may be gone, the thread was at work.
            self._all.release()
            mine.release()
            if future.done():
                return
            if found is None:
                future.set_exception(error or OSError("no answer"))
            else:
                future.set_result(found)

        def look() -> None:
            found = error = None
            try:
                found = list(socket.getaddrinfo(host, port, type=kind))
            except Exception as failed:
                error = failed
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(settle, found, error)

        try:
            threading.Thread(target=look, name="h2ws_fast-lookup", daemon=True).start()
        except RuntimeError as error:
            settle(None, OSError(f"no thread to resolve names in: {error}"))
        return future
