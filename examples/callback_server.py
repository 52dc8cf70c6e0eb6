"""The same echo through callbacks: no task for each WebSocket, the highest rate.

python examples/callback_server.py PORT
"""

import asyncio
import sys

from h2ws_fast import ConnectionClosed, serve


async def resume(ws, sent):
    try:
        await sent
    except ConnectionClosed:
        return
    ws.resume_reading()


def echo(ws, message):
    sent = ws.send(message)  # queued; there is nothing to await here ...
    if not sent.done():  # ... but a client that does not read what it is sent ...
        ws.pause_reading()  # ... is not read either
        asyncio.get_running_loop().create_task(resume(ws, sent))


async def main(port):
    async with serve(on_message=echo, host="127.0.0.1", port=int(port)) as server:
        print("listening on port", server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        print("goodbye")
