"""Arguments of `serve` and `Session` that make no sense: refused at once, and not by the first peer."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..engine import Limits, Settings
from ..engine.handshake import is_token
from .origins import Origins, SameOrigin, read_origin

__all__ = [
    "check_callables",
    "check_kinds",
    "check_origins",
    "check_seconds",
    "check_subprotocols",
    "check_tunnels",
    "check_unmixed",
]


def check_callables(**given: Any) -> None:
    """Raise TypeError for what is neither None nor callable."""
    for name, callback in given.items():
        if callback is not None and not callable(callback):
            raise TypeError(f"{name} must be callable: {callback!r}")


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


def check_unmixed(taker: Callable[..., Any], limits: Limits | None, **given: Any) -> None:
    """Raise TypeError for arguments of `taker` that are not its defaults, where `limits` rules."""
    if limits is None:
        return
    parameters = inspect.signature(taker).parameters
    for name, value in given.items():
        if value != parameters[name].default:
            raise TypeError(f"limits replaces {name}: say it in limits, or leave limits out")


def check_origins(origins: Origins) -> Origins:
    """Return `origins` as they are asked again and again; raise for what allows nobody."""
    if origins is None or isinstance(origins, SameOrigin):
        return origins
    if isinstance(origins, str | bytes | re.Pattern) or not isinstance(origins, Iterable):
        raise TypeError(f"origins is a list of str, not {origins!r}")
    kept = tuple(origins)
    for origin in kept:
        if origin is None:
            continue
        if isinstance(origin, re.Pattern):
            if not isinstance(origin.pattern, str):
                raise TypeError(f"a pattern in origins is of str: {origin.pattern!r}")
        elif not isinstance(origin, str):
            raise TypeError(f"origins has str, patterns and None: {origin!r}")
        elif origin == "*":
            raise ValueError('"*" is no origin: origins=None allows all')
        elif read_origin(origin) is None:
            raise ValueError(f"an origin is scheme://host or scheme://host:port: {origin!r}")
    return kept


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
    tunnels: Mapping[str, Callable[..., Any]] | None,
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
        if not callable(handler):
            raise TypeError(f"tunnels[{token!r}] must be a coroutine function: {handler!r}")
        name = token.lower()
        if name == "websocket":
            raise ValueError("WebSockets are no tunnels: give handler or on_message")
        if name in kept:
            raise ValueError(f"tunnels has {name!r} twice: tokens are compared without case")
        kept[name] = handler
    return kept
