"""The access log: a line for each request, when it and what it opened are over."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from ..printable import printable

if TYPE_CHECKING:
    from .crossing import Crossing
    from .opened import OwnWire
    from .wire import GatewayWire

__all__ = ["Access", "access_log", "note_crossing"]

SHOWN = 2000  # characters of a path

access_log = logging.getLogger("h2ws_fast.gateway.access")


class Access(NamedTuple):
    """One line of it, as `str` has it; "-" stands for what there is none of.

        192.0.2.1 "CONNECT /chat HTTP/2" 200 2048 512 3.141 example.org websocket http://10.0.0.7:9000

    `received` and `sent` are octets of the body or tunnel, from the client and to it; `seconds` is how
    long it took.
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
            f'{self.address or "-"} "{self.method} {path} HTTP/{self.version}" {self.status} '
            f"{self.received} {self.sent} {self.seconds:.3f} {printable(self.authority) or '-'} "
            f"{self.protocol or '-'} {self.backend or '-'}"
        )


def note_crossing(
    wire: GatewayWire | OwnWire, crossing: Crossing, method: str, path: str, seconds: float
) -> None:
    """Write the line of what `wire` has asked for, now that it is over."""
    if wire.server.access_log:
        access_log.info(
            "%s",
            Access(
                wire.address,
                method,
                path,
                wire.http_version,
                crossing.status,
                crossing.front.octets,
                crossing.back.octets,
                seconds,
                crossing.authority,
                crossing.token,
                crossing.address,
            ),
        )
