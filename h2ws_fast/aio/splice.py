"""A tunnel and a TCP connection that are one: RFC 9113 section 8.5."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

from ..engine.constants import CANCEL, CONNECT_ERROR
from ..errors import StreamReset
from .tunnel import Tunnel

__all__ = ["Splice"]

PIECE = 65536
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of no seconds: close() sends RST


class Splice:
    """Octets from a tunnel to a socket and back, and their ends.

    `to_socket` and `to_tunnel` count octets.
    """

    __slots__ = ("_ends", "_sock", "_tunnel", "to_socket", "to_tunnel")

    def __init__(self, tunnel: Tunnel, sock: socket.socket) -> None:
        self._tunnel = tunnel
        self._sock = sock
        self._ends: list[str] = []
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
            await asyncio.gather(*tasks)
        except StreamReset:
            pass
        except OSError:
            # RFC 9113 section 8.5: a proxy treats any error of the TCP connection as a stream
            # error of type CONNECT_ERROR.
            tunnel.abort(CONNECT_ERROR)
        except BaseException:
            tunnel.abort(CANCEL)
            raise
        finally:
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

    async def _upstream(self) -> None:
        # What comes through the tunnel. It is credited as it is taken, and taken as TCP takes it.
        loop = asyncio.get_running_loop()
        while data := await self._tunnel.recv():
            await loop.sock_sendall(self._sock, data)
            self.to_socket += len(data)
        self._sock.shutdown(socket.SHUT_WR)
        self._ends.append("up")

    async def _downstream(self) -> None:
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(self._sock, PIECE):
            await self._tunnel.send(data)
            self.to_tunnel += len(data)
        self._tunnel.send_eof()
        self._ends.append("down")
