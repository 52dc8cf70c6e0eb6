from typing import ClassVar

from .arrivals import BytesMessage as BytesMessage
from .arrivals import Data as Data
from .arrivals import TextMessage as TextMessage

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
    def __init__(self, *values: object, **named: object) -> None: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # compared by value

class Requested(Event):
    stream_id: int
    method: str
    scheme: str
    authority: str
    path: str
    protocol: str | None
    headers: list[tuple[bytes, bytes]]
    ended: bool
    def __init__(
        self,
        stream_id: int,
        method: str,
        scheme: str,
        authority: str,
        path: str,
        protocol: str | None,
        headers: list[tuple[bytes, bytes]],
        ended: bool,
    ) -> None: ...

class Informed(Event):
    stream_id: int
    status: int
    headers: list[tuple[bytes, bytes]]
    def __init__(
        self,
        stream_id: int = ...,
        status: int = ...,
        headers: list[tuple[bytes, bytes]] = ...,
    ) -> None: ...

class Responded(Event):
    stream_id: int
    status: int
    headers: list[tuple[bytes, bytes]]
    ended: bool
    def __init__(
        self,
        stream_id: int = ...,
        status: int = ...,
        headers: list[tuple[bytes, bytes]] = ...,
        ended: bool = ...,
    ) -> None: ...

class Opened(Event):
    stream_id: int
    status: int
    headers: list[tuple[bytes, bytes]]
    subprotocol: str | None
    def __init__(
        self,
        stream_id: int = ...,
        status: int = ...,
        headers: list[tuple[bytes, bytes]] = ...,
        subprotocol: str | None = ...,
    ) -> None: ...

class Trailers(Event):
    stream_id: int
    headers: list[tuple[bytes, bytes]]
    def __init__(
        self,
        stream_id: int = ...,
        headers: list[tuple[bytes, bytes]] = ...,
    ) -> None: ...

class Ended(Event):
    stream_id: int
    def __init__(
        self,
        stream_id: int = ...,
    ) -> None: ...

class MessagePart(Event):
    stream_id: int
    data: bytes
    text: bool
    final: bool
    credit: int

class Pinged(Event):
    stream_id: int
    data: bytes
    def __init__(
        self,
        stream_id: int = ...,
        data: bytes = ...,
    ) -> None: ...

class Ponged(Event):
    stream_id: int
    data: bytes
    def __init__(
        self,
        stream_id: int = ...,
        data: bytes = ...,
    ) -> None: ...

class Closed(Event):
    stream_id: int
    code: int
    reason: str
    received: tuple[int, str] | None
    sent: tuple[int, str] | None
    received_first: bool | None
    error_code: int | None
    def __init__(
        self,
        stream_id: int,
        code: int,
        reason: str,
        received: tuple[int, str] | None,
        sent: tuple[int, str] | None,
        received_first: bool | None,
        error_code: int | None,
    ) -> None: ...

class Reset(Event):
    stream_id: int
    error_code: int
    reason: str
    remote: bool
    retryable: bool
    def __init__(
        self,
        stream_id: int = ...,
        error_code: int = ...,
        reason: str = ...,
        remote: bool = ...,
        retryable: bool = ...,
    ) -> None: ...

class Drained(Event):
    stream_id: int
    def __init__(
        self,
        stream_id: int = ...,
    ) -> None: ...

class Shed(Event):
    stream_id: int
    def __init__(
        self,
        stream_id: int = ...,
    ) -> None: ...

class SettingsChanged(Event):
    settings: dict[int, int]
    def __init__(
        self,
        settings: dict[int, int] = ...,
    ) -> None: ...

class SettingsAcknowledged(Event): ...

class PingAcknowledged(Event):
    data: bytes
    def __init__(
        self,
        data: bytes = ...,
    ) -> None: ...

class GoawayReceived(Event):
    last_stream_id: int
    error_code: int
    debug_data: bytes
    def __init__(
        self,
        last_stream_id: int = ...,
        error_code: int = ...,
        debug_data: bytes = ...,
    ) -> None: ...

class SinkFailed(Event):
    stream_id: int
    error: BaseException
    def __init__(
        self,
        stream_id: int = ...,
        error: BaseException = ...,
    ) -> None: ...

class Terminated(Event):
    error_code: int
    reason: str
    remote: bool
    def __init__(
        self,
        error_code: int = ...,
        reason: str = ...,
        remote: bool = ...,
    ) -> None: ...
