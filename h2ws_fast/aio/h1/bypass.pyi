from typing import Any

from ..protocol import Hub, Wire

class Bypass:
    wire: Wire
    reads: Reads | None
    fd: int
    def __init__(self, wire: Wire, reads: Reads, sock: Any) -> None: ...
    def write(self, data: bytes) -> None: ...
    def receive(self, plain: bool) -> None: ...

class Reads:
    hub: Hub
    poll: Any
    bypasses: dict[int, Bypass]
    def __init__(self, hub: Hub) -> None: ...
    def run(self) -> None: ...

def bypass(wire: Wire, held: bool) -> Bypass | None: ...
