"""Backends that take requests and do not answer, and the turn that they lose."""

import asyncio
import socket

import pytest

from h2ws_fast.gateway import Backend
from tests.gateway.conftest import in_front_of
from tests.gateway.test_requests import head, whole
from tests.support import frames as f
from tests.support.backend import RawBackend
from tests.support.h1 import upgrade
from tests.support.raw import RawClient


def to(backend, http="h1"):
    return Backend(f"http://127.0.0.1:{backend.port}", http=http)


async def answers(visit):
    while True:
        await visit.head()
        visit.say("HTTP/1.1 200 OK", "Content-Length: 0")


async def hangs_up(visit):
    await visit.head()
    visit.cut()


async def hangs(visit):
    await visit.head()
    await visit.rest()


@pytest.mark.parametrize(
    ("script", "method", "status"),
    [(hangs_up, "POST", "502"), (hangs, "POST", "504"), (hangs, "GET", "504")],
)
async def test_who_answers_nothing_several_times_is_passed_over(script, method, status):
    async with RawBackend(script) as one, RawBackend(answers) as two:
        bad, good = to(one), to(two)
        patience = 20 if script is hangs_up else 0.5
        async with in_front_of(bad, good, answer_timeout=patience) as gate:
            client = await RawClient.connect(gate.port)
            told = []
            for stream_id in range(1, 13, 2):
                client.headers(stream_id, head(method), end_stream=True)
                told.append((await whole(client, stream_id))[0])
            assert told == [status, "200"] * 3
            assert not bad.is_up(bad.down_until - 0.01)
            assert (bad.failures, good.failures) == (0, 0)
            counts = gate.stats()["backends"]
            assert [counts[each.address]["unanswered"] for each in (bad, good)] == [3, 0]
            for turn in range(8):  # longer each time, as of one that cannot be reached
                now = bad.down_until
                bad.unanswered(now)
                assert bad.down_until == now + min(0.5 * 2 ** (turn + 1), 30)
            order = gate.routes.upstreams[0].order
            assert [order(bad.down_until - 0.01) for _ in range(2)] == [[good]] * 2
            client.close()


async def test_an_answer_makes_up_for_what_came_before():
    asked = []

    async def script(visit):
        while True:
            line, _ = await visit.head()
            asked.append(line)
            if "bad" in line:
                visit.cut()
                return
            visit.say("HTTP/1.1 200 OK", "Content-Length: 0")

    async with RawBackend(script) as backend:
        there = to(backend)
        async with in_front_of(there) as gate:
            client = await RawClient.connect(gate.port)
            paths = ["/bad", "/bad", "/"] * 3
            for number, path in enumerate(paths):
                client.headers(1 + 2 * number, head("POST", path), end_stream=True)
                assert (await whole(client, 1 + 2 * number))[0] == ("502" if path[1:] else "200")
            assert there.down_until == 0
            assert gate.stats()["backends"][there.address]["unanswered"] == 0
            client.close()


@pytest.mark.parametrize("aware", [False, True])
async def test_who_hangs_is_not_who_has_the_least_to_do(aware):
    """Handshakes that wait for their answer count, whoever reads what comes behind them."""
    async with RawBackend(hangs) as one, RawBackend(hangs) as two:
        there = [to(one), to(two)]
        async with in_front_of(*there, balance="least", aware=aware) as gate:
            writers = []
            for count in range(1, 7):
                _, writer = await asyncio.open_connection("127.0.0.1", gate.port)
                writer.write(upgrade())
                writers.append(writer)
                while sum(backend.under_way for backend in there) < count:
                    await asyncio.sleep(0.002)
            assert [backend.under_way for backend in there] == [3, 3]
            assert [each["load"] for each in gate.stats()["backends"].values()] == [3, 3]
            for writer in writers:
                writer.close()
            while any(backend.under_way for backend in there):
                await asyncio.sleep(0.002)


async def ten_requests(gate):
    client = await RawClient.connect(gate.port)
    for stream_id in range(1, 21, 2):
        client.headers(stream_id, head(), end_stream=True)
    return client


async def test_one_request_finds_out_what_a_backend_speaks():
    """Many that come meanwhile go as it goes, and are not kept for longer."""
    heads = []
    asked = asyncio.Event()

    async def script(visit):
        if await visit.read(4) == b"PRI ":
            await asked.wait()
            visit.cut()
            return
        await visit.head()
        heads.append(visit)
        visit.say("HTTP/1.1 200 OK", "Content-Length: 0")
        await visit.rest()

    async with RawBackend(script) as backend:
        there = to(backend, "auto")
        async with in_front_of(there) as gate:
            client = await ten_requests(gate)
            while there.under_way < 10:
                await asyncio.sleep(0.002)
            asked.set()
            for _ in range(10):
                assert (await client.expect(f.HEADERS)).get(":status") == "200"
            client.close()
    assert backend.octets.count(b"PRI ") == 1
    assert len(heads) == 10


async def test_one_request_finds_out_where_the_first_that_did_has_gone():
    """Its client leaves while the backend says nothing: of those who wait the next finds out."""
    asked = []

    async def script(visit):
        if await visit.read(4) == b"PRI ":
            asked.append(visit)
            if len(asked) > 1:
                visit.cut()
            await visit.rest()
            return
        await answers(visit)

    async with RawBackend(script) as backend:
        there = to(backend, "auto")
        async with in_front_of(there) as gate:
            client = await ten_requests(gate)
            while there.under_way < 10 or not asked:
                await asyncio.sleep(0.002)
            client.send(f.rst_stream(1, f.CANCEL))
            for _ in range(9):
                assert (await client.expect(f.HEADERS)).get(":status") == "200"
            client.close()
    assert len(asked) == 2


async def test_who_waits_for_what_cannot_be_reached_does_not_wait_again():
    """A backend that takes no connection in time: the next is asked, by all at once."""
    silent = socket.create_server(("127.0.0.1", 0), backlog=0)
    fill = [socket.socket() for _ in range(4)]
    for each in fill:
        each.setblocking(False)
        each.connect_ex(silent.getsockname())
    async with RawBackend(answers) as two:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        dead, lives = Backend(url, connect_timeout=0.5), to(two)
        async with in_front_of(dead, lives) as gate:
            client = await ten_requests(gate)
            for _ in range(10):
                assert (await client.expect(f.HEADERS)).get(":status") == "200"
            assert dead.failures == 1
            client.close()
    for each in (silent, *fill):
        each.close()
