"""h2ws_fast, `async for` in one task for each WebSocket."""

from h2ws_fast import serve

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
        ssl=context(*files, "h2"),
        origins=None,  # as the other servers: any
        ping_interval=None,
        max_size=1 << 24,
        backlog=BACKLOG,
    ) as server:
        ready()
        await server.serve_forever()


run(main)
