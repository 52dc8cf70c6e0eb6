from collections.abc import AsyncIterable, Coroutine, Iterable
from typing import Any, TypeAlias, overload

from .awaitable import Awaited
from .keeper import Kept

Octets: TypeAlias = bytes | bytearray | memoryview

class Outgoing(Kept):
    @overload
    def send(
        self, message: str | Octets, text: bool | None = None, *, compress: bool = True
    ) -> Awaited[None]: ...
    @overload
    def send(
        self,
        message: Iterable[str | Octets] | AsyncIterable[str] | AsyncIterable[bytes],
        text: bool | None = None,
        *,
        compress: bool = True,
    ) -> Coroutine[Any, Any, None]: ...
    def _start_closing(self, code: int, reason: str) -> None: ...
