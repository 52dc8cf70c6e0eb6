"""hypercorn, one process."""

import asyncio

from hypercorn.asyncio import serve
from hypercorn.config import Config

from .._common import BACKLOG, arguments, ready, run
from .application import application


async def main():
    port, *_ = arguments()
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.h2_max_concurrent_streams = 1000
    config.keep_alive_max_requests = 1 << 30  # it would close the connection after so many streams
    config.backlog = BACKLOG
    config.errorlog = None

    async def until_killed():
        ready()
        await asyncio.Event().wait()

    await serve(application, config, shutdown_trigger=until_killed)


run(main)
