# Inside the asyncio layer: typed as far as its neighbours need it.

import asyncio
from collections.abc import Callable
from typing import Any

from ..engine.buffers import Pool

class Spoke:
    def abort(self) -> None: ...

class Hub:
    loop: asyncio.AbstractEventLoop
    time: Callable[[], float]
    pool: Pool
    buffer: memoryview
    known: dict[Any, Any]
    reads: Any
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None: ...
    def schedule(self) -> None: ...
    def flush(self) -> None: ...

def running_hub() -> Hub: ...
