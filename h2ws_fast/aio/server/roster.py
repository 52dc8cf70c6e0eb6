"""The connections of a server, and the tasks that work for them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ..keeper import Keeper
from .admission import Admission
from .options import CommonOptions

if TYPE_CHECKING:
    from ..client.accept import ArrivedWire
    from .accepted import AcceptedWire
    from .arrival import Arrival

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
        self._arrivals: set[Arrival] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._quiet: asyncio.Future[None] | None = None

    def _arrived(self, arrival: Arrival, *, known: bool) -> str | None:
        # The name of the limit that keeps a newcomer out, or None. `_departed` follows.
        self._arrivals.add(arrival)
        return self.admission.arrive(arrival, known=known)

    def _departed(self, arrival: Arrival) -> None:
        self._arrivals.discard(arrival)
        self.admission.depart(arrival)
        self._check_quiet()

    def _admit(self, wire: AcceptedWire | ArrivedWire) -> str | None:
        # The name of the limit that keeps a connection out, or None.
        arrival = wire.arrival
        limit = self.admission.enter(wire) if arrival is None else arrival.limit
        if arrival is not None and limit is None:
            self.admission.settle(arrival, wire)
        if arrival is not None:
            self.admission.depart(arrival)
        if limit is not None:
            return limit
        if self._keeper is not None:
            self._keeper.add(wire)
        return None

    def _forget(self, wire: AcceptedWire | ArrivedWire) -> None:
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
        if quiet is None or quiet.done():
            return
        if not self._arrivals and not self._wires and not self._tasks:
            quiet.set_result(None)
