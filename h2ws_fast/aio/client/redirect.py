"""Where a refusal leads elsewhere: RFC 9110 section 15.4, and what a client must not follow."""

from __future__ import annotations

import urllib.parse
from typing import NamedTuple

from ...errors import InvalidStatus, SecurityError
from .. import uri
from ..http import Headers, HeadersLike

__all__ = ["MAX_REDIRECTS", "Place", "follow"]

MAX_REDIRECTS = 10  # for one WebSocket; precedents: websockets 10, curl 30, browsers 20
STATUSES = frozenset((300, 301, 302, 303, 307, 308))
# What proves to one origin who somebody is, is nothing for another.
CREDENTIALS = frozenset(("authorization", "cookie", "proxy-authorization"))


class Place(NamedTuple):
    """What is asked for, and with which fields of the user's own."""

    uri: str
    headers: HeadersLike | None


def follow(place: Place, refusal: InvalidStatus, *, once: bool, fixed: bool) -> Place | None:
    """Return where a refusal leads; None where it is none of those that lead anywhere.

    `once`: the way was a socket that is used up. `fixed`: the way was told, and leads to one place
    whatever the URI says. To another origin go neither `authorization` nor `cookie` nor
    `proxy-authorization`, nor the user and password of the first URI. Raises SecurityError where
    it leads from TLS to cleartext, ValueError where the way does not lead there, InvalidURI.
    """
    location = refusal.response.headers.get("location")
    if refusal.response.status not in STATUSES or location is None:
        return None
    there = urllib.parse.urljoin(uri.whole(place.uri), location)
    # RFC 9110 section 10.2.2: a reference may have a fragment, which is for whoever shows it.
    there = urllib.parse.urldefrag(there).url
    old, new = uri.parse(place.uri), uri.parse(there)
    if once:
        raise ValueError(f"cannot follow the redirect to {there}: sock is for one connection")
    if old.secure and not new.secure:
        raise SecurityError(f"cannot follow the redirect from TLS to cleartext: {there}")
    if (old.scheme, old.host, old.port) == (new.scheme, new.host, new.port):
        return Place(there, place.headers)
    if fixed:
        raise ValueError(f"cannot follow the redirect to another origin, the way is told: {there}")
    headers = place.headers
    if headers is not None:
        fields = Headers(headers).raw_items()
        headers = Headers((name, value) for name, value in fields if name not in CREDENTIALS)
    return Place(there, headers)
