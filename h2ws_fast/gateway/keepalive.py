"""Who is at the other end of a tunnel over HTTP/1.1, where no PING asks: TCP does."""

from __future__ import annotations

import contextlib
import math
import socket
from typing import Any

from ..engine import Limits

__all__ = ["ask_peer"]

PROBES = 3  # that stay unanswered
MOST_S = 32767  # Linux takes no more
INTERNET = (socket.AF_INET, socket.AF_INET6)


def ask_peer(wire: Any, limits: Limits) -> None:
    """Have TCP ask the peer of `wire` whether it is there, as HTTP/2 does by `keepalive_interval_s`
    and `keepalive_timeout_s`; what it does not acknowledge in that time ends the connection, too, but
    not before `write_timeout_s`, since who reads nothing for a while is there.
    """
    interval, patience = limits.keepalive_interval_s, limits.keepalive_timeout_s
    transport = wire.transport
    if wire.http_version == "2" or transport is None or interval == math.inf:
        return
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in INTERNET:
        return
    options = {
        "TCP_KEEPIDLE": seconds(interval),
        "TCP_KEEPINTVL": seconds(patience / PROBES),
        "TCP_KEEPCNT": PROBES,
        "TCP_USER_TIMEOUT": 1000 * seconds(max(interval + patience, limits.write_timeout_s)),
    }
    # The loops hand out stand-ins without setsockopt.
    with (
        contextlib.suppress(OSError),
        socket.fromfd(sock.fileno(), sock.family, sock.type) as twin,
    ):
        twin.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in options.items():
            if hasattr(socket, name):  # not all systems have all of them
                twin.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def seconds(told: float) -> int:
    """Whole seconds that TCP takes."""
    return max(1, math.ceil(min(told, MOST_S)))
