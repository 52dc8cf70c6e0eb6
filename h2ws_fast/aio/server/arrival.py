"""What comes before a connection is one: TLS, and first the word of a proxy. It counts from the
moment it was accepted.

asyncio's own `create_server(ssl=...)` tells of a connection once its handshake has ended, and never
of one that failed. Whoever begins handshakes and leaves them half done would be counted by nobody,
so here the transport is accepted as it is, looked at, and only then made secure.
"""

from __future__ import annotations

import asyncio
import ssl as ssl_module
import types
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

from ..hub import Hub
from .introduction import Introduction

if TYPE_CHECKING:
    from ..client.accept import ArrivedWire
    from .accepted import AcceptedWire
    from .roster import Roster

__all__ = ["REFUSAL_S", "Arrival"]

REFUSAL_S = 1.0  # what a newcomer has to say what it speaks, to learn that it may not come in
NO_BUFFER = memoryview(b"")
ROOM = 4096  # octets taken at once, until the connection itself takes them


@types.coroutine
def continued(coroutine: Coroutine[Any, Any, Any], first: Any) -> Generator[Any, Any, Any]:
    """Go on with a coroutine that was begun by hand and waits for the future `first`."""
    try:
        yield first
    except BaseException as error:
        return coroutine.throw(error)
    return (yield from coroutine)


class Arrival(asyncio.BufferedProtocol):
    """Stands in for a connection until its handshake is over: `make()` is it then.

    Before it, where the options have it so, a proxy says whose connection it is: `introduced` is that
    client's host and port then. What arrives with the client's last flight is kept for it. `limit` is the name of the limit that
    keeps this newcomer out, or None: it may then still learn so over TLS, in `REFUSAL_S`.
    """

    __slots__ = (
        "_buffer",
        "_eof",
        "_hub",
        "_introduction",
        "_lost",
        "_make",
        "_octets",
        "_server",
        "_task",
        "_timer",
        "_tls",
        "_wire",
        "introduced",
        "limit",
        "transport",
    )

    def __init__(
        self,
        server: Roster,
        hub: Hub,
        make: Callable[[], AcceptedWire | ArrivedWire],
        tls: dict[str, Any] | None,
    ) -> None:
        self._server = server
        self._hub = hub
        self._make = make
        self._tls = tls  # the arguments of `start_tls`, where there is TLS
        self._introduction: Introduction | None = None  # while it is under way
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._buffer = NO_BUFFER
        self._octets: list[bytes] = []
        self._eof = False
        self._lost = False
        self._wire: AcceptedWire | ArrivedWire | None = None  # what it was handed over to
        self.introduced: tuple[str, int] | None = None
        self.limit: str | None = None
        self.transport: Any = None

    @property
    def remote_address(self) -> Any:
        """The client's address, as far as it is known yet."""
        return self.introduced or self.transport.get_extra_info("peername")

    # -- what the transport calls, without TLS first and then with it ---------------------------

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        options = self._server.options
        introduced = options.introduced
        named = introduced is not None and introduced(self.remote_address)
        self.limit = self._server._arrived(self, known=not named)
        if not self._may_stay():
            return
        if not named:
            self._begin()
            return
        self._introduction = Introduction()
        patience = options.limits.preface_timeout_s if self.limit is None else REFUSAL_S
        if patience != float("inf"):
            self._timer = self._hub.loop.call_later(patience, self._late)

    def _may_stay(self) -> bool:
        if not self._server.closing and (self.limit is None or self._server.admission.hear(self)):
            return True
        self.transport.close()
        return False

    def _begin(self) -> None:
        transport = self.transport
        if self._tls is None:
            self._hand_over(transport)
            return
        if self.limit is not None:
            patience = self._tls["ssl_handshake_timeout"]
            self._tls = {**self._tls, "ssl_handshake_timeout": min(REFUSAL_S, patience)}
        # What begins here and now sees the first octets: a task would begin after the next read.
        beginning = self._hub.loop.start_tls(transport, self, server_side=True, **self._tls)
        first = beginning.send(None)
        self._task = self._hub.loop.create_task(self._greet(continued(beginning, first)))

    def get_buffer(self, sizehint: int) -> memoryview:
        # A view: asyncio's TLS reads into slices of it.
        introduction = self._introduction
        room = ROOM if introduction is None else introduction.wanted
        self._buffer = memoryview(bytearray(room))
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        octets = bytes(self._buffer[:nbytes])
        self._buffer = NO_BUFFER  # who holds on to us holds nothing large
        if self._introduction is None:
            self._octets.append(octets)
        else:
            self._introduce(self._introduction, octets)

    def eof_received(self) -> bool:
        self._eof = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        introduction = self._introduction
        if introduction:  # who says nothing only wants to know whether somebody listens
            self._decline("its PROXY head is not whole")
        self._unset()
        if self._wire is not None:
            # asyncio's TLS had this call under way when the connection was handed over.
            self._wire.connection_lost(exc)
        elif self._task is None:
            self._server._departed(self)

    # -- the introduction -------------------------------------------------------------------------

    def _introduce(self, introduction: Introduction, octets: bytes) -> None:
        try:
            introduction.receive(octets)
        except ValueError as error:
            self._decline(str(error))
            return
        if introduction.wanted:
            return
        self._unset()
        self._introduction = None
        self.introduced = introduction.source
        if self.limit is None:
            self.limit = self._server.admission.place(self)
            if not self._may_stay():
                return
        self._begin()

    def _late(self) -> None:
        self._timer = None
        self._decline("its PROXY head did not come in time")

    def _decline(self, why: str) -> None:
        self._unset()
        self._introduction = None
        self._server.admission.refuse("proxy_protocol", self, "a connection", why)
        self.transport.abort()

    def _unset(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- the handshake ----------------------------------------------------------------------------

    async def _greet(self, handshake: Any) -> None:
        try:
            secure = await handshake
        except BaseException as error:
            # The transport is closed, and the loop has told of what is worth telling.
            self._server._departed(self)
            if not isinstance(error, OSError | ssl_module.SSLError):
                raise
            return
        if secure.get_extra_info("ssl_object") is None:
            # uvloop says so of a client that left in the middle of its handshake, and no more.
            self.transport.abort()
            self._server._departed(self)
            return
        # Not inside a task: the connection wakes others.
        self._hub.loop.call_soon(self._hand_over, secure)

    def _hand_over(self, secure: Any) -> None:
        if self._lost or self._server.closing:
            secure.close()
            self._server._departed(self)
            return
        wire = self._wire = self._make()
        wire.arrival = self
        secure.set_protocol(wire)
        wire.connection_made(secure)
        wire.arrival = None
        self._server._departed(self)
        for octets in self._octets:
            room: Any = wire.get_buffer(len(octets))
            room[: len(octets)] = octets
            wire.buffer_updated(len(octets))
        if self._eof and not wire.eof_received():
            secure.close()

    def abort(self) -> None:
        """Give the handshake up."""
        self._introduction = None
        self.transport.abort()
        if self._task is not None:
            self._task.cancel()
