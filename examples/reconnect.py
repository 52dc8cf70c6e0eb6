"""A client that outlives its server, over whatever proxy the environment names.

python examples/reconnect.py
"""

import asyncio
import random

from h2ws_fast import ConnectionClosed, connect, serve


async def count(ws):
    """Sends numbers, and breaks off in the middle of them, as servers do."""
    for number in range(3):
        await ws.send(str(number))
    await ws.close(1012, "restarting")


def delays():
    """Shorter than by default, for an example; at random, so that not all clients come at once."""
    while True:
        yield random.uniform(0, 0.1)


async def main():
    async with serve(count, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        times = 0
        async for ws in connect(f"ws://127.0.0.1:{port}/", reconnect_delays=delays):
            try:
                async for number in ws:
                    print(number)
            except ConnectionClosed as error:
                print(error.rcvd)
            times += 1
            if times == 2:
                break


if __name__ == "__main__":
    asyncio.run(main())
