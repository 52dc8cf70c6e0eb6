"""A handler for each path, a health check, and a password."""

import asyncio
import http

from werkzeug.routing import Map, Rule

from h2ws_fast.websockets.asyncio.client import connect
from h2ws_fast.websockets.asyncio.router import route
from h2ws_fast.websockets.asyncio.server import basic_auth
from h2ws_fast.websockets.exceptions import InvalidStatus


async def channel(websocket, name):
    await websocket.send(f"{websocket.username} is in {name}")


async def total(websocket, one, other):
    await websocket.send(str(one + other))


paths = Map(
    [
        Rule("/channel/<name>", endpoint=channel),
        Rule("/sum/<int:one>/<int:other>", endpoint=total),
    ]
)
authenticate = basic_auth("example", ("ada", "secret"))


async def process_request(connection, request):
    if request.path == "/healthz":
        return connection.respond(http.HTTPStatus.OK, "OK\n")
    return await authenticate(connection, request)


async def visit(place, path, user="ada:secret@"):
    try:
        async with connect(f"ws://{user}{place}{path}") as websocket:
            print(path, "says", await websocket.recv())
    except InvalidStatus as error:
        print(path, "is refused with", error.response.status_code)


async def main():
    async with route(paths, "127.0.0.1", 0, process_request=process_request) as server:
        place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await visit(place, "/channel/news")
        await visit(place, "/sum/1/2")
        await visit(place, "/sum/one/two")
        await visit(place, "/channel/news", "ada:wrong@")
        await visit(place, "/channel/news", "")
        reader, writer = await asyncio.open_connection(*place.split(":"))
        writer.write(f"GET /healthz HTTP/1.1\r\nHost: {place}\r\n\r\n".encode())
        print("/healthz:", (await reader.readline()).decode().split(" ", 1)[1].strip())
        writer.close()


asyncio.run(main())
