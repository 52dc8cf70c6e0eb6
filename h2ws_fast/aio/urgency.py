"""Which stream's octets leave first: RFC 9218."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import StreamClosed

if TYPE_CHECKING:
    from .protocol import Wire

__all__ = ["prioritize"]


def prioritize(wire: Wire, stream_id: int, urgency: int, incremental: bool) -> None:
    """Have the octets of a stream leave sooner or later than others: 0 first, 7 last.

    A client asks its server for the same. Does nothing where the stream is over, nor over HTTP/1.1,
    where it has a connection of its own. Raises ValueError for an urgency beyond 0 to 7.
    """
    if wire.http_version != "2":
        return
    try:
        wire.conn.prioritize(stream_id, urgency, incremental)
    except StreamClosed:
        return
    wire.touch()
