"""Who does not read, and who sends without end, disturbs no other stream of the connection.

Server, network and client are three processes. The network is a link of 25 MB/s and a round trip of
20 ms: over loopback alone a message would compete for the processors, and for nothing else. There
it takes 0.14 ms by itself, two wake-ups, and 0.9 ms beside bulk at
180 MB/s: at each end it waits for the read and the write under way, of up to 256 and 64 KiB. Three
times 0.14 ms would be turns too short for either. On the link it is 20 ms, then 25 to 40.

A machine that has other things to do stops all three processes now and then, which delays whatever
is on its way. So a witness sends the same messages at the same time, between three processes of its
own that do nothing else: it shows what the machine takes, and nothing of what the other streams do.
On an idle machine it needs the 20 ms, too.
"""

import asyncio
import contextlib
import json
import sys
import time

import pytest

from h2ws_fast import engine
from h2ws_fast.aio.hub import running_hub
from h2ws_fast.aio.protocol import WRITE_HIGH, Wire
from h2ws_fast.engine import Limits, Settings
from h2ws_fast.engine.constants import PULL, PULL_MORE
from tests.support import frames as f
from tests.support.peer import Peer
from tests.support.pinging import EVERY_S, Witness, crowded, ping_pong

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="needs TCP_NOTSENT_LOWAT and /proc of Linux"
)

# A guard against standing still, no part of what is claimed: `ping_pong` takes up to 60 s, twice.
PATIENCE = pytest.mark.timeout(150)
RATE, DELAY = 25e6, 0.01
BULK = bytes(65536)
CONNECT = (f.ENABLE_CONNECT_PROTOCOL, 1)
KIB = 1024
MIB = 1024 * KIB


async def send_for_ever(ws):
    while True:
        await ws.send(BULK)


class Bulk:
    """One endless upload and one endless download."""

    def __init__(self, session):
        self.session = session
        self.sent = self.received = 0

    async def pieces(self):
        while True:
            self.sent += len(BULK)
            yield BULK

    async def upload(self):
        await self.session.request("POST", "/up", body=self.pieces())

    async def download(self):
        async with await self.session.request("GET", "/down") as response:
            async for piece in response:
                self.received += len(piece)


class FullTransport:
    """Takes so many octets at a time, then says that it is full."""

    def __init__(self, wire, room):
        self.wire = wire
        self.room = room
        self.turns = [0]
        self.largest = 0

    def get_extra_info(self, name, default=None):
        return default

    def set_write_buffer_limits(self, high):
        pass

    def write(self, data):
        self.turns[-1] += len(data)
        self.largest = max(self.largest, len(data))
        if self.turns[-1] >= self.room:
            self.wire.pause_writing()


async def turns_of(room, octets):
    """What a transport takes in each turn of a message, and the largest piece behind the first."""
    peer = Peer(engine, "server", peer_settings=[(f.INITIAL_WINDOW_SIZE, 1 << 30), CONNECT])
    peer.feed(f.window_update(0, 1 << 30))
    stream_id = peer.websocket()
    peer.conn.send_message(stream_id, bytes(octets))
    wire = Wire(running_hub(), peer.conn, WRITE_HIGH)
    transport = FullTransport(wire, room)
    wire.connection_made(transport)
    transport.largest = 0
    while peer.conn.waiting(stream_id):
        transport.turns.append(0)
        wire.resume_writing()
        await asyncio.sleep(0)
    return transport.turns, transport.largest


async def test_a_transport_that_was_full_is_given_little_at_a_time():
    turns, _ = await turns_of(100_000, MIB)
    # The first time nobody knew. Afterwards what waits stays in the engine: there it is overtaken.
    assert max(turns[1:]) <= 2 * PULL, turns
    assert len(turns) > 5


async def test_a_transport_that_was_full_after_much_is_given_much_at_a_time():
    """What stands in it is soon gone."""
    turns, largest = await turns_of(MIB, 8 * MIB)
    assert largest > PULL
    assert max(turns) <= MIB + PULL_MORE, turns


async def stats(session):
    return json.loads(await (await session.request("GET", "/stats")).read())


@contextlib.asynccontextmanager
async def observed(loop_kind):
    """A session with a server beyond the link, and a witness."""
    async with (
        crowded(loop_kind, RATE, DELAY) as session,
        Witness(loop_kind, RATE, DELAY) as witness,
    ):
        yield session, witness


async def beside_witness(ws, witness, *arguments):
    """Figures of `ping_pong` for both, at the same time."""
    return await asyncio.gather(ping_pong(ws, *arguments), witness.ping_pong(*arguments))


def worst(*several):
    """The larger of each figure."""
    return tuple(map(max, *several))


@pytest.mark.measures
@PATIENCE
@pytest.mark.parametrize("readers", [1, 10])
async def test_latency_and_memory_beside_stuck_readers_and_bulk(loop_kind, readers):
    async with observed(loop_kind) as (session, witness):
        await crowd(session, witness, readers)


@pytest.mark.measures
@PATIENCE
@pytest.mark.parametrize("every_s", [0.11, EVERY_S])
async def test_latency_beside_many_busy_websockets(loop_kind, every_s):
    """A message now and then, or every few milliseconds, is not behind a turn of each.

    150 turns of 16 KiB take the link 98 ms. A WebSocket with something new is let past all others:
    without that, its messages take six times as long as alone.
    """
    received = 0

    async def drain(each):
        nonlocal received
        async for message in each:
            received += len(message)

    async with observed(loop_kind) as (session, witness):
        ws = await session.websocket("/echo")
        alone = worst(*await beside_witness(ws, witness, 100))
        busy = await asyncio.gather(*(session.websocket("/push") for _ in range(150)))
        tasks = [asyncio.create_task(drain(each)) for each in busy]
        try:
            await asyncio.sleep(1)
            before, began = received, time.perf_counter()
            pings = 20 if every_s > 0.1 else 150
            beside, seen = await beside_witness(ws, witness, pings, every_s)
            elapsed = time.perf_counter() - began
            assert received - before > RATE * elapsed / 10
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            session._wire.abort()
    assert beside[0] <= 3 * max(alone[0], seen[0]), (alone, seen, beside)


async def crowd(session, witness, readers):
    ws = await session.websocket("/echo")
    alone = worst(*await beside_witness(ws, witness))
    before = await stats(session)

    unread = [await session.websocket("/unread") for _ in range(readers)]
    unheard = [await session.websocket("/push") for _ in range(readers)]
    bulk = Bulk(session)
    tasks = [asyncio.create_task(send_for_ever(each)) for each in unread]
    tasks += [asyncio.create_task(bulk.upload()), asyncio.create_task(bulk.download())]
    try:
        await asyncio.sleep(1)
        sent, received, began = bulk.sent, bulk.received, time.perf_counter()
        beside, seen = await beside_witness(ws, witness)
        elapsed = time.perf_counter() - began
        # It was no idle connection: each way went at a part of the link's rate.
        assert bulk.sent - sent > RATE * elapsed / 10
        assert bulk.received - received > RATE * elapsed / 10

        after = await stats(session)
        settings, limits = Settings(), Limits()
        window = settings.initial_window_size
        most_buffered = (readers + 1) * window + limits.window_budget
        most_queued = (readers + 1) * (2**15 + len(BULK) + KIB) + KIB * KIB
        assert readers * window * 0.9 < after["octets_buffered"] <= most_buffered
        assert after["octets_queued"] <= most_queued
        # What is buffered and queued, what the transport holds, and the pools and objects around.
        growth = after["resident"] - before["resident"]
        held = after["octets_buffered"] + most_queued + WRITE_HIGH + 2 * PULL_MORE
        assert growth <= 2 * held + 16 * MIB, (growth, held)

        # Nobody is stuck for ever who is read after all.
        for each in unheard:
            async with asyncio.timeout(20):
                assert await each.recv() == BULK
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        session._wire.abort()
    base = worst(alone, seen)
    assert beside[0] <= 3 * base[0], (alone, seen, beside)
    assert beside[1] <= 3 * base[1], (alone, seen, beside)
