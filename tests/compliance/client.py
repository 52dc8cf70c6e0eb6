"""The client that Autobahn|Testsuite judges: `python -m tests.compliance.client PORT AGENT`.

It runs every case of the fuzzing server on a port and echoes what it gets: all over one connection
to the HTTP/2 proxy before that server, or with `--http1` over one of its own for each.
The server demands its own port in requests: `--named` is it, where the proxy changes nothing.
"""

import argparse
import asyncio

import h2ws_fast
from h2ws_fast import ConnectionClosed, Session

from .server import MAX_MESSAGE


async def run_case(session, path):
    ws = await session.websocket(path)
    try:
        async for message in ws:
            await ws.send(message)
    except ConnectionClosed:
        pass  # most cases end so; what was right is for the suite to say


async def main(arguments):
    options = {
        "host": "127.0.0.1",
        "port": arguments.port,
        "http": "h1" if arguments.http1 else "h2",
        "max_size": MAX_MESSAGE,
        "close_timeout": 3,
    }
    uri = f"http://127.0.0.1:{arguments.named or arguments.port}"
    async with Session(uri, **options) as session:
        counting = await session.websocket("/getCaseCount")
        count = int(await counting.recv())
        print(count, "compiled" if h2ws_fast.COMPILED else "pure", flush=True)
        for case in range(1, count + 1):
            await run_case(session, f"/runCase?case={case}&agent={arguments.agent}")
            print(case, flush=True)
        # The suite knows the verdict on the last when it has seen the end of its connection.
        status = await session.websocket(f"/getCaseStatus?case={count}&agent={arguments.agent}")
        await status.recv()
        await run_case(session, f"/updateReports?agent={arguments.agent}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("agent")
    parser.add_argument("--http1", action="store_true", help="instead of HTTP/2")
    parser.add_argument("--named", type=int, metavar="PORT", help="which requests name")
    asyncio.run(main(parser.parse_args()))
