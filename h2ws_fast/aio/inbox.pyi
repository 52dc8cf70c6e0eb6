from collections.abc import AsyncIterator, Coroutine
from typing import Any, Literal, TypeAlias, overload

from ..engine.sink import Sink
from .protocol import Wire

Message: TypeAlias = str | bytes

class Inbox(Sink):
    stream_id: int
    wire: Wire

    @overload
    def recv(self, decode: None = None) -> Coroutine[Any, Any, Message]: ...
    @overload
    def recv(self, decode: Literal[True]) -> Coroutine[Any, Any, str]: ...
    @overload
    def recv(self, decode: Literal[False]) -> Coroutine[Any, Any, bytes]: ...
    def __aiter__(self) -> AsyncIterator[Message]: ...
