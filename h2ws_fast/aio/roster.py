"""The connections of a server, and the tasks that work for them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from .admission import Admission
from .keeper import Keeper
from .options import CommonOptions

if TYPE_CHECKING:
    from .accepted import AcceptedWire

__all__ = ["Roster"]


class Roster:
    """Who is connected, who works, and what all of them share."""

    def __init__(self, options: CommonOptions, admission: Admission) -> None:
        self.options = options
        self.admission = admission
        self.logger = options.logger
        self.closing = False
        self._keeper: Keeper | None = None
        self._wires: set[AcceptedWire] = admission.wires
        self._tasks: set[asyncio.Task[Any]] = set()
        self._quiet: asyncio.Future[None] | None = None

    def _admit(self, wire: AcceptedWire) -> str | None:
        # The name of the limit that keeps a connection out, or None.
        limit = self.admission.enter(wire)
        if limit is not None:
            return limit
        if self._keeper is not None:
            self._keeper.add(wire)
        return None

    def _forget(self, wire: AcceptedWire) -> None:
        if not self.admission.leave(wire):
            return
        if self._keeper is not None:
            self._keeper.discard(wire)
        self._check_quiet()

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._check_quiet()

    def _check_quiet(self) -> None:
        quiet = self._quiet
        if quiet is not None and not self._wires and not self._tasks and not quiet.done():
            quiet.set_result(None)
