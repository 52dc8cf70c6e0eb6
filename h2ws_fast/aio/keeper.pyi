from typing import Any

from .hub import Hub
from .inbox import Inbox
from .protocol import Wire

class Kept(Inbox): ...

class Keeper:
    def __init__(
        self, hub: Hub, interval: float | None, timeout: float | None, wires: Any
    ) -> None: ...
    def add(self, wire: Wire) -> None: ...
    def discard(self, wire: Wire) -> None: ...
