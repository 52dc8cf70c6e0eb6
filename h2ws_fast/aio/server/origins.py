"""Whose pages may open WebSockets here: RFC 6455 section 10.2."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from ..http import Request

__all__ = [
    "OPAQUE_ORIGIN",
    "SAME_ORIGIN",
    "OpaqueOrigin",
    "Origins",
    "SameOrigin",
    "check_origins",
    "is_allowed",
    "is_same_origin",
]


class SameOrigin:
    """The default of `serve(origins=...)`: an Origin must name the authority it asks.

    Requests without an Origin do not come from a page and pass: RFC 6455 section 10.2.
    """

    def __repr__(self) -> str:
        return "SAME_ORIGIN"


SAME_ORIGIN = SameOrigin()


class OpaqueOrigin:
    """In a list of origins: pages whose origin is "null" may open WebSockets.

    Any page can make its origin "null", in a sandboxed frame or by a redirect: it lets everybody's in.
    """

    def __repr__(self) -> str:
        return "OPAQUE_ORIGIN"


OPAQUE_ORIGIN = OpaqueOrigin()

DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}

# RFC 6454 section 6.2, as browsers write it: no userinfo, no path, no empty port; a port begins
# with another digit than 0. Hosts are names, IPv4 addresses, or IPv6 addresses in brackets.
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([1-9][0-9]{0,4}))?", re.I)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*", re.I)


def _host_and_port(authority: str, scheme: str) -> tuple[str, str | None] | None:
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        return None
    host = found[1].lower()
    if host.startswith("["):
        try:
            host = str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            return None
    return host, found[2] or DEFAULT_PORTS.get(scheme)


def read_origin(origin: str) -> tuple[str, str, str | None] | None:
    """Return scheme, host and port of an origin, each in one spelling; None where it is none."""
    scheme, slashes, rest = origin.partition("://")
    if not slashes or _SCHEME.fullmatch(scheme) is None:
        return None
    scheme = scheme.lower()
    place = _host_and_port(rest, scheme)
    return None if place is None else (scheme, *place)


def is_same_origin(origin: str, scheme: str, authority: str) -> bool:
    """Does this Origin field name the authority that was asked?

    Host and port must be the same, and the scheme. A proxy that ends TLS may ask with `http` for a
    page that has `https`; each default port is that of its own side then. Never the other way
    round: anybody on the path can make up a page that has `http`.
    """
    theirs = read_origin(origin)
    scheme = scheme.lower()
    ours = _host_and_port(authority, scheme)
    if theirs is None or ours is None or theirs[1] != ours[0]:
        return False
    if theirs[0] == scheme:
        return theirs[2] == ours[1]
    if (theirs[0], scheme) != ("https", "http"):
        return False
    return theirs[2] == ours[1] or (theirs[2], ours[1]) == ("443", "80")


Origins: TypeAlias = "Sequence[str | re.Pattern[str] | OpaqueOrigin | None] | SameOrigin | None"


def is_allowed(origins: Origins, request: Request) -> bool:
    """May the page that asked, if it was one, open a WebSocket?"""
    values = request.headers.get_all("origin")
    if len(values) > 1:
        return False
    origin = values[0] if values else None
    if isinstance(origins, SameOrigin):
        return origin is None or is_same_origin(origin, request.scheme, request.authority)
    if origin == "null":
        return any(isinstance(allowed, OpaqueOrigin) for allowed in origins or ())
    place = None if origin is None else read_origin(origin)
    for allowed in origins or ():
        if allowed is None and origin is None:
            return True
        if isinstance(allowed, str) and origin is not None:
            if allowed == origin or (place is not None and read_origin(allowed) == place):
                return True
        if isinstance(allowed, re.Pattern) and origin is not None and allowed.fullmatch(origin):
            return True
    return False


def check_origins(origins: Origins) -> Origins:
    """Return `origins` as they are asked again and again; raise for what allows nobody."""
    if origins is None or isinstance(origins, SameOrigin):
        return origins
    if isinstance(origins, str | bytes | re.Pattern) or not isinstance(origins, Iterable):
        raise TypeError(f"origins is a list of str, not {origins!r}")
    kept = tuple(origins)
    for origin in kept:
        if origin is None or isinstance(origin, OpaqueOrigin):
            continue
        if isinstance(origin, re.Pattern):
            if not isinstance(origin.pattern, str):
                raise TypeError(f"a pattern in origins is of str: {origin.pattern!r}")
        elif not isinstance(origin, str):
            raise TypeError(f"origins has str, patterns and None: {origin!r}")
        elif origin == "*":
            raise ValueError('"*" is no origin: origins=None allows all')
        elif read_origin(origin) is None:
            raise ValueError(f"an origin is scheme://host or scheme://host:port: {origin!r}")
    return kept
