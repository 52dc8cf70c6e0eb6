"""Addresses, as little of them as an idle connection can keep."""

import socket
from typing import Any

LOCAL = "local address"  # where a Hub's `known` has the one that was asked for last


def pack(address: Any) -> int:
    """Return an IPv4 address and port as a number: a tuple, a str and an int take 150 octets.

    Whatever does not come out of `unpack` as it went in is 0.
    """
    if type(address) is not tuple or len(address) != 2:
        return 0
    host, port = address
    try:
        octets = socket.inet_aton(host)
    except (OSError, TypeError):
        return 0
    if type(port) is not int or not 0 <= port <= 0xFFFF or socket.inet_ntoa(octets) != host:
        return 0
    return 1 << 48 | int.from_bytes(octets, "big") << 16 | port


def unpack(packed: int) -> tuple[str, int]:
    """Return the host and port that `pack` made a number of: they are made anew when asked for."""
    host = (packed >> 16 & 0xFFFFFFFF).to_bytes(4, "big")
    return socket.inet_ntoa(host), packed & 0xFFFF


def shared(known: dict[Any, Any], address: Any) -> Any:
    """Return the address, the same object for each connection that has it at its end.

    That of a server is one on all its connections; a client's port is another each time.
    """
    found = known.get(LOCAL)
    if found != address:
        found = known[LOCAL] = address
    return found
