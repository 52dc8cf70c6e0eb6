"""Our client against servers of others that speak HTTP/1.1 alone: ws, websockets and aiohttp."""

import asyncio
import random
from functools import partial

import pytest

from h2ws_fast import ConnectionClosedError, InvalidStatus, connect
from tests.interop.demands import TEXT
from tests.interop.h1_servers import KINDS, answer_of, h1_server
from tests.support.within import within

MESSAGES = ["", "naïve ☃ 🎉", "x" * 100_000, b"", random.Random(6455).randbytes(1 << 20), TEXT]


def octets(ws):
    return [ws.connection.stats()[name] for name in ("octets_sent", "octets_received")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("http", ["auto", "h1"])
def test_a_client_of_ours(kind, http):
    connect_to = partial(connect, http=http, proxy=None, max_size=2**24)

    async def talk():
        with h1_server(kind) as port:
            uri = f"ws://127.0.0.1:{port}"
            for compression in ("deflate", None):
                async with connect_to(uri, subprotocols=["a", "b"], compression=compression) as ws:
                    assert (ws.http_version, ws.subprotocol) == ("1.1", "a")
                    assert (ws.compression is None) == (compression is None)
                    for message in MESSAGES:
                        before = octets(ws)
                        await ws.send(message)
                        assert await ws.recv() == message
                    # Of the last one.
                    for now, was in zip(octets(ws), before, strict=True):
                        small = now - was < len(TEXT) / 4
                        assert small == (compression is not None)
                    assert await (await ws.ping()) >= 0
                    await ws.close(4321, "bye")
                assert ws.close_code == answer_of(kind, 4321)
            async with connect_to(f"{uri}/close?code=4001&reason=enough") as ws:
                with pytest.raises(ConnectionClosedError) as caught:
                    await ws.recv()
                assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4001, "enough")
            with pytest.raises(InvalidStatus) as caught:
                await connect_to(f"{uri}/no")
            assert (caught.value.response.status, caught.value.response.body) == (403, b"no!")
            many = await asyncio.gather(*(connect_to(f"{uri}/{i}") for i in range(20)))
            for number, ws in enumerate(many):
                await ws.send(f"to {number}")
            assert [await ws.recv() for ws in many] == [f"to {i}" for i in range(20)]
            await asyncio.gather(*(ws.close() for ws in many))

    within(60, talk())
