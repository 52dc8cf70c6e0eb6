"""`-L`: a local TCP port that leads to one target, or to a stream of a name."""

from __future__ import annotations

import socket
from typing import Any

from .counts import Counts
from .link import Link
from .listener import Listener
from .presence import while_there
from .rules import Rule, StreamRule

__all__ = ["TcpForward"]


class TcpForward(Listener):
    """`-L`: every connection goes to one target by CONNECT, or is a stream by the token and path of a
    StreamRule: an extended CONNECT, as `Session.tunnel` makes them. Other arguments are those of
    Listener."""

    def __init__(
        self,
        link: Link,
        rule: Rule | StreamRule,
        counts: Counts | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(counts, **arguments)
        self.link = link
        self.rule = rule

    def __str__(self) -> str:
        return f"TCP to {self.rule}"

    async def _forward(self, sock: socket.socket) -> None:
        rule = self.rule
        async with while_there(sock):
            if isinstance(rule, StreamRule):
                tunnel = await self.link.tunnel(rule.token, rule.path)
            else:
                tunnel = await self.link.connect_tcp(rule.authority)
        await self._carry(tunnel, sock)
