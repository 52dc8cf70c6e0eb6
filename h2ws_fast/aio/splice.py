"""A tunnel and a TCP connection that are one: RFC 9113 section 8.5."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from ..engine.constants import CANCEL, CONNECT_ERROR
from ..errors import StreamReset
from .h1.pace import RESET_ON_CLOSE
from .tunnel import Tunnel

__all__ = ["Splice"]

PIECE = 65536


class Splice:
    """Octets from a tunnel to a socket and back, and their ends.

    `to_socket` and `to_tunnel` count octets. Both are reset where nothing went either way for
    `idle_timeout` seconds, or for `half_closed_timeout` once one side has ended; None: never.
    `failure` is what reset the tunnel, but for this end.
    """

    __slots__ = (
        "_active",
        "_ends",
        "_half_closed_timeout",
        "_idle_timeout",
        "_loop",
        "_patience",
        "_sock",
        "_timer",
        "_tunnel",
        "failure",
        "to_socket",
        "to_tunnel",
    )

    def __init__(
        self,
        tunnel: Tunnel,
        sock: socket.socket,
        *,
        idle_timeout: float | None = None,
        half_closed_timeout: float | None = None,
    ) -> None:
        self._tunnel = tunnel
        self._sock = sock
        self._idle_timeout = idle_timeout
        self._half_closed_timeout = half_closed_timeout
        self._loop = asyncio.get_running_loop()
        self._active = self._loop.time()  # when octets went either way, or an end
        self._timer: asyncio.TimerHandle | None = None
        self._patience = asyncio.timeout(None)
        self._ends: list[str] = []
        self.failure: StreamReset | None = None
        self.to_socket = 0
        self.to_tunnel = 0

    async def run(self) -> bool:
        """Copy both ways until both have ended, and close the socket, which does not block.

        Returns True where this end of TCP closed first. An error of the socket resets the tunnel
        with CONNECT_ERROR, one of the tunnel the socket.
        """
        tunnel, sock, ends = self._tunnel, self._sock, self._ends
        tasks = [asyncio.create_task(self._upstream()), asyncio.create_task(self._downstream())]
        try:
            async with self._patience:
                self._watch()
                await asyncio.gather(*tasks)
        except StreamReset as error:
            self.failure = error
        except OSError:
            # RFC 9113 section 8.5: a proxy treats any error of the TCP connection as a stream
            # error of type CONNECT_ERROR. That nothing is said is none.
            tunnel.abort(CANCEL if self._patience.expired() else CONNECT_ERROR)
        except BaseException:
            tunnel.abort(CANCEL)
            raise
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for task in tasks:
                task.cancel()
            try:
                await asyncio.gather(*tasks, return_exceptions=True)
            finally:
                # Whoever is cancelled here once more leaves no socket behind.
                whole = len(ends) == 2
                if not whole:
                    # The same section: an error of the stream or of the HTTP/2 connection resets
                    # the TCP connection.
                    with contextlib.suppress(OSError):
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                sock.close()
        return whole and ends[0] == "up"

    def _watch(self) -> None:
        # At the time when patience would be over: it is, unless something went meanwhile.
        limit = self._half_closed_timeout if self._ends else self._idle_timeout
        if self._timer is not None:
            self._timer.cancel()
        if limit is None:
            return
        due = self._active + limit
        if due > self._loop.time():
            self._timer = self._loop.call_at(due, self._watch)
        else:
            self._patience.reschedule(self._loop.time())

    def _ended(self, way: str) -> None:
        self._ends.append(way)
        self._active = self._loop.time()
        self._watch()

    async def _upstream(self) -> None:
        # What comes through the tunnel. It is credited as it is taken, and taken as TCP takes it.
        loop = self._loop
        while data := await self._tunnel.recv():
            await loop.sock_sendall(self._sock, data)
            self.to_socket += len(data)
            self._active = loop.time()
        self._sock.shutdown(socket.SHUT_WR)
        self._ended("up")

    async def _downstream(self) -> None:
        loop = self._loop
        while data := await loop.sock_recv(self._sock, PIECE):
            await self._tunnel.send(data)
            self.to_tunnel += len(data)
            self._active = loop.time()
        self._tunnel.send_eof()
        self._ended("down")
