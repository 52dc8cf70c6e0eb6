"""Several backends that can stand for each other: which one is asked, and what if it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from ..errors import (
    AlpnError,
    ConnectionTerminated,
    ExtendedConnectUnsupported,
    H2WSError,
    NoAvailableStreams,
    PoolFull,
)
from .aware import Aware
from .backend import Backend
from .conversation import Conversation
from .crossing import Crossing
from .fields import Refused
from .table import Table

__all__ = ["BALANCE", "Upstream"]

BALANCE = ("round-robin", "least")


class Upstream:
    """Backends in turn ("round-robin"), or that with the least under way first ("least").

    One that could not be reached, or left several requests in a row unanswered, is passed over for a
    while, as long as there is another. A request goes to the next where nothing of it was sent, or
    nothing came of one that may be sent twice.
    `aware`: the messages of WebSockets are read, as the gateway says (True) or an Aware.
    """

    def __init__(
        self,
        backends: Iterable[Backend],
        *,
        balance: str = "round-robin",
        table: Table,
        aware: bool | Aware = False,
    ) -> None:
        self.backends = list(backends)
        if isinstance(aware, Aware):
            aware.check()
        self.aware = aware
        if not self.backends:
            raise ValueError("an upstream needs a backend")
        if balance not in BALANCE:
            raise ValueError(f"balance is one of {', '.join(BALANCE)}: {balance!r}")
        self._least = balance == "least"
        self._table = table
        self._turn = 0

    def order(self, now: float, left: Iterable[Backend] = ()) -> list[Backend]:
        """The backends but those that were `left`, in the order in which they are to be tried."""
        turn = self._turn
        self._turn = (turn + 1) % len(self.backends)
        found = self.backends[turn:] + self.backends[:turn]
        found = [backend for backend in found if backend not in left] if left else found
        if self._least:
            found.sort(key=lambda backend: backend.under_way)
        up = [backend for backend in found if backend.is_up(now)]
        # Where none is up somebody must be the first to try again.
        return up or [min(found, key=lambda backend: backend.down_until)]

    def has_others(self, crossing: Crossing) -> bool:
        """Is there a backend up that has not hung up on it?"""
        now = asyncio.get_running_loop().time()
        left = crossing.left
        return any(backend.is_up(now) and backend not in left for backend in self.backends)

    async def start(self, crossing: Crossing | Conversation) -> None:
        """Send a request to one of them. Raises Refused where none takes it."""
        loop = asyncio.get_running_loop()
        refused = Refused(503, "no backend")
        for backend in self.order(loop.time(), crossing.left):
            falls = backend.falls
            try:
                await backend.start(crossing, self._table)
                return
            except TimeoutError as error:
                if isinstance(error, OSError) and error.errno is not None:
                    refused = Refused(504, f"{backend.address}: {error}")
                else:
                    refused = Refused(504, f"{backend.address} took too long")
                backend.failed(loop.time(), falls)
            except (OSError, ConnectionTerminated) as error:
                refused = Refused(502, f"{backend.address}: {error}")
                backend.failed(loop.time(), falls)
            except (NoAvailableStreams, PoolFull) as error:
                refused = Refused(503, f"{backend.address}: {error}")
            except (AlpnError, ExtendedConnectUnsupported) as error:
                refused = Refused(501 if crossing.token else 502, f"{backend.address}: {error}")
            except (ValueError, H2WSError) as error:
                raise Refused(502, f"{backend.address}: {error}") from error
        raise refused
