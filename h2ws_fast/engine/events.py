"""What a `Connection` tells its caller.

`receive_data` and `events` return these in the order in which they happened. The three that are
as frequent as messages (`TextMessage`, `BytesMessage`, `Data`) are those of `arrivals`; the rest
are ordinary classes. Each stream's last event is `Closed` (a WebSocket that was open) or `Reset`
(anything else that ended before both sides were done).
"""

from .arrivals import BytesMessage, Data, TextMessage

__all__ = [
    "BytesMessage",
    "Closed",
    "Data",
    "Drained",
    "Ended",
    "Event",
    "GoawayReceived",
    "Informed",
    "Message",
    "MessagePart",
    "Opened",
    "PingAcknowledged",
    "Pinged",
    "Ponged",
    "Requested",
    "Reset",
    "Responded",
    "SettingsAcknowledged",
    "SettingsChanged",
    "Shed",
    "SinkFailed",
    "Terminated",
    "TextMessage",
    "Trailers",
]

Message = TextMessage | BytesMessage


class Event:
    """Base of the events below: fields by position or keyword, compared by value."""

    __slots__ = ()

    def __init__(self, *values, **named):
        for name, value in zip(self.__slots__, values, strict=False):
            setattr(self, name, value)
        for name, value in named.items():
            setattr(self, name, value)

    def __eq__(self, other):
        return type(other) is type(self) and all(
            getattr(self, name) == getattr(other, name) for name in self.__slots__
        )

    __hash__ = None

    def __repr__(self):
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__name__}({fields})"


class Requested(Event):
    """The peer opened a stream (RFC 9113 section 8.3.1, RFC 8441 section 4).

    `protocol` is None for an ordinary request and the token for an extended CONNECT: answer a
    `"websocket"` with `accept_websocket`, any other with `respond` (2xx makes it a tunnel).
    `method`, `scheme`, `authority`, `path` are `str` ("" where absent); `headers` is a list of
    `(name, value)` `bytes` without pseudo-headers, cookies joined. `ended`: no body follows.
    """

    __slots__ = (
        "stream_id",
        "method",
        "scheme",
        "authority",
        "path",
        "protocol",
        "headers",
        "ended",
    )

    # By name: 9000 instructions less than by the loop over `__slots__`, for each handshake.
    def __init__(self, stream_id, method, scheme, authority, path, protocol, headers, ended):
        self.stream_id = stream_id
        self.method = method
        self.scheme = scheme
        self.authority = authority
        self.path = path
        self.protocol = protocol
        self.headers = headers
        self.ended = ended


class Informed(Event):
    """A 1xx response arrived: RFC 9110 section 15.2."""

    __slots__ = ("stream_id", "status", "headers")


class Responded(Event):
    """The final response arrived. `ended`: no body follows. A 2xx to extended CONNECT: `Opened`."""

    __slots__ = ("stream_id", "status", "headers", "ended")


class Opened(Event):
    """The peer accepted our extended CONNECT: the tunnel or WebSocket is open.

    `subprotocol` is the WebSocket subprotocol the server chose (`str`), or None.
    """

    __slots__ = ("stream_id", "status", "headers", "subprotocol")


class Trailers(Event):
    """Trailer fields ended the peer's message; `Ended` follows."""

    __slots__ = ("stream_id", "headers")


class Ended(Event):
    """The peer ended its side of a request, response or tunnel (END_STREAM)."""

    __slots__ = ("stream_id",)


class MessagePart(Event):
    """A piece of a WebSocket message, as it came: see `Connection.stream_messages`.

    `data` is `bytes` also of a text (`text` is true then), and may end within a character; that the
    whole is UTF-8 is checked. `final`: the message ends here; only then `data` may be empty.
    `credit` as in `TextMessage`.
    """

    __slots__ = ("stream_id", "data", "text", "final", "credit")


class Pinged(Event):
    """A WebSocket ping arrived; its pong is queued already."""

    __slots__ = ("stream_id", "data")


class Ponged(Event):
    """A WebSocket pong arrived, asked for or not."""

    __slots__ = ("stream_id", "data")


class Closed(Event):
    """A WebSocket is over: the last event of its stream.

    `code` and `reason` as RFC 6455 section 7.1.5 and 7.1.6 define them (1005: a Close without a
    code, 1006: no Close arrived). `received` and `sent` are the `(code, reason)` of the Close
    frames each way or None; `received_first` tells which side began (None without both).
    `error_code`: how the peer reset the stream, None where it did not.
    """

    __slots__ = ("stream_id", "code", "reason", "received", "sent", "received_first", "error_code")

    # One for each WebSocket: 0.3 us instead of 1.2.
    def __init__(self, stream_id, code, reason, received, sent, received_first, error_code):
        self.stream_id = stream_id
        self.code = code
        self.reason = reason
        self.received = received
        self.sent = sent
        self.received_first = received_first
        self.error_code = error_code


class Reset(Event):
    """A request or tunnel, or a WebSocket not yet open, ended before both sides were done.

    `remote`: the peer did it. `retryable`: the peer says that nothing of it was processed
    (REFUSED_STREAM, or above the last stream of its GOAWAY: RFC 9113 section 8.7).
    """

    __slots__ = ("stream_id", "error_code", "reason", "remote", "retryable")


class Drained(Event):
    """What waits on this stream fell to `Limits.write_low` after it had passed `write_high`.

    Or it was an upload that the peer wants no more of: then nothing waits, and the stream is over.
    """

    __slots__ = ("stream_id",)


class Shed(Event):
    """This WebSocket held most when `Limits.max_buffered` was reached, and was failed with 1013.

    Drop what it brought and nobody has taken: that counts no more. `Closed` follows in its time.
    """

    __slots__ = ("stream_id",)


class SettingsChanged(Event):
    """The peer's SETTINGS were applied. `settings` maps each identifier in it to its value."""

    __slots__ = ("settings",)


class SettingsAcknowledged(Event):
    """The peer acknowledged our SETTINGS."""

    __slots__ = ()


class PingAcknowledged(Event):
    """The answer to `ping(0, data)`."""

    __slots__ = ("data",)


class GoawayReceived(Event):
    """The peer takes no new streams. Streams above `last_stream_id` were not processed."""

    __slots__ = ("last_stream_id", "error_code", "debug_data")


class SinkFailed(Event):
    """A sink raised `error`. Its stream was failed (1011, or INTERNAL_ERROR); the others go on."""

    __slots__ = ("stream_id", "error")


class Terminated(Event):
    """The connection is over: send what `data_to_send()` still holds, then close the transport.

    Each stream has had its last event before this one. `remote`: the peer ended it.
    """

    __slots__ = ("error_code", "reason", "remote")
