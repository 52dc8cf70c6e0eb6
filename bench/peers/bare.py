"""A TCP (or TLS) echo without any protocol: the floor under every server on this loop."""

import asyncio

from ._common import BACKLOG, arguments, context, ready, run


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.write = transport.write

    def data_received(self, data):
        self.write(data)


async def main():
    port, *files = arguments()
    server = await asyncio.get_running_loop().create_server(
        Echo, "127.0.0.1", port, ssl=context(*files, "h2", "http/1.1"), backlog=BACKLOG
    )
    ready()
    await server.serve_forever()


run(main)
