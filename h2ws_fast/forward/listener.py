"""A TCP port of this machine, whose every connection becomes a tunnel."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import Coroutine
from typing import Any

from ..errors import H2WSError
from .counts import Counts
from .link import words

__all__ = ["Listener"]

logger = logging.getLogger("h2ws_fast.forward")


class Listener(abc.ABC):
    """Accepts connections, each in a task of its own, until it is closed."""

    def __init__(self, counts: Counts | None = None) -> None:
        self.counts = Counts() if counts is None else counts
        self.sockets: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def listen(self, host: str, port: int) -> int:
        """Begin; return the port. Raises OSError."""
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, proto)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:  # 0.0.0.0 is not meant where :: is said
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
            listener.listen(256)
            listener.setblocking(False)
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
                logger.warning("accepting failed: %s", error)
                await asyncio.sleep(0.1)
                continue
            self._spawn(self._serve(sock))

    async def _serve(self, sock: socket.socket) -> None:
        counts = self.counts
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._forward(sock)
        except (OSError, EOFError, H2WSError) as error:
            counts.failed += 1
            self._failed(error)
            with contextlib.suppress(OSError):  # the client is told at once: TCP is reset
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        finally:
            sock.close()

    @abc.abstractmethod
    async def _forward(self, sock: socket.socket) -> None:
        """Serve a connection that was accepted, until it ends. OSError, EOFError and H2WSError count
        as its failure."""

    def __str__(self) -> str:
        return type(self).__name__

    def _failed(self, error: Exception) -> None:
        logger.warning("%s: %s", self, words(error))

    def stop(self) -> None:
        """Stop listening; what is open goes on."""
        for accepting in self._accepting:
            accepting.cancel()

    async def close(self) -> None:
        """Stop listening, and drop what is open."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
