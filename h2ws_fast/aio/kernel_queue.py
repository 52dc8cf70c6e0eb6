"""What the kernel holds of a connection and has not sent."""

from __future__ import annotations

import socket
from typing import Any

__all__ = ["UNSENT", "limit_unsent"]

UNSENT = 131072  # octets


def limit_unsent(listener_or_connection: Any) -> None:
    """Keep what the kernel has not sent short, so that control frames still overtake data.

    Accepted connections inherit it. Not for loopback: a megabyte takes less than a millisecond
    there, and the option costs 3 us for each 16 KiB (15 against 12).
    """
    sock = listener_or_connection
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    address = sock.getsockname()[0]
    if address == "::1" or address.startswith(("127.", "::ffff:127.")):
        return
    # The loops hand out stand-ins without setsockopt.
    with socket.fromfd(sock.fileno(), sock.family, sock.type) as twin:
        twin.setsockopt(socket.IPPROTO_TCP, option, UNSENT)
