from collections.abc import Iterable
from typing import Any, ClassVar

__all__ = [
    "DATAGRAM",
    "MAX_UDP_PAYLOAD",
    "CapsuleReader",
    "capsule",
    "datagram",
    "udp_datagram",
    "varint",
]

DATAGRAM: int
MAX_UDP_PAYLOAD: int

class CapsuleReader:
    error_code: ClassVar[int]
    def __init__(
        self,
        *,
        contexts: bool = False,
        datagrams: bool = True,
        types: Iterable[int] = (),
        max_size: int = 65535,
    ) -> None: ...
    @property
    def dropped(self) -> int: ...
    @property
    def failure(self) -> str | None: ...
    @property
    def oversized(self) -> int: ...
    @property
    def unknown(self) -> int: ...
    def receive(self, data: bytes) -> list[Any]: ...
    def finish(self) -> str | None: ...

def varint(number: int) -> bytes: ...
def capsule(kind: int, value: bytes) -> bytes: ...
def datagram(payload: bytes) -> bytes: ...
def udp_datagram(payload: bytes) -> bytes: ...
