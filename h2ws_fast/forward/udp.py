"""`-U`: a local UDP port, whose every sender has a tunnel of its own."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

from ..errors import H2WSError, InvalidStatus
from ..masque.tunnel import UdpTunnel, connect_udp
from .counts import Counts
from .link import Link, words
from .rules import Rule

__all__ = ["UdpForward"]

logger = logging.getLogger("h2ws_fast.forward")

PACKET = 65536
BATCH = 64
# Senders at once: whoever comes beyond has the longest silent one ended. A UdpProxy gives a client
# 64 tunnels where it is not told otherwise; a resolver asks each question from another port.
MAX_FLOWS = 60
EARLY = 16  # packets of a sender that wait for its tunnel
IDLE_S = 120.0
LEAVING_S = 2.0  # what a tunnel's end may take, so that another has its place


class Flow:
    """One sender."""

    def __init__(self, sender: Any, now: float) -> None:
        self.sender = sender
        self.early: list[bytes] = []
        self.udp: UdpTunnel | None = None
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.active = now  # when a packet went either way


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
        self._tasks: set[asyncio.Task[None]] = set()  # of those that are being ended, too
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
            if len(self._flows) >= self._max_flows and self._end_silent() is None:
                return  # UDP: it may be lost
            flow = self._flows[sender] = Flow(sender, now)
            flow.task = self._loop.create_task(self._run(flow))
            self._tasks.add(flow.task)
            flow.task.add_done_callback(self._tasks.discard)
            flow.task.add_done_callback(lambda _: self._forget(flow))
        flow.active = now
        if flow.udp is None:
            if len(flow.early) < EARLY:
                flow.early.append(packet)
            return
        self._send(flow.udp, packet)

    def _forget(self, flow: Flow) -> None:
        # The same sender may have another by now.
        if self._flows.get(flow.sender) is flow:
            del self._flows[flow.sender]
        if flow.timer is not None:
            flow.timer.cancel()

    def _end(self, flow: Flow) -> None:
        # In good order: what is reset too often looks like an attack.
        self._forget(flow)
        if flow.udp is not None:
            flow.udp.tunnel.send_eof()
            flow.timer = self._loop.call_later(LEAVING_S, flow.udp.abort)

    def _end_silent(self) -> asyncio.Task[None] | None:
        # The longest silent one that has a tunnel; None where there is none.
        open_ = [flow for flow in self._flows.values() if flow.udp is not None]
        if not open_:
            return None
        oldest = min(open_, key=lambda flow: flow.active)
        self._end(oldest)
        return oldest.task

    def _watch(self, flow: Flow) -> None:
        due = flow.active + self._idle_timeout
        if due > self._loop.time():
            flow.timer = self._loop.call_at(due, self._watch, flow)
        else:
            self._end(flow)

    def _send(self, udp: UdpTunnel, packet: bytes) -> None:
        try:
            if udp.send_nowait(packet):
                self.counts.sent += len(packet)
        except (H2WSError, ValueError):
            return  # its task is told as well

    async def _run(self, flow: Flow) -> None:
        counts = self.counts
        try:
            udp = await self._open()
            counts.opened += 1
            counts.open += 1
            try:
                async with udp:
                    flow.udp = udp
                    for packet in flow.early:
                        self._send(udp, packet)
                    flow.early.clear()
                    self._watch(flow)
                    async for packet in udp:
                        flow.active = self._loop.time()
                        self._answer(packet, flow.sender)
            finally:
                counts.open -= 1
        except (OSError, H2WSError) as error:
            counts.failed += 1
            logger.warning("UDP to %s: %s", self.rule, words(error))

    async def _open(self) -> UdpTunnel:
        try:
            return await self._connect()
        except InvalidStatus as refused:
            # The server gives fewer tunnels than there are senders here.
            leaving = self._end_silent() if refused.response.status == 503 else None
            if leaving is None:
                raise
        await asyncio.wait([leaving], timeout=LEAVING_S)
        return await self._connect()

    async def _connect(self) -> UdpTunnel:
        session = await self.link.session()
        host, port = self.rule.host, self.rule.hostport
        return await connect_udp(session, host, port, headers=self.link.headers)

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
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._sock is not None:
            self._sock.close()
