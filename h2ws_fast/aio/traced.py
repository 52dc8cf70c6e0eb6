"""Connections that tell what goes over them: classes of their own, so that others pay nothing."""

from __future__ import annotations

import functools
import itertools
import logging
from typing import TYPE_CHECKING, Any, TypeVar

from ..printable import printable
from .protocol import Wire

if TYPE_CHECKING:
    from ..trace import Tracer

__all__ = ["Traced", "log_tracer", "trace_log", "traced", "whole"]

W = TypeVar("W", bound=Wire)


class Transport:
    """A transport that tells what is written to it."""

    def __init__(self, transport: Any, tracer: Tracer) -> None:
        self.whole = transport
        self._tracer = tracer

    def write(self, data: Any) -> None:
        """Tell and write."""
        self._tracer.sent(bytes(data))
        self.whole.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)


def whole(transport: Any) -> Any:
    """The transport itself, where this is one that tells."""
    return transport.whole if isinstance(transport, Transport) else transport


class Traced:
    """What a class of connections is mixed with."""

    __slots__ = ()

    tracer: Tracer
    reading: Any  # what is being read into

    def connection_made(self, transport: Any) -> None:
        """The transport is there."""
        transport = whole(transport)  # another connection may have had it first
        peer = transport.get_extra_info("peername")
        self.tracer.note(f"connection with {printable(peer) or 'an unknown address'}")
        super().connection_made(Transport(transport, self.tracer))  # type: ignore[misc]  # of a Wire

    def get_buffer(self, sizehint: int) -> Any:
        """Where to read into: a buffer that is kept until `buffer_updated` has told of it."""
        self.reading = super().get_buffer(sizehint)  # type: ignore[misc]  # of a Wire
        return self.reading

    def buffer_updated(self, nbytes: int) -> None:
        """Octets came."""
        self.tracer.received(bytes(self.reading[:nbytes]))
        self.reading = None
        super().buffer_updated(nbytes)  # type: ignore[misc]  # of a Wire


_known: dict[type, Any] = {}
_numbers = itertools.count(1)


def traced(kind: type[W], tracer: Tracer | None, *arguments: Any) -> W:
    """A connection of this class, of which `tracer` tells unless it is None."""
    if tracer is None:
        return kind(*arguments)
    known = _known.get(kind)
    if known is None:
        body = {"__slots__": ("reading", "tracer"), "__module__": kind.__module__}
        known = _known[kind] = type(f"Traced{kind.__name__}", (Traced, kind), body)
    wire: Any = known(*arguments)
    wire.tracer = tracer
    made: W = wire
    return made


@functools.cache
def trace_log() -> logging.Logger:
    """A log of its own that prints what `log_tracer` tells, to stderr."""
    log = logging.Logger("trace", logging.DEBUG)
    log.addHandler(logging.StreamHandler())
    return log


def log_tracer(log: Any, *, server: bool) -> Tracer | None:
    """What tells a log at level DEBUG of a connection; None where that is not logged."""
    if not log.isEnabledFor(logging.DEBUG):
        return None
    from ..trace import Tracer

    number = next(_numbers)  # many connections are told of in one log
    return Tracer(lambda line: log.debug("#%d %s", number, line), server=server)
