"""`-U`: a local UDP port, whose every sender has a tunnel of its own."""

from __future__ import annotations

from typing import Any

from .counts import Counts
from .flows import IDLE_S, MAX_FLOWS, Flows
from .link import Link
from .packets import Packets
from .rules import Rule

__all__ = ["UdpForward"]


class UdpForward(Packets):
    """Packets to a local port go to the target of the rule, and answers to whoever asked."""

    def __init__(
        self,
        link: Link,
        rule: Rule,
        counts: Counts | None = None,
        *,
        idle_timeout: float = IDLE_S,
        max_flows: int = MAX_FLOWS,
    ) -> None:
        super().__init__()
        self.rule = rule
        self.counts = Counts() if counts is None else counts
        self.flows = Flows(
            link, self.counts, self._answer, idle_timeout=idle_timeout, max_flows=max_flows
        )

    def listen(self) -> int:
        """Begin; return the port. Raises OSError."""
        return self.bind(self.rule.bind, self.rule.port)

    def _packet(self, packet: bytes, sender: Any) -> None:
        if not self.flows.send(sender, packet):
            self.flows.open(sender, self.rule.host, self.rule.hostport, packet)

    async def close(self) -> None:
        """Stop listening, and end what is open."""
        self.unbind()
        await self.flows.close()
