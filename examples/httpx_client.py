"""httpx and httpx-ws over one HTTP/2 connection: pip install "h2ws_fast[httpx]" httpx-ws.

python examples/httpx_client.py https://127.0.0.1:8443 cert.pem
python examples/httpx_client.py http://127.0.0.1:8080
"""

import asyncio
import ssl
import sys

import httpx
from httpx_ws import aconnect_ws

from h2ws_fast.httpx import AsyncTransport


async def talk(client, name):
    async with aconnect_ws("/", client) as ws:
        await ws.send_text(f"hello from {name}")
        return await ws.receive_text()


async def main(url, cafile=None):
    verify = True if cafile is None else ssl.create_default_context(cafile=cafile)
    # In cleartext nothing tells that a server speaks HTTP/2: here it is known.
    transport = AsyncTransport(verify=verify, prior_knowledge=True)
    async with httpx.AsyncClient(transport=transport, base_url=url) as client:
        response, *said = await asyncio.gather(
            client.get("/"), talk(client, "one"), talk(client, "two")
        )
        print(f"{response.http_version}: {response.text.strip()}")
        print(*said, sep="\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
