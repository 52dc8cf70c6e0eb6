"""Header lists as HTTP messages: RFC 9113 section 8, RFC 8441 section 4, RFC 9110.

What arrives is read in one pass (`read_request`, `read_response`, `read_trailers`): one look into
a dict tells what a name means, most mean nothing here and are passed on as they are. What a
malformed message is, is decided here alone; what the octets of a field may be is checked where a
literal is decoded (`hpack`), so a repeated block is not scanned again.
"""

from ..errors import H2WSError
from .constants import PROTOCOL_ERROR
from .fields import DIGIT_OCTETS, TOKEN_OCTETS, Sensitive
from .kernels import made_of
from .vocabulary import (
    ADDRESS_OCTETS,
    AUTHORITY,
    CAPSULE_PROTOCOLS,
    CONTENT_LENGTH,
    COOKIE,
    HOP_BY_HOP,
    HOST,
    HOST_OCTETS,
    LAST_PSEUDO,
    MAX_CONTENT_LENGTH_DIGITS,
    MEANINGS,
    METHOD,
    METHODS,
    PATH,
    PATH_OCTETS,
    PRIORITY,
    PROTOCOL,
    PROTOCOLS,
    SCHEME,
    SCHEME_OCTETS,
    SCHEMES,
    STATUS,
    TE,
    WS_EXTENSIONS,
    WS_KEY,
    WS_PROTOCOL,
    WS_VERSION,
)

__all__ = [
    "MalformedMessage",
    "RequestHead",
    "ResponseHead",
    "capsule_fault",
    "read_request",
    "read_response",
    "read_trailers",
]


class MalformedMessage(H2WSError):
    """The peer's message is malformed (RFC 9113 section 8.1.1): a stream error.

    `status` is what a server may answer before it resets the stream. `refused`: the message has
    the form HTTP demands but asks for nothing we could do, so `status` is the whole answer.
    """

    error_code = PROTOCOL_ERROR

    def __init__(self, reason, status=400, refused=False):
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.refused = refused


# -- the octets of single values ---------------------------------------------------------------


def _split_port(authority):
    """Return the octets before the port's colon and the port (None without a colon)."""
    at = len(authority)
    while at > 0:
        at -= 1
        octet = authority[at]
        if octet == 0x3A:  # a colon
            return authority[:at], authority[at + 1 :]
        if octet == 0x5D:  # the bracket behind an IPv6 address, whose colons are others
            break
    return authority, None


def _read_port(port):
    """Return the number, or -1 where it is none."""
    n = len(port)
    if n > 5 or not made_of(port, DIGIT_OCTETS):
        return -1
    number = 0
    for i in range(n):
        number = number * 10 + port[i] - 0x30
    return number if number <= 65535 else -1


def _authority_fault(authority, port_needed):
    """Say what is wrong with `host[:port]`, or return None: RFC 3986 section 3.2."""
    if not port_needed and made_of(authority, HOST_OCTETS):
        return None
    host, port = _split_port(authority)
    if host[:1] == b"[" and host[len(host) - 1 :] == b"]":
        if not made_of(host[1 : len(host) - 1], ADDRESS_OCTETS):
            return "invalid address in :authority"
    elif not made_of(host, HOST_OCTETS):
        # RFC 9113 section 8.3.1: "":authority" MUST NOT include the deprecated userinfo
        # subcomponent for "http" or "https" schemed URIs."
        return "invalid host in :authority"
    if port is not None and len(port) > 0:
        number = _read_port(port)
        if number < 0:
            return "invalid port in :authority"
        if port_needed and number == 0:
            return "port 0 in :authority"
    elif port_needed:
        return "no port in :authority"
    return None


def same_host(host, authority, scheme):
    """Whether Host names what :authority names: RFC 9113 section 8.3.1."""
    if host == authority:
        return True
    return _normal_host(host, scheme) == _normal_host(authority, scheme)


def _normal_host(authority, scheme):
    host, port = _split_port(authority.lower())
    if not port or (scheme == "https" and port == b"443") or (scheme == "http" and port == b"80"):
        return host
    return host + b":" + port


def read_content_length(value):
    """Return the number: RFC 9110 section 8.6."""
    if not made_of(value, DIGIT_OCTETS):
        raise MalformedMessage("content-length is not a number")
    if len(value) > MAX_CONTENT_LENGTH_DIGITS:
        raise MalformedMessage("content-length is too large")
    return int(value)


def _read_protocol(value):
    """Return the token of :protocol, in lower case: RFC 8441 section 4, RFC 9110 section 7.8."""
    name, slash, version = value.partition(b"/")
    if not made_of(name, TOKEN_OCTETS) or (slash and not made_of(version, TOKEN_OCTETS)):
        raise MalformedMessage(":protocol is not a single token")
    return value.decode("ascii").lower()


def _join(first, value):
    """Combine a field that came in several lines: RFC 9110 section 5.3."""
    if first is None:
        return value
    return first + b", " + value


# -- reading -----------------------------------------------------------------------------------


class RequestHead:
    """What a request's header list says.

    `method`, `scheme`, `authority`, `path` are `str`, "" where absent (a classic CONNECT has
    neither scheme nor path); `authority` is Host's where :authority is absent. `protocol` is the
    token in lower case, or None. `headers` are the fields without pseudo-headers, cookies joined;
    never-indexed ones are `Sensitive`. `content_length` is -1 where unknown. The `ws_...` are the
    values of the sec-websocket- fields (`bytes`, lines joined), or None, and so is `priority`.
    """

    __slots__ = (
        "method",
        "scheme",
        "authority",
        "path",
        "protocol",
        "headers",
        "content_length",
        "priority",
        "ws_version",
        "ws_key",
        "ws_protocols",
        "ws_extensions",
    )


class ResponseHead:
    """What a response's header list says; see `RequestHead`."""

    __slots__ = ("status", "headers", "content_length", "ws_protocols", "ws_extensions")


def read_request(fields, connect_enabled):
    """Return the `RequestHead` of a decoded block, or raise `MalformedMessage`.

    `connect_enabled`: we sent SETTINGS_ENABLE_CONNECT_PROTOCOL = 1. The octets of names and values
    were checked by the decoder.
    """
    headers = []
    method = None
    scheme = None
    authority = None
    path = None
    protocol = None
    host = None
    content_length = None
    priority = None
    ws_version = None
    ws_key = None
    ws_protocols = None
    ws_extensions = None
    cookies = None
    cookie_at = -1
    for field in fields:
        name = field[0]
        found = MEANINGS.get(name)
        if found is None:
            if len(name) > 0 and name[0] == 0x3A:  # a colon
                raise MalformedMessage(f"unknown pseudo-header {name[:64]!r}")
            headers.append(field)
            continue
        meaning = found
        value = field[1]
        if meaning <= LAST_PSEUDO:
            # RFC 9113 section 8.3: "All pseudo-header fields MUST appear in a field block before
            # all regular field lines."
            if headers:
                raise MalformedMessage("pseudo-header after a regular field")
            if meaning == METHOD:
                if method is not None:
                    raise MalformedMessage(":method twice")
                method = value
            elif meaning == SCHEME:
                if scheme is not None:
                    raise MalformedMessage(":scheme twice")
                scheme = value
            elif meaning == AUTHORITY:
                if authority is not None:
                    raise MalformedMessage(":authority twice")
                authority = value
            elif meaning == PATH:
                if path is not None:
                    raise MalformedMessage(":path twice")
                path = value
            elif meaning == PROTOCOL:
                if protocol is not None:
                    raise MalformedMessage(":protocol twice")
                protocol = value
            else:
                raise MalformedMessage(":status in a request")
            continue
        if meaning == WS_VERSION:
            ws_version = _join(ws_version, value)
        elif meaning == WS_EXTENSIONS:
            ws_extensions = _join(ws_extensions, value)
        elif meaning == WS_PROTOCOL:
            ws_protocols = _join(ws_protocols, value)
        elif meaning == COOKIE:
            # RFC 9113 section 8.2.3: several lines are one cookie string for the application.
            if cookies is None:
                cookie_at = len(headers)
                cookies = [field]
            else:
                cookies.append(field)
                continue
        elif meaning == PRIORITY:
            priority = _join(priority, value)
        elif meaning == WS_KEY:
            ws_key = _join(ws_key, value)
        elif meaning == HOST:
            if host is not None:
                raise MalformedMessage("host twice")
            host = value
        elif meaning == CONTENT_LENGTH:
            if content_length is not None:
                if content_length != value:
                    raise MalformedMessage("two different content-lengths")
                continue
            content_length = value
        elif meaning == TE:
            if value.lower() != b"trailers":
                raise MalformedMessage("te other than trailers")
        else:
            raise MalformedMessage(f"connection-specific field {name!r}")
        headers.append(field)

    if cookies is not None and len(cookies) > 1:
        headers[cookie_at] = _join_cookies(cookies)

    head = RequestHead.__new__(RequestHead)
    head.headers = headers
    head.content_length = -1
    head.priority = priority
    head.ws_version = ws_version
    head.ws_key = ws_key
    head.ws_protocols = ws_protocols
    head.ws_extensions = ws_extensions

    if method is None:
        raise MalformedMessage("no :method")
    head.method = METHODS.get(method)
    if head.method is None:
        if not made_of(method, TOKEN_OCTETS):
            raise MalformedMessage(":method is not a token")
        head.method = method.decode("ascii")

    head.protocol = None
    if protocol is not None:
        if not connect_enabled:
            raise MalformedMessage(":protocol, which was not offered")
        if head.method != "CONNECT":
            raise MalformedMessage(":protocol without the method CONNECT")
        head.protocol = PROTOCOLS.get(protocol)
        if head.protocol is None:
            head.protocol = _read_protocol(protocol)
        # RFC 8441 section 4: "On requests that contain the :protocol pseudo-header field, the
        # :scheme and :path pseudo-header fields of the target URI [...] MUST also be included."
        # They are looked for below.
        if authority is None:
            raise MalformedMessage("extended CONNECT without :authority")
    elif head.method == "CONNECT":
        _read_classic_connect(head, scheme, path, authority, host)
        if content_length is not None:
            head.headers = _without_content_length(headers)
        return head

    if scheme is None:
        raise MalformedMessage("no :scheme")
    if path is None:
        raise MalformedMessage("no :path")
    head.scheme = SCHEMES.get(scheme)
    is_http = head.scheme is not None
    if not is_http:
        if not made_of(scheme, SCHEME_OCTETS) or not scheme[:1].isalpha():
            raise MalformedMessage("invalid :scheme")
        head.scheme = scheme.decode("ascii").lower()
        is_http = head.scheme == "http" or head.scheme == "https"

    # RFC 9113 section 8.3.1: "This pseudo-header field MUST NOT be empty for "http" or "https"
    # URIs".
    if len(path) == 0:
        if is_http or protocol is not None:
            raise MalformedMessage("empty :path")
    elif not made_of(path, PATH_OCTETS):
        raise MalformedMessage("invalid octet in :path")
    elif is_http and path[0] != 0x2F and (path != b"*" or head.method != "OPTIONS"):
        raise MalformedMessage(":path does not start with a slash")
    head.path = path.decode("ascii")

    if authority is None:
        authority = host
        if authority is None:
            if is_http:
                raise MalformedMessage("neither :authority nor host", 400, True)
            authority = b""
    elif host is not None and not same_host(host, authority, head.scheme):
        raise MalformedMessage("host differs from :authority")
    if is_http or protocol is not None:
        reason = _authority_fault(authority, False)
        if reason is not None:
            raise MalformedMessage(reason)
    elif len(authority) > 0 and not made_of(authority, PATH_OCTETS):
        raise MalformedMessage("invalid octet in :authority")
    head.authority = authority.decode("ascii")

    if head.protocol is not None and head.protocol in CAPSULE_PROTOCOLS:
        reason = capsule_fault(headers, 200)
        if reason is not None:
            raise MalformedMessage(reason)
    if content_length is not None:
        if protocol is None:
            head.content_length = read_content_length(content_length)
        else:
            head.headers = _without_content_length(headers)
    return head


def _read_classic_connect(head, scheme, path, authority, host):
    """Fill in what a CONNECT without :protocol asks for: RFC 9113 section 8.5."""
    if scheme is not None or path is not None:
        raise MalformedMessage("CONNECT with :scheme or :path but without :protocol")
    if authority is None:
        raise MalformedMessage("CONNECT without :authority")
    reason = _authority_fault(authority, False)
    if reason is not None and reason != "invalid port in :authority":
        raise MalformedMessage(reason)
    if host is not None and not same_host(host, authority, ""):
        raise MalformedMessage("host differs from :authority")
    # RFC 9110 section 9.3.6: "A server MUST reject a CONNECT request that targets an empty or
    # invalid port number, typically by responding with a 400 (Bad Request) status code."
    reason = _authority_fault(authority, True)
    if reason is not None:
        raise MalformedMessage(reason, 400, True)
    head.scheme = ""
    head.path = ""
    head.authority = authority.decode("ascii")


def capsule_fault(headers, status):
    """Say what may not stand in a message that begins a tunnel of capsules, or return None.

    `status` is 200 for a request. RFC 9297 sections 3.2 and 3.5: there is no content to describe, and
    no status that has none; transfer-encoding is refused in all of HTTP/2.
    """
    if 204 <= status <= 206:
        return "capsules behind a status without them"
    for field in headers:
        if field[0] == b"content-length" or field[0] == b"content-type":
            return "capsules are no content, but it is described"
    return None


def _without_content_length(headers):
    """A tunnel has no content: the field means nothing, and nobody behind us shall trust it."""
    kept = []
    for field in headers:
        if field[0] != b"content-length":
            kept.append(field)
    return kept


def _join_cookies(cookies):
    values = []
    sensitive = False
    for field in cookies:
        values.append(field[1])
        if type(field) is not tuple:
            sensitive = True
    joined = (b"cookie", b"; ".join(values))
    if sensitive:
        return Sensitive(joined)
    return joined


def read_response(fields, tunnel=False):
    """Return the `ResponseHead` of a decoded block, or raise `MalformedMessage`.

    `tunnel`: this answers a CONNECT, so a 2xx has no content and its content-length means nothing
    (RFC 9110 section 9.3.6).
    """
    headers = []
    status = None
    content_length = None
    head = ResponseHead.__new__(ResponseHead)
    head.headers = headers
    head.content_length = -1
    head.ws_protocols = None
    head.ws_extensions = None
    for field in fields:
        name = field[0]
        found = MEANINGS.get(name)
        if found is None:
            if len(name) > 0 and name[0] == 0x3A:  # a colon
                raise MalformedMessage(f"unknown pseudo-header {name[:64]!r}")
            headers.append(field)
            continue
        meaning = found
        value = field[1]
        if meaning == STATUS:
            if status is not None:
                raise MalformedMessage(":status twice")
            if headers:
                raise MalformedMessage("pseudo-header after a regular field")
            status = value
            continue
        if meaning < STATUS:
            raise MalformedMessage(f"{name.decode()} in a response")
        if meaning == CONTENT_LENGTH:
            if content_length is not None:
                if content_length != value:
                    raise MalformedMessage("two different content-lengths")
                continue
            content_length = value
        elif meaning == WS_PROTOCOL:
            head.ws_protocols = _join(head.ws_protocols, value)
        elif meaning == WS_EXTENSIONS:
            head.ws_extensions = _join(head.ws_extensions, value)
        elif meaning == HOP_BY_HOP or meaning == TE:
            raise MalformedMessage(f"connection-specific field {name!r}")
        headers.append(field)

    if status is None:
        raise MalformedMessage("no :status")
    if len(status) != 3 or not made_of(status, DIGIT_OCTETS) or status[0] == 0x30:
        raise MalformedMessage(":status is not a number of three digits")
    head.status = 100 * status[0] + 10 * status[1] + status[2] - 111 * 0x30
    # RFC 9113 sections 8.1 and 8.6: "HTTP/2 does not support the 101 (Switching Protocols)
    # informational status code".
    if head.status == 101:
        raise MalformedMessage("status 101")
    if content_length is not None:
        if tunnel and 200 <= head.status < 300:
            head.headers = _without_content_length(headers)
        else:
            head.content_length = read_content_length(content_length)
    return head


def read_trailers(fields):
    """Return the fields of a trailer block, or raise `MalformedMessage`."""
    for field in fields:
        name = field[0]
        # RFC 9113 section 8.1: "Trailers MUST NOT include pseudo-header fields".
        if len(name) > 0 and name[0] == 0x3A:  # a colon
            raise MalformedMessage("pseudo-header in trailers")
        found = MEANINGS.get(name)
        if found is None:
            continue
        meaning = found
        if meaning == HOP_BY_HOP or meaning == TE:
            raise MalformedMessage(f"connection-specific field {name!r}")
    return fields
