"""A server: WebSockets that echo, and ordinary requests, on one port.

    python examples/echo_server.py PORT [CERT.pem KEY.pem]

Without a certificate it speaks HTTP/2 in cleartext; browsers want TLS.
"""

import asyncio
import sys

from h2ws_fast import Response, serve
from h2ws_fast.aio.tls import server_context


async def echo(ws):
    async for message in ws:  # str is text, bytes is binary
        await ws.send(message)


async def hello(request):
    return Response(200, {"content-type": "text/plain"}, f"hello from {request.path}\n")


async def main(port, *certificate):
    ssl = server_context(*certificate) if certificate else None
    async with serve(echo, "127.0.0.1", int(port), ssl=ssl, on_request=hello) as server:
        print("listening on port", server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        print("goodbye")
