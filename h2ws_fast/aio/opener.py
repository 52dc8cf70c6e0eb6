"""Streams that this end opens: tunnels, byte streams, WebSockets. Clients do, and servers may."""

from __future__ import annotations

import abc
import asyncio
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ..engine.constants import NO_ERROR
from .arguments import check_count
from .bytestream import ByteStream
from .client.opening import Opening, Wanted, in_time
from .http import HeadersLike, Request, Response, fields_of
from .stream_transport import LIMIT, StreamTransport
from .tunnel import Tunnel

if TYPE_CHECKING:
    from ..engine.agreement import ClientPerMessageDeflateFactory
    from .client.fetch import Fetch
    from .protocol import Wire
    from .websocket import WebSocket

__all__ = ["Fields", "Opener"]

# What tunnels and unread responses have to end by themselves in, when the session is closed and
# what they had to say has left.
FAREWELL_S = 1.0

P = TypeVar("P", bound=asyncio.BaseProtocol)

Fields = list[tuple[str, str]]


class Opener(abc.ABC):
    """One end of an HTTP/2 connection, that opens streams by extended CONNECT."""

    _scheme: str
    _authority: str
    _open_timeout: float | None
    _close_timeout: float | None
    _deflate: ClientPerMessageDeflateFactory | None
    _exchanges: weakref.WeakSet[Fetch | Tunnel]

    @abc.abstractmethod
    def _live(self) -> Wire:
        """The connection as it is now. Raises what ended it."""

    @abc.abstractmethod
    async def _start(self, attempt: Callable[[], int]) -> int:
        """Open a stream by `attempt`, and return its number."""

    @abc.abstractmethod
    async def _extended(self) -> None:
        """Wait until the peer has said what it takes. Raises ExtendedConnectUnsupported."""

    @abc.abstractmethod
    def _wires(self) -> Sequence[Any]:
        """Its connections: the one that opens streams, and those that only come to their end."""

    async def _part(self) -> None:
        # The shutdown has begun: wait for the end of every connection, and bring it about.
        try:
            async with asyncio.timeout(self._close_timeout):
                ends = [wire.gone for wire in self._wires()]
                behind: list[Fetch | Tunnel] | None = None
                while ends and (await asyncio.wait(ends, timeout=FAREWELL_S))[1]:
                    left = list(self._exchanges) if behind is None else behind
                    behind = [exchange for exchange in left if exchange._give_up()]
                await self.wait_closed()
        except TimeoutError:
            self._cut_off()
            await self.wait_closed()
        except asyncio.CancelledError:
            self._cut_off()  # nobody waits any more, and nobody will come again
            raise

    def _cut_off(self) -> None:
        for wire in self._wires():
            if not wire.lost:
                wire.conn.abort(NO_ERROR)
                wire.pull()
                wire.abort()

    async def wait_closed(self) -> None:
        """Wait until the connection is gone."""
        for wire in self._wires():
            await asyncio.shield(wire.gone)

    def _own_fields(self, fields: Fields) -> list[tuple[str, str]]:
        """The fields of a request, with what else goes into each."""
        return fields

    def _make_request(
        self,
        method: str,
        path: str,
        headers: list[tuple[str, str]],
        protocol: str | None = None,
        authority: str | None = None,
    ) -> Request:
        return Request(
            path,
            headers,
            method=method,
            scheme=self._scheme,
            authority=authority or self._authority,
            protocol=protocol,
        )

    async def tunnel(
        self,
        protocol: str,
        path: str = "/",
        *,
        headers: HeadersLike | None = None,
        priority: str | None = None,
        open_timeout: float | None = None,
    ) -> Tunnel:
        """Open a tunnel of octets: an extended CONNECT with this token. Raises as `websocket`.

        `priority` is the field of RFC 9218, as `request` has it; `Tunnel.prioritize` changes it.
        """
        return await self._tunnel_to(protocol, path, headers, priority, open_timeout)

    async def bytestream(
        self,
        path: str = "/",
        protocol: str = "bytestream",
        *,
        headers: HeadersLike | None = None,
        priority: str | None = None,
        read_only: bool = False,
        limit: int = LIMIT,
        open_timeout: float | None = None,
    ) -> ByteStream:
        """Open a stream of octets with the methods of asyncio's streams. Raises as `websocket`.

        `protocol` is any token that both ends have agreed on; `read_only`: this side ends with the
        request itself. A reader holds at most `limit` octets, and the 260 KiB that came last.
        `priority` as in `tunnel`.
        """
        check_count(limit=limit)
        tunnel = await self._tunnel_to(
            protocol, path, headers, priority, open_timeout, ended=read_only
        )
        return tunnel.stream(limit)

    async def create_connection(
        self,
        protocol_factory: Callable[[], P],
        path: str = "/",
        protocol: str = "bytestream",
        *,
        headers: HeadersLike | None = None,
        priority: str | None = None,
        open_timeout: float | None = None,
    ) -> tuple[StreamTransport, P]:
        """Open a stream of octets and run a protocol of asyncio's on it, as the loop's
        `create_connection` does on TCP. Returns (transport, protocol). Raises as `websocket`, and what
        the factory or `connection_made` does; then the stream is reset."""
        tunnel = await self._tunnel_to(protocol, path, headers, priority, open_timeout)
        try:
            made = protocol_factory()
            return tunnel.transport(made), made
        except BaseException:
            tunnel.abort()
            raise

    async def _tunnel_to(
        self,
        protocol: str,
        path: str,
        headers: HeadersLike | None,
        priority: str | None,
        open_timeout: float | None,
        *,
        ended: bool = False,
    ) -> Tunnel:
        if isinstance(protocol, str) and protocol.lower() == "websocket":
            raise ValueError("a WebSocket is no tunnel: use websocket()")
        fields = [
            (":method", "CONNECT"),
            (":protocol", protocol),
            (":scheme", self._scheme),
            (":authority", self._authority),
            (":path", path),
            *self._own_fields(fields_of(headers)),
        ]
        if priority is not None:
            fields.append(("priority", priority))
        request = self._make_request("CONNECT", path, fields[5:], protocol)
        return await self._tunnel(request, fields, open_timeout, ended=ended)

    async def _tunnel(
        self,
        request: Request,
        fields: Fields,
        open_timeout: float | None,
        *,
        ended: bool = False,
    ) -> Tunnel:
        async with in_time(self._open_timeout if open_timeout is None else open_timeout):
            return await self._ask_for_tunnel(request, fields, ended)

    async def _ask_for_tunnel(self, request: Request, fields: Fields, ended: bool) -> Tunnel:
        made: list[Tunnel] = []

        def opened(event: Any) -> None:
            tunnel = made[0]
            tunnel.response = Response.received(event, None, request)
            tunnel._sending.wire.conn.attach(tunnel.stream_id, tunnel.feed)

        if request.protocol is not None:
            await self._extended()
        stream_id = await self._start(
            lambda: int(self._live().conn.request(fields, end_stream=ended))
        )
        wire = self._live()
        made.append(Tunnel(wire, stream_id, request.protocol or "", request))
        made[0]._sending.ended = ended
        await Opening(wire, stream_id, opened).until_opened()
        self._exchanges.add(made[0])
        return made[0]

    async def _websocket_h2(self, wanted: Wanted) -> WebSocket:
        request = self._make_request(
            "CONNECT", wanted.path, wanted.headers, "websocket", wanted.authority
        )
        if wanted.subprotocols:
            request.headers.add("sec-websocket-protocol", ", ".join(wanted.subprotocols))

        def opened(event: Any) -> None:
            wanted.opened(Response.received(event, None, request), event.subprotocol)

        def attempt() -> int:
            return int(
                self._live().conn.connect_websocket(
                    request.authority,
                    wanted.path,
                    scheme=self._scheme,
                    headers=wanted.headers,
                    subprotocols=wanted.subprotocols,
                    deflate=self._deflate,
                )
            )

        await self._extended()
        stream_id = await self._start(attempt)
        wire = self._live()
        wanted.make(wire, stream_id, request)
        await Opening(wire, stream_id, opened).until_opened()
        return wanted.ws
