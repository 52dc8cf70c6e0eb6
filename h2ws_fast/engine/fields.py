"""What the octets of a field may be: RFC 9113 section 8.2.1, RFC 9110 sections 5.1 and 5.5.

A field is a tuple `(name, value)` of `bytes`; a `Sensitive` one must stay a never-indexed literal
on every hop. What octets are allowed is said by tables of 256 octets, for the kernel
`made_of`.
"""

from .kernels import made_of
from .static_table import KNOWN_NAMES

__all__ = [
    "ALNUM",
    "DIGIT_OCTETS",
    "TOKEN_OCTETS",
    "Sensitive",
    "mark_all_but",
    "name_fault",
    "value_fault",
]


class Sensitive(tuple):
    """A field `(name, value)` that no table on any hop may hold: RFC 7541 section 6.2.3."""

    __slots__ = ()


def mark_all_but(allowed):
    """Return a table that keeps the allowed octets and changes all others."""
    return bytes(octet if octet in allowed else octet ^ 0x80 for octet in range(256))


_DIGITS = b"0123456789"
_LOWER = b"abcdefghijklmnopqrstuvwxyz"
_MARKS = b"!#$%&'*+-.^_`|~"
ALNUM = _DIGITS + _LOWER + _LOWER.upper()
DIGIT_OCTETS = mark_all_but(_DIGITS)
TOKEN_OCTETS = mark_all_but(_MARKS + ALNUM)
NAME_OCTETS = mark_all_but(_MARKS + _DIGITS + _LOWER)
VALUE_OCTETS = mark_all_but(bytes((0x09, *range(0x20, 0x7F), *range(0x80, 0x100))))


def name_fault(name):
    """Say what is wrong with a field's name as it stands on the wire, or return None.

    A pseudo-header's colon is accepted; whether the name exists is for `headers` to say.
    """
    if name in KNOWN_NAMES:
        return None
    if not name:
        return "empty field name"
    token = name
    if name[0] == 0x3A:  # a colon
        token = name[1:]
    if not made_of(token, NAME_OCTETS):
        return f"field name {name[:64]!r} is not a lower-case token"
    return None


def value_fault(value):
    """Say what is wrong with a field's value, or return None."""
    if not value:
        return None
    first = value[0]
    last = value[len(value) - 1]
    # RFC 9113 section 8.2.1: "A field value MUST NOT start or end with an ASCII whitespace
    # character (ASCII SP or HTAB, 0x20 or 0x09)."
    if first == 0x20 or first == 0x09 or last == 0x20 or last == 0x09:
        return "field value starts or ends with whitespace"
    if not made_of(value, VALUE_OCTETS):
        return "field value holds a control character"
    return None
