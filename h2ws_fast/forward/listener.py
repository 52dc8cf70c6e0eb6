"""A TCP port of this machine, whose every connection becomes a tunnel."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Coroutine
from functools import partial
from typing import Any

from ..aio.h1.pace import RESET_ON_CLOSE
from ..aio.server.dialer import keep_alive
from ..aio.server.notices import Notices
from ..aio.tunnel import Tunnel
from ..errors import H2WSError
from .bound import bound
from .counts import Counts
from .link import words

__all__ = ["HALF_CLOSED_S", "MAX_CONNECTIONS", "Listener"]

logger = logging.getLogger("h2ws_fast.forward")

# Who has lost its power, or never ends its side, has a place among so many.
MAX_CONNECTIONS = 1024
HALF_CLOSED_S = 300.0


def _close(sock: socket.socket, _: object) -> None:
    sock.close()


class Listener(abc.ABC):
    """Accepts connections, each in a task of its own, until it is closed.

    There are at most `max_connections` at once; further ones are reset, and counted as failed and
    turned away. Those of which one side has ended, and where nothing came for `half_closed_timeout`
    seconds since (None: never), are reset as well. Clients that are gone are found out by TCP's
    keepalive.
    """

    def __init__(
        self,
        counts: Counts | None = None,
        *,
        max_connections: int = MAX_CONNECTIONS,
        half_closed_timeout: float | None = HALF_CLOSED_S,
    ) -> None:
        self.counts = Counts() if counts is None else counts
        self.max_connections = max_connections
        self.half_closed_timeout = half_closed_timeout
        self.notices = Notices(logger, logging.WARNING, time.monotonic)
        self._served = 0
        self.sockets: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def listen(self, host: str, port: int) -> int:
        """Begin; return the port. Raises OSError."""
        listener = bound(socket.SOCK_STREAM, host, port)
        try:
            listener.listen(256)
        except BaseException:
            listener.close()
            raise
        self.sockets.append(listener)
        accepting = self._spawn(self._accept(listener))
        self._accepting.append(accepting)
        # Not before the loop has let go of it.
        accepting.add_done_callback(lambda _: listener.close())
        return int(listener.getsockname()[1])

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(listener)
            except OSError as error:
                # Of descriptors there are none left, or the client went away at once.
                self.notices.write("accepting failed: %s", error)
                await asyncio.sleep(0.1)
                continue
            # A task that is cancelled before it begins does nothing.
            self._spawn(self._serve(sock)).add_done_callback(partial(_close, sock))

    async def _serve(self, sock: socket.socket) -> None:
        counts = self.counts
        self._served += 1
        try:
            if self._served > self.max_connections:
                counts.turned_away += 1
                raise ConnectionRefusedError("the port has as many connections as it may have")
            sock.setblocking(False)
            keep_alive(sock)
            await self._forward(sock)
        except (OSError, EOFError, H2WSError) as error:
            counts.failed += 1
            self._failed(error)
            with contextlib.suppress(OSError):  # the client is told at once: TCP is reset
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        finally:
            self._served -= 1

    async def _carry(self, tunnel: Tunnel, sock: socket.socket) -> None:
        await self.counts.carry(tunnel, sock, self.half_closed_timeout)

    @abc.abstractmethod
    async def _forward(self, sock: socket.socket) -> None:
        """Serve a connection that was accepted, until it ends. OSError, EOFError and H2WSError count
        as its failure."""

    def __str__(self) -> str:
        return type(self).__name__

    def _failed(self, error: Exception) -> None:
        self.notices.write("%s: %s", self, words(error))

    def stop(self) -> None:
        """Stop listening; what is open goes on."""
        for accepting in self._accepting:
            accepting.cancel()

    async def close(self) -> None:
        """Stop listening, and drop what is open."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
