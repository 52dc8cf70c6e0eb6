"""What the application holds of an idle WebSocket where no server holds anything.

`python -m bench.peers.asgi.bare COUNT` prints resident octets for each of so many: a task, the
coroutines in it, the scope. Each has been given a message, as those that a server holds. `receive`
and `send` hold next to nothing here: what they hold elsewhere is the server's.
"""

import asyncio
import gc
import os
import sys

from ...memory import resident
from .._common import run
from .application import application

ASGI = {"version": "3.0", "spec_version": "2.5"}
FIELDS = (
    (b"host", b"server.example.com"),
    (b"sec-websocket-version", b"13"),
    (b"origin", b"https://server.example.com"),
)


def fresh(octets):
    """A copy, as every request brings its own."""
    return bytes(bytearray(octets))


async def send(event):
    pass


def scope():
    return {
        "type": "websocket",
        "asgi": ASGI,
        "http_version": "2",
        "server": (),
        "client": (),
        "scheme": "ws",
        "root_path": "",
        "path": fresh(b"/chat").decode(),
        "raw_path": fresh(b"/chat"),
        "query_string": b"",
        "headers": [(name, fresh(value)) for name, value in FIELDS],
        "state": {},
        "extensions": {"websocket.http.response": {}},
        "subprotocols": [],
    }


async def main():
    count = int(sys.argv[1])
    loop = asyncio.get_running_loop()
    opening, message, never = (loop.create_future() for _ in range(3))
    opening.set_result({"type": "websocket.connect"})
    message.set_result({"type": "websocket.receive", "bytes": b"one message"})

    def opened():
        receive = iter((opening, message, never)).__next__
        return loop.create_task(application(scope(), receive, send))

    held = [opened() for _ in range(100)]
    await asyncio.sleep(0.1)
    gc.collect()
    before = resident()
    held += [opened() for _ in range(count)]
    await asyncio.sleep(0.3)
    print((resident() - before) / count, flush=True)
    os._exit(0)  # rather than have the loop cancel them all


run(main)
