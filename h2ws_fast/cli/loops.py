"""Which event loop runs a command."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable

from . import CommandError

__all__ = ["LOOPS", "choose"]

LOOPS = ("uvloop", "asyncio")


def choose(wanted: str | None) -> tuple[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Return the loop's name and its factory: uvloop where it is installed, unless told.

    Raises CommandError where uvloop is demanded and missing.
    """
    if wanted != "asyncio":
        try:
            return "uvloop", importlib.import_module("uvloop").new_event_loop
        except ImportError:
            if wanted == "uvloop":
                raise CommandError("uvloop is not installed: pip install uvloop") from None
    return "asyncio", asyncio.new_event_loop
