"""The server that the suites judge: `python -m tests.compliance.server`. It echoes what it gets."""

import argparse
import asyncio
import signal

import h2ws_fast
from h2ws_fast import Response, ServerPerMessageDeflateFactory, serve
from h2ws_fast.cli.certificate import serving_context
from h2ws_fast.engine import Settings

MAX_MESSAGE = 32 * 2**20  # the largest message of Autobahn|Testsuite has 16 MiB
ANSWER_S = 0.15  # for h2spec to send the rest; two processes for each core may keep it waiting
PAGE = bytes(range(32, 127)) * 100  # more octets than the windows that h2spec opens


async def handler(ws):
    async for message in ws:
        await ws.send(message)


async def on_request(request):
    # What h2spec sends in several pieces (a PRIORITY frame of 4 octets) is meant for a stream that is
    # open. One that was answered in the meantime is another case: tests/behaviour has both.
    await asyncio.sleep(ANSWER_S)
    return Response(200, {"content-type": "text/plain"}, PAGE)


async def main(arguments):
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    echo = {"handler": handler}
    if arguments.callbacks:
        echo = {"on_message": lambda ws, message: ws.send(message)}
    async with serve(
        host="127.0.0.1",
        port=0,
        ssl=serving_context(None, None, "127.0.0.1")[0] if arguments.tls else None,
        origins=None,
        on_request=on_request,
        # Octets that are no preface are not to be taken for HTTP/1.1.
        http=["h1"] if arguments.http1 else ["h2"],
        max_size=MAX_MESSAGE,
        settings=Settings(no_rfc7540_priorities=not arguments.heed_rfc7540),
        close_timeout=3,
        compression=ServerPerMessageDeflateFactory(
            server_no_context_takeover=not arguments.takeover,
            client_no_context_takeover=not arguments.takeover,
            ceiling=None,
        ),
        **echo,
    ) as server:
        twin = "compiled" if h2ws_fast.COMPILED else "pure"
        print(server.sockets[0].getsockname()[1], twin, flush=True)
        await stop.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tls", action="store_true", help="a certificate made on the spot")
    parser.add_argument("--http1", action="store_true", help="instead of HTTP/2")
    parser.add_argument("--callbacks", action="store_true", help="echo by callback, not by handler")
    parser.add_argument("--takeover", action="store_true", help="of contexts of compression")
    parser.add_argument("--heed-rfc7540", action="store_true", help="no_rfc7540_priorities=False")
    asyncio.run(main(parser.parse_args()))
