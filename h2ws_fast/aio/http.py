"""What travels at the beginning of a stream: header fields, requests, responses."""

from __future__ import annotations

import http
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
)
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from ..printable import printable

if TYPE_CHECKING:
    from .protocol import Wire
    from .tunnel import Receiving

__all__ = ["Body", "Headers", "HeadersLike", "Incoming", "Request", "Response"]

Body: TypeAlias = bytes | bytearray | memoryview | str | AsyncIterable[bytes] | None

# RFC 9113 section 8.2.2: HTTP/2 has no such fields, and applications written for HTTP/1.1 send
# them. `te` belongs to requests.
HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te")
)

# What `shared` keeps: so many texts of at most so many characters, for each event loop.
MOST_SHARED = 1024
MAX_SHARED = 256


def octets_of(body: Body) -> Any:
    """A body as it is sent: `bytes`, or what gives them piece by piece."""
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytearray | memoryview):
        return bytes(body)
    return body


class Headers(MutableMapping[str, str]):
    """Header fields: a mapping that ignores case and keeps order and repetitions.

    `headers[name]` is the value, values of a repeated field joined by ", ", lines of a `cookie` by
    "; "; setting a field replaces all of that name, `add` appends one. Names are kept in lower
    case, as HTTP/2 sends them. Octets of values are read as ISO 8859-1.
    """

    # Received fields stay one `bytes` until somebody changes them: an open WebSocket keeps its
    # request, and a list of tuples of a browser's fields is 1.5 KiB. NUL stands in no field.
    __slots__ = ("_fields", "_packed")

    _fields: list[tuple[str, str]] | None
    _packed: bytes

    def __init__(self, fields: HeadersLike = (), /, **named: str) -> None:
        self._packed = b""
        self._fields = []
        if isinstance(fields, Headers):
            fields = fields.raw_items()
        pairs = fields.items() if isinstance(fields, Mapping) else fields
        # For all a checker knows, an iterable of pairs may be a Mapping with pairs as keys.
        items = cast("Iterable[tuple[str, str]]", pairs)
        for name, value in items:
            self.add(name, value)
        for name, value in named.items():
            self.add(name, value)

    @classmethod
    def received(cls, fields: list[tuple[bytes, bytes]]) -> Headers:
        """Make them of an event's `headers`."""
        headers = cls.__new__(cls)
        headers._fields = None
        headers._packed = b"\0".join([octets for field in fields for octets in field])
        return headers

    def _read(self) -> list[tuple[str, str]]:
        # For looking only: what looks at one field of every request leaves it packed.
        fields = self._fields
        if fields is None:
            parts = self._packed.decode("latin-1").split("\0") if self._packed else []
            fields = list(zip(parts[::2], parts[1::2], strict=True))
        return fields

    def _list(self) -> list[tuple[str, str]]:
        # For changing.
        if self._fields is None:
            self._fields = self._read()
            self._packed = b""
        return self._fields

    def add(self, name: str, value: str) -> None:
        """Append a field, whether or not there is one of that name."""
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"a header field is two str, not {name!r}: {value!r}")
        self._list().append((name.lower(), value))

    def get_all(self, name: str) -> list[str]:
        """All values of a field, in order; [] where there is none."""
        name = name.lower()
        return [value for key, value in self._read() if key == name]

    def raw_items(self) -> Iterator[tuple[str, str]]:
        """Every field as it came, repetitions included."""
        return iter(self._read())

    def __getitem__(self, name: str) -> str:
        values = self.get_all(name)
        if not values:
            raise KeyError(name)
        if len(values) == 1:
            return values[0]
        # RFC 9113 section 8.2.3: lines of a cookie are joined so, and by nothing else.
        return ("; " if name.lower() == "cookie" else ", ").join(values)

    def __setitem__(self, name: str, value: str) -> None:
        self.pop(name, None)
        self.add(name, value)

    def __delitem__(self, name: str) -> None:
        lower = name.lower()
        kept = [field for field in self._list() if field[0] != lower]
        if len(kept) == len(self._list()):
            raise KeyError(name)
        self._fields = kept

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.get_all(name))

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self._read()))

    def __len__(self) -> int:
        return len({name for name, _ in self._read()})

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Headers):
            return self._read() == other._read()
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # mutable, as the ABC's own annotation forgets

    def __repr__(self) -> str:
        return f"Headers({self._read()!r})"


HeadersLike: TypeAlias = Headers | Mapping[str, str] | Iterable[tuple[str, str]]


def fields_of(headers: HeadersLike | None) -> list[tuple[str, str]]:
    """The fields as the engine takes them."""
    if headers is None:
        return []
    if not isinstance(headers, Headers):
        headers = Headers(headers)
    return list(headers.raw_items())


def response_fields(response: Response, http_version: str) -> list[tuple[str, str]]:
    """The fields of a response to be sent: over HTTP/2 without those that only HTTP/1.1 has."""
    fields = fields_of(response.headers)
    if http_version == "2":
        fields = [field for field in fields if field[0] not in HOP_BY_HOP]
    return fields


def shared(texts: dict[str, str], text: str) -> str:
    """The same text, one object for all who say it; `texts` keeps so many, and no long ones.

    Not `sys.intern`: CPython 3.12 and the free-threaded ones keep for ever what was interned, and
    peers choose these texts.
    """
    found = texts.get(text)
    if found is not None:
        return found
    if len(text) <= MAX_SHARED:
        if len(texts) >= MOST_SHARED:
            texts.clear()
        texts[text] = text
    return text


class Incoming:
    """The body of what arrives, read piece by piece under flow control."""

    __slots__ = ("_body",)

    _body: Receiving | None

    async def read(self, limit: int | None = None) -> bytes:
        """Return the rest of the body, whole.

        Raises ValueError once it is longer than `limit` octets, and StreamReset where the peer
        gave up half-way.
        """
        if self._body is None:
            return b""
        return await self._body.read_all(limit)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[bytes]:
        if self._body is not None:
            while data := await self._body.read():
                yield data

    @property
    def trailers(self) -> Headers | None:
        """The trailer fields, once the body was read to its end; None where there were none."""
        return None if self._body is None else self._body.trailers


class Request(Incoming):
    """A request: of a WebSocket (`protocol` is "websocket"), of a tunnel, or an ordinary one.

    `path` holds the query too. `async for chunk in request` and `await request.read()` give the
    body of an ordinary request; what is not read stays with the peer.
    """

    __slots__ = ("authority", "headers", "method", "path", "protocol", "scheme", "wire")

    method: str
    scheme: str
    authority: str
    path: str
    headers: Headers
    protocol: str | None
    wire: Wire | None

    def __init__(
        self,
        path: str = "/",
        headers: HeadersLike = (),
        *,
        method: str = "GET",
        scheme: str = "https",
        authority: str = "",
        protocol: str | None = None,
    ) -> None:
        self.method = method
        self.scheme = scheme
        self.authority = authority
        self.path = path
        self.headers = headers if isinstance(headers, Headers) else Headers(headers)
        self.protocol = protocol
        self.wire = None
        self._body = None

    @classmethod
    def received(cls, event: Any, wire: Wire | None = None) -> Request:
        """Make it of a `Requested` event of a connection."""
        request = cls.__new__(cls)
        # One object for all connections: 60 octets less for each of them.
        texts = {} if wire is None else wire.hub.known.setdefault("texts", {})
        request.method = shared(texts, event.method)
        request.scheme = shared(texts, event.scheme)
        request.authority = shared(texts, event.authority)
        request.path = shared(texts, event.path)
        request.headers = Headers.received(event.headers)
        request.protocol = None if event.protocol is None else shared(texts, event.protocol)
        request.wire = wire
        request._body = None
        return request

    @property
    def remote_address(self) -> Any:
        """The peer's address, and after the end what it was; None where the request was sent here."""
        return None if self.wire is None else self.wire.remote_address

    @property
    def http_version(self) -> str:
        """What it came by: "2" or "1.1"; "" where it was sent here."""
        return "" if self.wire is None else self.wire.http_version

    @property
    def session(self) -> Any:
        """What opens streams on the connection it came by: a ServerSession at a server, the Session
        at a client; None where the other end takes none."""
        return getattr(self.wire, "session", None)

    def __repr__(self) -> str:
        token = "" if self.protocol is None else f" {self.protocol}"
        return printable(f"<{type(self).__name__} {self.method}{token} {self.path}>")


class Response(Incoming):
    """A response: made by a server's `on_request`, or received by a client.

    To send one: `body` is `bytes`, `str` (sent as UTF-8) or an async iterable of `bytes`, which is
    pulled only as fast as the client reads; `trailers` may be set until the body ends.

    A received one is there as soon as its head is: `async for chunk in response` and
    `await response.read()` give the body under flow control. Read it or `close()` it.
    """

    __slots__ = ("_trailers", "body", "headers", "request", "status")

    status: int
    headers: Headers
    body: Body
    request: Request | None
    _trailers: HeadersLike | None

    def __init__(
        self,
        status: int = 200,
        headers: HeadersLike = (),
        body: Body = None,
        *,
        trailers: HeadersLike | None = None,
    ) -> None:
        status = int(status)
        if not 100 <= status <= 999:
            raise ValueError(f"a status has three digits: {status}")
        if body is not None and not isinstance(body, bytes | bytearray | memoryview | str):
            if not hasattr(body, "__aiter__"):
                raise TypeError(
                    "the body of a Response is bytes, str or an async iterable of bytes, "
                    f"not {type(body).__name__}"
                )
        self.status = status
        self.headers = headers if isinstance(headers, Headers) else Headers(headers)
        self.body = body
        self.request = None
        self._trailers = trailers
        self._body = None

    @classmethod
    def received(cls, event: Any, body: Receiving | None, request: Request | None) -> Response:
        """Make it of a `Responded` or `Opened` event."""
        response = cls.__new__(cls)
        response.status = event.status
        response.headers = Headers.received(event.headers)
        response.body = None
        response.request = request
        response._trailers = None
        response._body = body
        return response

    @property
    def status_code(self) -> int:
        """The same as `status`."""
        return self.status

    @property
    def reason_phrase(self) -> str:
        """The standard phrase of the status: HTTP/2 carries none."""
        try:
            return http.HTTPStatus(self.status).phrase
        except ValueError:
            return ""

    @property
    def trailers(self) -> Headers | None:
        """The trailer fields: those to send, or those received once the body was read."""
        if self._body is not None:
            return self._body.trailers
        if self._trailers is None:
            return None
        if not isinstance(self._trailers, Headers):
            self._trailers = Headers(self._trailers)
        return self._trailers

    @trailers.setter
    def trailers(self, value: HeadersLike | None) -> None:
        self._trailers = value

    def close(self) -> None:
        """Give up a received body that was not read to its end. Does nothing otherwise."""
        if self._body is not None:
            self._body.abort()

    async def __aenter__(self) -> Response:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status}>"


def text_response(status: int, text: str) -> Response:
    """A plain text answer, as refusals use it."""
    body = text.encode()
    return Response(
        status,
        [("content-type", "text/plain; charset=utf-8"), ("content-length", str(len(body)))],
        body,
    )
