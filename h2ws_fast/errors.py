"""The tree of errors. What a peer did wrong is an event of the engine, never an exception of it."""

# The wire codes of RFC 9113 section 7 as numbers: the engine imports this module, so this module
# cannot import the engine's constants.
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL = 0x0, 0x1, 0x2, 0x7, 0x8

__all__ = [
    "ConnectionTerminated",
    "ExtendedConnectUnsupported",
    "H2WSError",
    "LocalProtocolError",
    "NoAvailableStreams",
    "StreamClosed",
    "StreamReset",
]


class H2WSError(Exception):
    """Base of every error this package raises, but for ValueError and TypeError."""

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


class ExtendedConnectUnsupported(LocalProtocolError):
    """The peer has not sent SETTINGS_ENABLE_CONNECT_PROTOCOL = 1: RFC 8441 section 3.

    Use a WebSocket over HTTP/1.1 on another connection instead.
    """


class ConnectionTerminated(H2WSError):
    """The HTTP/2 connection is over. `error_code` and `reason` say why."""

    error_code = NO_ERROR

    def __init__(self, error_code: int = NO_ERROR, reason: str = "") -> None:
        super().__init__(reason or "the connection is closed")
        self.error_code = error_code
        self.reason = reason


class StreamReset(H2WSError):
    """A stream was reset. `retryable`: the peer processed nothing of it."""

    error_code = CANCEL

    def __init__(self, error_code: int = CANCEL, reason: str = "", retryable: bool = False) -> None:
        super().__init__(reason or f"the stream was reset with error code {error_code:#x}")
        self.error_code = error_code
        self.reason = reason
        self.retryable = retryable
