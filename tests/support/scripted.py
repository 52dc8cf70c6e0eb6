"""A server whose every connection runs what the test says."""

import asyncio

__all__ = ["Scripted"]


class Scripted:
    """`async with` it: it listens on `port`, and runs `serve(reader, writer)` of the subclass.

    What that raises, but for those in `expected`, is raised at the end of the block.
    """

    expected = (asyncio.CancelledError,)

    def __init__(self):
        self.failures = []
        self.tasks = set()

    async def _connected(self, reader, writer):
        try:
            await self.serve(reader, writer)
        except self.expected:
            pass
        except BaseException as error:
            self.failures.append(error)
        finally:
            writer.close()

    async def __aenter__(self):
        def connected(reader, writer):
            task = asyncio.get_running_loop().create_task(self._connected(reader, writer))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

        self.server = await asyncio.start_server(connected, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind, error, traceback):
        self.server.close()
        for task in list(self.tasks):
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)
        if kind is None and self.failures:
            raise self.failures[0]
