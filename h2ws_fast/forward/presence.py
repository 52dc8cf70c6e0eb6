"""Whether a local client is there still, while what it came for is being asked for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator

__all__ = ["while_there"]

LOOK_S = 0.25


@contextlib.asynccontextmanager
async def while_there(sock: socket.socket) -> AsyncIterator[None]:
    """Cancel what is inside of this, and raise OSError, once the client has reset its connection, or
    TCP's keepalive has found it gone.

    Nothing is read here, so that a client with more to say than TCP holds is held back. Its FIN is no
    leaving: one that sends no more may wait for all of the answer, and TCP does not tell it from one
    that has closed both ways before something is sent to it.
    """
    loop = asyncio.get_running_loop()
    limit = asyncio.timeout(None)
    gone = 0
    timer: asyncio.TimerHandle | None = None

    def look() -> None:
        # The loop can be asked about octets alone, and those that wait, or a FIN, would wake it for
        # ever; an error is none of both, and the kernel keeps it.
        nonlocal gone, timer
        gone = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if gone:
            limit.reschedule(loop.time())
        else:
            timer = loop.call_later(LOOK_S, look)

    timer = loop.call_later(LOOK_S, look)
    try:
        async with limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise OSError(gone, f"the client has left: {os.strerror(gone)}") from None
    finally:
        timer.cancel()
