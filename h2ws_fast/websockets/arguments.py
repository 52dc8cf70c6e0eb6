"""Arguments of `websockets` that this package does not have, or has with another default."""

from __future__ import annotations

import inspect
from typing import Any

from ..aio.server.server import serve

__all__ = ["dropped"]

COMPRESSES = "compression" in inspect.signature(serve).parameters


def dropped(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments without those that have no counterpart; raise TypeError where they say something."""
    for name in ("create_connection", "extensions"):
        if arguments.pop(name, None) is not None:
            raise TypeError(f"{name} has no counterpart here: see docs/websockets.md")
    if not COMPRESSES and arguments.pop("compression", None) not in (None, "deflate"):
        raise ValueError("compression is 'deflate', or None")
    return arguments
