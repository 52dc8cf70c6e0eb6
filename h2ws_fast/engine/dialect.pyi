from collections.abc import Iterable
from typing import NamedTuple

from .settings import Settings

DIALECT_ID: int
MAX_OPTIONS: int
UPGRADE: bytes

_Fields = list[tuple[bytes, bytes]]

class Upgrade(NamedTuple):
    method: str = "GET"
    body: int = 0
    options: tuple[str, ...] = ()
    def field(self) -> tuple[bytes, bytes]: ...
    @staticmethod
    def switched(token: str) -> tuple[bytes, bytes]: ...
    @classmethod
    def read(cls, headers: Iterable[tuple[bytes, bytes]]) -> Upgrade | None: ...

class Dialect:
    spoken: bool
    def __init__(self) -> None: ...
    def heard(self, identifier: int, value: int) -> None: ...
    def read(self, fields: _Fields) -> _Fields: ...
    def written(self, fields: _Fields) -> _Fields: ...

class DialectSettings(Settings): ...
