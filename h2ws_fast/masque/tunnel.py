"""UDP packets in a tunnel of HTTP/2: the client's end of RFC 9298."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from ..aio.client.session import Session
from ..aio.http import HeadersLike, Response, fields_of
from ..aio.tunnel import Tunnel
from ..aio.uri import Target, parse
from ..engine.capsules import CapsuleReader, udp_datagram
from ..errors import StreamClosed, StreamReset
from .fields import CAPSULE_PROTOCOL
from .template import DEFAULT_PATH, UriTemplate, check_target

__all__ = ["UdpTransport", "UdpTunnel", "connect_udp", "create_datagram_endpoint"]

TOKEN = "connect-udp"
BATCH = 64  # packets that one tunnel is read of before others have their turn


class UdpTunnel:
    """UDP packets to one target and from it, through a proxy. `connect_udp` makes them.

    `await udp.send(packet)`, `await udp.recv()`, `async for packet in udp`: each is one packet, whole,
    and may be empty. Over the tunnel itself none is lost or overtaken; between proxy and target UDP is
    as it always is, and the proxy drops what a full window does not let through.

    `sent`, `received` and `dropped` count packets, the last those that `send_nowait` did not take.
    """

    def __init__(self, tunnel: Tunnel, host: str, port: int, max_waiting: int) -> None:
        self.tunnel = tunnel
        self.remote_address = (host, port)
        self.max_waiting = max_waiting
        self.sent = 0
        self.received = 0
        self.dropped = 0
        self._reader = CapsuleReader(contexts=True)
        self._packets: deque[bytes] = deque()
        self._in_turn = 0  # packets that were read without waiting

    @property
    def response(self) -> Response | None:
        """What the proxy answered."""
        return self.tunnel.response

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send one packet; wait while too much waits already.

        Raises ValueError above 65527 octets, StreamReset where the proxy no longer takes any.
        """
        capsule = udp_datagram(bytes(data))
        await self.tunnel.send(capsule)
        self.sent += 1

    def send_nowait(self, data: bytes | bytearray | memoryview) -> bool:
        """Send one packet unless more than `max_waiting` octets wait: then drop it, return False.

        Raises as `send` does.
        """
        capsule = udp_datagram(bytes(data))
        if self.tunnel.waiting + len(capsule) > self.max_waiting:
            self.dropped += 1
            return False
        self.tunnel.send_nowait(capsule)
        self.sent += 1
        return True

    async def recv(self) -> bytes:
        """Return the next packet.

        Raises StreamClosed once the proxy has ended the tunnel, and StreamReset where it was reset:
        with CONNECT_ERROR (0xa) the target cannot be reached.
        """
        self._in_turn += 1
        if self._in_turn >= BATCH:
            self._in_turn = 0
            await asyncio.sleep(0)
        while not self._packets:
            if self._reader.failure is not None:
                self.tunnel.abort(self._reader.error_code)
            data = await self.tunnel.recv()
            if data:
                self._packets.extend(self._reader.receive(data))
            elif self._reader.finish() is not None:
                # RFC 9297 section 3.3.
                self.tunnel.abort(self._reader.error_code)
                raise StreamReset(self._reader.error_code, f"{self._reader.failure}")
            else:
                raise StreamClosed("the proxy ended the tunnel")
        self.received += 1
        return self._packets.popleft()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._iterate()

    async def _iterate(self) -> AsyncIterator[bytes]:
        while True:
            try:
                packet = await self.recv()
            except StreamClosed:
                return
            yield packet

    async def close(self) -> None:
        """End the tunnel behind what was sent: the proxy closes its socket."""
        await self.tunnel.close()

    def abort(self) -> None:
        """Reset the tunnel."""
        self.tunnel.abort()

    async def __aenter__(self) -> UdpTunnel:
        return self

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        await self.tunnel.__aexit__(kind, error, traceback)

    def __repr__(self) -> str:
        return f"<UdpTunnel to {self.remote_address[0]} port {self.remote_address[1]}>"


async def connect_udp(
    session: Session,
    host: str,
    port: int,
    *,
    template: str | None = None,
    headers: HeadersLike | None = None,
    priority: str | None = None,
    open_timeout: float | None = None,
    max_waiting: int = 65536,
) -> UdpTunnel:
    """Have the session's server forward UDP packets to `host` and `port`: RFC 9298.

    `template` is the proxy's URI template, of the session's own origin, or the path of one; by
    default "/.well-known/masque/udp/{target_host}/{target_port}/". `host` is a name or an address,
    IPv6 without brackets; the proxy resolves it. `max_waiting`: octets that `send_nowait` lets wait.
    `priority` is as `Session.tunnel` has it; `udp.tunnel.prioritize` changes it.

    Raises ValueError for targets and templates that make no sense, before anything is sent, and
    otherwise as `Session.websocket`: an InvalidStatus may say why in its response's `proxy-status`
    (RFC 9209).
    """
    made = UriTemplate(DEFAULT_PATH if template is None else template)
    own = session.target
    if made.scheme and not _is_of(made, own):
        raise ValueError(f"the session leads to {own.scheme}://{own.authority}, not to {template}")
    path = made.expand(host, port)
    fields = [CAPSULE_PROTOCOL, *fields_of(headers)]
    tunnel = await session.tunnel(
        TOKEN, path, headers=fields, priority=priority, open_timeout=open_timeout
    )
    return UdpTunnel(tunnel, host, port, max_waiting)


def _is_of(template: UriTemplate, own: Target) -> bool:
    # An origin may be written with its scheme's own port, as RFC 9298 section 2 has it, or without.
    found = parse(f"{template.scheme}://{template.authority}")
    known = (template.scheme, found.authority) == (own.scheme, own.authority)
    return known and "@" not in template.authority


class UdpTransport(asyncio.DatagramTransport):
    """A UdpTunnel as asyncio's protocols of datagrams know their transport.

    `sendto` never waits: beyond the tunnel's `max_waiting` packets are dropped, as UDP does. The
    address in it, where there is one, must be that of the target.
    """

    def __init__(self, udp: UdpTunnel, protocol: asyncio.DatagramProtocol) -> None:
        super().__init__({"peername": udp.remote_address, "udp_tunnel": udp})
        self._udp = udp
        self._protocol = protocol
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._protocol.connection_made(self)
        self._task = self._loop.create_task(self._run())
        self._task.add_done_callback(self._ended)

    async def _run(self) -> None:
        address = self._udp.remote_address
        while True:
            packet = await self._udp.recv()
            try:
                self._protocol.datagram_received(packet, address)
            except Exception as error:
                self._loop.call_exception_handler(
                    {"message": "datagram_received failed", "exception": error, "transport": self}
                )

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, StreamClosed) or self._closing:
            error = None
        self._closing = True
        self._udp.tunnel.close_nowait()
        self._protocol.connection_lost(error if isinstance(error, Exception) else None)

    def sendto(self, data: Any, addr: Any = None) -> None:
        if addr is not None and self._other(addr):
            raise ValueError(f"this transport leads to {self._udp.remote_address}, not to {addr}")
        if self._closing:
            return
        try:
            self._udp.send_nowait(data)
        except StreamReset as error:
            self._protocol.error_received(error)

    def _other(self, addr: Any) -> bool:
        # As it was given, or written in another way.
        given, known = tuple(addr[:2]), self._udp.remote_address
        return given != known and check_target(*given) != check_target(*known)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._task.cancel()

    def abort(self) -> None:
        self._udp.abort()
        self.close()

    async def wait_closed(self) -> None:
        """Wait until the protocol was told that the connection is lost."""
        await asyncio.wait([self._task])


async def create_datagram_endpoint(
    session: Session,
    protocol_factory: Callable[[], asyncio.DatagramProtocol],
    host: str,
    port: int,
    **options: Any,
) -> tuple[UdpTransport, asyncio.DatagramProtocol]:
    """As a loop's `create_datagram_endpoint` with a `remote_addr`, through a proxy.

    What was written for asyncio and UDP runs on it: DTLS, QUIC, DNS. `options` are those of
    `connect_udp`. Addresses that the protocol is told are `(host, port)` as they were given here.
    """
    udp = await connect_udp(session, host, port, **options)
    try:
        protocol = protocol_factory()
        return UdpTransport(udp, protocol), protocol
    except BaseException:
        udp.abort()
        raise
