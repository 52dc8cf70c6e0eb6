"""A socket with an address of this machine."""

from __future__ import annotations

import socket

__all__ = ["bound"]


def bound(kind: socket.SocketKind, host: str, port: int) -> socket.socket:
    """One of TCP or UDP that does not block, bound to the first address of `host`.

    Port 0 is any that is free. An IPv6 address takes no IPv4. Raises OSError.
    """
    family, kind, proto, _, address = socket.getaddrinfo(
        host, port, type=kind, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, proto)
    try:
        sock.setblocking(False)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # 0.0.0.0 is not meant where :: is said
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock
