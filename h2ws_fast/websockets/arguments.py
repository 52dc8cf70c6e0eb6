"""Arguments of `websockets` that this package does not have, or has with another default."""

from __future__ import annotations

from typing import Any

__all__ = ["dropped"]


def dropped(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments without those that have no counterpart; raise TypeError where they say something."""
    for name in ("create_connection", "extensions"):
        if arguments.pop(name, None) is not None:
            raise TypeError(f"{name} has no counterpart here: see docs/websockets.md")
    return arguments
