"""uvicorn on one port: what its protocol classes share here."""

import uvicorn

from .._common import BACKLOG, arguments, ready, run
from .application import application


class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        ready()


def main(**options):
    port, *_ = arguments()
    config = uvicorn.Config(
        application,
        port=port,
        log_level="warning",
        access_log=False,
        backlog=BACKLOG,
        **options,
    )
    run(Server(config).serve)
