from typing import Any

from ..hub import Hub
from ..protocol import Wire
from .bypass import Bypass

MAX_UNREAD: int
RESET_ON_CLOSE: bytes

class PacedWire(Wire):
    held: bool
    left: bool
    bypass: Bypass | None
    def __init__(self, hub: Hub, conn: Any, write_high: int) -> None: ...
    @property
    def http_version(self) -> str: ...
    def patience_s(self) -> float: ...
    def _cut_off(self) -> None: ...

class ReadingWire(PacedWire):
    def data_received(self, data: bytes) -> None: ...
