"""Transports for httpx: its requests, and httpx-ws's WebSockets, over HTTP/2 connections of ours."""

try:
    import httpx as _httpx  # noqa: F401  # the library, not this package: it is named where it lacks
except ImportError as error:
    raise ImportError(
        'h2ws_fast.httpx needs httpx: pip install "h2ws_fast[httpx]"', name=error.name
    ) from None

from .blocking import Transport
from .transport import AsyncTransport

__all__ = ["AsyncTransport", "Transport"]
