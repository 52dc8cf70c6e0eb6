"""granian, one worker: the process that this one starts is the one to be measured."""

import os

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops

from .._common import BACKLOG, arguments
from .application import application


async def told(scope, receive, send):
    """The application; its worker says when it starts, and which process that is."""
    if scope["type"] == "lifespan":
        print("ready", os.getpid(), flush=True)
    await application(scope, receive, send)


if __name__ == "__main__":
    port, *_ = arguments()
    Granian(
        "bench.peers.asgi.granian:told",
        port=port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http2,
        loop=Loops.auto,
        backlog=BACKLOG,
        log_enabled=False,
    ).serve()
