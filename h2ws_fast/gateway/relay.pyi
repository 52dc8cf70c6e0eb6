from typing import Any

from ..engine.sink import Sink

class Half(Sink):
    crossing: Any
    wire: Any
    stream_id: int
    other: Half | None
    early: list[Any] | None
    ended: bool
    octets: int
    def __init__(self, crossing: Any, wire: Any = None, stream_id: int = 0) -> None: ...
    def feed(self, event: Any) -> None: ...
    def release(self) -> None: ...
    def flow(self) -> None: ...
    def drop(self) -> None: ...
