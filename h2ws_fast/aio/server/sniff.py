"""Cleartext, before its first octets are known: the preface of HTTP/2, or a request of HTTP/1.1?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...engine.constants import NO_ERROR
from ...engine.endpoint import Endpoint
from ...engine.events import Terminated

__all__ = ["Sniffer"]

# No method of HTTP/1.1 is called so: RFC 9113 section 11.6 reserves it. What follows it is for the
# engine to look at, which ends the connection at the first octet that is wrong.
BEGINNING = b"PRI "


class Sniffer(Endpoint):
    """Keeps what arrives until four octets tell which protocol it is, and then hands all of it on.

    `chosen(h2)` returns the Endpoint to go on with. A client that has not said enough after
    `patience_s` seconds is dropped.
    """

    __slots__ = ("_chosen", "_due", "_octets", "_patience_s", "_queue", "terminated")

    def __init__(self, patience_s: float, chosen: Callable[[bool], Endpoint]) -> None:
        self._patience_s = patience_s
        self._chosen = chosen
        self._octets = b""
        self._due: float | None = None
        self._queue: list[Any] = []
        self.terminated = False

    def receive_data(self, data: Any, now: float = 0.0) -> list[Any]:
        """See `Connection.receive_data`."""
        self._octets += bytes(data)
        if self.terminated or (
            len(self._octets) < len(BEGINNING) and BEGINNING.startswith(self._octets)
        ):
            return self.events()
        self.terminated = True
        conn = self._chosen(self._octets.startswith(BEGINNING))
        return conn.receive_data(self._octets, now)

    def receive_eof(self, now: float = 0.0) -> list[Any]:
        """See `Connection.receive_eof`."""
        self._end("the transport was closed", True)
        return self.events()

    def events(self) -> list[Any]:
        """See `Connection.events`."""
        events = self._queue
        self._queue = []
        return events

    def data_to_send(self, max_bytes: int = 65536, now: float = 0.0) -> list[bytes]:
        """See `Connection.data_to_send`. There is never any: the client speaks first."""
        if self._due is None and self._patience_s != float("inf"):
            self._due = now + self._patience_s
        return []

    def next_timeout(self) -> float | None:
        """See `Connection.next_timeout`."""
        return None if self.terminated else self._due

    def handle_timeout(self, now: float) -> None:
        """See `Connection.handle_timeout`."""
        if self._due is not None and now >= self._due:
            self._end("the client said nothing in time", False)

    def shutdown(self, error_code: int = NO_ERROR, reason: bytes = b"") -> None:
        """End at once: nothing was asked yet."""
        self._end("shut down", False)

    def abort(self, error_code: int = NO_ERROR, reason: bytes = b"") -> None:
        """End at once."""
        self._end("ended by this end", False)

    def _end(self, reason: str, remote: bool) -> None:
        if not self.terminated:
            self.terminated = True
            self._queue.append(Terminated(NO_ERROR, reason, remote))
