"""The words that mean something to the engine: names of fields, methods, schemes, tokens.

This module is never compiled and nothing in it changes after import.
"""

from .fields import ALNUM, mark_all_but
from .static_table import KNOWN_NAMES, STATIC_TABLE

# What a field's name means to the engine; the names that are not here mean nothing to it.
METHOD = 1
SCHEME = 2
AUTHORITY = 3
PATH = 4
PROTOCOL = 5
STATUS = 6
LAST_PSEUDO = 6
HOP_BY_HOP = 7
TE = 8
HOST = 9
CONTENT_LENGTH = 10
COOKIE = 11
WS_VERSION = 12
WS_KEY = 13
WS_PROTOCOL = 14
WS_EXTENSIONS = 15
PRIORITY = 16

MEANINGS = {
    # The tables' own objects: where the keys are the same object a dict does not compare octets.
    KNOWN_NAMES[name]: meaning
    for name, meaning in {
        b":method": METHOD,
        b":scheme": SCHEME,
        b":authority": AUTHORITY,
        b":path": PATH,
        b":protocol": PROTOCOL,
        b":status": STATUS,
        b"connection": HOP_BY_HOP,
        b"keep-alive": HOP_BY_HOP,
        b"proxy-connection": HOP_BY_HOP,
        b"transfer-encoding": HOP_BY_HOP,
        b"upgrade": HOP_BY_HOP,
        b"te": TE,
        b"host": HOST,
        b"content-length": CONTENT_LENGTH,
        b"cookie": COOKIE,
        b"priority": PRIORITY,
        b"sec-websocket-version": WS_VERSION,
        b"sec-websocket-key": WS_KEY,
        b"sec-websocket-protocol": WS_PROTOCOL,
        b"sec-websocket-extensions": WS_EXTENSIONS,
    }.items()
}

METHODS = {
    method.encode(): method
    for method in ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")
}
SCHEMES = {STATIC_TABLE[6][1]: "http", STATIC_TABLE[7][1]: "https"}
PROTOCOLS = {
    token.encode(): token for token in ("websocket", "connect-udp", "connect-ip", "bytestream")
}
# RFC 9297 section 3.4: content-length has no place beside the Capsule Protocol.
CAPSULE_PROTOCOLS = frozenset(("connect-udp", "connect-ip", "connect-ethernet"))

MAX_CONTENT_LENGTH_DIGITS = 18  # fits 63 bits whatever the digits

SCHEME_OCTETS = mark_all_but(b"+-." + ALNUM)
# RFC 3986 section 3.2.2, without the comma: no host has one, and a proxy may see a list.
HOST_OCTETS = mark_all_but(b"-._~%!$&'()*+;=" + ALNUM)
ADDRESS_OCTETS = mark_all_but(b":.-_~!$&'()*+;=%" + ALNUM)  # within brackets
# RFC 9113 section 8.3.1 and 10.3: what would end or bend the request line of HTTP/1.1.
PATH_OCTETS = mark_all_but(bytes(octet for octet in range(0x21, 0x7F) if octet != 0x23))
