"""Arguments of `serve` and `Session`: what makes no sense is refused at once, not by the first peer."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from ..engine import Limits, Settings
from ..engine.agreement import Factory
from ..engine.handshake import is_token
from .answering import Answering

__all__ = [
    "check_callables",
    "check_callbacks",
    "check_count",
    "check_kinds",
    "check_no_callbacks",
    "check_seconds",
    "check_subprotocols",
    "check_tunnels",
    "check_unmixed",
    "deflate_from",
    "limits_from",
    "marks_from",
]


MOST = 2**31 - 1  # messages that `max_queue` may name

Deflate = TypeVar("Deflate", bound=Factory)


def deflate_from(compression: Any, factory: type[Deflate]) -> Deflate | None:
    """What `compression` says: "deflate", a factory of this class, or None."""
    if compression is None or isinstance(compression, factory):
        return compression
    if compression == "deflate":
        default: Any = factory
        made: Deflate = default()
        return made
    raise ValueError(f'compression is "deflate", a {factory.__name__}, or None: {compression!r}')


def marks_from(max_queue: int | tuple[int | None, int | None] | None) -> tuple[int, int]:
    """The high and the low mark of messages that wait, from `max_queue`; 0, 0: there are none.

    Where one of a pair is None it is a quarter of the other, or four times as much. Raises TypeError
    or ValueError for what makes no sense.
    """
    high, low = max_queue if isinstance(max_queue, tuple) else (max_queue, None)
    for mark in (high, low):
        if mark is not None and (not isinstance(mark, int) or isinstance(mark, bool)):
            raise TypeError(f"max_queue is a number of messages, a pair, or None: {max_queue!r}")
    if high is None:
        if low is None:
            return 0, 0
        high = low * 4
    elif low is None:
        low = high // 4
    if not 0 <= low <= high:
        raise ValueError(f"max_queue is high and low, and high is the larger: {max_queue!r}")
    # A message is counted when it is the second that waits: 0 is as 1.
    return min(max(high, 1), MOST), min(max(low, 1), MOST)


def check_callables(**given: Any) -> None:
    """Raise TypeError for what is neither None nor callable."""
    for name, callback in given.items():
        if callback is not None and not callable(callback):
            raise TypeError(f"{name} must be callable: {callback!r}")


def check_callbacks(on_message: Any, on_close: Any) -> None:
    """Raise TypeError or ValueError for callbacks that a WebSocket cannot have."""
    check_callables(on_message=on_message, on_close=on_close)
    if on_message is None and on_close is not None:
        raise ValueError("on_close goes with on_message")


def check_no_callbacks(given: Iterable[str]) -> None:
    """Raise TypeError for callbacks of one WebSocket among what is said of a connection."""
    for name in given:
        if name in ("on_message", "on_close"):
            raise TypeError(
                f"{name} is of one WebSocket: give it to Session.websocket or Pool.websocket"
            )


def check_kinds(limits: Any, settings: Any) -> None:
    """Raise TypeError for what is neither None nor of the engine's class."""
    for name, value, kind in (("limits", limits, Limits), ("settings", settings, Settings)):
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"{name} must be a {kind.__name__}: {value!r}")


def check_seconds(**given: Any) -> None:
    """Raise TypeError or ValueError for what is neither None nor a number of seconds above 0."""
    for name, value in given.items():
        if value is None:
            continue
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise TypeError(f"{name} must be a number of seconds, or None: {value!r}")
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be above 0, or None for never: {value!r}")


def check_count(*, least: int = 1, none: bool = False, **given: Any) -> None:
    """Raise TypeError or ValueError for what is no number of things, nor None where that is one."""
    for name, value in given.items():
        if value is None and none:
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name} must be a whole number: {value!r}")
        if value < least:
            raise ValueError(f"{name} must be at least {least}: {value!r}")


def check_unmixed(taker: Callable[..., Any], limits: Limits | None, **given: Any) -> None:
    """Raise TypeError for arguments of `taker` that are not its defaults, where `limits` rules."""
    if limits is None:
        return
    parameters = inspect.signature(taker).parameters
    for name, value in given.items():
        if name in parameters and value != parameters[name].default:
            raise TypeError(f"limits replaces {name}: say it in limits, or leave limits out")


def check_subprotocols(subprotocols: Iterable[str] | None) -> list[str] | None:
    """Return them as a list."""
    if subprotocols is None:
        return None
    if isinstance(subprotocols, str | bytes):
        raise TypeError("subprotocols is a list of str, not one str")
    names = list(subprotocols)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"subprotocols is a list of str: {name!r}")
        if not is_token(name):
            raise ValueError(f"a subprotocol is a token: {name!r}")
    return names


def check_tunnels(
    tunnels: Mapping[str, Callable[..., Any] | Answering] | None,
) -> dict[str, Any]:
    """Return the handlers by their tokens in lower case, as they are compared."""
    if tunnels is None:
        return {}
    if not isinstance(tunnels, Mapping):
        raise TypeError(f"tunnels maps tokens to coroutine functions: {tunnels!r}")
    kept = {}
    for token, handler in tunnels.items():
        if not isinstance(token, str):
            raise TypeError(f"a token of tunnels is a str: {token!r}")
        # RFC 9110 section 7.8: a name, and perhaps a version behind a slash.
        if not all(is_token(part) for part in token.split("/", 1)):
            raise ValueError(f"a key of tunnels is a token, as :protocol has it: {token!r}")
        if not callable(handler) and not isinstance(handler, Answering):
            raise TypeError(f"tunnels[{token!r}] must be a coroutine function: {handler!r}")
        name = token.lower()
        if name == "websocket":
            raise ValueError("WebSockets are no tunnels: give handler or on_message")
        if name in kept:
            raise ValueError(f"tunnels has {name!r} twice: tokens are compared without case")
        kept[name] = handler
    return kept


def limits_from(
    taker: Callable[..., Any],
    limits: Limits | None,
    *,
    open_timeout: float | None,
    close_timeout: float | None,
    max_size: int | tuple[int | None, int | None] | None,
    write_limit: int | tuple[int, int | None],
    write_timeout: float | None,
    idle_timeout: float | None,
    keepalive_interval: float | None,
    keepalive_timeout: float | None,
) -> Limits:
    """The limits of each connection, from the arguments of `taker`: a `serve`, or `Session`.

    `limits` stands for all of them: what would be lost beside it raises TypeError.
    """
    check_seconds(
        open_timeout=open_timeout,
        close_timeout=close_timeout,
        write_timeout=write_timeout,
        idle_timeout=idle_timeout,
        keepalive_interval=keepalive_interval,
        keepalive_timeout=keepalive_timeout,
    )
    check_unmixed(
        taker,
        limits,
        max_size=max_size,
        write_limit=write_limit,
        write_timeout=write_timeout,
        idle_timeout=idle_timeout,
        keepalive_interval=keepalive_interval,
        keepalive_timeout=keepalive_timeout,
    )
    if limits is not None:
        return limits
    high, low = write_limit if isinstance(write_limit, tuple) else (write_limit, None)
    if low is None:
        low = high // 4
    max_size, max_fragment = max_size if isinstance(max_size, tuple) else (max_size, None)
    return Limits(
        max_message=max_size,
        max_fragment=max_fragment,
        write_high=high,
        write_low=low,
        close_timeout_s=close_timeout,
        handshake_timeout_s=open_timeout,
        write_timeout_s=write_timeout,
        idle_timeout_s=idle_timeout,
        client_idle_timeout_s=idle_timeout,
        keepalive_interval_s=keepalive_interval,
        keepalive_timeout_s=keepalive_timeout,
    )
