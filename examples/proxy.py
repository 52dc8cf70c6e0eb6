"""A proxy for TCP connections over HTTP/2 (CONNECT), and a client that goes through it.

python examples/proxy.py
"""

import asyncio

from h2ws_fast import Dialer, InvalidStatus, Response, Session, serve

PASSWORD = "Basic aGVsbG86d29ybGQ="


def authenticate(tunnel, request):
    """Who may use the proxy at all. What may be dialled is for the Dialer to say."""
    if request.headers.get("proxy-authorization") == PASSWORD:
        return None
    return Response(407, {"proxy-authenticate": 'Basic realm="proxy"'})


async def shout(reader, writer):
    """What stands behind the proxy: it answers in capitals once it has heard all."""
    writer.write((await reader.read()).upper())
    writer.close()


async def main():
    target = await asyncio.start_server(shout, "127.0.0.1", 0)
    port = target.sockets[0].getsockname()[1]

    # `private=True` only because the target of this example is on this machine.
    dialer = Dialer(allow=[f"127.0.0.1:{port}"], ports=None, private=True)
    async with (
        target,
        serve(host="127.0.0.1", port=0, connect=dialer, process_request=authenticate) as proxy,
    ):
        uri = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        async with Session(uri) as session:
            authorized = {"proxy-authorization": PASSWORD}
            tunnel = await session.connect_tcp(f"127.0.0.1:{port}", headers=authorized)
            await tunnel.send(b"hello ")
            await tunnel.send(b"world")
            tunnel.send_eof()
            print(b"".join([octets async for octets in tunnel]).decode())

            for headers, where in ((None, port), (authorized, port + 1)):
                try:
                    await session.connect_tcp(f"127.0.0.1:{where}", headers=headers)
                except InvalidStatus as error:
                    print("refused with", error.response.status)


asyncio.run(main())
