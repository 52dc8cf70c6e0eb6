"""A server for many kinds of traffic on one connection: echo, readers who never read, bulk.

    python -m tests.support.crowded LOOP

prints its port. GET /stats answers with the counters of the connection and the process's memory.
"""

import asyncio
import json
import socket
import sys

from h2ws_fast import Response, serve
from h2ws_fast.aio.kernel_queue import UNSENT

BULK = bytes(65536)


def resident():
    """Octets of memory this process has."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * 4096


async def websocket(ws):
    if ws.request.path == "/echo":
        async for message in ws:
            await ws.send(message)
    elif ws.request.path == "/unread":  # by this application
        await asyncio.sleep(3600)
    else:  # /push, which its peer does not read
        while True:
            await ws.send(BULK)


async def endless():
    while True:
        yield BULK


async def on_request(request):
    if request.path == "/stats":
        counters = request.wire.conn.stats()
        return Response(200, body=json.dumps({**counters, "resident": resident()}))
    if request.method == "POST":
        async for _ in request:
            pass
        return Response(200)
    return Response(200, body=endless())


async def main():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        # As `serve` has it for other addresses than those of this machine.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
        async with serve(websocket, sock=listener, on_request=on_request) as server:
            print(listener.getsockname()[1], flush=True)
            await server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "uvloop":
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())
