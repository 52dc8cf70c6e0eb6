"""What a client calls itself: RFC 9110 section 10.1.5."""

from __future__ import annotations

import functools
import sys

__all__ = ["named", "user_agent"]


@functools.cache
def user_agent() -> str:
    """Return what `user_agent_header=True` says: of Python and of this package, and their versions."""
    # Found when it is needed: this import takes longer than all of the client's.
    from importlib import metadata

    try:
        version = metadata.version("h2ws_fast")
    except metadata.PackageNotFoundError:  # a tree that was never installed
        version = "source"
    return f"Python/{sys.version_info[0]}.{sys.version_info[1]} h2ws_fast/{version}"


def named(user_agent_header: str | bool | None) -> str | None:
    """What goes into the field: the text, that of `user_agent` for True, otherwise nothing."""
    if isinstance(user_agent_header, str):
        return user_agent_header
    return user_agent() if user_agent_header else None
