# Inside the asyncio layer: typed as far as its neighbours need it.

import asyncio
from collections.abc import Callable
from typing import Any

from ..engine.connection import AnyEvent, Connection
from ..engine.kernels import Pool
from .websocket import Keeper, WebSocket

WRITE_HIGH: int

class Hub:
    loop: asyncio.AbstractEventLoop
    time: Callable[[], float]
    pool: Pool
    buffer: memoryview
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None: ...
    def schedule(self) -> None: ...
    def flush(self) -> None: ...

class Wire:
    hub: Hub
    conn: Connection
    transport: Any
    websockets: list[WebSocket]
    routes: dict[int, Any]
    write_high: int
    keeper: Keeper | None
    keep_due: float
    closing: bool
    lost: bool
    over: bool
    paused: bool
    watched: bool
    def __init__(self, hub: Hub, conn: Connection, write_high: int) -> None: ...
    def _opened(self) -> bool: ...
    def _event(self, event: AnyEvent) -> None: ...
    def _settled(self) -> None: ...
    def _lost(self, exc: Exception | None) -> None: ...
    def touch(self) -> None: ...
    def pull(self) -> None: ...
    def settle(self, events: list[AnyEvent]) -> None: ...
    def refuse(self) -> None: ...
    def abort(self) -> None: ...

def running_hub() -> Hub: ...
