"""The connections to a backend over HTTP/1.1: how many there are, and who waits for one."""

import asyncio

import pytest

from h2ws_fast import Session
from h2ws_fast.errors import NoAvailableStreams
from h2ws_fast.gateway import Backend, links
from h2ws_fast.gateway.links import H1Links
from tests.gateway.conftest import in_front_of
from tests.support.backend import RawBackend, accept_of
from tests.support.raw import RawClient


class Link:
    """Stands for an H1Link."""

    def __init__(self):
        self.usable = True
        self.left = False

    def leave(self):
        self.left = True


class Dials:
    """Makes such links: `fails` of them not, and `dead` of them are over then."""

    def __init__(self, most, fails=0, dead=0):
        self.made = []
        self.fails = fails
        self.dead = dead
        self.links = H1Links(self, most)

    async def __call__(self, links):
        await asyncio.sleep(0)
        if self.fails:
            self.fails -= 1
            raise ConnectionRefusedError
        self.made.append(Link())
        if self.dead:
            self.dead -= 1
            self.made[-1].usable = False
            self.links.gone(self.made[-1])
        return self.made[-1]

    def take(self, patience_s=10):
        return asyncio.ensure_future(self.links.take(patience_s))

    async def taking(self, count):
        tasks = [self.take() for _ in range(count)]
        for _ in range(5):
            await asyncio.sleep(0)
        return tasks


async def test_who_comes_when_there_are_so_many_waits_in_turn():
    dials = Dials(2)
    tasks = await dials.taking(5)
    assert [task.done() for task in tasks] == [True, True, False, False, False]
    assert len(dials.made) == len(dials.links) == 2
    assert dials.links.stats()["h1_waiting"] == 3
    dials.links.rest(dials.made[1])  # it is handed over
    assert await tasks[2] is dials.made[1]
    dials.made[0].usable = False
    dials.links.gone(dials.made[0])  # another is made in its place
    assert await tasks[3] is dials.made[2]
    dials.links.rest(dials.made[2])
    assert await tasks[4] is dials.made[2] and len(dials.made) == 3
    dials.links.rest(dials.made[2])
    assert dials.links.stats() == {
        "h1_connections": 2,
        "h1_idle": 1,
        "h1_waiting": 0,
        "h1_refused": 0,
    }


async def test_a_fresh_one_is_made_where_there_is_room():
    dials = Dials(2)
    (task,) = await dials.taking(1)
    dials.links.rest(await task)
    assert await dials.links.take(10, fresh=True) is dials.made[1]
    dials.links.rest(dials.made[1])
    assert await dials.links.take(10, fresh=True) is dials.made[1]  # there is no room for a third


async def test_one_that_could_not_be_made_leaves_room_for_the_next():
    dials = Dials(1, fails=1)
    first, second = await dials.taking(2)
    with pytest.raises(ConnectionRefusedError):
        await first
    assert await second is dials.made[0]


async def test_one_that_is_closed_at_once_is_not_counted():
    dials = Dials(1, dead=1)
    first, second = await dials.taking(2)
    with pytest.raises(ConnectionResetError):
        await first
    assert await second is dials.made[1] and len(dials.links) == 1


async def test_one_that_died_when_it_was_handed_over_is_made_again():
    dials = Dials(1)
    first, second = await dials.taking(2)
    link = await first
    dials.links.rest(link)
    link.usable = False
    dials.links.gone(link)
    assert await second is dials.made[1]


@pytest.mark.parametrize("dies", [False, True])
async def test_who_is_cancelled_as_it_gets_one_gives_it_back(dies):
    dials = Dials(1)
    first, second, third = await dials.taking(3)
    link = await first
    if dies:
        dials.links.gone(link)
    else:
        dials.links.rest(link)
    second.cancel()
    assert await third is dials.made[-1] and len(dials.made) == 1 + dies
    with pytest.raises(asyncio.CancelledError):
        await second
    dials.links.rest(dials.made[-1])
    assert await dials.take() is dials.made[-1]


async def test_patience_and_places_have_an_end(monkeypatch):
    monkeypatch.setattr(links, "MAX_WAITING", 1)
    dials = Dials(1)
    await dials.take()
    late = dials.take(0.2)
    await asyncio.sleep(0)
    with pytest.raises(NoAvailableStreams, match="too many"):
        await dials.take()
    with pytest.raises(NoAvailableStreams, match="in use"):
        await late
    assert dials.links.stats()["h1_refused"] == 2 and not dials.links.stats()["h1_waiting"]


async def test_requests_wait_for_a_connection_and_tunnels_leave_none():
    async def script(visit):
        while True:
            line, _ = await visit.head()
            if "/tunnel" in line:
                raw = visit.raw
                visit.say(
                    "HTTP/1.1 101 Switching Protocols",
                    "Upgrade: websocket",
                    "Connection: Upgrade",
                    f"Sec-WebSocket-Accept: {accept_of(raw)}",
                )
                await visit.rest()
                return
            visit.say("HTTP/1.1 200 OK", "Content-Length: 1", body=b"a")

    async with RawBackend(script) as server:
        there = Backend(
            f"http://127.0.0.1:{server.port}", http="h1", h1_connections=1, connect_timeout=3
        )
        async with in_front_of(there) as gate:
            async with Session(f"http://127.0.0.1:{gate.port}") as session:
                answers = [session.request("GET", "/") for _ in range(20)]
                assert {answer.status for answer in await asyncio.gather(*answers)} == {200}
                assert len(server.visits) == 1
                client = await RawClient.connect(gate.port)
                assert (await client.websocket(1, "/tunnel")).get(":status") == "200"
                assert (await session.request("GET", "/")).status == 503
                stats = gate.stats()["backends"][there.address]
                assert (stats["h1_connections"], stats["h1_refused"]) == (1, 1)
                assert stats["failures"] == 0
                client.close()


@pytest.mark.parametrize("most", [0, -1])
def test_a_bound_is_at_least_one(most):
    with pytest.raises(ValueError, match="h1_connections must be at least 1"):
        Backend("http://127.0.0.1:1", h1_connections=most)
