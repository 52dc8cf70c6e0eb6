"""`max_queue`: how many messages may wait before their sender is held back."""

import asyncio
import random

import pytest

from h2ws_fast import Session, connect
from h2ws_fast.engine import Settings

MESSAGE = random.Random(1).randbytes(1000)  # no compression makes it smaller


async def settled(echo):
    """What both ends had to say to one another on this connection was said."""
    for _ in range(3):
        await echo.send("?")
        assert await echo.recv() == "?"


@pytest.mark.parametrize("end", ["server", "client"])
@pytest.mark.parametrize("streaming", [False, True])
async def test_the_sender_is_held_back_from_high_to_low(clear, end, streaming):
    served = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def handler(ws):
        if ws.request.path == "/echo":
            async for message in ws:
                await ws.send(message)
            return
        served.set_result(ws)
        await over.wait()

    options = {"max_queue": (20, 5), "settings": Settings(initial_window_size=65535)}
    reading = options if end == "server" else {}
    there = {} if end == "server" else options
    async with clear.serve(handler, **reading), Session(clear.http, **there) as session:
        one = await session.websocket("/")
        echo = await session.websocket("/echo")
        other = await served
        reader, sender = (other, one) if end == "server" else (one, other)
        if streaming:
            reader._streaming()

        async def send():
            for _ in range(300):
                await sender.send(MESSAGE)

        sending = asyncio.create_task(send())
        while reader.stats()["messages_unread"] < 60:  # the window's 65
            await settled(echo)
        for _ in range(45):
            assert await reader.recv() == MESSAGE
        await settled(echo)
        left = reader.stats()["messages_unread"]
        assert 5 < left < 25  # of a message that came in two pieces each counts; free, 45 more come
        for _ in range(left - 5):
            assert await reader.recv() == MESSAGE
        while reader.stats()["messages_unread"] < 21:
            await settled(echo)
        for _ in range(300 - 45 - (left - 5)):
            assert await reader.recv() == MESSAGE
        await sending
        over.set()


async def test_over_http1_the_transport_is_not_read(clear):
    served = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def handler(ws):
        served.set_result(ws)
        await over.wait()

    async with clear.serve(handler, max_queue=8):
        async with connect(clear.ws(), http="h1", compression=None) as ws:
            reader = await served
            for _ in range(9):
                await ws.send("")
            while not reader.wire.held:
                await asyncio.sleep(0)
            assert reader.stats()["messages_unread"] == 9
            await ws.send("last")
            for _ in range(6):
                assert await reader.recv() == ""
            assert reader.wire.held
            for _ in range(3):
                assert await reader.recv() == ""
            assert await reader.recv() == "last"
            assert not reader.wire.held
            over.set()


async def test_nobody_waits_for_a_reader_who_has_gone(clear, http):
    async def handler(ws):
        await ws.recv()

    async with clear.serve(handler, max_queue=2):
        async with connect(clear.ws(), http=http) as ws:
            for _ in range(50):
                await ws.send(MESSAGE)
            assert (await ws.wait_closed()) is None
            assert ws.close_code == 1000


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ("16", TypeError),
        (1.5, TypeError),
        (True, TypeError),
        ((1, "2"), TypeError),
        (-1, ValueError),
        ((1, 2), ValueError),
        ((4, -1), ValueError),
    ],
)
def test_marks_that_are_none(wrong, error):
    with pytest.raises(error, match="max_queue"):
        Session("http://a.example", max_queue=wrong)


@pytest.mark.parametrize(
    ("given", "marks"),
    [
        (None, (0, 0)),
        ((None, None), (0, 0)),
        (16, (16, 4)),
        (0, (1, 1)),
        ((8, 8), (8, 8)),
        ((8, None), (8, 2)),
        ((None, 3), (12, 3)),
        (2**40, (2**31 - 1, 2**31 - 1)),
    ],
)
def test_marks(given, marks):
    assert Session("http://a.example", max_queue=given)._queue == marks


async def test_fragments_have_a_limit_of_their_own(clear, http):
    async def handler(ws):
        await ws.send(await ws.recv())
        await ws.recv()

    async with clear.serve(handler, max_size=(1000, 100)):
        async with connect(clear.ws(), http=http, max_size=(1000, None)) as ws:
            await ws.send(MESSAGE[at : at + 100] for at in range(0, 1000, 100))
            assert await ws.recv() == MESSAGE
            await ws.send(MESSAGE[:101])
            await ws.wait_closed()
            assert ws.close_code == 1009
