"""websockets over HTTP/1.1, its asyncio server: no compression, no keepalive."""

from websockets.asyncio.server import serve

from ._common import BACKLOG, arguments, context, ready, run


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


async def main():
    port, *files = arguments()
    async with serve(
        echo,
        "127.0.0.1",
        port,
        ssl=context(*files, "http/1.1"),
        compression=None,
        ping_interval=None,
        max_size=None,
        backlog=BACKLOG,
    ) as server:
        ready()
        await server.serve_forever()


run(main)
