"""The tree of errors. What a peer did wrong is an event of the engine, never an exception of it."""

from typing import TYPE_CHECKING

from .printable import printable

if TYPE_CHECKING:
    from .aio.http import Response

# The wire codes of RFC 9113 section 7 as numbers: the engine imports this module, so this module
# cannot import the engine's constants.
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL = 0x0, 0x1, 0x2, 0x7, 0x8
HTTP_1_1_REQUIRED = 0xD

__all__ = [
    "AlpnError",
    "ClientDisconnected",
    "Close",
    "ConcurrencyError",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "ConnectionTerminated",
    "ExtendedConnectUnsupported",
    "H2WSError",
    "InvalidHandshake",
    "InvalidOrigin",
    "InvalidProxy",
    "InvalidProxyMessage",
    "InvalidProxyStatus",
    "InvalidStatus",
    "InvalidURI",
    "LocalProtocolError",
    "NegotiationError",
    "NoAvailableStreams",
    "PoolFull",
    "ProxyError",
    "SecurityError",
    "StreamClosed",
    "StreamReset",
]


class H2WSError(Exception):
    """Base of every error this package raises, but for ValueError and TypeError.

    `error_code` is the number of RFC 9113 section 7 that fits it best; of `StreamReset` and
    `ConnectionTerminated` it is what stood on the wire.
    """

    error_code = INTERNAL_ERROR


class LocalProtocolError(H2WSError):
    """The call is not allowed in this state. Nothing was sent and no state changed."""

    error_code = PROTOCOL_ERROR


class StreamClosed(H2WSError):
    """The stream is over: the peer ended or reset it, or it was never opened."""

    error_code = CANCEL


class NoAvailableStreams(LocalProtocolError):
    """The peer's limit on concurrent streams is reached, or the connection takes no new ones.

    `retryable` is true: nothing of the request was sent; another connection may take it.
    """

    error_code = REFUSED_STREAM
    retryable = True


class PoolFull(H2WSError):
    """A limit of a `Pool` or `Session` is reached: `limit` is its name. Nothing was sent."""

    error_code = REFUSED_STREAM
    retryable = True

    def __init__(self, limit: str) -> None:
        super().__init__(f"{limit} is reached: try again later")
        self.limit = limit


class ExtendedConnectUnsupported(LocalProtocolError):
    """The peer has not sent SETTINGS_ENABLE_CONNECT_PROTOCOL = 1: RFC 8441 section 3.

    Use a WebSocket over HTTP/1.1 on another connection instead.
    """


class ConnectionTerminated(H2WSError):
    """The HTTP/2 connection is over. `error_code` and `reason` say why."""

    error_code = NO_ERROR

    def __init__(self, error_code: int = NO_ERROR, reason: str = "") -> None:
        super().__init__(printable(reason) or "the connection is closed")
        self.error_code = error_code
        self.reason = reason


class StreamReset(H2WSError):
    """A stream was reset. `retryable`: the peer processed nothing of it."""

    error_code = CANCEL

    def __init__(self, error_code: int = CANCEL, reason: str = "", retryable: bool = False) -> None:
        super().__init__(
            printable(reason) or f"the stream was reset with error code {error_code:#x}"
        )
        self.error_code = error_code
        self.reason = reason
        self.retryable = retryable


# -- what the asyncio layer raises ------------------------------------------------------------


class Close:
    """Code and reason of a Close frame; code 1005 stands for a frame without a code."""

    __slots__ = ("code", "reason")

    def __init__(self, code: int, reason: str = "") -> None:
        self.code = code
        self.reason = reason

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Close):
            return NotImplemented
        return (self.code, self.reason) == (other.code, other.reason)

    def __hash__(self) -> int:
        return hash((self.code, self.reason))

    def __str__(self) -> str:
        return f"{self.code} {printable(self.reason)}" if self.reason else str(self.code)

    def __repr__(self) -> str:
        return f"Close(code={self.code!r}, reason={self.reason!r})"


class ConnectionClosed(H2WSError):
    """The WebSocket is closed: nothing can be received or sent any more.

    `rcvd` and `sent` are the `Close` frames each way, or None; `rcvd_then_sent` tells their order
    where both exist, and is None otherwise.
    """

    def __init__(
        self,
        rcvd: Close | None = None,
        sent: Close | None = None,
        rcvd_then_sent: bool | None = None,
    ) -> None:
        super().__init__(rcvd, sent, rcvd_then_sent)
        self.rcvd = rcvd
        self.sent = sent
        self.rcvd_then_sent = rcvd_then_sent

    def __str__(self) -> str:
        received = "no close frame received" if self.rcvd is None else f"received {self.rcvd}"
        sent = "no close frame sent" if self.sent is None else f"sent {self.sent}"
        if self.rcvd is None and self.sent is None:
            return "no close frame received or sent"
        if self.rcvd is None or self.rcvd_then_sent is False:
            return f"{sent}; {received}" if self.rcvd is None else f"{sent}; then {received}"
        return f"{received}; {sent}" if self.sent is None else f"{received}; then {sent}"


class ConnectionClosedOK(ConnectionClosed):
    """Closed properly: a Close each way, with code 1000, 1001 or none."""


class ConnectionClosedError(ConnectionClosed):
    """Closed with another code, or without the closing handshake."""


class InvalidURI(H2WSError, ValueError):
    """Not a URI that this function can connect to."""

    error_code = PROTOCOL_ERROR

    def __init__(self, uri: str, problem: str) -> None:
        super().__init__(uri, problem)
        self.uri = uri
        self.msg = self.problem = problem  # the first as InvalidProxy and `websockets` have it

    def __str__(self) -> str:
        return f"{self.uri!r} cannot be used: {self.problem}"


class InvalidProxy(H2WSError, ValueError):
    """Not the address of a proxy. A password in it is left out of `proxy`."""

    error_code = PROTOCOL_ERROR

    def __init__(self, proxy: str, problem: str) -> None:
        super().__init__(proxy, problem)
        self.proxy = proxy
        self.msg = problem

    def __str__(self) -> str:
        return f"{self.proxy!r} cannot be used as a proxy: {self.msg}"


class InvalidHandshake(H2WSError):
    """The WebSocket or tunnel could not be opened."""

    error_code = CANCEL


class InvalidStatus(InvalidHandshake):
    """The server refused with another status than 2xx. `response` is its answer.

    `whole`: its body is all of it, and not only what came before it was too much or broke off.
    """

    def __init__(self, response: "Response", whole: bool = True) -> None:
        super().__init__(response)
        self.response = response
        self.whole = whole

    @property
    def versions(self) -> list[str]:
        """The versions of the WebSocket protocol that the server takes, where it said so (426)."""
        values = self.response.headers.get_all("sec-websocket-version")
        return [each.strip() for value in values for each in value.split(",") if each.strip()]

    def __str__(self) -> str:
        text = f"the server refused with status {self.response.status}"
        return f"{text}: it takes versions {', '.join(self.versions)}" if self.versions else text


class SecurityError(InvalidHandshake):
    """Going on would be unsafe: a redirect from TLS to cleartext, or one too many."""


class ProxyError(InvalidHandshake):
    """The proxy does not lead to the server."""


class InvalidProxyMessage(ProxyError):
    """The proxy said something that is no answer."""


class InvalidProxyStatus(ProxyError):
    """The proxy refused with another status than 2xx. `response` is its answer."""

    def __init__(self, response: "Response") -> None:
        super().__init__(response)
        self.response = response

    def __str__(self) -> str:
        return f"the proxy refused with status {self.response.status}"


class InvalidOrigin(InvalidHandshake):
    """The Origin of a request is not among those allowed."""

    def __init__(self, origin: str | None) -> None:
        super().__init__(origin)
        self.origin = origin

    def __str__(self) -> str:
        return (
            "the Origin field is missing"
            if self.origin is None
            else f"Origin '{printable(self.origin)}'"
        )


class NegotiationError(InvalidHandshake):
    """The two sides do not agree: on a subprotocol, an extension, or the key of the handshake."""


class AlpnError(InvalidHandshake):
    """TLS did not negotiate HTTP/2: RFC 9113 section 3.2. `selected` is what ALPN chose."""

    error_code = HTTP_1_1_REQUIRED

    def __init__(self, selected: str | None) -> None:
        super().__init__(selected)
        self.selected = selected

    def __str__(self) -> str:
        selected = None if self.selected is None else printable(self.selected)
        return f"the peer does not speak HTTP/2: ALPN selected {selected!r}, not 'h2'"


class ConcurrencyError(H2WSError, RuntimeError):
    """Two tasks use one WebSocket in a way that only one may at a time."""


class ClientDisconnected(H2WSError, OSError):
    """An ASGI application sent something to a client that is gone: see ASGI 2.4."""
