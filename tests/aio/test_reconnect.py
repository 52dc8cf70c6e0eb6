"""`async for ws in connect(...)`: RFC 6455 section 7.2.3."""

import asyncio
import itertools

import pytest

from h2ws_fast import (
    ConnectionClosed,
    ConnectionTerminated,
    InvalidHandshake,
    InvalidProxyStatus,
    InvalidStatus,
    PoolFull,
    Response,
    StreamReset,
    connect,
)
from h2ws_fast.aio.client.reconnect import FIRST_S, LONGEST_S, backoff, process_exception


@pytest.mark.row("6455-7.2.3-1")
def test_delays_are_random_and_grow():
    runs = [list(itertools.islice(backoff(), 8)) for _ in range(300)]
    for run in runs:
        assert 0 <= run[0] <= FIRST_S == 5
        for i, delay in enumerate(run[1:], 1):
            longest = min(FIRST_S * 2**i, LONGEST_S)
            assert longest / 2 <= delay <= longest
    for column in zip(*runs, strict=True):
        assert len(set(column)) > 290  # no two clients alike
    assert min(run[0] for run in runs) < 1 and max(run[0] for run in runs) > 4


def test_what_may_pass():
    for error in (
        ConnectionRefusedError(),
        TimeoutError(),
        ConnectionTerminated(),
        StreamReset(),
        PoolFull("max_waiting"),
        InvalidProxyStatus(Response(502)),
        *(InvalidStatus(Response(status)) for status in (408, 425, 429, 500, 502, 503, 504)),
    ):
        assert process_exception(error) is None
    for error in (
        ValueError(),
        InvalidHandshake(),
        InvalidProxyStatus(Response(407)),
        *(InvalidStatus(Response(status)) for status in (200, 301, 400, 401, 403, 404, 426, 501)),
    ):
        assert process_exception(error) is error


class Delays:
    """Short ones, and how often they were begun."""

    def __init__(self):
        self.begun = 0
        self.taken = 0

    def __call__(self):
        self.begun += 1
        while True:
            self.taken += 1
            yield 0.01


@pytest.mark.row("6455-7.2.3-1")
@pytest.mark.parametrize("http", ["h2", "h1", "auto"])
async def test_after_an_abnormal_end_it_connects_again_after_a_delay(place, http):
    async def handler(ws):
        await ws.send("hello")
        if len(seen) < 2:
            ws.abort()
        elif len(seen) == 2:
            await ws.close(1012)
        await ws.wait_closed()

    seen = []
    delays = Delays()
    async with place.serve(handler):
        async for ws in connect(
            place.ws(), ssl=place.client_ssl, http=http, reconnect_delays=delays
        ):
            seen.append(ws)
            try:
                async for message in ws:
                    assert message == "hello"
                    if len(seen) == 4:
                        break
                else:
                    continue
                break
            except ConnectionClosed:
                continue
        assert len(seen) == 4 and len(set(map(id, seen))) == 4
        assert (delays.begun, delays.taken) == (1, 3)
        await seen[-1].close()


async def test_after_a_normal_end_it_connects_at_once(place):
    delays = Delays()
    count = 0

    async def handler(ws):
        await ws.close()

    async with place.serve(handler):
        async for ws in connect(place.ws(), ssl=place.client_ssl, reconnect_delays=delays):
            count += 1
            async for _ in ws:
                pass
            if count == 3:
                break
    assert delays.taken == 0


async def test_a_server_that_is_not_there_yet(clear):
    async with clear.serve(lambda ws: ws.wait_closed()):
        pass  # a port that was free
    delays = Delays()

    async def talk():
        async for ws in connect(clear.ws(), reconnect_delays=delays):
            await ws.send("x")
            return ws

    task = asyncio.create_task(talk())
    while delays.taken < 3:
        await asyncio.sleep(0.01)
    from h2ws_fast import serve

    async with serve(lambda ws: ws.wait_closed(), "127.0.0.1", clear.port, reuse_address=True):
        ws = await task
        assert delays.begun == 1 and delays.taken >= 3
        await ws.close()


async def test_refusals_that_will_not_pass_are_raised(place):
    statuses = [503, 500, 403]

    def process(ws, request):
        return ws.respond(statuses.pop(0))

    delays = Delays()
    async with place.serve(lambda ws: None, process_request=process):
        with pytest.raises(InvalidStatus) as caught:
            async for _ in connect(place.ws(), ssl=place.client_ssl, reconnect_delays=delays):
                raise AssertionError("it is refused")
        assert caught.value.response.status == 403 and delays.taken == 2


async def test_the_callers_own_judgement(place):
    def process(ws, request):
        return ws.respond(503)

    class Enough(Exception):
        pass

    async with place.serve(lambda ws: None, process_request=process):
        with pytest.raises(Enough) as caught:
            async for _ in connect(
                place.ws(), ssl=place.client_ssl, process_exception=lambda error: Enough()
            ):
                raise AssertionError("it is refused")
        assert isinstance(caught.value.__cause__, InvalidStatus)
        with pytest.raises(ConnectionTerminated):
            async for _ in connect(
                place.ws(), ssl=place.client_ssl, reconnect_delays=lambda: iter([0.0, 0.0])
            ):
                raise AssertionError("it is refused")


async def test_leaving_the_loop_closes(place):
    closed = []

    async def handler(ws):
        await ws.wait_closed()
        closed.append(ws.close_code)

    async with place.serve(handler):
        attempts = aiter(connect(place.ws(), ssl=place.client_ssl))
        ws = await anext(attempts)
        await attempts.aclose()
        assert ws.close_code == 1000
        async with asyncio.timeout(5):
            while not closed:
                await asyncio.sleep(0.01)
        assert closed == [1000]
