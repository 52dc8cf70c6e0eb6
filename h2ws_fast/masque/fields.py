"""The field `capsule-protocol`: RFC 9297 section 3.4."""

from __future__ import annotations

import re

from ..aio.http import Headers

__all__ = ["CAPSULE_PROTOCOL", "uses_capsules"]

CAPSULE_PROTOCOL = ("capsule-protocol", "?1")

KEY = r"[a-z*][a-z0-9_\-.*]*"
BARE = (
    r'(?:\?[01]|"(?:\\["\\]|[ !#-\[\]-~])*"|:[A-Za-z0-9+/=]*:|-?[0-9]{1,12}\.[0-9]{1,3}'
    r"|-?[0-9]{1,15}|[A-Za-z*][A-Za-z0-9!#$%&'*+\-.^_`|~:/]*)"
)
# A Boolean of RFC 9651 section 3.3.6, with parameters that mean nothing here.
BOOLEAN = re.compile(rf" *\?([01])(?:; *{KEY}(?:={BARE})?)* *")


def uses_capsules(headers: Headers) -> bool:
    """Does a message say that it begins a tunnel of capsules?

    A field of another type, or more than one, counts as none.
    """
    values = headers.get_all("capsule-protocol")
    found = BOOLEAN.fullmatch(values[0]) if len(values) == 1 else None
    return found is not None and found[1] == "1"
