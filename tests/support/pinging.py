"""How long a message is on its way there and back, on a WebSocket among others.

    python -m tests.support.pinging LOOP RATE DELAY

is a witness: client, link and server are processes of its own that do nothing else. For each line
on standard input, the number of pings and the seconds between two, it prints (median, 99th
percentile) as JSON. What delays it is the machine.
"""

import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time

from h2ws_fast import Session
from h2ws_fast.aio.kernel_queue import UNSENT
from tests.support.programs import read_line, running

PINGS = 400
EVERY_S = 0.004


@contextlib.contextmanager
def program(*arguments):
    """A program of ours that prints a port."""
    options = {"stdout": subprocess.PIPE, "bufsize": 0, "env": {**os.environ}}
    with running([sys.executable, "-m", *map(str, arguments)], **options) as process:
        yield int(read_line(process))


@contextlib.asynccontextmanager
async def crowded(loop_kind, rate, delay):
    """A session with a server beyond the link."""
    with (
        program("tests.support.crowded", loop_kind) as far,
        program("tests.support.link", far, rate, delay) as port,
        socket.socket() as sock,
    ):
        sock.connect(("127.0.0.1", port))
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
        async with Session(
            f"http://127.0.0.1:{port}", sock=sock, close_timeout=0.1, compression=None
        ) as session:
            yield session


async def ping_pong(ws, pings=PINGS, every_s=EVERY_S):
    """(median, 99th percentile) of the seconds that each message was on its way there and back."""
    times = []

    async def take():
        for _ in range(pings):
            sent = float(await ws.recv())
            times.append(time.perf_counter() - sent)

    async with asyncio.timeout(60):
        taking = asyncio.create_task(take())
        for _ in range(pings):
            await ws.send(f"{time.perf_counter():<125.12f}")
            await asyncio.sleep(every_s)
        await taking
    times.sort()
    return statistics.median(times), times[len(times) * 99 // 100]


class Witness:
    """A witness that waits to be asked. `async with` it."""

    def __init__(self, *arguments):
        self.arguments = [*map(str, arguments)]

    async def __aenter__(self):
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.support.pinging", *self.arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        return self

    async def ping_pong(self, pings=PINGS, every_s=EVERY_S):
        """As the function, on the witness's own WebSocket."""
        self.process.stdin.write(f"{pings} {every_s}\n".encode())
        async with asyncio.timeout(60):
            return tuple(json.loads(await self.process.stdout.readline()))

    async def __aexit__(self, kind, error, traceback):
        self.process.stdin.close()
        await self.process.wait()


async def main(loop_kind, rate, delay):
    loop = asyncio.get_running_loop()
    async with crowded(loop_kind, rate, delay) as session:
        ws = await session.websocket("/echo")
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            pings, every_s = line.split()
            print(json.dumps(await ping_pong(ws, int(pings), float(every_s))), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))
