"""h2ws_fast, callbacks: the message is answered during the read that brought it."""

from h2ws_fast import serve

from ._common import BACKLOG, arguments, context, ready, run


async def main():
    port, *files = arguments()
    async with serve(
        None,
        "127.0.0.1",
        port,
        on_message=lambda websocket, message: websocket.send(message),
        ssl=context(*files, "h2"),
        origins=None,  # as the other servers: any
        ping_interval=None,
        max_size=1 << 24,
        backlog=BACKLOG,
    ) as server:
        ready()
        await server.serve_forever()


run(main)
