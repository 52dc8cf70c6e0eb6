"""The fields of a WebSocket handshake, over HTTP/2 and HTTP/1.1: RFC 6455 section 4, RFC 8441.

Not on a hot path, and never compiled.
"""

import binascii
import hashlib
import os
from collections.abc import Iterable

from .fields import TOKEN_OCTETS
from .headers import MalformedMessage
from .kernels import made_of

__all__ = [
    "HANDSHAKE_FIELDS",
    "accept_value",
    "check_added",
    "check_accepted",
    "has_token",
    "is_token",
    "new_key",
    "read_extensions",
    "read_offers",
    "read_subprotocols",
    "read_upgrade",
    "split_list",
    "valid_key",
    "values_of",
]

Fields = list[tuple[bytes, bytes]]

# What the two ends of a WebSocket settle by its handshake, and nobody else says: RFC 6455 section 11.3.
HANDSHAKE_FIELDS = frozenset(
    (
        b"sec-websocket-accept",
        b"sec-websocket-extensions",
        b"sec-websocket-key",
        b"sec-websocket-protocol",
        b"sec-websocket-version",
    )
)

KEY_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3


def split_list(value: bytes) -> list[bytes]:
    """Return the elements of a comma-separated field as `bytes`, without empty ones.

    RFC 9110 section 5.6.1. Not for fields with quoted strings.
    """
    elements = []
    for element in value.split(b","):
        element = element.strip(b" \t")
        if element:
            elements.append(element)
    return elements


def is_token(name: object) -> bool:
    """Whether a `str` is a token: RFC 9110 section 5.6.2."""
    return isinstance(name, str) and name.isascii() and made_of(name.encode(), TOKEN_OCTETS)


def read_subprotocols(value: bytes | None) -> list[str]:
    """Return the subprotocols of a `sec-websocket-protocol` value (or None) as `str`, in order.

    One named twice counts once. Raises `MalformedMessage` where one is not a token.
    """
    names = {}  # a list would take a second to look through for each of 60 KB of them
    if value is None:
        return []
    for element in split_list(value):
        if not made_of(element, TOKEN_OCTETS):
            raise MalformedMessage("a subprotocol is not a token")
        names[element.decode("ascii")] = None
    return list(names)


def valid_key(key: bytes) -> bool:
    """Whether a `sec-websocket-key` is the base64 of 16 octets."""
    if len(key) != 24:
        return False
    try:
        return len(binascii.a2b_base64(key, strict_mode=True)) == 16
    except binascii.Error:
        return False


def accept_value(key: bytes) -> bytes:
    """Return the `sec-websocket-accept` that answers a key."""
    digest = hashlib.sha1(key + KEY_SUFFIX, usedforsecurity=False).digest()
    return binascii.b2a_base64(digest, newline=False)


def new_key() -> bytes:
    """Return a `sec-websocket-key`: 16 octets nobody can foresee, as base64."""
    return binascii.b2a_base64(os.urandom(16), newline=False)


def values_of(fields: Fields, name: bytes) -> list[bytes]:
    """Return the values of all fields of this (lower-case) name, in order."""
    return [value for key, value in fields if key == name]


def check_added(fields: Iterable[tuple[bytes, bytes]]) -> None:
    """Raise ValueError where one of these fields, which come beside a handshake's own, is one of those."""
    for name, _ in fields:
        if name.lower() in HANDSHAKE_FIELDS:
            text = name.decode("latin-1").lower()
            raise ValueError(f"{text} is for the handshake to say; leave it out")


def has_token(values: Iterable[bytes], token: bytes) -> bool:
    """Whether a list of comma-separated values holds this (lower-case) token, in any case."""
    return any(element.lower() == token for value in values for element in split_list(value))


def read_extensions(value: bytes) -> list[tuple[bytes, list[tuple[bytes, bytes | None]]]]:
    """Return what a `sec-websocket-extensions` value lists: `(name, [(parameter, value)])`, `bytes`.

    RFC 6455 section 9.1; a parameter without a value has None. Every octet is looked at once.
    Raises `MalformedMessage` where it does not have that form.
    """
    extensions = []
    parameters = None
    at = 0
    n = len(value)
    while True:
        token, at = _read_token(value, _skip_blanks(value, at))
        at = _skip_blanks(value, at)
        if parameters is None:
            parameters = []
            extensions.append((token, parameters))
        elif at < n and value[at] == 0x3D:  # =
            at = _skip_blanks(value, at + 1)
            if at < n and value[at] == 0x22:  # a quotation mark
                content, at = _read_quoted(value, at + 1)
            else:
                content, at = _read_token(value, at)
            parameters.append((token, content))
            at = _skip_blanks(value, at)
        else:
            parameters.append((token, None))
        if at == n:
            return extensions
        if value[at] == 0x2C:  # a comma
            parameters = None
        elif value[at] != 0x3B:  # a semicolon
            raise MalformedMessage("an extension is neither token nor parameter")
        at += 1


def _skip_blanks(value: bytes, at: int) -> int:
    while at < len(value) and value[at] in b" \t":
        at += 1
    return at


def _read_token(value: bytes, at: int) -> tuple[bytes, int]:
    start = at
    while at < len(value) and made_of(value[at : at + 1], TOKEN_OCTETS):
        at += 1
    if at == start:
        raise MalformedMessage("an extension or parameter has no name")
    return value[start:at], at


def _read_quoted(value: bytes, at: int) -> tuple[bytes, int]:
    # RFC 6455 section 9.1: "the value after quoted-string unescaping MUST conform to the 'token'
    # ABNF."
    content = bytearray()
    while at < len(value):
        octet = value[at]
        at += 1
        if octet == 0x22:
            if not made_of(bytes(content), TOKEN_OCTETS):
                break
            return bytes(content), at
        if octet == 0x5C and at < len(value):  # a backslash
            octet = value[at]
            at += 1
        content.append(octet)
    raise MalformedMessage("the value of an extension's parameter is no token")


def read_upgrade(method: str, version: bytes, fields: Fields) -> tuple[bytes, list[str]]:
    """Return `(key, subprotocols)` of a request that names `websocket` in Upgrade.

    `version` is the `bytes` behind `HTTP/`. Raises `MalformedMessage` with the status that answers
    what RFC 6455 section 4.2.1 does not allow: 426 for another version of the protocol, 405 for
    another method, 400 for the rest.
    """
    if version < b"1.1":
        # RFC 9110 section 7.8: HTTP/1.0 knows no Upgrade, so it knows no 426 either.
        raise MalformedMessage("a WebSocket takes HTTP/1.1")
    if method != "GET":
        raise MalformedMessage("a WebSocket is opened with GET", 405)
    if not has_token(values_of(fields, b"connection"), b"upgrade"):
        raise MalformedMessage("Connection does not name upgrade")
    versions = values_of(fields, b"sec-websocket-version")
    if len(versions) != 1:
        raise MalformedMessage("Sec-WebSocket-Version is needed once")
    if versions[0] != b"13":
        raise MalformedMessage("the version of the protocol is not 13", 426)
    keys = values_of(fields, b"sec-websocket-key")
    if len(keys) != 1 or not valid_key(keys[0]):
        raise MalformedMessage("Sec-WebSocket-Key is needed once, the base64 of 16 octets")
    if values_of(fields, b"transfer-encoding") or any(
        value != b"0" for value in values_of(fields, b"content-length")
    ):
        raise MalformedMessage("the opening handshake of a WebSocket has no body")
    # Both may come in several lines, which count as one: RFC 6455 sections 11.3.2 and 11.3.4.
    offers = read_offers(fields)
    if offers is not None:
        read_extensions(offers)
    subprotocols = values_of(fields, b"sec-websocket-protocol")
    return keys[0], read_subprotocols(b", ".join(subprotocols) if subprotocols else None)


def read_offers(fields: Fields) -> bytes | None:
    """Return the value of `sec-websocket-extensions`, of one line or several, or None."""
    lines = values_of(fields, b"sec-websocket-extensions")
    return b", ".join(lines) if lines else None


def check_switched(fields: Fields, token: bytes) -> None:
    """Check that a 101 changes to `token` (in lower case): RFC 9110 section 7.8.

    Raises `MalformedMessage`.
    """
    upgrades = values_of(fields, b"upgrade")
    if len(upgrades) != 1 or upgrades[0].strip().lower() != token:
        name = token.decode("latin-1")
        raise MalformedMessage(f"the server switched to something other than {name}")
    if not has_token(values_of(fields, b"connection"), b"upgrade"):
        raise MalformedMessage("Connection does not name upgrade")


def check_accepted(
    key: bytes, fields: Fields, offered: Iterable[str], *, extensions: bool = False
) -> str | None:
    """Check the fields of a 101 that answers `key`: return the chosen subprotocol, or None.

    `offered` are the subprotocols (`str`) that were asked for; where `extensions` were, what is
    said of them is for the caller to read. Raises `MalformedMessage` where RFC 6455 section 4.1 has
    the client fail the connection.
    """
    check_switched(fields, b"websocket")
    accepted = values_of(fields, b"sec-websocket-accept")
    if len(accepted) != 1 or accepted[0].strip() != accept_value(key):
        raise MalformedMessage("Sec-WebSocket-Accept does not answer the key")
    if not extensions and values_of(fields, b"sec-websocket-extensions"):
        raise MalformedMessage("the server uses an extension that was not offered")
    chosen = values_of(fields, b"sec-websocket-protocol")
    if not chosen:
        return None
    subprotocol = chosen[0].decode("latin-1")
    if len(chosen) > 1 or subprotocol not in offered:
        raise MalformedMessage("the server chose a subprotocol that was not offered")
    return subprotocol
