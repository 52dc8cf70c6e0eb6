"""Who may come in: the limits over all connections of a server.

    max_connections               connections that are open, or whose TLS handshake goes on, or that
                                  are gone while handlers of theirs still work
    max_connections_per_address   those of one address; of IPv6 one /64, which is what one site has;
                                  over a Unix socket nobody has an address, and it bounds nobody
    memory_budget                 octets that the engines keep: received and not consumed, or not sent;
                                  and the messages of closed WebSockets that handlers have not read

Reaching one refuses the newcomer and touches nobody who is in:

    a connection   GOAWAY(ENHANCE_YOUR_CALM) with the limit's name, last stream 0, and the end: the
                   client learns why, and that nothing was processed; over HTTP/1.1 a 503. nginx
                   closes without a word, HAProxy lets newcomers wait unanswered.
    a stream       503, as nginx, Envoy and uvicorn answer: REFUSED_STREAM would be tried again
                   at once.

Each refusal is counted and logged.
"""

from __future__ import annotations

import ipaddress
import logging
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..observer import Observer, tell
from .notices import Notices

if TYPE_CHECKING:
    from ..protocol import Wire

__all__ = ["Admission"]

# What all connections keep is added up when a newcomer asks, but not oftener than this: 10 000
# connections take a millisecond. What is 50 ms old is wrong by what a network brings in 50 ms.
SAMPLE_S = 0.05

# Refused newcomers that may be there at once to be told why; others are closed without a word.
HEARD = 100


def address_of(peer: Any) -> Any:
    """Return what counts as one address: the host of a `peername`, of IPv6 its /64.

    None where there is no address: whoever comes over a Unix socket has none, or a path.
    """
    if not isinstance(peer, tuple):
        return None
    host = peer[0]
    try:
        address = ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    if address.is_loopback:
        return str(address)
    return f"{ipaddress.IPv6Address(int(address) >> 64 << 64)}/64"


def check_limit(name: str, value: int | None) -> int | None:
    """Return a limit as it was given, or raise ValueError."""
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise ValueError(f"{name} must be an int of at least 1, or None for no limit: {value!r}")
    return value


class Admission:
    """The connections of a server, and whether another one may join them."""

    def __init__(
        self,
        log: Any,
        *,
        max_connections: int | None,
        max_connections_per_address: int | None,
        memory_budget: int | None,
        observer: Observer | None = None,
    ) -> None:
        self.max_connections = check_limit("max_connections", max_connections)
        self.max_connections_per_address = check_limit(
            "max_connections_per_address", max_connections_per_address
        )
        self.memory_budget = check_limit("memory_budget", memory_budget)
        self.wires: set[Any] = set()
        self.arriving: set[Any] = set()  # accepted, with a TLS handshake that goes on
        # Who opens, sends and leaves, again and again, has a place as long as he makes us work.
        self.gone: set[Any] = set()
        # WebSockets that closed before everything was read, and the octets that waited.
        self.unread: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._heard: set[Any] = set()
        self._beside: list[Admission] = []
        self.accepted = 0
        self._observer = observer
        self.refused: dict[str, int] = {}
        self._log = log
        self._warnings: Notices | None = None
        self._notices: Notices | None = None
        self._time: Callable[[], float] | None = None
        self._addresses: dict[Any, int] = {}
        self._keys: dict[Any, Any] = {}  # wire: what it counts under in `_addresses`
        self._limits: dict[str, int] = {}  # reached by connections that are over
        self._held = 0
        self._sampled_at = float("-inf")

    def start(self, time: Callable[[], float]) -> None:
        """`time` is the event loop's clock."""
        self._time = time
        self._warnings = Notices(self._log, logging.WARNING, time)
        self._notices = Notices(self._log, logging.INFO, time)

    def count_with(self, others: Iterable[Admission]) -> None:
        """Let `max_connections` bound those of other servers too. Itself may be among them."""
        self._beside = [each for each in others if each is not self]

    def enter(self, wire: Wire) -> str | None:
        """Count a new connection; return the name of the limit that it must be refused for."""
        name = self.arrive(wire)
        if name is None:
            self.settle(wire, wire)
        return name

    def arrive(self, guest: Any, *, known: bool = True) -> str | None:
        """As `enter`, before its TLS handshake; `settle` or `depart` follows.

        `known`: its address is. Otherwise `place` follows, too.
        """
        name = None
        count = self._places()
        for each in self._beside:
            count += each._places()
        if self.max_connections is not None and count >= self.max_connections:
            name = "max_connections"
        elif self.over_budget():
            name = "memory_budget"
        if name is not None:
            self.refuse(name, guest, "a connection")
            return name
        if known:
            name = self.place(guest)
        if name is None:
            self.arriving.add(guest)
        return name

    def _places(self) -> int:
        return len(self.wires) + len(self.arriving) + len(self.gone)

    def place(self, guest: Any) -> str | None:
        """Count a newcomer at its address; return the name of the limit it is to be refused for."""
        if self.max_connections_per_address is None:
            return None
        key = address_of(guest.remote_address)
        if key is None:
            return None
        count = self._addresses.get(key, 0)
        if count >= self.max_connections_per_address:
            self.refuse("max_connections_per_address", guest, "a connection")
            return "max_connections_per_address"
        self._addresses[key] = count + 1
        self._keys[guest] = key
        return None

    def settle(self, guest: Any, wire: Wire) -> None:
        """The handshake of a guest is over: from here on the connection counts in its place."""
        self.arriving.discard(guest)
        if guest in self._keys:
            self._keys[wire] = self._keys.pop(guest)
        self.wires.add(wire)
        self.accepted += 1

    def depart(self, guest: Any) -> None:
        """The handshake of a guest came to nothing, or it was refused."""
        self._heard.discard(guest)
        if guest in self.arriving:
            self.arriving.discard(guest)
            self._free(guest)

    def hear(self, guest: Any) -> bool:
        """May a connection that was refused stay until it has heard why?"""
        if len(self._heard) >= HEARD:
            return False
        self._heard.add(guest)
        return True

    def leave(self, wire: Wire) -> bool:
        """A connection is over. False where it was never in."""
        self._heard.discard(wire)
        if wire not in self.wires:
            return False
        self.wires.discard(wire)
        for name, count in wire.conn.stats()["limits"].items():
            self._limits[name] = self._limits.get(name, 0) + count
        if getattr(wire, "handlers", 0):
            self.gone.add(wire)  # `rest` follows
        else:
            self._free(wire)
        return True

    def rest(self, wire: Any) -> None:
        """The last handler of a connection has ended."""
        if wire in self.gone:
            self.gone.discard(wire)
            self._free(wire)

    def _free(self, guest: Any) -> None:
        key = self._keys.pop(guest, None)
        if key is not None:
            count = self._addresses[key] - 1
            if count:
                self._addresses[key] = count
            else:
                del self._addresses[key]

    def over_budget(self) -> bool:
        """Do all connections together keep more than `memory_budget` octets?"""
        if self.memory_budget is None:
            return False
        assert self._time is not None
        now = self._time()
        if now - self._sampled_at >= SAMPLE_S:
            self._sampled_at = now
            self._held = self.held()
        return self._held > self.memory_budget

    def held(self) -> int:
        """Octets that all connections keep now."""
        held: int = sum(wire.conn.octets_held for wire in self.wires)
        left = sum(n for ws, n in list(self.unread.items()) if ws._is_unread())
        return held + left

    def refuse(self, name: str, wire: Any, what: str, why: str = "") -> None:
        """Count and log that a newcomer was refused for the limit `name`."""
        self.refused[name] = self.refused.get(name, 0) + 1
        tell(self._observer, "limit_reached", wire if wire in self.wires else None, name)
        why = why or f"{name} is reached"
        self.warn("%s from %s was refused: %s", what, peer_of(wire), why)

    def warn(self, text: str, *arguments: Any) -> None:
        """Log that a peer reached a limit."""
        if self._warnings is not None:
            self._warnings.write(text, *arguments)

    def note(self, text: str, *arguments: Any) -> None:
        """Log something else that a peer caused."""
        if self._notices is not None:
            self._notices.write(text, *arguments)

    def limits(self) -> dict[str, int]:
        """How often each limit of a connection was reached, by all of them so far."""
        total = dict(self._limits)
        for wire in self.wires:
            for name, count in wire.conn.stats()["limits"].items():
                total[name] = total.get(name, 0) + count
        return total


def peer_of(wire: Any) -> str:
    """The peer's address, for a log."""
    peer = wire.remote_address
    if isinstance(peer, tuple):
        return f"[{peer[0]}]:{peer[1]}" if ":" in str(peer[0]) else f"{peer[0]}:{peer[1]}"
    return repr(peer) if peer else "an unknown address"
