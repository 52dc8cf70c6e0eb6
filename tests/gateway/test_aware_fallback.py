"""WebSockets that are read, before a backend that takes them over HTTP/1.1 alone."""

import asyncio

import pytest

from h2ws_fast import InvalidStatus, connect
from h2ws_fast.gateway import Backend
from tests.gateway.conftest import in_front_of
from tests.support import frames as f
from tests.support.backend import Visit
from tests.support.raw import RawPeer
from tests.support.scripted import Scripted

HTTP_1_1_REQUIRED = 0xD


class Either(Scripted):
    """It takes every WebSocket over HTTP/1.1. Over HTTP/2 it `says` nothing at all, or has `count`
    of them come and resets each with HTTP_1_1_REQUIRED."""

    expected = (asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError)

    def __init__(self, count=0):
        super().__init__()
        self.count = count
        self.taken = 0

    async def serve(self, reader, writer):
        if await reader.readexactly(4) != b"PRI ":
            visit = Visit(reader, writer)
            await visit.switch()
            self.taken += 1
            await visit.rest()
            return
        await reader.readexactly(20)
        peer = RawPeer(reader, writer)
        if self.count:
            peer.send(f.settings((f.ENABLE_CONNECT_PROTOCOL, 1)), f.settings_ack())
        asked = []
        while (frame := await peer.frame()) is not None:
            if frame.kind == f.HEADERS:
                asked.append(frame.stream_id)
                if len(asked) == self.count:
                    peer.send(*(f.rst_stream(each, HTTP_1_1_REQUIRED) for each in asked))


def to(gate):
    return connect(f"ws://127.0.0.1:{gate.port}/", http="h2", proxy=None, close_timeout=0.5)


def before(server, patience):
    """It has room for one connection."""
    bounds = {"connections": 1, "h1_connections": 1, "connect_timeout": patience}
    return Backend(f"http://127.0.0.1:{server.port}", http="auto", **bounds)


async def both(gate):
    """Two that ask at once: the one that has room, and a task of the other."""
    tasks = [asyncio.create_task(to(gate).__aenter__()) for _ in range(2)]
    done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    return done.pop().result(), waiting.pop()


async def test_who_has_tried_http_2_has_as_long_again_for_room():
    """Half of its time goes by until it is clear that the backend does not speak HTTP/2."""
    async with Either() as server:
        async with in_front_of(before(server, 1.6), aware=True) as gate:
            begun = asyncio.get_running_loop().time()
            first, second = await both(gate)
            assert server.taken == 1
            # Beyond what it had at first, and well within what it has now.
            await asyncio.sleep(begun + 1.9 - asyncio.get_running_loop().time())
            assert not second.done()
            first.abort()
            async with asyncio.timeout(10):
                (await second).abort()
            assert server.taken == 2


@pytest.mark.parametrize(("patience", "status"), [(0.4, 503), (None, 504)])
async def test_who_was_sent_to_http_1_1_waits_for_room_as_all_do(patience, status):
    """The backend has answered it: whatever comes of the wait, that is not for want of an answer."""
    async with Either(2) as server:
        there = before(server, patience)
        async with in_front_of(there, aware=True, open_timeout=2) as gate:
            first, second = await both(gate)
            with pytest.raises(InvalidStatus) as caught:
                await second
            assert caught.value.response.status == status
            assert server.taken == 1
            told = gate.stats()["backends"][there.address]
            assert (told["failures"], told["unanswered"]) == (0, 0)
            first.abort()
