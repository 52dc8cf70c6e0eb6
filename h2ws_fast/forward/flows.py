"""Tunnels for UDP, by who sends and where to: one for each pair, for as long as it is used."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from ..aio.server.notices import Notices
from ..errors import H2WSError, InvalidStatus
from ..masque.tunnel import UdpTunnel, connect_udp
from .counts import Counts
from .link import Link, words
from .rules import authority_of

__all__ = ["IDLE_S", "MAX_FLOWS", "Flows"]

logger = logging.getLogger("h2ws_fast.forward")

# At once: whoever comes beyond has the longest silent one ended. A UdpProxy gives a client 64
# tunnels where it is not told otherwise; a resolver asks each question from another port.
MAX_FLOWS = 60
EARLY = 16  # packets that wait for their tunnel
IDLE_S = 120.0
LEAVING_S = 2.0  # what a tunnel's end may take, so that another has its place


class Flow:
    """One tunnel."""

    def __init__(self, key: Any, host: str, port: int, now: float) -> None:
        self.key = key
        self.host = host
        self.port = port
        self.early: list[bytes] = []
        self.udp: UdpTunnel | None = None
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.active = now  # when a packet went either way


class Flows:
    """Tunnels by keys of the caller's, which say who sends and where to.

    `answer(packet, key)` is called with what a target sends, and says whether it was passed on.
    """

    def __init__(
        self,
        link: Link,
        counts: Counts,
        answer: Callable[[bytes, Any], bool],
        *,
        idle_timeout: float = IDLE_S,
        max_flows: int = MAX_FLOWS,
    ) -> None:
        self.link = link
        self.counts = counts
        self.max_flows = max_flows
        self._answer = answer
        self._idle_timeout = idle_timeout
        self._flows: dict[Any, Flow] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # of those that are being ended, too
        self._notices = Notices(logger, logging.WARNING, time.monotonic)
        self._loop = asyncio.get_running_loop()

    def __len__(self) -> int:
        return len(self._flows)

    def keys(self) -> Iterable[Any]:
        """Those of the tunnels that there are."""
        return list(self._flows)

    def send(self, key: Any, packet: bytes) -> bool:
        """Send by the tunnel of this key. False: there is none."""
        flow = self._flows.get(key)
        if flow is None:
            return False
        flow.active = self._loop.time()
        if flow.udp is not None:
            self._send(flow.udp, packet)
        elif len(flow.early) < EARLY:
            flow.early.append(packet)
        return True

    def open(self, key: Any, host: str, port: int, packet: bytes) -> None:
        """Open a tunnel, and send this by it, unless there are too many that still open."""
        if len(self._flows) >= self.max_flows and self._end_silent() is None:
            return  # UDP: it may be lost
        flow = self._flows[key] = Flow(key, host, port, self._loop.time())
        flow.early.append(packet)
        flow.task = self._loop.create_task(self._run(flow))
        self._tasks.add(flow.task)
        flow.task.add_done_callback(self._tasks.discard)
        flow.task.add_done_callback(lambda _: self._forget(flow))

    def end(self, key: Any) -> None:
        """End the tunnel of this key."""
        flow = self._flows.get(key)
        if flow is None:
            return
        if flow.udp is None and flow.task is not None:
            flow.task.cancel()
        self._end(flow)

    def _forget(self, flow: Flow) -> None:
        # There may be another of the same key by now.
        if self._flows.get(flow.key) is flow:
            del self._flows[flow.key]
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
            udp = await self._open(flow)
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
                        if self._answer(packet, flow.key):
                            counts.received += len(packet)
            finally:
                counts.open -= 1
        except (OSError, H2WSError) as error:
            counts.failed += 1
            target = authority_of(flow.host, flow.port)
            self._notices.write("UDP to %s: %s", target, words(error))

    async def _open(self, flow: Flow) -> UdpTunnel:
        try:
            return await self._connect(flow)
        except InvalidStatus as refused:
            # The server gives fewer tunnels than there are senders here.
            leaving = self._end_silent() if refused.response.status == 503 else None
            if leaving is None:
                raise
        await asyncio.wait([leaving], timeout=LEAVING_S)
        return await self._connect(flow)

    async def _connect(self, flow: Flow) -> UdpTunnel:
        return await self.link.open(
            lambda session: connect_udp(session, flow.host, flow.port, headers=self.link.headers)
        )

    async def close(self) -> None:
        """End all of them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
