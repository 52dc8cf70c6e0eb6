"""A proxy for UDP: `serve(tunnels={"connect-udp": UdpProxy(...)})`, RFC 9298 section 3.

    client --capsules--> Flow --one sendto each--> target
    client <--capsules-- Flow <--recv, one each--- target

A packet is never kept: where the kernel does not take it, or the client's window is full, it is
dropped and counted (section 6: whoever speaks over UDP judges the path by when packets come, and by
which do not).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import sys
import time
from collections.abc import Callable, Hashable, Iterable

from ..aio.answering import Answering
from ..aio.http import Request, Response
from ..aio.server.notices import Notices
from ..aio.server.places import Places, by_address
from ..aio.server.targets import Allow, Refused, Resolve, Targets, new_socket
from ..aio.tunnel import Tunnel
from ..engine.capsules import CapsuleReader, udp_datagram
from ..engine.constants import CONNECT_ERROR, PROTOCOL_ERROR
from ..errors import StreamReset
from .fields import CAPSULE_PROTOCOL
from .quota import Quota, Quotas
from .template import DEFAULT_PATH, BadTarget, UriTemplate

__all__ = ["UdpProxy"]

logger = logging.getLogger("h2ws_fast.masque")

PACKET = 65536  # more than any packet has
BATCH = 64  # packets that one flow takes, from its socket or its client, before others do
HEADERS = {socket.AF_INET: 28, socket.AF_INET6: 48}  # octets of IP and UDP before those of a packet

# Not among the names of Python 3.11: <linux/in.h> and <linux/in6.h>.
LINUX_IP_MTU_DISCOVER = 10
LINUX_IPV6_MTU_DISCOVER = 23
LINUX_PMTUDISC_DO = 2

# What describes content, which capsules are not: RFC 9297 section 3.2. Over HTTP/2 the engine has
# refused it.
CONTENT = ("content-length", "content-type", "transfer-encoding")


class UdpProxy(Answering):
    """Forwards UDP packets for clients: a value for `connect-udp` in `serve(tunnels=...)`.

    An open proxy is a gift to attackers: it leads to public addresses alone, but for what it is told.
    `allow`, `ports`, `private`, `deny`, `resolve`, `dial_timeout` and `places` are as `Dialer` has
    them; every port is allowed by default. `allow` may be a function of `(request, host, port)` that looks at who asks;
    `process_request=basic_auth(...)` of `serve` asks for a password first.

    `max_sockets` of all clients, and `max_sockets_per_client` (`client(request)` tells them apart,
    by address where it is not given); beyond them clients are answered 503. `rate`: octets a second
    that a client may send to targets in all of its tunnels, with the headers of IP and UDP; packets
    beyond are dropped. A second's worth may come at once, 65 583 octets at least. With it a client
    cannot make this proxy flood a target.

    `max_waiting`: octets for a client that wait for its window, beyond which packets are dropped.
    A tunnel over which no packet went for `idle_timeout` seconds is ended (RFC 9298 section 3.1:
    not below two minutes). `template` is the path that requests have, with `{target_host}` and
    `{target_port}`.

    `stats()` counts. Works on loops that watch sockets (`add_reader`): on Windows that is asyncio's
    SelectorEventLoop.
    """

    over_http1 = True

    def __init__(
        self,
        allow: Allow = None,
        *,
        ports: Iterable[int] | None = None,
        private: bool = False,
        deny: Iterable[str] = (),
        max_sockets: int = 1024,
        max_sockets_per_client: int = 64,
        places: Places | None = None,
        rate: float | None = None,
        client: Callable[[Request], Hashable] = by_address,
        max_waiting: int = 131072,
        idle_timeout: float = 120.0,
        dial_timeout: float = 5.0,
        resolve: Resolve | None = None,
        template: str = DEFAULT_PATH,
    ) -> None:
        self.targets = Targets(allow, ports=ports, private=private, deny=deny, resolve=resolve)
        self.template = UriTemplate(template)
        self.max_waiting = max_waiting
        self.idle_timeout = idle_timeout
        self.dial_timeout = dial_timeout
        self._client = client
        self._places = Places(max_sockets, max_sockets_per_client) if places is None else places
        self._quotas = Quotas(rate)
        self._notices = Notices(logger, logging.INFO, time.monotonic)
        self._sockets = 0
        self._counts: dict[str, int] = {name: 0 for name in COUNTED}
        # What all flows receive into: each packet is copied out at once.
        self.room = memoryview(bytearray(PACKET))

    def stats(self) -> dict[str, int]:
        """Counters by name: `sockets` and `clients` that there are now; tunnels that were `opened`
        and `refused`; packets `to_targets` and `to_clients`, and those that were dropped: above the
        `rate` (`over_rate`), for a full window (`client_slow`), not taken by the kernel
        (`target_slow`), larger than the path takes (`too_large`)."""
        return {"sockets": self._sockets, "clients": len(self._quotas), **self._counts}

    def count(self, name: str) -> None:
        """Count one more."""
        self._counts[name] += 1

    async def serve(self, tunnel: Tunnel, answer: Callable[[Response], None]) -> None:
        """See `Answering.serve`."""
        request = tunnel.request
        loop = asyncio.get_running_loop()
        client = self._client(request)
        quota = None
        sock = None
        try:
            try:
                host, port = self._target(request)
                if not self._places.enter(client):
                    raise Refused(503, "connection_limit_reached")
                quota = self._quotas.enter(client, loop.time())
                self._sockets += 1
                sock = await self._open(request, host, port, client)
            except Refused as refused:
                self.count("refused")
                self._notices.write(
                    "connect-udp %.200r was refused with %d: %s",
                    request.path,
                    refused.status,
                    refused.error,
                )
                answer(refused.response())
                return
            self.count("opened")
            answer(Response(200, [CAPSULE_PROTOCOL]))
            await Flow(self, tunnel, sock, quota).run()
        finally:
            if sock is not None:
                sock.close()
            if quota is not None:
                self._sockets -= 1
                self._places.leave(client)
                self._quotas.leave(client, loop.time())

    def _target(self, request: Request) -> tuple[str, int]:
        if any(name in request.headers for name in CONTENT):
            raise Refused(400, "http_request_error")
        try:
            target = self.template.match(request.path)
        except BadTarget:
            raise Refused(400, "http_request_error") from None
        if target is None:
            raise Refused(404, "http_request_error")
        return target

    async def _open(
        self, request: Request, host: str, port: int, client: Hashable
    ) -> socket.socket:
        try:
            async with asyncio.timeout(self.dial_timeout):
                addresses = await self.targets.find(request, host, port, socket.SOCK_DGRAM, client)
        except TimeoutError:
            raise Refused(504, "dns_timeout") from None
        failure = Refused(502, "destination_unavailable")
        for family, address in addresses:
            sock = new_socket(family, socket.SOCK_DGRAM)
            if sock is None:
                continue
            try:
                prepare(sock)
                # RFC 9298 section 3.1: the kernel drops what others send.
                sock.connect(address)
                return sock
            except OSError:
                failure = Refused(502, "destination_ip_unroutable")
                sock.close()
        raise failure


COUNTED = (
    "opened",
    "refused",
    "to_targets",
    "to_clients",
    "over_rate",
    "client_slow",
    "target_slow",
    "too_large",
)


def prepare(sock: socket.socket) -> None:
    """No fragments (RFC 9298 section 3.1), and no ECN, which the tunnel does not carry (6.2)."""
    six = sock.family == socket.AF_INET6
    if sys.platform == "linux":
        if six:
            sock.setsockopt(socket.IPPROTO_IPV6, LINUX_IPV6_MTU_DISCOVER, LINUX_PMTUDISC_DO)
        else:
            sock.setsockopt(socket.IPPROTO_IP, LINUX_IP_MTU_DISCOVER, LINUX_PMTUDISC_DO)
    else:
        level = socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP
        option = getattr(socket, "IPV6_DONTFRAG" if six else "IP_DONTFRAG", None)
        if option is not None:
            sock.setsockopt(level, option, 1)
    if six:
        if hasattr(socket, "IPV6_TCLASS"):
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, 0)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0)


class Flow:
    """One tunnel and its socket, until one of them ends."""

    def __init__(self, proxy: UdpProxy, tunnel: Tunnel, sock: socket.socket, quota: Quota) -> None:
        self._proxy = proxy
        self._tunnel = tunnel
        self._sock = sock
        self._quota = quota
        self._headers = HEADERS.get(sock.family, 0)
        self._loop = asyncio.get_running_loop()
        self._reader = CapsuleReader(contexts=True)
        self._active = self._loop.time()  # when a packet went either way
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Forward packets until the client ends the tunnel, the target fails, or nothing was said
        for long."""
        tunnel = self._tunnel
        self._loop.add_reader(self._sock.fileno(), self._readable)
        try:
            async with asyncio.timeout(None) as self._patience:
                self._watch()
                taken = 0
                while data := await tunnel.recv():
                    for packet in self._reader.receive(data):
                        self._to_target(packet)
                        taken += 1
                        if taken % BATCH == 0:
                            await asyncio.sleep(0)
                    if self._reader.failure is not None:
                        break
                if self._reader.finish() is not None:
                    tunnel.abort(PROTOCOL_ERROR)  # RFC 9297 section 3.3
        except TimeoutError:
            pass  # not the target's fault: an ordinary end
        except StreamReset:
            pass  # by `_fail`, or by the client
        finally:
            self._loop.remove_reader(self._sock.fileno())
            if self._timer is not None:
                self._timer.cancel()
        tunnel.close_nowait()

    def _to_target(self, packet: bytes) -> None:
        proxy = self._proxy
        self._active = now = self._loop.time()
        if not self._quota.take(len(packet) + self._headers, now):
            proxy.count("over_rate")
            return
        try:
            self._sock.send(packet)
        except OSError as error:
            if not self._forgiven(error):
                self._fail(error)
                return
        else:
            proxy.count("to_targets")

    def _forgiven(self, error: OSError) -> bool:
        # A packet that is lost, and nothing more: RFC 9298 section 3.1.
        if error.errno == errno.EMSGSIZE:
            self._proxy.count("too_large")
        elif isinstance(error, BlockingIOError) or error.errno == errno.ENOBUFS:
            self._proxy.count("target_slow")
        else:
            return False
        return True

    def _readable(self) -> None:
        proxy, tunnel, room = self._proxy, self._tunnel, self._proxy.room
        for _ in range(BATCH):
            try:
                size = self._sock.recv_into(room)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                # An error that the kernel heard of: of a packet that was too large, or all of it.
                if not self._forgiven(error):
                    self._fail(error)
                    return
                continue
            self._active = self._loop.time()
            capsule = udp_datagram(bytes(room[:size]))
            try:
                if tunnel.waiting + len(capsule) > proxy.max_waiting:
                    proxy.count("client_slow")
                else:
                    tunnel.send_nowait(capsule)
                    proxy.count("to_clients")
            except StreamReset:
                return  # `run` is told as well

    def _fail(self, error: OSError) -> None:
        # RFC 9298 section 3.1: the stream ends with its socket.
        logger.debug("a target of connect-udp failed: %s", error)
        self._loop.remove_reader(self._sock.fileno())
        self._tunnel.abort(CONNECT_ERROR)

    def _watch(self) -> None:
        due = self._active + self._proxy.idle_timeout
        if due > self._loop.time():
            self._timer = self._loop.call_at(due, self._watch)
        else:
            self._patience.reschedule(self._loop.time())
