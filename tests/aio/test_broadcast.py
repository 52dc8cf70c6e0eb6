"""One message to many, and who is too slow for it."""

import asyncio
import logging
import os

import pytest

from h2ws_fast import ConcurrencyError, ConnectionClosedError, Session, broadcast, connect

LARGE = os.urandom(30_000)  # which no compression makes smaller


class Room:
    """A server's end of `count` WebSockets on one connection."""

    def __init__(self, clear, count=3, **options):
        self.clear = clear
        self.count = count
        self.options = {"write_limit": 20_000, **options}
        self.joined = []

    async def _handler(self, ws):
        self.joined.append(ws)
        await ws.wait_closed()

    async def __aenter__(self):
        self._serving = self.clear.serve(self._handler, **self.options)
        self.server = await self._serving.__aenter__()
        self.session = Session(self.clear.http, max_size=None)
        await self.session.connect()
        self.sockets = [await self.session.websocket() for _ in range(self.count)]
        while len(self.joined) < self.count:
            await asyncio.sleep(0)
        return self

    async def __aexit__(self, *exc_info):
        await self.session.close()
        await self._serving.__aexit__(*exc_info)

    async def fill(self, at=0):
        """Let one recipient's buffer run full: its client takes nothing, so its window closes."""
        ws = self.joined[at]
        sent = 0
        while ws.stats()["octets_unsent"] <= 20_000:
            ws.send(LARGE)
            sent += 1
            await asyncio.sleep(0)
        return sent


async def test_everybody_open_gets_it(clear):
    async with Room(clear, 20) as room:
        await room.sockets[0].close()
        for message in ("to all", "zwölf", b"octets", b"x" * 200, b"y" * 70_000):
            assert await broadcast(room.server.connections, message) is None
            for ws in room.sockets[1:]:
                assert await ws.recv() == message
        broadcast(room.joined, b"text", text=True)
        broadcast(room.joined, "octets", text=False)
        broadcast(room.joined, bytearray(b"copied"))
        for ws in room.sockets[1:]:
            assert [await ws.recv() for _ in range(3)] == ["text", b"octets", b"copied"]
        assert room.joined[1].connection.stats()["messages_sent"] == 19 * 8


async def test_order_among_other_messages(clear):
    async with Room(clear, 5) as room:
        for number in range(30):
            room.joined[0].send(f"before {number}")
            broadcast(room.joined, f"all {number}")
            room.joined[0].send(f"behind {number}")
        heard = [await room.sockets[0].recv() for _ in range(90)]
        assert heard == [f"{word} {n}" for n in range(30) for word in ("before", "all", "behind")]
        for ws in room.sockets[1:]:
            assert [await ws.recv() for _ in range(30)] == [f"all {n}" for n in range(30)]


async def read(ws, count):
    return [await ws.recv() for _ in range(count)]


async def test_drop(clear):
    async with Room(clear) as room:
        sent = await room.fill()
        broadcast(room.joined, "lost to one", policy="drop")
        assert await read(room.sockets[1], 1) == ["lost to one"]
        assert await read(room.sockets[0], sent) == [LARGE] * sent
        broadcast(room.joined, "for all", policy="drop")
        assert await read(room.sockets[0], 1) == ["for all"]


async def test_conflate(clear):
    async with Room(clear) as room:
        sent = await room.fill()
        for number in range(5):
            broadcast(room.joined, f"news {number}", policy="conflate")
        assert await read(room.sockets[1], 5) == [f"news {n}" for n in range(5)]
        assert await read(room.sockets[0], sent) == [LARGE] * sent
        assert await read(room.sockets[0], 1) == ["news 4"]
        broadcast(room.joined, "news 5", policy="conflate")
        assert await read(room.sockets[0], 1) == ["news 5"]


async def test_close(clear):
    async with Room(clear) as room:
        await room.fill()
        broadcast(room.joined, "the end for one", policy="close")
        broadcast(room.joined, "for the others")
        assert await read(room.sockets[1], 2) == ["the end for one", "for the others"]
        with pytest.raises(ConnectionClosedError) as caught:
            while True:
                assert await room.sockets[0].recv() == LARGE
        assert caught.value.rcvd.code == 1013


async def test_wait(clear):
    async with Room(clear) as room:
        assert await broadcast(room.joined, "nobody is slow", policy="wait") is None
        sent = await room.fill()
        waiting = asyncio.ensure_future(broadcast(room.joined, "to be read", policy="wait"))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        assert await read(room.sockets[1], 2) == ["nobody is slow", "to be read"]
        assert await read(room.sockets[0], sent + 2) == [
            "nobody is slow",
            *[LARGE] * sent,
            "to be read",
        ]
        await waiting
        await room.fill()
        waiting = asyncio.ensure_future(broadcast(room.joined, "never read", policy="wait"))
        await asyncio.sleep(0)
        room.joined[0].abort()
        await waiting


async def test_a_policy_for_each(clear):
    asked = []

    def policy(ws):
        asked.append(ws)
        return "drop" if ws is room.joined[0] else "wait"

    async with Room(clear) as room:
        await broadcast(room.joined, "first", policy=policy)
        assert asked == []
        sent = [await room.fill(0), await room.fill(1)]
        waiting = asyncio.ensure_future(broadcast(room.joined, "second", policy=policy))
        await asyncio.sleep(0)
        assert asked == room.joined[:2]
        assert (await read(room.sockets[1], sent[1] + 2))[-1] == "second"
        await waiting
        assert await read(room.sockets[2], 2) == ["first", "second"]
        broadcast(room.joined[1:], "third")
        assert (await read(room.sockets[0], sent[0] + 1))[-1] == LARGE
        with pytest.raises(ValueError, match="policy returned"):
            await room.fill(0)
            broadcast(room.joined, "fourth", policy=lambda ws: "hope")


async def test_what_is_wrong_raises_at_once(clear):
    async with Room(clear) as room:
        with pytest.raises(TypeError):
            broadcast(room.joined, 5)
        with pytest.raises(TypeError):
            broadcast(room.joined, ["fragments"])
        with pytest.raises((TypeError, AttributeError)):  # pure Python looks at no types
            broadcast([5], "x")
        with pytest.raises(ValueError, match="policy"):
            broadcast(room.joined, "x", policy="hope")


async def test_who_sends_a_fragmented_message_is_left_out(clear, caplog):
    go = asyncio.Event()

    async def pieces():
        yield "half and "
        await go.wait()
        yield "half"

    async with Room(clear) as room:
        sending = asyncio.create_task(room.joined[0].send(pieces()))
        await asyncio.sleep(0)
        with pytest.raises(ExceptionGroup) as caught:
            broadcast(room.joined, "one", raise_exceptions=True)
        assert [type(error) for error in caught.value.exceptions] == [ConcurrencyError]
        with caplog.at_level(logging.WARNING, "h2ws_fast"):
            broadcast(room.joined, "two")
        assert "left out of a broadcast" in caplog.text
        go.set()
        await sending
        assert await room.sockets[0].recv() == "half and half"
        assert await read(room.sockets[1], 2) == ["one", "two"]


async def test_a_connection_that_holds_too_much_fails_alone(clear):
    from h2ws_fast.engine import Limits

    limits = Limits(max_queued=40_000, write_high=20_000, write_low=5_000)
    options = {"limits": limits, "write_limit": 2**15}
    async with Room(clear, **options) as room, Session(clear.http) as other:
        healthy = await other.websocket()
        while len(room.joined) < 4:
            await asyncio.sleep(0)
        await room.fill()
        with pytest.raises(ExceptionGroup) as caught:
            noise = os.urandom(39_000)
            broadcast(room.joined, noise, raise_exceptions=True)
        assert [type(error) for error in caught.value.exceptions] == [RuntimeError]
        assert await healthy.recv() == noise


async def test_over_http1(clear):
    from h2ws_fast import connect

    joined = []

    async def handler(ws):
        joined.append(ws)
        await ws.wait_closed()

    async with clear.serve(handler):
        async with connect(clear.ws(), http="h1") as one, connect(clear.ws(), http="h1") as two:
            while len(joined) < 2:
                await asyncio.sleep(0)
            await broadcast(joined, "both", policy="wait")
            assert [await one.recv(), await two.recv()] == ["both", "both"]


async def test_conflate_beside_a_fragmented_message(clear):
    async with Room(clear, 1) as room:
        sent = await room.fill()
        broadcast(room.joined, "news", policy="conflate")
        drained = asyncio.Event()

        async def pieces():
            yield "first "
            await drained.wait()
            yield "second"

        sending = asyncio.ensure_future(room.joined[0].send(pieces()))
        await asyncio.sleep(0)
        assert await read(room.sockets[0], sent) == [LARGE] * sent
        await until(lambda: room.joined[0].stats()["octets_unsent"] == 0)
        drained.set()
        await sending
        assert await read(room.sockets[0], 2) == ["first second", "news"]


@pytest.mark.parametrize("http", ["h2", "h1"])
async def test_conflate_of_what_is_larger_than_the_limit(clear, http, caplog):
    joined = []

    async def handler(ws):
        joined.append(ws)
        await ws.wait_closed()

    async with (
        clear.serve(handler, write_limit=20_000),
        connect(clear.ws(), http=http, max_size=None) as client,
    ):
        await until(lambda: joined)
        (ws,) = joined
        sent = 0
        while ws.stats()["octets_unsent"] <= 20_000:
            ws.send(LARGE)
            sent += 1
        larger = os.urandom(100_000)
        broadcast(joined, larger, policy="conflate")
        assert await read(client, sent) == [LARGE] * sent
        assert await read(client, 1) == [larger]
        broadcast(joined, "more", policy="conflate")
        assert await read(client, 1) == ["more"]
    assert not caplog.records


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)
