"""The fields of a WebSocket handshake, over HTTP/2 and HTTP/1.1: RFC 6455 section 4, RFC 8441.

Not on a hot path, and never compiled.
"""

import binascii
import hashlib

from .fields import TOKEN_OCTETS
from .headers import MalformedMessage
from .kernels import made_of

__all__ = ["accept_value", "is_token", "read_subprotocols", "split_list", "valid_key"]

KEY_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3


def split_list(value):
    """Return the elements of a comma-separated field as `bytes`, without empty ones.

    RFC 9110 section 5.6.1. Not for fields with quoted strings.
    """
    elements = []
    for element in value.split(b","):
        element = element.strip(b" \t")
        if element:
            elements.append(element)
    return elements


def is_token(name):
    """Whether a `str` is a token: RFC 9110 section 5.6.2."""
    return isinstance(name, str) and name.isascii() and made_of(name.encode(), TOKEN_OCTETS)


def read_subprotocols(value):
    """Return the subprotocols of a `sec-websocket-protocol` value (or None) as `str`, in order.

    One named twice counts once. Raises `MalformedMessage` where one is not a token.
    """
    names = []
    if value is None:
        return names
    for element in split_list(value):
        if not made_of(element, TOKEN_OCTETS):
            raise MalformedMessage("a subprotocol is not a token")
        name = element.decode("ascii")
        if name not in names:
            names.append(name)
    return names


def valid_key(key):
    """Whether a `sec-websocket-key` is the base64 of 16 octets."""
    if len(key) != 24:
        return False
    try:
        return len(binascii.a2b_base64(key, strict_mode=True)) == 16
    except binascii.Error:
        return False


def accept_value(key):
    """Return the `sec-websocket-accept` that answers a key."""
    digest = hashlib.sha1(key + KEY_SUFFIX, usedforsecurity=False).digest()
    return binascii.b2a_base64(digest, newline=False)
