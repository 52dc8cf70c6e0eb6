"""Arguments of `websockets` that mean something else here, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["adapted"]


def adapted(
    arguments: dict[str, Any], factory: Callable[[Iterable[Any] | None], Any]
) -> dict[str, Any]:
    """The arguments as `h2ws_fast` takes them: `extensions`, read by `factory`, is `compression`.

    Raises TypeError where there is no counterpart.
    """
    if arguments.pop("create_connection", None) is not None:
        raise TypeError("create_connection has no counterpart here: see docs/websockets.md")
    chosen = factory(arguments.pop("extensions", None))
    if chosen is not None:
        # As there: what stands among the extensions counts, whatever `compression` says.
        arguments["compression"] = chosen
    return arguments
