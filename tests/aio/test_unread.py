"""What is not read is bounded, whatever it is made of: empty messages, single octets, pings."""

import asyncio
import tracemalloc

import pytest

from h2ws_fast import connect
from tests.support import frames as f
from tests.support.raw import RawClient

MANY = 1_000_000
WINDOW = 262144  # of a stream, and what is read of HTTP/1.1 beyond what is taken
READ = 262144  # octets that come at once, at most
CONNECT = [(":method", "CONNECT"), (":protocol", "bytestream"), (":scheme", "http"), (":path", "/")]


async def still(count):
    """Wait until a number stands still; return it."""
    async with asyncio.timeout(30):
        last = None
        while (now := count()) != last or not now:
            last = now
            await asyncio.sleep(0.1)
    return last


@pytest.mark.parametrize("end", ["server", "client"])
@pytest.mark.parametrize("http", ["h1", "h2"])
@pytest.mark.parametrize("message", ["", b"", b"12"])
async def test_a_million_small_messages_stop_where_nobody_reads(clear, http, end, message):
    served = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def handler(ws):
        served.set_result(ws)
        await over.wait()

    async with clear.serve(handler, compression=None):
        async with connect(clear.ws(), http=http, compression=None) as there:
            here = await served
            reader, sender = (here, there) if end == "server" else (there, here)

            async def send():
                for _ in range(MANY):
                    await sender.send(message)

            sending = asyncio.create_task(send())
            unread = await still(lambda: reader.stats()["messages_unread"])
            octets = reader.connection.stats()["octets_buffered"]
            assert octets == unread * (64 + len(message))
            if http == "h1":
                assert unread <= (WINDOW // 64) + READ // 2
            else:
                assert unread <= WINDOW // (2 + len(message))
            for _ in range(unread + 1000):
                assert await reader.recv() == message
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            over.set()
            reader.abort()


async def test_single_octets_that_nobody_reads_are_put_together(clear):
    """A window full of DATA frames of one octet into a tunnel: 2.6 MB on the wire."""
    over, begun = asyncio.Event(), asyncio.get_running_loop().create_future()
    came = []

    async def handler(tunnel):
        begun.set_result(tunnel)
        await over.wait()
        while len(came) < WINDOW and (data := await tunnel.recv()):
            came.extend(data)
        over.clear()

    async with clear.serve(tunnels={"bytestream": handler}):
        client = await RawClient.connect(clear.port)
        client.headers(1, [*CONNECT, (":authority", "127.0.0.1")])
        await client.expect(f.HEADERS, 1)
        tunnel = await begun
        tracemalloc.start()
        try:
            for _ in range(64):
                client.send(f.data(1, b"x") * (WINDOW // 64))
                await client.writer.drain()
            await still(lambda: tunnel._receiving.held)
            held = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert held < 4 * WINDOW
        over.set()
        async with asyncio.timeout(20):
            while over.is_set():
                await asyncio.sleep(0.01)
        assert bytes(came) == b"x" * WINDOW
        client.close()
