"""`-L`: a local TCP port that leads to one target."""

from __future__ import annotations

import socket

from .counts import Counts
from .link import Link
from .listener import Listener
from .rules import Rule

__all__ = ["TcpForward"]


class TcpForward(Listener):
    """`-L`: every connection goes to one target."""

    def __init__(self, link: Link, rule: Rule, counts: Counts | None = None) -> None:
        super().__init__(counts)
        self.link = link
        self.rule = rule

    async def _forward(self, sock: socket.socket) -> None:
        await self._carry(await self.link.connect_tcp(self.rule.authority), sock)
