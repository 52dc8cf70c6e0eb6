"""What "auto" has found out of a backend, and for how long that counts: ten minutes."""

import asyncio
import contextlib

import pytest

from h2ws_fast.gateway import Backend
from tests.gateway.conftest import in_front_of
from tests.gateway.test_requests import head, whole
from tests.support import frames as f
from tests.support.backend import RawBackend, Visit
from tests.support.raw import RawClient, RawPeer
from tests.support.scripted import Scripted

JUST_BEFORE, JUST_BEHIND = 590.0, 610.0


class Clock(asyncio.SelectorEventLoop):
    """A loop whose clock the test moves on."""

    ahead = 0.0

    def time(self):
        return super().time() + self.ahead


def moved(test):
    """Run a test on such a loop: `await later(seconds)` is that long after it began."""

    def run():
        async def main():
            loop = asyncio.get_running_loop()

            async def later(seconds):
                loop.ahead = seconds
                # Clients and connections that were idle for so long are over.
                await asyncio.sleep(0.2)

            async with asyncio.timeout(JUST_BEHIND + 30):
                await test(later)

        with asyncio.Runner(loop_factory=Clock) as runner:
            runner.run(main())

    return run


async def status_of(gate, websocket=False):
    """What a client of its own is answered."""
    client = await RawClient.connect(gate.port)
    try:
        if websocket:
            return (await client.websocket(1)).get(":status")
        client.headers(1, head(), end_stream=True)
        return (await whole(client))[0]
    finally:
        client.close()


async def answers(visit):
    await visit.head()
    visit.say("HTTP/1.1 200 OK", "Content-Length: 0", "Connection: close")


class Plain(Scripted):
    """It knows nothing of HTTP/2, and hangs up on it: `asked` so often."""

    expected = RawBackend.expected

    def __init__(self):
        super().__init__()
        self.asked = 0

    async def serve(self, reader, writer):
        if await reader.readexactly(4) == b"PRI ":
            self.asked += 1
            return
        await answers(Visit(reader, writer))


class Bare(Plain):
    """It speaks HTTP/2, where it takes no WebSockets, and leaves soon."""

    async def serve(self, reader, writer):
        if await reader.readexactly(4) != b"PRI ":
            visit = Visit(reader, writer)
            await visit.switch()
            await visit.rest()
            return
        self.asked += 1
        await reader.readexactly(20)
        peer = RawPeer(reader, writer)
        peer.send(f.settings(), f.settings_ack())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                while (frame := await peer.frame()) is not None:
                    if frame.kind == f.HEADERS:
                        peer.headers(frame.stream_id, [(":status", "200")], end_stream=True)


def test_that_it_speaks_http_1_1_in_cleartext():
    @moved
    async def test(later):
        async with Plain() as backend:
            there = Backend(f"http://127.0.0.1:{backend.port}", http="auto")
            async with in_front_of(there) as gate:
                asked = []
                for seconds in (0, 0, JUST_BEFORE, JUST_BEHIND, JUST_BEHIND):
                    await later(seconds)
                    assert await status_of(gate) == "200"
                    asked.append(backend.asked)
                assert asked == [1, 1, 1, 2, 2]

    test()


@pytest.mark.parametrize("aware", [False, True])
def test_that_it_takes_no_tunnels_over_http_2(aware):
    @moved
    async def test(later):
        async with Bare() as backend:
            there = Backend(f"http://127.0.0.1:{backend.port}", http="auto")
            async with in_front_of(there, aware=aware) as gate:
                asked = []
                for seconds in (0, JUST_BEFORE, JUST_BEHIND):
                    await later(seconds)
                    assert await status_of(gate, websocket=True) == "200"
                    asked.append(backend.asked)
                assert asked == [1, 1, 2]
                # Requests go over HTTP/2 all the same.
                await later(JUST_BEHIND)
                assert await status_of(gate) == "200"
                assert backend.asked == 3

    test()


def test_that_alpn_has_chosen_http_1_1(server_tls, client_tls):
    """What offers HTTP/2 is another connection than what speaks HTTP/1.1."""

    @moved
    async def test(later):
        async def serve(reader, writer):
            came.append(writer)
            with contextlib.suppress(*RawBackend.expected), contextlib.closing(writer):
                await answers(Visit(reader, writer))

        came = []
        context = server_tls
        context.set_alpn_protocols(["http/1.1"])
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        there = Backend(f"https://127.0.0.1:{port}", http="auto", ssl=client_tls)
        async with server, in_front_of(there) as gate:
            counts = []
            for seconds in (0, JUST_BEFORE, JUST_BEHIND):
                await later(seconds)
                before = len(came)
                assert await status_of(gate) == "200"
                counts.append(len(came) - before)
        assert counts == [2, 1, 2]

    test()
