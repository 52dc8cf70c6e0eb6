"""A client with one WebSocket.

python examples/client.py ws://127.0.0.1:8080/
python examples/client.py wss://127.0.0.1:8443/ CERT.pem
"""

import asyncio
import sys

from h2ws_fast import connect
from h2ws_fast.aio.tls import client_context


async def main(uri, cafile=None):
    ssl = client_context(cafile=cafile) if cafile else None
    async with connect(uri, ssl=ssl) as ws:
        for message in ("hello", b"\x00\x01\x02"):
            await ws.send(message)
            print(await ws.recv())
        pong = await ws.ping()
        print("round trip:", 0 < await pong < 10)
    print("closed with", ws.close_code)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
