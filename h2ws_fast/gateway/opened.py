"""Streams that a server behind the gateway opens, carried to the client they are for.

SETTINGS_ENABLE_BIDIRECTIONAL_CONNECT is of one hop, and the gateway agrees on it with each side by
itself. A connection that many clients share says of a stream that the server opens on it nothing
about whom it is for: so a client that takes streams has connections of its own to the backends that
open some, from its first request there on, and they are gone with it.
"""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, Any

from ..aio.client.pool import Origin, Pool, PoolLink
from ..aio.client.serving import Serving
from ..aio.client.wire import ClientWire
from ..aio.hub import Hub
from ..aio.traced import traced
from ..engine import Settings
from ..errors import H2WSError, LocalProtocolError, NoAvailableStreams, StreamClosed
from .access import note_crossing
from .crossing import Crossing
from .fields import Forwarding, Refused

if TYPE_CHECKING:
    from .gateway import Gateway
    from .relay import Half
    from .wire import GatewayWire

__all__ = ["OwnPool", "for_many"]


def for_many(settings: Settings) -> Settings:
    """The same settings for a connection that clients share, which takes no streams."""
    shared = copy.copy(settings)
    shared.enable_bidirectional_connect = False
    return shared


class OwnWire(ClientWire):
    """A connection to a backend by which that one asks for streams."""

    __slots__ = ()

    @property
    def _pool(self) -> OwnPool:
        link: Any = self.session
        pool: OwnPool = link.pool
        return pool

    @property
    def server(self) -> Gateway:
        """The gateway."""
        return self._pool.client.server

    @property
    def address(self) -> str:
        """Who asks, for the access log."""
        return self._pool.address

    def _own(self, task: asyncio.Task[Any]) -> None:
        self.session._serving.keep(task)

    def refuse_request(self, half: Half, token: str | None, status: int, reason: str) -> None:
        """Answer a request in the client's place."""
        if not self.lost:
            self.refuse_stream(half.stream_id, status, reason)

    def refuse_stream(self, stream_id: int, status: int, reason: str) -> None:
        """Answer a stream that cannot be carried on."""
        note = "stream %d that %s opened was answered %d: %s"
        self.server.admission.note(note, stream_id, self.address, status, reason)
        try:
            self.conn.respond(stream_id, [(":status", str(status))], True)
        except (StreamClosed, LocalProtocolError):
            return
        self.touch()

    def crossed(self, crossing: Crossing, method: str, path: str, seconds: float) -> None:
        """A stream that the backend has opened is over."""
        note_crossing(self, crossing, method, path, seconds)


class OwnLink(PoolLink):
    """Such a connection's session."""

    pool: OwnPool

    def _make_wire(self, hub: Hub) -> ClientWire:
        return traced(OwnWire, self._tracer(), self, hub)


class OwnPool(Pool):
    """The connections to the backend at `address` for one client. Raises as `Pool` does.

    `end()` when the client has gone: it returns what is to be waited for.
    """

    _kind = OwnLink

    def __init__(self, client: GatewayWire, address: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.client = client
        self.address = address
        self._ending: asyncio.Task[None] | None = None

    def _link(self, origin: Origin, http: str) -> PoolLink:
        link: Any = super()._link(origin, http)
        link.pool = self
        link._serving = Onward(self.client, link._settings.max_concurrent_streams, link.logger)
        return link  # type: ignore[no-any-return]

    def end(self) -> asyncio.Task[None]:
        """Let the connections end with what is under way on them."""
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self.close())
        return self._ending


class Onward(Serving):
    """Carries the streams that a backend opens to the client: an Upstream with one end.

    What it can use of fields is told on; `address` is the client's.
    """

    __slots__ = ("_client", "_forwarding", "address")

    def __init__(self, client: GatewayWire, most: int, log: Any) -> None:
        super().__init__(None, None, None, most, log)
        self._client = client
        # Backends are told of clients, and clients nothing of backends; but loops are found.
        name = client.server.forwarding.name.decode("ascii")
        self._forwarding = Forwarding("none", name=name)
        self.address = client.address

    def _carry(self, wire: Any, event: Any) -> None:
        gateway = self._client.server
        gateway.counts["opened"] += 1
        try:
            if event.protocol.lower() not in gateway.table:
                # RFC 9220 section 3: "501 (Not Implemented)" for a `:protocol` that is not known.
                raise Refused(501, f"unsupported protocol {event.protocol}")
            # That of the hop: the client is asked over what it has connected by.
            scheme = self._forwarding.scheme(event, self._client.secure, "")
            fields: list[Any] = self._forwarding.request_fields(event, "2", "", scheme)
        except Refused as error:
            wire.refuse_stream(event.stream_id, error.status, error.reason)
            return
        head = [
            (":method", "CONNECT"),
            (":protocol", event.protocol),
            (":scheme", scheme),
            (":authority", event.authority),
            (":path", event.path),
        ]
        Crossing(wire, event, self, head + fields).start()

    async def start(self, crossing: Crossing) -> None:
        """Ask the client. Raises Refused where it takes no stream."""
        client = self._client
        if client.lost or client.closing:
            raise Refused(502, "the client has gone")
        try:
            stream_id = client.conn.request(crossing.head, False, octets=True)
        except NoAvailableStreams as error:
            raise Refused(503, f"the client: {error}") from error
        except (ValueError, H2WSError) as error:
            raise Refused(502, f"the client: {error}") from error
        crossing.begun(client, stream_id, self)

    def answered(self, wire: Any) -> None:
        """The client has answered: there is nothing to learn of it."""

    def unanswered(self, now: float) -> None:
        """The client has not answered: it is the only one, whatever it does."""

    def release(self) -> None:
        """A stream is over: nothing is counted here."""
