"""Octets in bulk, over plain TCP and over a tunnel.

    python -m tests.support.bulk serve ADDRESS
    python -m tests.support.bulk measure ADDRESS SIZE ROUNDS

The first serves both, and prints a line when it does. The second carries SIZE octets down and up,
over one and the other in turn, a new connection each time, and prints the seconds as JSON:
{"down": {"TCP": [...], "tunnel": [...]}, "up": ...}.
"""

import asyncio
import json
import sys
import time

from h2ws_fast import Session, serve

PIECE = bytes(65536)
TCP, TUNNEL = 7001, 7002
ORDER = 16  # octets of the first that the server reads: how much it is to send, or nothing


class Plain:
    """A TCP connection, used as a tunnel is."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    async def recv(self):
        return await self.reader.read(65536)

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    def send_eof(self):
        self.writer.write_eof()


async def send_all(way, size):
    for _ in range(size // len(PIECE)):
        await way.send(PIECE)
    way.send_eof()


async def count_all(way):
    size = 0
    while data := await way.recv():
        size += len(data)
    return size


async def answer(way):
    """Serve one."""
    first = await way.recv()
    wanted = int(first[:ORDER])
    if wanted:
        await send_all(way, wanted)
    else:
        await way.send(b"%d" % (len(first) - ORDER + await count_all(way)))
        way.send_eof()


async def host(address):
    async def plain(reader, writer):
        await answer(Plain(reader, writer))
        writer.close()

    async with (
        await asyncio.start_server(plain, address, TCP),
        serve(host=address, port=TUNNEL, tunnels={"bulk": answer}),
    ):
        print("ready", flush=True)
        await asyncio.Event().wait()


async def carry(way, direction, size):
    """Return the seconds that so many octets take, the last one's arrival included."""
    begun = time.perf_counter()
    if direction == "down":
        await way.send(b"%*d" % (ORDER, size))
        arrived = await count_all(way)
    else:
        await way.send(b"%*d" % (ORDER, 0))
        await send_all(way, size)
        arrived = int(await way.recv())
    assert arrived == size, (direction, arrived)
    return time.perf_counter() - begun


async def over_tcp(address, direction, size):
    reader, writer = await asyncio.open_connection(address, TCP)
    try:
        return await carry(Plain(reader, writer), direction, size)
    finally:
        writer.close()


async def over_tunnel(address, direction, size):
    async with Session(f"http://{address}:{TUNNEL}", http="h2") as session:
        async with await session.tunnel("bulk") as tunnel:
            return await carry(tunnel, direction, size)


async def measure(address, size, rounds):
    taken = {}
    for direction in ("down", "up"):
        taken[direction] = {"TCP": [], "tunnel": []}
        for _ in range(rounds):
            taken[direction]["TCP"].append(await over_tcp(address, direction, size))
            taken[direction]["tunnel"].append(await over_tunnel(address, direction, size))
    print(json.dumps(taken), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(host(sys.argv[2]))
    else:
        asyncio.run(measure(sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
