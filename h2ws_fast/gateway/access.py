"""The access log: a line for each request, when it and what it opened are over."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from ..printable import printable

if TYPE_CHECKING:
    from .crossing import Crossing
    from .opened import OwnWire
    from .wire import GatewayWire

__all__ = ["Access", "access_log", "note", "note_crossing"]

SHOWN = 2000  # characters of a path

access_log = logging.getLogger("h2ws_fast.gateway.access")


class Access(NamedTuple):
    """One line of it, as `str` has it; "-" stands for what there is none of.

        192.0.2.1 "CONNECT /chat HTTP/2" 200 2048 512 3.141 example.org websocket http://10.0.0.7:9000

    `received` and `sent` are octets of the body or tunnel, from the client and to it; `seconds` is how
    long it took. `status` is 0 where it was answered by a reset alone.
    """

    address: str
    method: str
    path: str
    version: str
    status: int
    received: int = 0
    sent: int = 0
    seconds: float = 0.0
    authority: str = ""
    protocol: str | None = None
    backend: str = ""

    def __str__(self) -> str:
        # A quote that the client wrote ends nothing.
        path = printable(self.path, SHOWN).replace('"', '\\"')
        return (
            f'{self.address or "-"} "{self.method} {path} HTTP/{self.version}" {self.status or "-"} '
            f"{self.received} {self.sent} {self.seconds:.3f} {printable(self.authority) or '-'} "
            f"{self.protocol or '-'} {self.backend or '-'}"
        )


def note(
    wire: GatewayWire | OwnWire,
    method: str,
    path: str,
    status: int,
    authority: str,
    protocol: str | None,
    octets: tuple[int, int] = (0, 0),
    seconds: float = 0.0,
    backend: str = "",
) -> None:
    """Write the line of what was asked for at `wire`, now that it is over."""
    if wire.server.access_log:
        address, version = wire.address, wire.http_version
        line = Access(
            address, method, path, version, status, *octets, seconds, authority, protocol, backend
        )
        access_log.info("%s", line)


def note_crossing(
    wire: GatewayWire | OwnWire, crossing: Crossing, method: str, path: str, seconds: float
) -> None:
    """Write the line of a request, and of what it opened."""
    octets = crossing.front.octets, crossing.back.octets
    status, authority, token = crossing.status, crossing.authority, crossing.token
    note(wire, method, path, status, authority, token, octets, seconds, crossing.address)
