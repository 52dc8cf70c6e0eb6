"""One end of the octets that `bench.transport` measures, over byte streams or plain TCP, on uvloop.

    python -m bench.octets serve streams|tcp
    python -m bench.octets send streams|tcp PORT STREAMS SIZE WRITES

The first prints its port and takes what comes, of each connection or stream to its end; the second
writes WRITES times SIZE octets on each of STREAMS, one after the other, and a turn of the loop
between two rounds, and prints {"seconds": ..., "user": ...}: until the last octet was taken at the
other end, and what both processes took of the processor outside the kernel.
"""

import asyncio
import contextlib
import json
import resource
import sys
import time

import uvloop

from h2ws_fast import Session, serve


def user_seconds():
    """What this process took of the processor outside the kernel."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime


async def take(reader, writer):
    """Read to the end, and tell how much that was and the processor's time."""
    size = 0
    while data := await reader.read(262144):
        size += len(data)
    writer.write(json.dumps([size, user_seconds()]).encode())
    writer.write_eof()


async def take_stream(tunnel):
    stream = tunnel.stream()
    await take(stream, stream)


async def listen(what):
    if what == "tcp":
        server = await asyncio.start_server(take, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Event().wait()
    async with serve(host="127.0.0.1", port=0, tunnels={"bytestream": take_stream}) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Event().wait()


async def opened(what, port, count, stack):
    """Return (reader, writer) of so many."""
    if what == "tcp":
        return [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
    session = await stack.enter_async_context(Session(f"http://127.0.0.1:{port}", http="h2"))
    streams = [await session.bytestream() for _ in range(count)]
    return [(stream, stream) for stream in streams]


async def send(what, port, count, size, writes):
    data = bytes(size)
    async with contextlib.AsyncExitStack() as stack:
        (reader, writer), *_ = await opened(what, port, 1, stack)
        writer.write_eof()
        _, before = json.loads(await reader.read())
        pairs = await opened(what, port, count, stack)
        began, user = time.perf_counter(), user_seconds()
        for _ in range(writes):
            for _, writer in pairs:
                writer.write(data)
            if size > 1000:
                await writer.drain()
            else:
                await asyncio.sleep(0)
        for _, writer in pairs:
            writer.write_eof()
        answers = [json.loads(await reader.read()) for reader, _ in pairs]
        seconds, user = time.perf_counter() - began, user_seconds() - user
        for _, writer in pairs:
            writer.close()
    if {taken for taken, _ in answers} != {size * writes}:
        raise SystemExit(f"of {size * writes} octets {answers} arrived")
    user += max(after for _, after in answers) - before
    print(json.dumps({"seconds": seconds, "user": user}))


if __name__ == "__main__":
    verb, what, *numbers = sys.argv[1:]
    uvloop.run(listen(what) if verb == "serve" else send(what, *map(int, numbers)))
