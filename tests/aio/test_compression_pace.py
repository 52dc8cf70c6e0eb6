"""Compressed messages that grow a thousandfold, over asyncio: nobody is closed, nobody held up."""

import asyncio

import pytest

from h2ws_fast import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
    connect,
)

SIZE = 100_000
COUNT = 1000  # 100 MB, more than a connection may hold; compressed, 110 KB: one read
SMALLEST = {"server_no_context_takeover": False, "client_no_context_takeover": False}
FAR = ServerPerMessageDeflateFactory(
    **SMALLEST, server_max_window_bits=15, compress_settings={"level": 6}
)
NEAR = ClientPerMessageDeflateFactory(
    **SMALLEST, client_max_window_bits=15, compress_settings={"level": 6}
)


@pytest.fixture(params=("h2", "h1"))
def http(request):
    return request.param


async def pour(ws):
    for _ in range(COUNT):
        await ws.send(bytes(SIZE))
    await ws.recv()


@pytest.mark.row("SEC-5-2")
async def test_a_reader_who_keeps_up_is_not_closed(clear, http):
    async with (
        clear.serve(pour, compression=FAR),
        connect(clear.ws(), http=http) as ws,
    ):
        for _ in range(COUNT):
            assert len(await ws.recv()) == SIZE
        await ws.send("done")
        await ws.wait_closed()
        assert ws.close_code == 1000


@pytest.mark.row("SEC-5-2")
async def test_a_reader_who_sleeps_holds_little_and_loses_nothing(clear, http):
    poured = asyncio.Event()

    async def pour_all(ws):
        for _ in range(COUNT):
            await ws.send(bytes(SIZE))
        poured.set()
        await ws.recv()

    async with (
        clear.serve(pour_all, compression=FAR),
        connect(clear.ws(), http=http) as ws,
    ):
        # All of it fits into the window, compressed; then a ping of the reader's own goes through.
        await poured.wait()
        for _ in range(20):
            await asyncio.sleep(0.01)
            assert ws.wire.conn.octets_held < 2**20 + SIZE + 2**18
        for _ in range(COUNT):
            assert len(await ws.recv()) == SIZE
        await ws.send("done")


@pytest.mark.row("SEC-5-2")
async def test_callbacks_let_the_loop_go_on(clear, http):
    """Between two turns of the loop, no more than so much comes of what one peer has compressed."""
    turn = 0
    came = {}
    done = asyncio.get_running_loop().create_future()

    def on_message(ws, message):
        came[turn] = came.get(turn, 0) + len(message)
        if sum(came.values()) == COUNT * SIZE:
            done.set_result(None)

    async def count():
        nonlocal turn
        while not done.done():
            turn += 1
            await asyncio.sleep(0)

    async with (
        clear.serve(on_message=on_message, compression=FAR),
        connect(clear.ws(), http=http, compression=NEAR) as ws,
    ):
        counting = asyncio.create_task(count())
        for _ in range(COUNT):
            await ws.send(bytes(SIZE))
        await done
        await counting
    # A read and a deadline may fall into one turn.
    assert max(came.values()) <= 2 * (2**21 + SIZE)
