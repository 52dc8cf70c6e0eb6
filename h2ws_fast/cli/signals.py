"""What a command does when a signal comes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["on_signals", "unless"]


def on_signals(call: Callable[[], object], *names: str) -> None:
    """Have the running loop call `call()` for each of these signals; names, of "SIGHUP" and so on.

    Those that this system lacks are left out.
    """
    loop = asyncio.get_running_loop()

    def came(number: int, frame: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(call)

    for name in names:
        number = getattr(signal, name, None)
        if number is None:
            continue
        try:
            loop.add_signal_handler(number, call)
        except NotImplementedError:  # Windows
            signal.signal(number, came)


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Do some work until its end, or until `stop` is set: then it is cancelled, and has time to leave.
    Raises what it raises."""
    loop = asyncio.get_running_loop()
    doing, stopped = loop.create_task(work), loop.create_task(stop.wait())
    try:
        await asyncio.wait([doing, stopped], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        doing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await doing
