"""What both ends of HPACK know before the first octet: RFC 7541 appendix A, and names we expect.

This module is never compiled and nothing in it changes after import.
"""

__all__ = ["KNOWN_FIELDS", "KNOWN_NAMES", "STATIC_INDEX", "STATIC_OCTETS", "STATIC_TABLE"]

_FIELDS = (
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
)


def _intern_names(fields):
    """Let equal names be one object: its hash is computed once, and comparing it is free."""
    names = {}
    return tuple((names.setdefault(name, name), value) for name, value in fields)


# STATIC_TABLE[1] to STATIC_TABLE[61]; nothing has index 0.
STATIC_TABLE = (None, *_intern_names(_FIELDS))

# Names that arrive as literals on a WebSocket's connection. A known name is valid, needs no check
# and is stored once for all connections.
KNOWN_NAMES = {field[0]: field[0] for field in STATIC_TABLE[1:]} | {
    name: name
    for name in (
        b":protocol",
        b"access-control-allow-credentials",
        b"access-control-request-headers",
        b"access-control-request-method",
        b"alt-svc",
        b"capsule-protocol",
        b"dnt",
        b"keep-alive",
        b"connection",
        b"proxy-connection",
        b"upgrade",
        b"origin",
        b"pragma",
        b"priority",
        b"sec-ch-ua",
        b"sec-ch-ua-mobile",
        b"sec-ch-ua-platform",
        b"sec-fetch-dest",
        b"sec-fetch-mode",
        b"sec-fetch-site",
        b"sec-fetch-storage-access",
        b"sec-fetch-user",
        b"sec-gpc",
        b"sec-websocket-accept",
        b"sec-websocket-extensions",
        b"sec-websocket-key",
        b"sec-websocket-protocol",
        b"sec-websocket-version",
        b"te",
        b"trailer",
        b"upgrade-insecure-requests",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"x-request-id",
    )
}

# Whole fields that browsers send: a dynamic table refers to these instead of holding its own.
KNOWN_FIELDS = {
    field: field
    for field in (
        (KNOWN_NAMES[name], value)
        for name, value in (
            (b":method", b"CONNECT"),
            (b":method", b"OPTIONS"),
            (b":protocol", b"websocket"),
            (b"accept", b"*/*"),
            (b"accept-encoding", b"gzip, deflate, br"),
            (b"accept-encoding", b"gzip, deflate, br, zstd"),
            (b"accept-language", b"en-US,en;q=0.5"),
            (b"accept-language", b"en-US,en;q=0.9"),
            (b"cache-control", b"no-cache"),
            (b"pragma", b"no-cache"),
            (b"sec-fetch-dest", b"empty"),
            (b"sec-fetch-dest", b"websocket"),
            (b"sec-fetch-mode", b"websocket"),
            (b"sec-fetch-site", b"cross-site"),
            (b"sec-fetch-site", b"same-origin"),
            (b"sec-fetch-site", b"same-site"),
            (b"sec-websocket-extensions", b"permessage-deflate"),
            (b"sec-websocket-extensions", b"permessage-deflate; client_max_window_bits"),
            (b"sec-websocket-version", b"13"),
        )
    )
}

# field -> its index, name -> the lowest index with that name.
STATIC_INDEX = {}
for _index in range(61, 0, -1):
    STATIC_INDEX[STATIC_TABLE[_index]] = _index
    STATIC_INDEX[STATIC_TABLE[_index][0]] = _index

# field -> the one octet that says it: RFC 7541 section 6.1
STATIC_OCTETS = {field: bytes((0x80 | STATIC_INDEX[field],)) for field in STATIC_TABLE[1:]}
