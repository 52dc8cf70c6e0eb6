"""Whose pages may open WebSockets here: RFC 6455 section 10.2."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from .http import Request

__all__ = ["SAME_ORIGIN", "Origins", "SameOrigin", "is_allowed", "is_same_origin"]


class SameOrigin:
    """The default of `serve(origins=...)`: an Origin must name the authority it asks.

    Requests without an Origin do not come from a page and pass: RFC 6455 section 10.2.
    """

    def __repr__(self) -> str:
        return "SAME_ORIGIN"


SAME_ORIGIN = SameOrigin()

DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def _host_and_port(authority: str, scheme: str) -> tuple[str, int | None] | None:
    try:
        parts = urllib.parse.urlsplit("//" + authority)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname or parts.path or parts.query or parts.fragment:
        return None
    return parts.hostname.lower(), port or DEFAULT_PORTS.get(scheme)


def is_same_origin(origin: str, scheme: str, authority: str) -> bool:
    """Does this Origin field name the authority that was asked?

    A proxy that ends TLS may change the scheme, so only host and port count; each default port is
    that of its own side.
    """
    kind, slashes, rest = origin.partition("://")
    if not slashes or kind.lower() not in ("http", "https") or "@" in rest:
        return False
    ours = _host_and_port(authority, scheme)
    theirs = _host_and_port(rest, kind.lower())
    if ours is None or theirs is None:
        return False
    if ours == theirs:
        return True
    return ours[0] == theirs[0] and (ours[1], theirs[1]) in ((80, 443), (443, 80))


Origins: TypeAlias = "Sequence[str | re.Pattern[str] | None] | SameOrigin | None"


def is_allowed(origins: Origins, request: Request) -> bool:
    """May the page that asked, if it was one, open a WebSocket?"""
    values = request.headers.get_all("origin")
    if len(values) > 1:
        return False
    origin = values[0] if values else None
    if isinstance(origins, SameOrigin):
        return origin is None or is_same_origin(origin, request.scheme, request.authority)
    for allowed in origins or ():
        if allowed == origin:
            return True
        if isinstance(allowed, re.Pattern) and origin is not None and allowed.fullmatch(origin):
            return True
    return False
