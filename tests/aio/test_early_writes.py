"""What is written when, while one read is being handled."""

import asyncio

from tests.support import frames as f
from tests.support.raw import RawClient
from tests.support.ws_frames import BINARY, ws_frame


async def test_what_woken_readers_send_leaves_while_others_still_run(clear):
    streams = range(1, 17, 2)
    waiting = []  # octets that were not written yet, as each reader found them

    async def handler(ws):
        async for message in ws:
            waiting.append(ws.wire.stats()["octets_queued"])
            await ws.send(message)

    async with clear.serve(handler) as server:
        peer = await RawClient.connect(clear.port, (f.INITIAL_WINDOW_SIZE, 2**20))
        peer.send(f.window_update(0, 2**20))
        for stream_id in streams:
            await peer.websocket(stream_id)
        wire = next(iter(server.connections)).wire
        message = ws_frame(BINARY, bytes(16000))
        octets = b"".join(f.data(stream_id, message) for stream_id in streams)

        def one_read():
            wire.get_buffer(-1)[: len(octets)] = octets
            wire.buffer_updated(len(octets))

        asyncio.get_running_loop().call_soon(one_read)
        left = len(streams) * (16000 + 4)
        while left:
            left -= len((await peer.expect(f.DATA)).content)
        peer.close()
    assert len(waiting) == len(streams)
    assert max(waiting) < 3 * 16000
