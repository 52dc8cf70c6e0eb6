"""A UDP port of this machine."""

from __future__ import annotations

import abc
import asyncio
import socket
from typing import Any

from .bound import bound

__all__ = ["Packets"]

PACKET = 65536
BATCH = 64  # packets that it takes before others have their turn


class Packets(abc.ABC):
    """Takes packets until it is closed."""

    def __init__(self) -> None:
        self._sock: socket.socket | None = None
        self._room = memoryview(bytearray(PACKET))
        self._loop = asyncio.get_running_loop()

    def bind(self, host: str, port: int) -> int:
        """Begin; return the port. Raises OSError."""
        sock = self._sock = bound(socket.SOCK_DGRAM, host, port)
        self._loop.add_reader(sock.fileno(), self._readable)
        return int(sock.getsockname()[1])

    def _readable(self) -> None:
        for _ in range(BATCH):
            if self._sock is None:
                return  # closed by what a packet has brought about
            try:
                size, sender = self._sock.recvfrom_into(self._room)
            except OSError:
                return  # nothing more, or an answer that nobody took
            self._packet(bytes(self._room[:size]), sender)

    @abc.abstractmethod
    def _packet(self, packet: bytes, sender: Any) -> None:
        """One has come."""

    def _answer(self, packet: bytes, to: Any) -> bool:
        # UDP: it may be lost, and is where the port is closed.
        if self._sock is None:
            return False
        try:
            self._sock.sendto(packet, to)
        except OSError:
            return False
        return True

    def unbind(self) -> None:
        """Take no more packets, and send none."""
        if self._sock is not None:
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()
            self._sock = None
