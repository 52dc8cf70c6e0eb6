"""A backend's process is killed in the middle of everything: each of its clients hears it in its own
way, and those of the other one, on the same connections, hear nothing."""

import asyncio
import subprocess
import sys

import pytest

from h2ws_fast import ConnectionClosedError, Session, StreamReset, connect
from h2ws_fast.engine.constants import INTERNAL_ERROR
from h2ws_fast.gateway import Backend
from tests.gateway.conftest import in_front_of
from tests.support.h1 import request
from tests.support.programs import read_line, running

PROGRAM = """
import asyncio
from h2ws_fast import Response, serve

async def echo(ws):
    async for message in ws:
        await ws.send(message)

async def endless():
    while True:
        yield bytes(10_000)

async def answer(request):
    if request.path == "/wait":
        await asyncio.Event().wait()
    return Response(200, {}, endless() if request.path == "/endless" else b"here")

async def main():
    async with serve(echo, "127.0.0.1", 0, on_request=answer, origins=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def backend():
    return running([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, bufsize=0)


async def download(port):
    """A download over HTTP/1.1, begun."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(line="GET /endless HTTP/1.1"))
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    return reader, writer


async def rest(reader):
    octets = b""
    try:
        while piece := await reader.read(65536):
            octets = (octets + piece)[-100_000:]
    except ConnectionResetError:
        pass
    return octets


async def echoes(ws):
    for message in ("once", bytes(100_000)):
        await ws.send(message)
        assert await ws.recv() == message


async def meet_the_end(ws):
    with pytest.raises(ConnectionClosedError):
        await ws.recv()
    assert ws.close_code == 1006


@pytest.mark.parametrize("http", ["h1", "h2"])
async def test_killing_a_backend_in_mid_flight(http):
    with backend() as dies, backend() as lives:
        ends = [
            Backend(f"http://127.0.0.1:{int(read_line(each))}", http=http) for each in (dies, lives)
        ]
        async with (
            in_front_of(*ends) as gate,
            Session(f"http://127.0.0.1:{gate.port}", proxy=None) as session,
        ):
            uri = f"ws://127.0.0.1:{gate.port}/"
            # They take turns: of each kind the first is with the one that dies.
            lost, kept = [await session.websocket("/") for _ in range(2)]
            lost_h1, kept_h1 = [await connect(uri, http="h1", proxy=None) for _ in range(2)]
            broken, whole = [await session.request("GET", "/endless") for _ in range(2)]
            broken_h1, whole_h1 = [await download(gate.port) for _ in range(2)]
            waits = [
                asyncio.create_task(session.request("POST", "/wait", body=b"x")) for _ in range(2)
            ]
            for ws in (lost, kept, lost_h1, kept_h1):
                await echoes(ws)
            while [each["load"] for each in gate.stats()["backends"].values()] != [5, 5]:
                await asyncio.sleep(0.005)

            dies.kill()

            await meet_the_end(lost)
            await meet_the_end(lost_h1)
            with pytest.raises(StreamReset) as reset:
                await broken.read()
            assert reset.value.error_code == INTERNAL_ERROR
            assert not (await rest(broken_h1[0])).endswith(b"0\r\n\r\n")
            assert (await waits[0]).status == 502
            # The others, and who comes now.
            for ws in (kept, kept_h1):
                await echoes(ws)
            for _ in range(5):
                response = await session.request("GET", "/")
                assert (response.status, await response.read()) == (200, b"here")
            await whole_h1[0].readexactly(1_000_000)
            taken = 0
            async for piece in whole:
                taken += len(piece)
                if taken > 1_000_000:
                    break
            assert not waits[1].done()
            waits[1].cancel()
            for ws in (kept, kept_h1):
                await ws.close()
                assert ws.close_code == 1000
            for _, writer in (broken_h1, whole_h1):
                writer.close()
