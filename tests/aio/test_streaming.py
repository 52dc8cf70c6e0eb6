"""Messages that are never held whole: `recv_streaming`, and `send` of iterables."""

import asyncio
import os

import pytest

from h2ws_fast import (
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    Session,
    connect,
)

WINDOW = 262144  # of a stream, by default


async def whole(ws, decode=None):
    return [piece async for piece in ws.recv_streaming(decode)]


async def test_pieces_are_the_message(clear, http):
    async def handler(ws):
        await ws.send([b"one ", b"two ", b"three"])
        await ws.send("text")
        await ws.send("zwölf €".encode(), text=True)
        await ws.send(b"")
        await ws.recv()

    async with clear.serve(handler), connect(clear.ws(), http=http) as ws:
        assert b"".join(await whole(ws)) == b"one two three"
        assert "".join(await whole(ws)) == "text"
        assert b"".join(await whole(ws, decode=False)) == "zwölf €".encode()
        assert await whole(ws) == [b""]
        await ws.send("done")


async def test_characters_stay_whole(clear, http):
    octets = "€".encode()

    async def handler(ws):
        for cut in (1, 2):
            await ws.send([octets[:cut], octets[cut:]], text=True)
            await asyncio.sleep(0.01)
        await ws.send([octets[:2], octets[2:]])
        await ws.send([b"\xff", b"x"])
        await ws.wait_closed()
        assert ws.close_code == 1007

    async with clear.serve(handler), connect(clear.ws(), http=http) as ws:
        for _ in range(2):
            assert "".join(await whole(ws)) == "€"
        assert "".join(await whole(ws, decode=True)) == "€"
        with pytest.raises(ConnectionClosedError):
            await whole(ws, decode=True)


async def test_recv_joins_what_comes_in_pieces(clear, http):
    async def handler(ws):
        for message in ("first", b"second", ["th", "ird"], [b"four", b"th"], "fifth"):
            await ws.send(message)
        await ws.close()

    async with clear.serve(handler), connect(clear.ws(), http=http) as ws:
        assert "".join(await whole(ws)) == "first"
        assert await ws.recv() == b"second"
        assert await ws.recv(decode=False) == b"third"
        assert [message async for message in ws] == [b"fourth", "fifth"]
        with pytest.raises(ConnectionClosedOK):
            await ws.recv()
        with pytest.raises(ConnectionClosedOK):
            await whole(ws)


async def test_messages_that_came_before_are_pieces_too(clear):
    async def handler(ws):
        await ws.send("one")
        await ws.send(b"two")
        await ws.recv()

    async with clear.serve(handler), connect(clear.ws()) as ws:
        await asyncio.sleep(0.1)
        assert await whole(ws) == ["one"]
        assert await whole(ws, decode=True) == ["two"]
        await ws.send("done")


async def test_a_large_message_takes_no_more_than_the_window(clear):
    size, piece = 24 * 2**20, os.urandom(2**16)  # no compression makes it smaller
    most = 0

    async def pieces():
        for _ in range(size // len(piece)):
            yield piece

    async def handler(ws):
        nonlocal most
        total = 0
        async for part in ws.recv_streaming():
            total += len(part)
            held = ws.connection.stats()["octets_buffered"]
            most = max(most, held)
        await ws.send(str(total))

    async with clear.serve(handler, max_size=None), connect(clear.ws()) as ws:
        await ws.send(pieces())
        assert await ws.recv() == str(size)
    # Windows grow with what a path takes, and here that is all there is.
    assert most <= 8 * 2**20


async def test_who_does_not_read_holds_back_the_sender_and_nobody_else(clear):
    begun, go_on = asyncio.Event(), asyncio.Event()
    sent, piece = 0, os.urandom(2**16)

    async def handler(ws):
        if ws.request.path == "/echo":
            async for message in ws:
                await ws.send(message)
            return
        iterator = ws.recv_streaming()
        total = len(await anext(iterator))
        begun.set()
        await go_on.wait()
        async for part in iterator:
            total += len(part)
        await ws.send(str(total))

    async def pieces():
        nonlocal sent
        for _ in range(200):
            sent += 1
            yield piece

    async with clear.serve(handler, max_size=None), Session(clear.http) as session:
        slow = await session.websocket("/slow")
        echo = await session.websocket("/echo")
        sending = asyncio.create_task(slow.send(pieces()))
        await begun.wait()
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.1)
        assert not sending.done()
        assert sent < 200
        await echo.send("hello")
        assert await echo.recv() == "hello"
        go_on.set()
        await sending
        assert await slow.recv() == str(200 * 2**16)


async def test_one_reader_at_a_time(clear):
    async def handler(ws):
        await ws.recv()
        await ws.send(["half", "whole"])
        await ws.wait_closed()

    async with clear.serve(handler), connect(clear.ws()) as ws:
        waiting = asyncio.create_task(ws.recv())
        await asyncio.sleep(0)
        with pytest.raises(ConcurrencyError):
            await whole(ws)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        streaming = asyncio.create_task(whole(ws))
        await asyncio.sleep(0)
        for receive in (ws.recv(), whole(ws), anext(ws)):
            with pytest.raises(ConcurrencyError):
                await receive
        await ws.send("go")
        assert "".join(await streaming) == "halfwhole"


async def test_cancelling_loses_nothing(clear):
    go = asyncio.Event()

    async def pieces():
        yield "one"
        await go.wait()
        yield "two"

    async def handler(ws):
        await ws.recv()
        await ws.send(pieces())
        await ws.wait_closed()

    async with clear.serve(handler), connect(clear.ws()) as ws:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await whole(ws)
        await ws.send("go")
        with pytest.raises(TimeoutError):  # within the message: recv keeps what it has
            async with asyncio.timeout(0.1):
                await ws.recv()
        iterator = ws.recv_streaming()
        assert await anext(iterator) == "one"
        with pytest.raises(TimeoutError):  # and who goes on with the same iterator loses nothing
            async with asyncio.timeout(0.05):
                await anext(iterator)
        with pytest.raises(ConcurrencyError):
            await ws.recv()
        go.set()
        assert "".join([piece async for piece in iterator]) == "two"
        with pytest.raises(StopAsyncIteration):
            await anext(iterator)


async def test_a_send_cancelled_within_a_message_fails_that_websocket_alone(clear):
    codes = []

    async def handler(ws):
        try:
            async for message in ws:
                await ws.send(message)
        except ConnectionClosed as error:
            codes.append(error.rcvd.code)

    async def endless():
        yield "half a message"
        await asyncio.Event().wait()

    async with clear.serve(handler), Session(clear.http) as session:
        broken = await session.websocket("/")
        other = await session.websocket("/")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await broken.send(endless())
        await broken.wait_closed()
        assert broken.close_code == 1011
        await other.send("still here")
        assert await other.recv() == "still here"
    assert codes == [1011]


async def test_the_end_of_the_websocket_ends_the_iteration(clear, http):
    async def handler(ws):
        async def half():
            yield b"half"
            raise RuntimeError("that was all")

        with pytest.raises(RuntimeError):
            await ws.send(half())

    async with clear.serve(handler), connect(clear.ws(), http=http) as ws:
        iterator = ws.recv_streaming()
        assert await anext(iterator) == b"half"
        with pytest.raises(ConnectionClosedError) as caught:
            await anext(iterator)
        assert caught.value.rcvd.code == 1011
        with pytest.raises(ConnectionClosedError):
            await ws.recv()


async def test_recv_as_text_of_what_is_none(clear):
    async def handler(ws):
        await ws.send(b"\xff")
        await ws.wait_closed()
        assert ws.close_code == 1007

    async with clear.serve(handler), connect(clear.ws()) as ws:
        with pytest.raises(ConnectionClosedError):
            await ws.recv(decode=True)


async def test_callbacks_take_messages_whole(clear):
    refused = []

    def on_open(ws):
        async def ask():
            try:
                await whole(ws)
            except Exception as error:
                refused.append(type(error).__name__)
            await ws.send("asked")

        ws.task = asyncio.ensure_future(ask())

    async with clear.serve(on_message=lambda ws, message: None, on_open=on_open):
        async with connect(clear.ws()) as ws:
            assert await ws.recv() == "asked"
    assert refused == ["LocalProtocolError"]


async def test_one_iterator_is_for_one_task(clear, http):
    async def handler(ws):
        async def pieces():
            yield b"first"
            await asked.wait()
            yield b"second"

        await ws.send(pieces())
        await ws.wait_closed()

    asked = asyncio.Event()
    async with clear.serve(handler), connect(clear.ws(), http=http) as ws:
        pieces = ws.recv_streaming()
        assert await anext(pieces) == b"first"
        waiting = asyncio.ensure_future(anext(pieces))
        await asyncio.sleep(0.01)
        with pytest.raises(ConcurrencyError):
            await anext(pieces)
        asked.set()
        assert await waiting == b"second"
        assert [piece async for piece in pieces] == [b""]


async def test_the_end_is_told_behind_what_is_no_text(clear, http):
    async def handler(ws):
        async def pieces():
            yield b"\xff"
            await asyncio.Event().wait()

        await ws.send(pieces())

    async with clear.serve(handler, close_timeout=0.1), connect(clear.ws(), http=http) as ws:
        with pytest.raises(ConnectionClosedError):
            await whole(ws, decode=True)
        with pytest.raises(ConnectionClosedError):
            await ws.recv()
