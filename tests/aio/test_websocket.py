"""WebSockets from one end to the other: messages, order, back-pressure, cancellation, pings."""

import asyncio
import gc
import os
import time
import weakref

import pytest

from h2ws_fast import (
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedOK,
    Session,
    State,
    broadcast,
    connect,
    serve,
)
from tests.support import frames as f
from tests.support.raw import RawClient
from tests.support.ws_frames import TEXT, ws_frame

NOISE = os.urandom(200_000)  # which no compression makes smaller


async def echo(ws):
    async for message in ws:
        await ws.send(message)


def echo_now(ws, message):
    ws.send(message)


@pytest.fixture(params=("await", "callback"))
def echoing(request):
    """The two ways to write an echo server."""
    return {"handler": echo} if request.param == "await" else {"on_message": echo_now}


async def test_messages_come_back_as_they_were(place, echoing):
    messages = ["", "text", "ä€🎉" * 1000, b"", b"\x00\xff", bytes(70000), "x" * 300000]
    async with place.serve(**echoing):
        async with connect(place.ws("/echo?x=1"), ssl=place.client_ssl) as ws:
            assert ws.state is State.OPEN
            for message in messages:
                await ws.send(message)
                got = await ws.recv()
                assert type(got) is type(message) and got == message
            assert ws.close_code is None
        assert ws.state is State.CLOSED
        assert (ws.close_code, ws.close_reason) == (1000, "")


async def test_a_call_from_another_thread_stops_nobody(clear):
    """Debug mode refuses it, as it does everywhere in asyncio; the connections go on."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    try:
        async with clear.serve(echo), connect(clear.ws()) as ws:
            await ws.send("one")
            assert await ws.recv() == "one"
            await asyncio.sleep(0)  # out of the batch that brought it
            while ws.wire.hub.scheduled:  # a call that comes now would go with what is under way
                await asyncio.sleep(0)
            with pytest.raises(RuntimeError):
                await asyncio.to_thread(ws.send, "from a thread")
            await ws.send("two")
            while await ws.recv() != "two":
                pass
            async with connect(clear.ws()) as other:
                await other.send("three")
                assert await other.recv() == "three"
    finally:
        loop.set_debug(False)


async def test_many_messages_keep_their_order(place, echoing):
    async with place.serve(**echoing), connect(place.ws(), ssl=place.client_ssl) as ws:

        async def feed():
            for number in range(3000):
                await ws.send(f"{number}")

        task = asyncio.create_task(feed())
        for number in range(3000):
            assert await ws.recv() == f"{number}"
        await task


async def test_many_websockets_share_one_connection(place, echoing):
    async with place.serve(**echoing) as server:
        async with Session(place.http, ssl=place.client_ssl) as session:
            sockets = await asyncio.gather(*(session.websocket(f"/{i}") for i in range(200)))
            assert len(server.connections) == 200
            assert len({ws.remote_address for ws in server.connections}) == 1

            async def talk(ws, number):
                for turn in range(5):
                    await ws.send(f"{number}.{turn}")
                    assert await ws.recv() == f"{number}.{turn}"

            await asyncio.gather(*(talk(ws, i) for i, ws in enumerate(sockets)))
        assert all(ws.close_code == 1000 for ws in sockets)
        assert not server.connections


async def test_iteration_ends_with_a_proper_close(place):
    seen = []

    async def handler(ws):
        async for message in ws:
            seen.append(message)
        seen.append((ws.close_code, ws.close_reason))

    async with place.serve(handler), connect(place.ws(), ssl=place.client_ssl) as ws:
        await ws.send("one")
        await ws.send("two")
        await ws.close(1001, "leaving")
    assert seen == ["one", "two", (1001, "leaving")]


async def test_recv_as_another_type(clear):
    async with clear.serve(echo), connect(clear.ws()) as ws:
        await ws.send("text")
        assert await ws.recv(decode=False) == b"text"
        await ws.send(b"binary")
        assert await ws.recv(decode=True) == "binary"


async def test_messages_that_are_taken_by_hand_keep_no_frames(clear):
    class Local:
        pass

    def take(ws):
        local = Local()
        kept.append(weakref.ref(local))
        with pytest.raises(StopIteration) as caught:
            next(ws.recv())
        assert caught.value.value == "message"

    kept = []
    async with clear.serve(on_message=echo_now), connect(clear.ws()) as ws:
        for _ in range(5):
            await ws.send("message")
        await (await ws.ping())  # behind which all echoes have come
        for _ in range(5):
            take(ws)
        gc.collect()
        assert not any(reference() for reference in kept[:-1])


async def test_send_as_another_type(clear):
    async with clear.serve(echo), connect(clear.ws()) as ws:
        await ws.send(b"text", text=True)
        assert await ws.recv() == "text"
        await ws.send("binary", text=False)
        assert await ws.recv() == b"binary"
        await ws.send(bytearray(b"array"))
        assert await ws.recv() == b"array"
        await ws.send(memoryview(b"view"))
        assert await ws.recv() == b"view"


async def test_iterables_are_sent_as_one_fragmented_message(clear):
    async def pieces():
        for piece in (b"one ", b"message ", b"again"):
            await asyncio.sleep(0)
            yield piece

    async with clear.serve(echo), connect(clear.ws()) as ws:
        await ws.send(["one ", "mess", "age"])
        assert await ws.recv() == "one message"
        await ws.send(pieces())
        assert await ws.recv() == b"one message again"
        await ws.send([])
        await ws.send(["alone"])
        assert await ws.recv() == "alone"


async def test_other_messages_wait_for_a_fragmented_one(clear):
    gate = asyncio.Event()

    async def pieces():
        yield "first "
        await gate.wait()
        yield "whole"

    async with clear.serve(echo), connect(clear.ws()) as ws:
        slow = asyncio.create_task(ws.send(pieces()))
        await asyncio.sleep(0.01)
        other = asyncio.create_task(ws.send("second"))
        await asyncio.sleep(0.01)
        assert not other.done()
        gate.set()
        await asyncio.gather(slow, other)
        assert await ws.recv() == "first whole"
        assert await ws.recv() == "second"


async def test_fragments_of_two_types_fail_the_websocket(clear):
    async with clear.serve(echo):
        ws = await connect(clear.ws())
        with pytest.raises(TypeError, match="all text or all binary"):
            await ws.send(["text", b"bytes"])
        await ws.wait_closed()
        assert ws.close_code == 1011 or ws.close_code == 1006


@pytest.mark.parametrize("http", ["h2", "h1"])
async def test_a_fragmented_message_given_up_while_the_peer_does_not_read(clear, http):
    reading = asyncio.Event()

    async def late(ws):
        await reading.wait()
        async for message in ws:
            assert len(message) == 60_000

    async with clear.serve(late, max_size=None):
        async with connect(clear.ws(), http=http, max_size=None) as ws:
            while ws.send(NOISE[:60_000]).done():  # until what is in between holds no more
                await asyncio.sleep(0)
            sending = asyncio.create_task(ws.send([os.urandom(900_000), b"the rest"]))
            await asyncio.sleep(0.05)
            assert not sending.done()
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            # The first fragment is out already: no message could follow.
            assert ws.state is State.CLOSING
            reading.set()
            await ws.wait_closed()
            assert ws.close_code == 1011


async def test_a_fragmented_message_that_reads_another_websocket(clear):
    async def leave(ws):
        if ws.request.path == "/source":
            await ws.send("half")
            await ws.recv()
            ws.abort()
        else:
            await ws.wait_closed()

    async with (
        clear.serve(leave),
        connect(clear.ws("/source")) as source,
        connect(clear.ws("/target")) as target,
    ):
        sending = asyncio.create_task(target.send(source))
        await asyncio.sleep(0.02)
        await source.send("that is enough")
        with pytest.raises(ConnectionClosed):
            await sending
        await target.wait_closed()
        assert target.close_code == 1011


async def test_what_is_no_message_is_refused(clear):
    async with clear.serve(echo), connect(clear.ws()) as ws:
        with pytest.raises(TypeError, match="mapping"):
            await ws.send({"a": 1})
        with pytest.raises(TypeError, match="a message is"):
            await ws.send(5)
        with pytest.raises(TypeError, match="ping"):
            await ws.ping(5)
        await ws.send("still open")
        assert await ws.recv() == "still open"


async def test_cancelling_recv_loses_nothing(place):
    async with place.serve(echo), connect(place.ws(), ssl=place.client_ssl) as ws:
        for number in range(50):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await ws.recv()
            await ws.send(f"{number}")
            if number % 2:
                await asyncio.sleep(0.002)
            reader = asyncio.create_task(ws.recv())
            await asyncio.sleep(0)
            if number % 3 == 0 and not reader.done():
                reader.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await reader
                assert await ws.recv() == f"{number}"
            else:
                assert await reader == f"{number}"


async def test_cancelled_while_the_message_arrives(clear):
    # The message and the cancellation come in the same turn of the loop, in both orders.
    async with clear.serve(echo), connect(clear.ws()) as ws:
        loop = asyncio.get_running_loop()

        def arrive():
            octets = f.data(1, ws_frame(TEXT, b"direct", key=None))
            ws.wire.get_buffer(-1)[: len(octets)] = octets
            ws.wire.buffer_updated(len(octets))

        reader = asyncio.create_task(ws.recv())
        await asyncio.sleep(0)
        loop.call_soon(reader.cancel)
        loop.call_soon(arrive)
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert await ws.recv() == "direct"

        reader = asyncio.create_task(ws.recv())
        await asyncio.sleep(0)
        loop.call_soon(arrive)
        loop.call_soon(reader.cancel)
        assert await reader == "direct"


async def test_wait_for_and_gather_take_recv_and_send(clear):
    async with clear.serve(echo), connect(clear.ws()) as ws:
        await asyncio.gather(ws.send("a"), ws.send("b"))
        assert await asyncio.wait_for(ws.recv(), 5) == "a"
        done, _ = await asyncio.wait([asyncio.create_task(ws.recv())])
        assert done.pop().result() == "b"
        async with asyncio.TaskGroup() as group:
            group.create_task(ws.send("c"))
            got = group.create_task(ws.recv())
        assert got.result() == "c"


@pytest.mark.parametrize("woken", [False, True])
async def test_a_second_reader_that_never_began_takes_nothing_from_the_first(clear, woken):
    """It was cancelled before its first step: the first one was never woken again."""
    async with clear.serve(echo), connect(clear.ws()) as ws:
        first = asyncio.create_task(ws.recv())
        await asyncio.sleep(0)
        second = asyncio.create_task(ws.recv())
        second.cancel()
        if not woken:
            await asyncio.wait([second])
        await ws.send("x")
        assert await asyncio.wait_for(first, 5) == "x"
        ws.recv().close()
        with pytest.raises(asyncio.CancelledError):
            await second


async def test_two_readers_are_one_too_many(clear):
    async with clear.serve(echo), connect(clear.ws()) as ws:
        first = asyncio.create_task(ws.recv())
        await asyncio.sleep(0)
        with pytest.raises(ConcurrencyError):
            await ws.recv()
        with pytest.raises(ConcurrencyError):
            await anext(aiter(ws))
        second = asyncio.create_task(ws.recv())
        with pytest.raises(ConcurrencyError):
            await second
        await ws.send("for the first")
        assert await first == "for the first"
        assert issubclass(ConcurrencyError, RuntimeError)


async def test_a_reader_that_was_thrown_away_does_not_block_the_next(clear):
    async with clear.serve(echo), connect(clear.ws()) as ws:

        async def read():
            await ws.recv()

        coroutine = read()
        coroutine.send(None)
        coroutine.close()
        await ws.send("next")
        assert await ws.recv() == "next"


async def test_messages_before_the_close_are_read_before_it_is_told(place):
    async def handler(ws):
        for number in range(5):
            await ws.send(f"{number}")
        await ws.close(4000, "done")

    async with place.serve(handler):
        ws = await connect(place.ws(), ssl=place.client_ssl)
        await ws.wait_closed()
        assert [await ws.recv() for _ in range(5)] == ["0", "1", "2", "3", "4"]
        with pytest.raises(ConnectionClosed) as caught:
            await ws.recv()
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4000, "done")


async def test_send_waits_for_a_peer_that_does_not_read(place):
    reading = asyncio.Event()
    total = 0

    async def handler(ws):
        nonlocal total
        await reading.wait()
        async for message in ws:
            total += len(message)

    async with place.serve(handler), connect(place.ws(), ssl=place.client_ssl) as ws:
        sent = 0

        async def feed():
            nonlocal sent
            for _ in range(200):
                await ws.send(noise)
                sent += 20000

        noise = NOISE[:20000]  # which no compression makes smaller
        task = asyncio.create_task(feed())
        await asyncio.sleep(0.2)
        # One stream window and the write limit, and not all four million octets.
        assert not task.done()
        assert sent < 262144 + 32768 + 20000
        before = sent
        await asyncio.sleep(0.1)
        assert sent == before
        reading.set()
        await task
        await ws.close()
    assert total == 4_000_000


async def test_one_slow_reader_does_not_stop_its_siblings(place):
    async def handler(ws):
        if ws.request.path == "/slow":
            await ws.wait_closed()
        else:
            await echo(ws)

    async with place.serve(handler), Session(place.http, ssl=place.client_ssl) as session:
        slow = await session.websocket("/slow")
        fast = await session.websocket("/fast")
        feeder = asyncio.create_task(asyncio.wait_for(_feed(slow), 20))
        for _ in range(100):
            await fast.send(NOISE[:50000])
            assert len(await fast.recv()) == 50000
        assert not feeder.done()
        feeder.cancel()
        with pytest.raises(asyncio.CancelledError):
            await feeder
        slow.abort()


async def _feed(ws):
    while True:
        await ws.send(NOISE[:10000])


async def test_close_ends_a_send_that_waits(clear):
    async def handler(ws):
        await asyncio.sleep(0.1)
        await ws.close(4001)

    async with clear.serve(handler):
        ws = await connect(clear.ws())
        with pytest.raises(ConnectionClosed) as caught:
            await _feed(ws)
        assert caught.value.rcvd.code == 4001


async def test_a_message_above_max_size_is_1009(place):
    async with place.serve(echo, max_size=1000):
        ws = await connect(place.ws(), ssl=place.client_ssl)
        await ws.send(bytes(1001))
        with pytest.raises(ConnectionClosed) as caught:
            await ws.recv()
        assert caught.value.rcvd.code == 1009


async def test_ping_tells_the_round_trip(place):
    async with place.serve(echo), connect(place.ws(), ssl=place.client_ssl) as ws:
        assert ws.latency == 0.0
        pong = await ws.ping()
        round_trip = await pong
        assert 0 <= round_trip < 5
        assert ws.latency == round_trip
        first = await ws.ping(b"one")
        with pytest.raises(ConcurrencyError):
            await ws.ping("one")
        second = await ws.ping(b"two")
        await second
        assert first.done()
        await ws.pong(b"unasked")
        with pytest.raises(ValueError):
            await ws.ping(bytes(126))


async def test_a_ping_that_is_never_answered_ends_with_the_websocket(clear):
    async def handler(ws):
        await asyncio.sleep(0.05)
        ws.abort()

    async with clear.serve(handler):
        ws = await connect(clear.ws())
        await ws.wait_closed()
        with pytest.raises(ConnectionClosed):
            await ws.ping()
        assert ws.close_code == 1006


async def test_broadcast_reaches_every_open_websocket(place):
    async def handler(ws):
        await ws.wait_closed()

    async with place.serve(handler) as server:
        async with (
            Session(place.http, ssl=place.client_ssl) as one,
            Session(place.http, ssl=place.client_ssl) as two,
        ):
            sockets = [await one.websocket() for _ in range(20)]
            sockets += [await two.websocket() for _ in range(20)]
            await sockets[0].close()
            broadcast(server.connections | set(), "to all")
            for ws in sockets[1:]:
                assert await ws.recv() == "to all"
            broadcast(server.connections, b"bytes")
            for ws in sockets[1:]:
                assert await ws.recv() == b"bytes"
            with pytest.raises(ConnectionClosedOK):
                await sockets[0].recv()
            with pytest.raises(TypeError):
                broadcast(server.connections, 5)


async def test_what_a_websocket_knows_of_itself(place):
    known = {}

    async def handler(ws):
        known.update(
            path=ws.request.path,
            method=ws.request.method,
            protocol=ws.request.protocol,
            scheme=ws.request.scheme,
            header=ws.request.headers["X-Test"],
            remote=ws.remote_address,
            local=ws.local_address,
            subprotocol=ws.subprotocol,
            id=ws.id,
        )
        assert vars(ws) == {}
        ws.mine = "attributes of one's own"
        assert vars(ws) == {"mine": ws.mine}
        known["mine"] = ws.mine
        await ws.send("seen")

    async with place.serve(handler, subprotocols=["b", "a"]):
        async with connect(
            place.ws("/path?q=1"),
            ssl=place.client_ssl,
            subprotocols=["a", "b"],
            additional_headers={"X-Test": "yes"},
        ) as ws:
            assert await ws.recv() == "seen"
            assert ws.subprotocol == "b"
            assert ws.response.status == 200
            assert ws.response.headers["sec-websocket-protocol"] == "b"
            assert ws.request.headers["sec-websocket-protocol"] == "a, b"
            assert known["remote"] == ws.local_address
            assert known["local"] == ws.remote_address
            assert ws.id != known["id"] and ws.id == ws.id
    assert known["path"] == "/path?q=1"
    assert known["method"] == "CONNECT"
    assert known["protocol"] == "websocket"
    assert known["scheme"] == ("https" if place.secure else "http")
    assert known["header"] == "yes"
    assert known["subprotocol"] == "b"
    assert known["mine"] == "attributes of one's own"
    assert ws.remote_address == known["local"]
    assert ws.local_address == known["remote"]


async def test_keepalive_pings_and_measures(place):
    async with place.serve(echo, ping_interval=None):
        async with connect(place.ws(), ssl=place.client_ssl, ping_interval=0.05) as ws:
            async with asyncio.timeout(5):
                while not ws.latency:
                    await asyncio.sleep(0.02)
            assert ws.state is State.OPEN


@pytest.mark.row("SEC-4-3")
async def test_those_who_came_together_are_not_pinged_together():
    pinged = []

    async def first_ping(port):
        peer = await RawClient.connect(port)
        await peer.websocket()
        while (await peer.frame()).kind != f.DATA:
            pass
        pinged.append(time.monotonic())
        peer.close()

    options = {"ping_interval": 0.8, "ping_timeout": 0.16}  # it looks each 20 ms
    async with serve(echo, "127.0.0.1", 0, **options) as server:
        port = server.sockets[0].getsockname()[1]
        await asyncio.gather(*(first_ping(port) for _ in range(30)))
    # Over a quarter of the interval, by chance.
    assert 0.1 < max(pinged) - min(pinged)


async def test_callbacks_are_called_in_order(place):
    calls = []

    def on_open(ws):
        calls.append("open")
        ws.send("welcome")

    def on_message(ws, message):
        calls.append(message)
        if message == "stop":
            ws.close(4002, "stopped")

    def on_close(ws):
        calls.append(("close", ws.close_code, ws.state))

    async with place.serve(on_message=on_message, on_open=on_open, on_close=on_close):
        async with connect(place.ws(), ssl=place.client_ssl) as ws:
            assert await ws.recv() == "welcome"
            await ws.send("go")
            await ws.send("stop")
            with pytest.raises(ConnectionClosed) as caught:
                await ws.recv()
            assert caught.value.rcvd.code == 4002
        await asyncio.sleep(0.01)
    assert calls == ["open", "go", "stop", ("close", 4002, State.CLOSED)]


async def test_client_callbacks(clear):
    got = []
    done = asyncio.Event()

    def on_message(ws, message):
        got.append(message)
        if len(got) == 3:
            ws.close()

    async with clear.serve(echo), Session(clear.http) as session:
        ws = await session.websocket(on_message=on_message, on_close=lambda ws: done.set())
        for number in range(3):
            await ws.send(f"{number}")
        await done.wait()
    assert got == ["0", "1", "2"]


async def test_reading_paused_holds_messages_back_with_the_peer(place):
    got, sockets = [], []

    def on_open(ws):
        sockets.append(ws)
        ws.pause_reading()

    def on_message(ws, message):
        got.append(message)
        if message == "two":
            ws.pause_reading()

    async def send_all(ws):
        for message in ("one", "two", "three", *(NOISE for _ in range(20))):
            await ws.send(message)

    async with place.serve(on_message=on_message, on_open=on_open):
        async with connect(place.ws(), ssl=place.client_ssl) as ws:
            sending = asyncio.ensure_future(send_all(ws))
            await asyncio.wait([sending], timeout=0.3)
            assert not sending.done() and got == []
            sockets[0].resume_reading()
            assert got == ["one", "two"]
            sockets[0].resume_reading()
            assert got[2] == "three"
            await sending
            await ws.close()
            assert got[3:] == [NOISE] * 20


async def test_a_task_that_only_sends_leaves_the_loop_to_others(clear):
    # Both ends share the loop here: without a pause nothing would ever be read.
    total = 0

    async def count(ws):
        nonlocal total
        async for message in ws:
            total += len(message)

    async with clear.serve(count), connect(clear.ws()) as ws:
        for _ in range(2000):
            await ws.send(NOISE[:10000])
        await ws.close()
        async with asyncio.timeout(5):
            while total < 20_000_000:
                await asyncio.sleep(0.01)


async def test_reads_nested_in_a_read_do_not_mix(clear):
    # A TLS transport that closes may read meanwhile, in the middle of another connection's batch.
    got = []

    def on_message(ws, message):
        got.append((ws.request.path, message))
        if message == "outer" and len(ws.others) == 1:
            octets = f.data(1, ws_frame(TEXT, b"inner"))
            (other,) = ws.others
            ws.others = []
            other.wire.get_buffer(-1)[: len(octets)] = octets
            other.wire.buffer_updated(len(octets))

    def on_open(ws):
        ws.others = []

    async with clear.serve(on_message=on_message, on_open=on_open) as server:
        async with connect(clear.ws("/a")) as first, connect(clear.ws("/b")):
            by_path = {ws.request.path: ws for ws in server.connections}
            by_path["/a"].others = [by_path["/b"]]
            await first.send("outer")
            await first.send("next")
            async with asyncio.timeout(5):
                while len(got) < 3:
                    await asyncio.sleep(0.01)
    assert got == [("/a", "outer"), ("/b", "inner"), ("/a", "next")]


async def test_a_reader_that_is_never_done_keeps_nothing_that_it_took():
    came = asyncio.Event()
    kept = asyncio.get_running_loop().create_future()

    async def handler(ws):
        await came.wait()
        for number in range(3000):
            assert await ws.recv() == f"message {number}"
        (waiting,) = [x for x in gc.get_objects() if type(x) is list and "message 3999" in x]
        kept.set_result((len(waiting), "message 7" in waiting, "message 2990" in waiting))

    async with serve(handler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}") as ws:
            for number in range(4000):
                await ws.send(f"message {number}")
            await (await ws.ping())
            came.set()
            places, first, last = await kept
    assert places <= 2 * 2 * 1000  # a message and its credit, and as much again of what was taken
    assert not first
    assert not last
