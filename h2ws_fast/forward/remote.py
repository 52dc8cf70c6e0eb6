"""`-R`: ports of the server that lead to targets of this end. What goes over the wire: lease.py."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator

from ..aio.client.reconnect import backoff
from ..aio.client.session import Session
from ..aio.http import Request
from ..aio.server.dialer import Dialer
from ..aio.server.notices import Notices
from ..aio.server.targets import Refused
from ..aio.tunnel import Tunnel
from ..engine.constants import CANCEL, CONNECT_ERROR
from ..errors import ExtendedConnectUnsupported, H2WSError, InvalidStatus, StreamReset
from .counts import Counts
from .lease import ACCEPTED, LISTEN, LISTENING_ON, Lease
from .link import Link
from .listener import HALF_CLOSED_S
from .rules import Rule

__all__ = ["Remote", "Remotes"]

logger = logging.getLogger("h2ws_fast.forward")

# Why a server does not listen, in the words of who reads them.
REASONS = {
    400: "the server does not understand the request",
    403: "the server does not allow it",
    404: "the server does not listen for clients",
    409: "the port is in use there",
    501: "the server does not listen for clients",
    503: "the server listens on as many ports as it may",
}


class Remote:
    """One rule: the server listens on `rule.bind` and `rule.port`, and what connects there is
    connected to the rule's target from here.

    `listening_on` is where it listens, as the server said it; None while it does not.
    """

    def __init__(
        self,
        rule: Rule,
        delays: Callable[[], Iterator[float]],
        half_closed_timeout: float | None = HALF_CLOSED_S,
    ) -> None:
        self.rule = rule
        self.half_closed_timeout = half_closed_timeout
        self.counts = Counts()
        self.name = secrets.token_urlsafe(16)
        self.first: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._delays = delays
        self._notices = Notices(logger, logging.WARNING, time.monotonic)
        self._places: dict[int, str] = {}  # by the number of the connection
        self._dialer = Dialer([rule.authority], ports=None, private=True)

    @property
    def listening_on(self) -> str | None:
        """See the class."""
        return next(iter(self._places.values()), None)

    async def hold(self, link: Link, number: int, session: Session) -> None:
        """Keep a lease on one connection, until cancelled."""
        lease = Lease(self.rule.bind, self.rule.port, self.name, number)
        delays = self._delays()
        while True:
            why = "the server ended it"
            try:
                tunnel = await session.tunnel(LISTEN, lease.path, headers=link.headers)
                async with tunnel:
                    self._granted(number, tunnel)
                    delays = self._delays()
                    await tunnel.recv()
            except (OSError, H2WSError) as error:
                why = said(error)
                if session.connected and not self.first.done():
                    self.first.set_exception(ConnectionError(f"-R {lease.place}: {why}"))
                    return
            finally:
                self._places.pop(number, None)
            if not session.connected:
                return  # there will be another
            delay = next(delays)
            logger.warning("not listening on %s: %s; again in %.1f s", lease.place, why, delay)
            await asyncio.sleep(delay)

    def _granted(self, number: int, tunnel: Tunnel) -> None:
        assert tunnel.response is not None
        place = tunnel.response.headers.get(LISTENING_ON, "")
        again = self.first.done() and self.listening_on is None
        self._places[number] = place
        if again:
            logger.warning("the server listens on %s again", place)
        elif not self.first.done():
            self.first.set_result(place)

    async def carry(self, tunnel: Tunnel) -> None:
        """Serve one connection that the server accepted."""
        rule = self.rule
        try:
            sock = await self._dialer.dial(Request(method="CONNECT", authority=rule.authority))
        except Refused as refused:
            self.counts.failed += 1
            self._notices.write("connecting to %s failed: %s", rule.authority, refused.error)
            tunnel.abort(CONNECT_ERROR)
            return
        try:
            await self.counts.carry(tunnel, sock, self.half_closed_timeout)
        except StreamReset:  # whoever connected there did it
            self.counts.failed += 1


class Remotes:
    """All rules of `-R`, of one Link:

        remotes = Remotes([Rule("127.0.0.1", 8080, "localhost", 80)])
        async with Link(uri, tunnels=remotes.tunnels) as link:
            await remotes.listen(link)

    The server must take `tcp-listen`, as one with `Ports` does. Each connection of the link has a
    lease of each port, and what connects there goes over them in turn; a connection that is made
    again asks again. `delays()` gives the delays in seconds between attempts. Of what was connected
    both sides are reset where one has ended and nothing came for `half_closed_timeout` seconds since
    (None: never).
    """

    def __init__(
        self,
        rules: Iterable[Rule],
        *,
        delays: Callable[[], Iterator[float]] = backoff,
        half_closed_timeout: float | None = HALF_CLOSED_S,
    ) -> None:
        self.all = [Remote(rule, delays, half_closed_timeout) for rule in rules]
        self.tunnels: dict[str, Callable[[Tunnel], Awaitable[None]]] = {ACCEPTED: self._accepted}
        self._of = {remote.name: remote for remote in self.all}

    async def listen(self, link: Link) -> None:
        """Have the server listen, and keep it listening; returns once it has said of each rule that
        it does. Raises ConnectionError where it refuses one."""

        async def attend(number: int, session: Session) -> None:
            await asyncio.gather(*(remote.hold(link, number, session) for remote in self.all))

        link.attend(attend)
        await asyncio.gather(*(remote.first for remote in self.all))

    async def _accepted(self, tunnel: Tunnel) -> None:
        try:
            remote = self._of[Lease.parse(tunnel.request.path).name]
        except (ValueError, KeyError):
            tunnel.abort(CANCEL)  # nothing that was asked for
            return
        await remote.carry(tunnel)


def said(error: Exception) -> str:
    """Why a server does not listen."""
    if isinstance(error, InvalidStatus):
        status = error.response.status
        return REASONS.get(status, f"the server answered {status}")
    if isinstance(error, ExtendedConnectUnsupported):
        return REASONS[501]
    return str(error) or repr(error)
