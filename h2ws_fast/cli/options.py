"""Options that several commands have, in the same words."""

from __future__ import annotations

from typing import Any

from . import loops, numbers

__all__ = ["admission", "certificate", "event_loop", "trust"]


def certificate(parser: Any) -> None:
    """What a server's TLS stands on."""
    add = parser.add_argument
    add("--certfile", metavar="PEM", help="certificate chain (a self-signed one, made now)")
    add("--keyfile", metavar="PEM", help="private key, where it is not in --certfile")
    add("--cleartext", action="store_true", help="no TLS: the first octets tell what is spoken")


def trust(parser: Any) -> None:
    """Whose certificates a client takes."""
    add = parser.add_argument
    add("--insecure", action="store_true", help="accept any certificate")
    add("--cafile", metavar="PEM", help="trust these authorities instead of the system's")


def admission(parser: Any) -> None:
    """What newcomers are refused for."""
    add = parser.add_argument
    add("--max-connections", type=numbers.limit, metavar="N", help="refuse further ones (no limit)")
    add(
        "--max-connections-per-address",
        type=numbers.limit,
        metavar="N",
        help="refuse further ones of an address, of IPv6 a /64 (no limit)",
    )
    add(
        "--memory-budget",
        type=numbers.limit,
        metavar="OCTETS",
        help="refuse newcomers while all connections keep more than this (no limit)",
    )


def event_loop(parser: Any) -> None:
    """On which loop it runs."""
    parser.add_argument(
        "--loop", choices=loops.LOOPS, help="event loop (uvloop where it is installed)"
    )
