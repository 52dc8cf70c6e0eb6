"""A request of httpx as HTTP/2 has it, and the answer as httpx has it.

A WebSocket's handshake is translated both ways: the Upgrade of RFC 6455 section 4 into the extended
CONNECT of RFC 8441 section 5, and its 2xx into the 101 that whoever asked waits for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import httpx

from ..engine.events import Opened
from ..engine.handshake import accept_value

__all__ = ["Origin", "Patience", "Question", "answer_fields"]

Fields = list[tuple[bytes, bytes]]

SECURE = {"http": False, "ws": False, "https": True, "wss": True}

# RFC 9113 section 8.2.2, and what HTTP/2 says in another way.
CONNECTION_FIELDS = frozenset(
    (
        b"connection",
        b"host",
        b"http2-settings",
        b"keep-alive",
        b"proxy-connection",
        b"transfer-encoding",
        b"upgrade",
    )
)
# RFC 8441 section 5: "The Sec-WebSocket-Key ... header field[s] are not used". No body either.
HANDSHAKE_FIELDS = frozenset((b"sec-websocket-key", b"content-length"))


class Origin(NamedTuple):
    """Where a connection leads."""

    secure: bool
    host: str
    port: int
    server_hostname: str | None

    @property
    def uri(self) -> str:
        """As a Session takes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}"


class Patience(NamedTuple):
    """The timeouts of a request: seconds, or None for ever."""

    connect: float | None
    read: float | None
    write: float | None
    pool: float | None


class Question:
    """What is asked, and of whom."""

    __slots__ = ("fields", "key", "origin", "patience", "promised", "websocket", "with_body")

    def __init__(self, request: httpx.Request) -> None:
        url = request.url
        secure = SECURE.get(url.scheme)
        if secure is None or not url.host:
            raise httpx.UnsupportedProtocol(
                f"a URL begins with https://, http://, wss:// or ws:// and a host: {str(url)!r}",
                request=request,
            )
        extensions = request.extensions
        hostname = extensions.get("sni_hostname")
        if isinstance(hostname, bytes):
            hostname = hostname.decode("ascii")
        port = url.port or (443 if secure else 80)
        self.origin = Origin(secure, url.raw_host.decode("ascii"), port, hostname)
        timeout: Mapping[str, float | None] = extensions.get("timeout") or {}
        self.patience = Patience(*(timeout.get(name) for name in Patience._fields))
        target = extensions.get("target", url.raw_path)
        headers = request.headers
        self.websocket = (
            request.method == "GET" and headers.get("upgrade", "").lower() == "websocket"
        )
        self.key: bytes | None = None
        self.with_body = not self.websocket and (
            "content-length" in headers or "transfer-encoding" in headers
        )
        # How many octets the body will have; None where that is not told.
        self.promised: int | None = None
        length = headers.get("content-length")
        if self.with_body and length is not None:
            if not (length.isascii() and length.isdigit()):
                raise httpx.LocalProtocolError(
                    f"content-length is no number: {length!r}", request=request
                )
            self.promised = int(length)
        method = b"CONNECT" if self.websocket else request.method.encode("ascii")
        self.fields: Fields = [(b":method", method)]
        if self.websocket:
            self.fields.append((b":protocol", b"websocket"))
        self.fields += [
            (b":scheme", b"https" if secure else b"http"),
            (b":authority", headers.get("host", url.netloc.decode("ascii")).encode("ascii")),
            (b":path", target),
        ]
        self._add(headers)

    def _add(self, headers: httpx.Headers) -> None:
        # RFC 9113 section 8.2.2: those that Connection names are the connection's too.
        named = {each.strip().lower() for each in headers.get("connection", "").split(",")}
        for raw, value in headers.raw:
            name = raw.lower()
            if self.websocket and name == b"sec-websocket-key":
                self.key = value
            if (
                name in CONNECTION_FIELDS
                or (self.websocket and name in HANDSHAKE_FIELDS)
                or (name == b"te" and value.lower() != b"trailers")
                or (name.decode("latin-1") in named and name != b"te")
            ):
                continue
            self.fields.append((name, value))


def answer_fields(question: Question, head: Any) -> tuple[int, Fields]:
    """The status and fields of a Responded or Opened event, as httpx is told them."""
    if not (question.websocket and type(head) is Opened):
        return head.status, head.headers
    fields: Fields = [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
    if question.key is not None:
        fields.append((b"sec-websocket-accept", accept_value(question.key)))
    fields += [field for field in head.headers if field[0] != b"sec-websocket-accept"]
    return 101, fields
