"""A client that comes back: while the server is away, and whenever it closes the connection."""

import asyncio
import itertools

from h2ws_fast.websockets.asyncio.client import connect
from h2ws_fast.websockets.asyncio.server import serve
from h2ws_fast.websockets.exceptions import ConnectionClosed, InvalidStatus

visits = itertools.count(1)


async def moody(websocket):
    number = next(visits)
    await websocket.send(f"visit {number}")
    await websocket.recv()
    await websocket.close(1012 if number < 3 else 1000, "see you")


def process_request(connection, request):
    if next(requests) == 1:
        return connection.respond(503, "not yet\n")
    return None


def process_exception(error):
    if isinstance(error, InvalidStatus):
        print("not yet:", error.response.status_code)
        return None
    return error


def delays():
    while True:
        yield 0.01


requests = itertools.count(1)


async def main():
    async with serve(moody, "127.0.0.1", 0, process_request=process_request) as server:
        uri = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async for websocket in connect(
            uri, process_exception=process_exception, reconnect_delays=delays
        ):
            try:
                print(await websocket.recv())
                await websocket.send("go on")
                await websocket.recv()
            except ConnectionClosed as error:
                print(type(error).__name__, error.rcvd.code)
                if error.rcvd.code == 1000:
                    break


asyncio.run(main())
