"""Connections that a server has not accepted: dialled by itself, or carried by something else.

A device behind a NAT dials in and serves on that connection; whoever listens there is the client of
it (`accept_sessions`). And a connection may run inside of a stream of another.
"""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from typing import TYPE_CHECKING, Any, Literal

from ...errors import ConnectionTerminated
from .. import tls, uri
from ..client.agent import user_agent
from ..client.way import Way, run_on

if TYPE_CHECKING:
    from ..hub import Hub
    from .accepted import AcceptedWire

__all__ = ["Nowhere", "dial", "serve_on"]


class Nowhere:
    """What a server that does not listen has in place of an `asyncio.Server`."""

    sockets = ()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._open = True

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop it runs on."""
        return self._loop

    def is_serving(self) -> bool:
        """Was it not closed?"""
        return self._open

    async def start_serving(self) -> None:
        """It needs no start."""

    def close(self) -> None:
        """Take no more connections."""
        self._open = False

    async def wait_closed(self) -> None:
        """There is nothing to wait for."""


def serve_on(wire: AcceptedWire, transport: Any) -> asyncio.Future[None]:
    """Serve on a transport, or a Tunnel, that is connected. The future is done when it is gone."""
    gone = wire.gone
    run_on(transport, wire)
    return gone


async def dial(
    wire: AcceptedWire,
    uri_: str,
    ssl: ssl_module.SSLContext | Literal[True] | None,
    server_hostname: str | None,
    proxy: str | bool | None,
    open_timeout: float | None,
    arguments: dict[str, Any],
) -> asyncio.Future[None]:
    """Connect as a client does, and serve on it. The future is done when the connection is gone."""
    target = uri.parse(uri_)
    secured: dict[str, Any] = {}
    if target.secure:
        if ssl is None or ssl is True:
            ssl = tls.client_context()
        secured = {
            "ssl": tls.Offering(tls.prepare(ssl, server=False), ("h2",)),
            "server_hostname": server_hostname or target.server_hostname,
        }
    elif ssl is not None:
        raise ValueError(f"ssl is given, but {uri_!r} says cleartext: use https")
    hub: Hub = wire.hub
    gone = wire.gone
    try:
        async with asyncio.timeout(open_timeout):
            await Way(target, proxy, user_agent(), arguments).open(wire, secured)
    except BaseException:
        hub.loop.call_soon(wire.forsake)
        raise
    if wire.closing:
        raise ConnectionTerminated(0, "the other end does not take HTTP/2")
    return gone
