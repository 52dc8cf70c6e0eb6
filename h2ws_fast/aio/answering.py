"""Tunnels whose handler answers the CONNECT by itself."""

from __future__ import annotations

import abc
from collections.abc import Callable

from .http import Response
from .tunnel import Tunnel

__all__ = ["Answering"]


class Answering(abc.ABC):
    """A value of `serve(tunnels=...)` that decides whether there is a tunnel: a proxy, which must
    reach its target first.

    `over_http1`: requests over HTTP/1.1 may be upgraded to its token, too.
    """

    over_http1 = False

    @abc.abstractmethod
    async def serve(self, tunnel: Tunnel, answer: Callable[[Response], None]) -> None:
        """Serve one CONNECT: call `answer` once, with a 2xx, after which the tunnel is open, or with
        a refusal. What the client sends before waits in the tunnel.

        Its task is cancelled where the stream is reset; what it raises resets the stream.
        """
