"""Streams by name: the server's end of `-L port:token:/path`."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from ..aio.http import Request
from ..aio.server.dialer import Dialer
from ..aio.server.targets import Refused
from .rules import target

__all__ = ["NamedStreams"]


class NamedStreams(Dialer):
    """Leads streams to TCP ports by their paths: a value of `serve(tunnels=...)`, for any token.

    `targets` maps paths to "host:port", IPv6 addresses in brackets. Whoever may come in reaches
    these and no others, and need not know where they are: a request whose path is not among them is
    answered 404, and what it says besides leads nowhere. Targets may be private, as they were all
    named here. Other arguments are those of Dialer. Raises ValueError for what is no path or target.
    """

    def __init__(self, targets: Mapping[str, str], **arguments: Any) -> None:
        for path in targets:
            if not path.startswith("/"):
                raise ValueError(f"a path begins with a slash: {path!r}")
        self._paths = {path: target(leads) for path, leads in targets.items()}
        super().__init__(self._paths.values(), ports=None, private=True, **arguments)

    async def dial(self, request: Request) -> socket.socket:
        """Return a connected socket to what the path leads to; raise Refused."""
        leads = self._paths.get(request.path)
        if leads is None:
            raise Refused(404, "http_request_error")
        # From here on it is a CONNECT, of the same client.
        asked = Request(request.path, request.headers, method="CONNECT", authority=leads)
        asked.wire = request.wire
        return await super().dial(asked)
