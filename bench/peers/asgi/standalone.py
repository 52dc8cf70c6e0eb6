"""h2ws_fast without another server."""

from h2ws_fast.asgi import serve

from .._common import BACKLOG, arguments, ready, run
from .application import application


async def main():
    port, *_ = arguments()
    async with serve(application, "127.0.0.1", port, backlog=BACKLOG) as server:
        ready()
        await server.serve_forever()


run(main)
