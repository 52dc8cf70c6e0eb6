"""Upstreams whose WebSockets are read, as their routes say; and what becomes of their backends."""

import asyncio
import logging

import pytest

from h2ws_fast import ConnectionClosed, InvalidStatus, connect, serve
from h2ws_fast.engine import Settings
from h2ws_fast.gateway import Aware, Backend, Route, Routes, Table, Upstream
from h2ws_fast.gateway.conversation import Conversation
from tests.gateway.conftest import in_front_of
from tests.support import frames as f
from tests.support.backend import RawBackend
from tests.support.h1 import read_answers, upgrade
from tests.support.raw import RawClient, RawServer


async def echo(ws):
    async for message in ws:
        await ws.send(message)


def to(gate, **options):
    return connect(f"ws://127.0.0.1:{gate.port}/", http="h2", proxy=None, **options)


def behind(server, **options):
    return Backend(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", **options)


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_size_and_compression_of_a_routes_own():
    codes = []

    async def handler(ws):
        codes.append("sec-websocket-extensions" in ws.request.headers)
        async for message in ws:
            await ws.send(message * 2)

    own = Aware(max_size=1000, compression=None)
    async with serve(handler, "127.0.0.1", 0, origins=None) as server:
        async with in_front_of(behind(server, http="h2"), aware=own, max_size=10**6) as gate:
            for message, answers in ((b"a" * 500, True), (b"a" * 501, False), (b"a" * 1001, False)):
                async with to(gate) as ws:
                    assert "sec-websocket-extensions" not in ws.response.headers
                    await ws.send(message)
                    if answers:
                        assert await ws.recv() == message * 2
                        continue
                    with pytest.raises(ConnectionClosed):
                        await ws.recv()
                    assert ws.close_code == 1009
    assert codes == [False] * 3


async def test_a_size_counts_all_fragments_of_a_message():
    async with serve(echo, "127.0.0.1", 0, origins=None) as server:
        async with in_front_of(behind(server), aware=Aware(max_size=1000)) as gate:
            async with to(gate) as ws:
                await ws.send([b"a" * 400, b"b" * 600])
                assert len(await ws.recv()) == 1000
                await ws.send([b"a" * 400, b"b" * 400, b"c" * 400])
                await ws.wait_closed()
                assert ws.close_code == 1009


async def test_pings_of_a_routes_own_are_for_its_backends():
    """The gateway asks nobody, and this route's backends often."""
    pinged = asyncio.Event()

    async def script(visit):
        await visit.switch()
        head = await visit.read(2)
        assert head[0] & 15 == 9
        pinged.set()
        await visit.rest()

    async with RawBackend(script) as server:
        there = Backend(f"http://127.0.0.1:{server.port}", http="h1")
        own = Aware(ping_interval=0.05)
        async with in_front_of(there, aware=own, ping_interval=None) as gate:
            client = await RawClient.connect(gate.port)
            assert (await client.websocket(1)).get(":status") == "200"
            async with asyncio.timeout(20):
                await pinged.wait()
            client.close()


@pytest.mark.parametrize("wrong", [{"max_size": 0}, {"ping_interval": -1}, {"compression": "zip"}])
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Upstream([Backend("http://127.0.0.1:1")], table=Table(), aware=Aware(**wrong))


@pytest.mark.parametrize("http", ["h1", "h2"])
async def test_new_routes_leave_what_is_read_where_it_is(http):
    """And connections of a backend that is left end with what is on them, soon."""
    async with serve(echo, "127.0.0.1", 0, origins=None) as server:
        there = behind(server, http=http)
        async with in_front_of(there, aware=True) as gate:
            async with to(gate) as ws:
                stats = gate.stats()["backends"][there.address]
                assert (stats["aware_connections"], stats["load"]) == (1, 1)
                gate.reroute(
                    Routes([Route(Upstream([Backend("http://127.0.0.1:1")], table=Table()))])
                )
                await ws.send("still")
                assert await ws.recv() == "still"
                assert there.busy
            await until(lambda: not there.busy)
            await until(lambda: not server.stats()["connections"])


async def test_what_fails_in_a_conversation_is_no_failure_of_its_backend(monkeypatch):
    """It was reached, and nobody else is asked for what has begun."""

    async def fail(*arguments):
        raise ConnectionResetError("in a conversation")

    monkeypatch.setattr(Conversation, "_pump", fail)
    async with serve(echo, "127.0.0.1", 0, origins=None) as one:
        async with serve(echo, "127.0.0.1", 0, origins=None) as two:
            there = [behind(one), behind(two)]
            async with in_front_of(*there, aware=True) as gate:
                async with to(gate) as ws:
                    await ws.wait_closed()
                    assert ws.close_code == 1006
                await until(lambda: not sum(backend.load for backend in there))
                assert sum(backend.served for backend in there) == 1
                assert [backend.failures for backend in there] == [0, 0]


async def test_a_handshake_that_is_slow_holds_up_no_other():
    """Those that go to one backend are of many clients."""
    released = asyncio.Event()

    async def script(visit):
        line, _ = await visit.head()
        if "/slow" in line:
            await released.wait()
        visit.say("HTTP/1.1 403 Forbidden", "Content-Length: 0")

    async with RawBackend(script) as server:
        there = Backend(f"http://127.0.0.1:{server.port}", http="h1")
        async with in_front_of(there, aware=True) as gate:
            client = await RawClient.connect(gate.port)
            client.ask_for_websocket(1, "/slow")
            await until(lambda: server.visits)
            async with asyncio.timeout(5):
                assert (await client.websocket(3)).get(":status") == "403"
            released.set()
            assert (await client.expect(1, 1)).get(":status") == "403"
            client.close()


@pytest.mark.parametrize("http", ["h1", "h2"])
async def test_a_backend_that_has_no_room_is_busy_and_another_is_asked(http):
    """One WebSocket over HTTP/1.1, or one stream, is all that there may be: it has not failed."""
    settings = Settings(max_concurrent_streams=1)
    async with (
        serve(echo, "127.0.0.1", 0, origins=None, settings=settings) as one,
        serve(echo, "127.0.0.1", 0, origins=None, settings=settings) as other,
    ):
        bounds = {"connections": 1, "h1_connections": 1, "connect_timeout": 1}
        theirs = [behind(server, http=http, **bounds) for server in (one, other)]
        async with in_front_of(*theirs, aware=True, open_timeout=5) as gate:
            async with to(gate), to(gate):
                assert [there.load for there in theirs] == [1, 1]
                for _ in range(2):
                    with pytest.raises(InvalidStatus) as refused:
                        await to(gate)
                    assert refused.value.response.status == 503
            await until(lambda: not any(there.load for there in theirs))
            # The first has room again, and it is the other's turn.
            async with to(gate), to(gate):
                assert [there.load for there in theirs] == [1, 1]
            told = gate.stats()["backends"].values()
            assert [(each["failures"], each["unanswered"]) for each in told] == [(0, 0)] * 2


@pytest.mark.parametrize("patience", [10, None])
async def test_who_waits_for_room_gets_it(patience):
    async with serve(echo, "127.0.0.1", 0, origins=None) as server:
        there = behind(server, http="h1", h1_connections=1, connect_timeout=patience)
        async with in_front_of(there, aware=True) as gate:
            async with to(gate):
                second = asyncio.create_task(to(gate).__aenter__())
                await until(lambda: gate.stats()["backends"][there.address]["load"] == 2)
            async with await second as ws:
                await ws.send("1")
                assert await ws.recv() == "1"


@pytest.mark.parametrize("front", ["h1", "h2"])
@pytest.mark.parametrize("breaks", ["long", "short"])
@pytest.mark.parametrize("http", ["h1", "h2"])
async def test_a_refusals_body_that_is_not_whole_is_not_made_so(front, breaks, http):
    """More than is kept of it, or less than was promised."""

    async def by_h1(visit):
        await visit.head()
        visit.say("HTTP/1.1 403 Forbidden", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n")
        if breaks == "long":
            visit.writer.write(b"30000\r\n" + bytes(0x30000) + b"\r\n0\r\n\r\n")
        else:
            visit.close()

    async def by_h2(peer):
        frame = await peer.expect(1)
        peer.headers(frame.stream_id, [(":status", "403")])
        peer.send(f.data(frame.stream_id, b"hello"))
        if breaks == "long":
            peer.send(*(f.data(frame.stream_id, bytes(16000)) for _ in range(4)))
            peer.send(f.data(frame.stream_id, bytes(2000), True))
        else:
            peer.send(f.rst_stream(frame.stream_id, 2))
        await peer.until_eof()

    server = RawBackend(by_h1) if http == "h1" else RawServer(by_h2, (8, 1))
    async with server:
        there = Backend(f"http://127.0.0.1:{server.port}", http=http)
        async with in_front_of(there, aware=True) as gate:
            if front == "h1":
                reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
                writer.write(upgrade())
                async with asyncio.timeout(20):
                    octets = await reader.read(-1)
                writer.close()
                assert octets.startswith(b"HTTP/1.1 403 ") and b"hello" in octets
                assert not octets.endswith(b"0\r\n\r\n")
            else:
                client = await RawClient.connect(gate.port)
                assert (await client.websocket(1)).get(":status") == "403"
                body = b""
                async with asyncio.timeout(20):
                    while (frame := await client.frame()).kind != f.RST_STREAM:
                        if frame.kind == f.DATA:
                            assert not frame.end_stream
                            body += frame.content
                assert body.startswith(b"hello") and frame.error_code == f.INTERNAL_ERROR
                client.close()


@pytest.mark.parametrize("front", ["h1", "h2"])
@pytest.mark.parametrize("http", ["h1", "h2"])
async def test_as_much_of_a_refusals_body_as_is_kept_is_whole(front, http):
    most = bytes(65536)

    async def by_h1(visit):
        await visit.head()
        visit.say("HTTP/1.1 403 Forbidden", f"Content-Length: {len(most)}", body=most)
        await visit.rest()

    async def by_h2(peer):
        frame = await peer.expect(1)
        peer.headers(frame.stream_id, [(":status", "403"), ("content-length", f"{len(most)}")])
        for at in range(0, len(most), 16384):
            last = at + 16384 == len(most)
            peer.send(f.data(frame.stream_id, most[at : at + 16384], last))
        await peer.until_eof()

    server = RawBackend(by_h1) if http == "h1" else RawServer(by_h2, (8, 1))
    async with server:
        there = Backend(f"http://127.0.0.1:{server.port}", http=http)
        async with in_front_of(there, aware=True) as gate, asyncio.timeout(20):
            with pytest.raises(InvalidStatus) as caught:
                await connect(f"ws://127.0.0.1:{gate.port}/", http=front, proxy=None)
    refusal = caught.value
    assert (refusal.response.status, refusal.response.body) == (403, most)
    assert refusal.whole


async def test_a_426_says_what_it_requires_where_messages_are_read():
    async def script(visit):
        await visit.head()
        visit.say(
            "HTTP/1.1 426 Upgrade Required",
            "Upgrade: websocket, h2c",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Content-Length: 0",
        )

    async with RawBackend(script) as server:
        there = Backend(f"http://127.0.0.1:{server.port}", http="h1")
        async with in_front_of(there, aware=True) as gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
            writer.write(upgrade())
            (answer,) = read_answers(await reader.readuntil(b"\r\n\r\n"))
            writer.close()
    assert (answer.status, answer.fields["upgrade"]) == (426, "websocket")
    assert answer.fields["connection"] == "upgrade"


async def test_what_the_gateway_refuses_by_a_reset_has_no_status(caplog):
    """A conversation that its backend does not end is work, though the client's stream is over."""
    caplog.set_level(logging.INFO, logger="h2ws_fast.gateway.access")

    async def script(visit):
        await visit.switch()
        await visit.rest()

    async with RawBackend(script) as server:
        there = Backend(f"http://127.0.0.1:{server.port}", http="h1")
        settings = Settings(max_concurrent_streams=1)
        async with in_front_of(there, aware=True, settings=settings, access_log=True) as gate:
            client = await RawClient.connect(gate.port)
            assert (await client.websocket(1)).get(":status") == "200"
            client.close_frame(1, 1000, end_stream=True)
            assert (await client.expect(f.DATA, 1)).end_stream
            client.ask_for_websocket(3, "/refused")
            assert (await client.expect(f.RST_STREAM, 3)).error_code == f.REFUSED_STREAM
            client.close()
    lines = [record.getMessage() for record in caplog.records if "/refused" in record.getMessage()]
    assert [line.split('" ')[1].split()[0] for line in lines] == ["-"]


@pytest.mark.parametrize("patience", [None, 5])
@pytest.mark.parametrize("http", ["h1", "h2"])
async def test_who_waits_for_room_in_vain_says_nothing_of_the_backend(http, patience):
    """Nobody has asked it: it is busy, and not to blame however many give up."""
    settings = Settings(max_concurrent_streams=1)
    async with serve(echo, "127.0.0.1", 0, origins=None, settings=settings) as server:
        bounds = {"connections": 1, "h1_connections": 1, "connect_timeout": patience}
        there = behind(server, http=http, **bounds)
        async with in_front_of(there, aware=True, open_timeout=0.5) as gate:
            async with to(gate, open_timeout=5) as ws:
                for _ in range(4):
                    with pytest.raises(InvalidStatus, match="504"):
                        await to(gate, open_timeout=5)
                told = gate.stats()["backends"][there.address]
                assert (told["failures"], told["unanswered"], there.down_until) == (0, 0, 0)
                await ws.send("still")
                assert await ws.recv() == "still"


async def hangs(visit):
    await visit.head()
    await visit.rest()


async def hangs_h2(peer):
    await peer.until_eof()


@pytest.mark.parametrize("http", ["h1", "h2"])
async def test_who_answers_no_handshake_several_times_is_passed_over(http):
    silent = RawBackend(hangs) if http == "h1" else RawServer(hangs_h2, (8, 1))
    async with silent, serve(echo, "127.0.0.1", 0, origins=None) as server:
        bad = Backend(f"http://127.0.0.1:{silent.port}", http=http)
        good = behind(server, http=http)
        async with in_front_of(bad, good, aware=True, open_timeout=0.5) as gate:
            for turn in range(3):
                with pytest.raises(InvalidStatus, match="504"):
                    await to(gate, open_timeout=5)
                told = gate.stats()["backends"]
                assert [told[each.address]["unanswered"] for each in (bad, good)] == [turn + 1, 0]
                assert (bad.down_until > 0) == (turn == 2)
                async with to(gate):
                    pass
            assert (bad.failures, good.down_until) == (0, 0)


@pytest.mark.parametrize("http", ["h1", "h2"])
async def test_who_leaves_before_the_answer_says_nothing_of_the_backend(http):
    silent = RawBackend(hangs) if http == "h1" else RawServer(hangs_h2, (8, 1))
    async with silent:
        there = Backend(f"http://127.0.0.1:{silent.port}", http=http)
        async with in_front_of(there, aware=True) as gate:
            client = await RawClient.connect(gate.port)
            for stream_id in range(1, 9, 2):
                client.ask_for_websocket(stream_id)
                await until(lambda: there.under_way == 1)
                await asyncio.sleep(0.1)  # it is asked
                client.send(f.rst_stream(stream_id, f.CANCEL))
                await until(lambda: there.under_way == 0)
            client.close()
            assert gate.stats()["backends"][there.address]["unanswered"] == 0
            assert there.down_until == 0
