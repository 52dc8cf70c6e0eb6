"""`-U`: a local UDP port, whose every sender has a tunnel of its own."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

from ..errors import H2WSError
from ..masque.tunnel import UdpTunnel, connect_udp
from .counts import Counts
from .link import Link
from .rules import Rule

__all__ = ["UdpForward"]

logger = logging.getLogger("h2ws_fast.forward")

PACKET = 65536
BATCH = 64
MAX_FLOWS = 256  # senders at once: whoever opens more has the longest silent one ended
EARLY = 16  # packets of a sender that wait for its tunnel
IDLE_S = 120.0


class Flow:
    """One sender."""

    def __init__(self, now: float) -> None:
        self.early: list[bytes] = []
        self.udp: UdpTunnel | None = None
        self.task: asyncio.Task[None] | None = None
        self.active = now


class UdpForward:
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
        self.link = link
        self.rule = rule
        self.counts = Counts() if counts is None else counts
        self._idle_timeout = idle_timeout
        self._max_flows = max_flows
        self._flows: dict[Any, Flow] = {}
        self._sock: socket.socket | None = None
        self._room = memoryview(bytearray(PACKET))
        self._loop = asyncio.get_running_loop()

    def listen(self) -> int:
        """Begin; return the port. Raises OSError."""
        family, kind, proto, _, address = socket.getaddrinfo(
            self.rule.bind, self.rule.port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, proto)
        try:
            sock.setblocking(False)
            sock.bind(address)
        except BaseException:
            sock.close()
            raise
        self._sock = sock
        self._loop.add_reader(sock.fileno(), self._readable)
        return int(sock.getsockname()[1])

    def _readable(self) -> None:
        assert self._sock is not None
        for _ in range(BATCH):
            try:
                size, sender = self._sock.recvfrom_into(self._room)
            except OSError:
                return  # nothing more, or an answer that nobody took
            self._packet(bytes(self._room[:size]), sender)

    def _packet(self, packet: bytes, sender: Any) -> None:
        now = self._loop.time()
        flow = self._flows.get(sender)
        if flow is None:
            if len(self._flows) >= self._max_flows:
                oldest = min(self._flows.values(), key=lambda each: each.active)
                assert oldest.task is not None
                oldest.task.cancel()
                return  # UDP: it may be lost
            flow = self._flows[sender] = Flow(now)
            flow.task = self._loop.create_task(self._run(flow, sender))
        flow.active = now
        if flow.udp is None:
            if len(flow.early) < EARLY:
                flow.early.append(packet)
            return
        self._send(flow.udp, packet)

    def _send(self, udp: UdpTunnel, packet: bytes) -> None:
        try:
            if udp.send_nowait(packet):
                self.counts.sent += len(packet)
        except (H2WSError, ValueError):
            return  # its task is told as well

    async def _run(self, flow: Flow, sender: Any) -> None:
        counts, rule = self.counts, self.rule
        watch = None
        try:
            session = await self.link.session()
            udp = await connect_udp(session, rule.host, rule.hostport, headers=self.link.headers)
            counts.opened += 1
            counts.open += 1
            try:
                async with asyncio.timeout(self._idle_timeout) as watch, udp:
                    flow.udp = udp
                    for packet in flow.early:
                        self._send(udp, packet)
                    flow.early.clear()
                    async for packet in udp:
                        flow.active = self._loop.time()
                        self._answer(packet, sender)
                        watch.reschedule(flow.active + self._idle_timeout)
            finally:
                counts.open -= 1
        except TimeoutError:
            pass  # silent for long
        except (OSError, H2WSError) as error:
            counts.failed += 1
            logger.warning("%s", error)
        finally:
            self._flows.pop(sender, None)

    def _answer(self, packet: bytes, sender: Any) -> None:
        assert self._sock is not None
        try:
            self._sock.sendto(packet, sender)
        except OSError:
            return  # UDP: it is lost
        self.counts.received += len(packet)

    async def close(self) -> None:
        """Stop listening, and end what is open."""
        if self._sock is not None:
            self._loop.remove_reader(self._sock.fileno())
        tasks = [flow.task for flow in self._flows.values() if flow.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._sock is not None:
            self._sock.close()
