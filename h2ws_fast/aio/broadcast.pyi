from collections.abc import Awaitable, Callable, Iterable
from typing import Literal, TypeAlias

from .websocket import Octets, WebSocket

Policy: TypeAlias = Literal["drop", "conflate", "close", "wait"]

def broadcast(
    connections: Iterable[WebSocket],
    message: str | Octets,
    raise_exceptions: bool = False,
    *,
    text: bool | None = None,
    policy: Policy | Callable[[WebSocket], Policy] | None = None,
) -> Awaitable[None]: ...
