"""Our own header lists: what users write, made ready to be encoded.

Accepts `str` and `bytes`; refuses what the receiver would have to refuse (`headers` says what),
before anything is encoded.
"""

from .fields import DIGIT_OCTETS, Sensitive, name_fault, value_fault
from .headers import MalformedMessage, read_content_length, read_request, same_host
from .kernels import made_of
from .static_table import KNOWN_NAMES
from .vocabulary import HOP_BY_HOP, MEANINGS, TE

__all__ = ["prepare"]

OK_FIELD = (b":status", b"200")

# Pseudo-headers that were looked at before, as they were written and as they are encoded: whoever
# opens many streams says the same of each.
SEEN = {}
MAX_SEEN = 256  # then it begins anew
MAX_SEEN_OCTETS = 128


def prepare(headers, kind):
    """Return the header list of a message of ours, ready to be encoded.

    `headers` are pairs `(name, value)`, each `str` or `bytes`, or a dict. `kind` is "request",
    "response", "trailers", or "tunnel" for the 2xx that answers a CONNECT. Names are lower-cased,
    pseudo-headers put first, a request's Host becomes :authority. Raises `ValueError` or
    `TypeError` for anything the receiver would have to refuse.
    """
    if type(headers) is not list:
        headers = list(headers.items() if isinstance(headers, dict) else headers)
    if len(headers) == 1 and headers[0] == OK_FIELD and (kind == "response" or kind == "tunnel"):
        return [OK_FIELD]
    pseudo = []
    regular = []
    for field in headers:
        if isinstance(field, str | bytes) or len(field) != 2:
            raise ValueError(f"a header must be a pair (name, value), not {field!r}")
        plain = type(field) is tuple and type(field[0]) is str and type(field[1]) is str
        if plain:
            clean = SEEN.get(field)
            if clean is not None:
                pseudo.append(clean)
                continue
        name = _prepare_name(field[0])
        value = _prepare_value(name, field[1])
        if type(field) is not tuple and isinstance(field, Sensitive):
            clean = Sensitive((name, value))
        elif name is field[0] and value is field[1] and type(field) is tuple:
            clean = field
        else:
            clean = (name, value)
        if name[0] == 0x3A:  # a colon
            pseudo.append(clean)
            if plain and len(value) <= MAX_SEEN_OCTETS:
                _keep(field, clean)
        else:
            regular.append(clean)
    if kind == "request":
        _check_request(pseudo, regular)
    elif kind == "response" or kind == "tunnel":
        _check_response(pseudo, regular, kind)
    elif kind == "trailers":
        if pseudo:
            raise ValueError("trailers have no pseudo-headers; leave out " + _text(pseudo[0][0]))
    else:
        raise ValueError(f"kind must be request, response, tunnel or trailers, not {kind!r}")
    for field in regular:
        found = MEANINGS.get(field[0])
        if found is None:
            continue
        meaning = found
        if meaning == HOP_BY_HOP:
            raise ValueError(f"HTTP/2 has no field {_text(field[0])}; leave it out")
        if meaning == TE and (kind != "request" or field[1].lower() != b"trailers"):
            raise ValueError("te may only stand in requests and only say trailers; leave it out")
    return pseudo + regular


def _keep(field, clean):
    if len(SEEN) >= MAX_SEEN:
        SEEN.clear()
    SEEN[field] = clean


def _text(name):
    return name.decode("latin-1")


def _prepare_name(name):
    if type(name) is str:
        try:
            name = name.encode("ascii")
        except UnicodeEncodeError:
            raise ValueError(f"header name {name!r} must be a token of ASCII letters") from None
    elif type(name) is not bytes:
        raise TypeError(f"header name {name!r} must be str or bytes")
    known = KNOWN_NAMES.get(name)
    if known is not None:
        return name
    lower = name.lower()
    if lower != name:
        name = lower
    reason = name_fault(name)
    if reason is not None:
        raise ValueError(f"{reason}; use letters, digits and !#$%&'*+-.^_`|~ only")
    return name


def _prepare_value(name, value):
    if type(value) is str:
        try:
            value = value.encode("latin-1")
        except UnicodeEncodeError:
            raise ValueError(
                f"value {value!r} of {_text(name)} is not Latin-1; encode it and give bytes"
            ) from None
    elif type(value) is not bytes:
        raise TypeError(f"value {value!r} of {_text(name)} must be str or bytes")
    reason = value_fault(value)
    if reason is not None:
        raise ValueError(f"{reason}: {_text(name)}={value[:64]!r}; remove that octet")
    return value


def _check_response(pseudo, regular, kind):
    if len(pseudo) != 1 or pseudo[0][0] != b":status":
        raise ValueError("a response needs exactly one pseudo-header, :status")
    status = pseudo[0][1]
    if len(status) != 3 or not made_of(status, DIGIT_OCTETS) or status[0] == 0x30:
        raise ValueError(f":status must be three digits from 100 on, not {status!r}")
    if status == b"101":
        raise ValueError("HTTP/2 has no 101: accept a WebSocket or tunnel with 200")
    if kind == "tunnel" and status[0] != 0x32:
        raise ValueError("a tunnel opens with a 2xx")
    _check_content_length(regular, kind == "tunnel" or status[0] == 0x31 or status == b"204")


def _check_content_length(regular, refused):
    """RFC 9110 section 8.6: no content-length in 1xx, 204 and what opens a tunnel."""
    length = None
    for field in regular:
        if field[0] == b"content-length":
            if refused:
                raise ValueError("there is no content here; leave out content-length")
            if length is not None:
                raise ValueError("content-length twice; give it once")
            length = field[1]
            try:
                read_content_length(length)
            except MalformedMessage as error:
                raise ValueError(f"{error.reason}: {length[:64]!r}") from None


def _check_request(pseudo, regular):
    """Refuse what `read_request` would call malformed; let Host become :authority."""
    authority = None
    scheme = b""
    connect = False
    for field in pseudo:
        name = field[0]
        if name == b":authority":
            authority = field[1]
        elif name == b":scheme":
            scheme = field[1]
        elif name == b":method":
            connect = field[1] == b"CONNECT"
    hosts = 0
    for field in regular:
        name = field[0]
        if name == b"host":
            hosts += 1
    if hosts and authority is None:
        for at in range(len(regular)):
            if regular[at][0] == b"host":
                host = regular[at]
                del regular[at]
                pseudo.append((b":authority", host[1]))
                break
    elif hosts:
        # RFC 9113 section 8.3.1: "Clients MUST NOT generate a request with a Host header field
        # that differs from the ":authority" pseudo-header field."
        kept = []
        for field in regular:
            if field[0] != b"host":
                kept.append(field)
            elif not same_host(field[1], authority, scheme.decode("latin-1")):
                raise ValueError("host differs from :authority; leave out host")
        regular[:] = kept
    try:
        read_request(pseudo, True)
    except MalformedMessage as error:
        raise ValueError(f"{error.reason}; see RFC 9113 section 8.3.1") from None
    _check_content_length(regular, connect)
