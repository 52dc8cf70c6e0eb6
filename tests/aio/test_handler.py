"""Handlers, which go on at their next message without a step of their task: as any task they are.

What a handler sees and how it ends is the same where its coroutine is of a kind that no driver takes
(`Foreign`), which is stepped by its task alone: each test runs with both.
"""

import asyncio
import collections.abc
import contextlib
import contextvars
import gc
import importlib.util
import logging
import pathlib
import sys
import weakref

import pytest

from h2ws_fast import COMPILED, connect
from h2ws_fast.aio import handler as driving
from h2ws_fast.aio import step as steps
from tests.support import frames as f
from tests.support.raw import RawClient
from tests.support.ws_frames import BINARY, CLOSE, read_ws_frames, ws_frame

LARGE = bytes(16000)  # whose readers run within the read
SMALL = bytes(10)  # whose readers run behind it
BOTH = pytest.mark.parametrize("payload", (SMALL, LARGE), ids=("small", "large"))

variable = contextvars.ContextVar("variable", default=0)


class Foreign(collections.abc.Coroutine):
    """A coroutine that is none of the interpreter's."""

    def __init__(self, coroutine):
        self.coroutine = coroutine

    def send(self, value):
        return self.coroutine.send(value)

    def throw(self, *error):
        return self.coroutine.throw(*error)

    def close(self):
        self.coroutine.close()

    def __await__(self):
        return self.coroutine.__await__()


@pytest.fixture(params=("driven", "stepped"))
def made(request):
    """Makes a handler of a coroutine function."""
    if request.param == "driven":
        return lambda function: function
    return lambda function: lambda ws: Foreign(function(ws))


def bring(server, octets):
    """Have the server's one connection read `octets` in one go, soon."""
    wire = next(iter(server.connections)).wire

    def read():
        wire.get_buffer(-1)[: len(octets)] = octets
        wire.buffer_updated(len(octets))

    asyncio.get_running_loop().call_soon(read)


def message(stream_id, payload):
    return f.data(stream_id, ws_frame(BINARY, payload))


@contextlib.asynccontextmanager
async def serving(place, handler, count=1, window=2**20, **options):
    """A server with `count` WebSockets of one client on streams 1, 3, 5 ..."""
    async with place.serve(handler, **options) as server:
        peer = await RawClient.connect(place.port, (f.INITIAL_WINDOW_SIZE, window))
        peer.send(f.window_update(0, 2**20))
        for index in range(count):
            await peer.websocket(2 * index + 1)
        await asyncio.sleep(0)  # each handler waits
        yield server, peer
        peer.close()


@BOTH
async def test_a_handler_is_its_task(clear, made, payload):
    seen = []

    async def handler(ws):
        seen.append((asyncio.current_task(), variable.get()))
        async for _ in ws:
            variable.set(variable.get() + 1)
            task = asyncio.current_task()
            seen.append((task, variable.get()))
            assert task in asyncio.all_tasks() and not task.done()
            await ws.send(b"")

    async with serving(clear, made(handler)) as (server, peer):
        bring(server, message(1, payload) * 2)
        await peer.ws_frames(1, 2)
        bring(server, message(1, payload))
        await peer.ws_frames(1, 1)
    assert {task for task, _ in seen} == {seen[0][0]}
    assert [value for _, value in seen] == [0, 1, 2, 3] and variable.get() == 0


async def test_a_task_shows_the_handler_it_runs(clear):
    shown = asyncio.get_running_loop().create_future()

    async def handler_by_name(ws):
        async for _ in ws:
            pass

    async with serving(clear, handler_by_name):
        for task in asyncio.all_tasks():
            if "handler_by_name" in repr(task):
                (frame,) = task.get_stack()
                shown.set_result((repr(task), frame.f_code.co_name, task.get_coro()))
        text, name, coroutine = await shown
        assert f"{__name__.rpartition('.')[2]}.py:" in text and name == "handler_by_name"
        assert coroutine.__qualname__.endswith("handler_by_name") and coroutine.cr_await is not None
        assert asyncio.iscoroutine(coroutine)
        with pytest.raises(AttributeError, match="no_such_name"):
            _ = coroutine.no_such_name


@BOTH
async def test_what_a_handler_raises_is_reported_with_where(clear, made, payload, caplog):
    async def handler(ws):
        await ws.recv()
        raise ValueError("of the handler")

    async with serving(clear, made(handler)) as (server, peer):
        bring(server, message(1, payload))
        (close,) = await peer.ws_frames(1, 1)
        assert close.opcode == CLOSE and close.payload[:2] == (1011).to_bytes(2, "big")
    (record,) = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert "raise ValueError" in record.exc_text and "of the handler" in record.exc_text


@BOTH
async def test_a_handler_that_ends_behind_a_message_closes(clear, made, payload):
    async def handler(ws):
        await ws.send(await ws.recv())

    async with serving(clear, made(handler)) as (server, peer):
        bring(server, message(1, payload))
        echo, close = await peer.ws_frames(1, 2)
        assert echo.payload == payload and close.payload[:2] == (1000).to_bytes(2, "big")


@BOTH
async def test_other_awaits_stand_between_messages(clear, made, payload):
    async def inner(ws):
        return len(await ws.recv())

    async def handler(ws):
        async for first in ws:
            await asyncio.sleep(0)
            second = await inner(ws)
            await asyncio.sleep(0.001)
            third = await asyncio.wait_for(ws.recv(), 10)
            fourth = await asyncio.create_task(inner(ws))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await ws.recv()
            await ws.send(f"{len(first)} {second} {len(third)} {fourth}")

    async with serving(clear, made(handler)) as (server, peer):
        for at_once in (4, 1, 2):
            for _ in range(4 // at_once):
                bring(server, message(1, payload) * at_once)
                await asyncio.sleep(0.005)
            (answer,) = await peer.ws_frames(1, 1)
            n = str(len(payload))
            assert answer.payload.decode() == " ".join((n,) * 4)


@BOTH
async def test_one_handler_reads_two_websockets(clear, made, payload):
    came = asyncio.Queue()
    sockets = []

    async def handler(ws):
        sockets.append(ws)
        if len(sockets) == 1:
            await came.get()
            while True:
                for each in sockets:
                    await ws.send(f"{sockets.index(each)} {len(await each.recv())}")
        else:
            await ws.wait_closed()

    async with serving(clear, made(handler), 2) as (server, peer):
        came.put_nowait(None)
        await asyncio.sleep(0.001)
        for stream_id in (1, 3, 1, 3):
            bring(server, message(stream_id, payload))
            (answer,) = await peer.ws_frames(1, 1)
            assert answer.payload.decode() == f"{stream_id // 2} {len(payload)}"


# -- cancelling ----------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", (SMALL,), ids=("small",))
async def test_who_was_woken_and_is_cancelled_loses_no_message(clear, made, payload):
    tasks, left = [], []

    async def handler(ws):
        tasks.append(asyncio.current_task())
        if len(tasks) == 1:
            await ws.recv()
            tasks[1].cancel("no more")  # which is woken by the same read
            return
        try:
            await ws.recv()
        except asyncio.CancelledError as error:
            left.append((error.args, await ws.recv()))

    async with serving(clear, made(handler), 2) as (server, peer):
        bring(server, message(1, payload) + message(3, payload))
        await peer.ws_frames(1, 1)
        await asyncio.wait(tasks[1:])
    assert left == [(("no more",), payload)]


@BOTH
@pytest.mark.parametrize(
    "then", ("recv", "sleep", "yield", "future", "done", "task", "end", "raise")
)
async def test_a_handler_that_cancels_itself(clear, made, payload, then):
    """The next time it waits: and what it waits for is cancelled with it."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    helper = loop.create_task(asyncio.sleep(100))
    finished = loop.create_future()
    finished.set_result(None)
    at, tasks = [], []

    async def handler(ws):
        tasks.append(asyncio.current_task())
        await ws.recv()
        asyncio.current_task().cancel("myself")
        at.append("going on")
        try:
            match then:
                case "recv":
                    await ws.recv()
                case "sleep":
                    await asyncio.sleep(100)
                case "yield":
                    await asyncio.sleep(0)
                case "future":
                    await future
                case "task":
                    await helper
                case "done":
                    await finished  # which is no wait
                    await asyncio.shield(future)
                case "raise":
                    raise ValueError
                case "end":
                    return
        except asyncio.CancelledError as error:
            at.append(error.args)
            raise
        at.append("not cancelled")

    with contextlib.suppress(asyncio.CancelledError):
        async with serving(clear, made(handler)) as (server, peer):
            bring(server, message(1, payload))
            await peer.ws_frames(1, 1)
            await asyncio.wait(tasks)
    assert future.cancelled() == (then == "future")
    assert helper.cancelled() == (then == "task")
    helper.cancel()
    match then:
        case "raise":
            assert at == ["going on"] and isinstance(tasks[0].exception(), ValueError)
        case "end":
            assert at == ["going on"] and tasks[0].cancelled()
        case _:
            assert at == ["going on", ("myself",)] and tasks[0].cancelled()


@BOTH
async def test_who_takes_back_that_it_was_cancelled_goes_on(clear, made, payload):
    async def handler(ws):
        async for _ in ws:
            asyncio.current_task().cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
            asyncio.current_task().uncancel()
            await ws.send(b"on")

    async with serving(clear, made(handler)) as (server, peer):
        for _ in range(3):
            bring(server, message(1, payload))
            assert (await peer.ws_frames(1, 1))[0].payload == b"on"


# -- what is large -------------------------------------------------------------------------------


async def test_a_large_message_is_handled_within_the_read_that_brings_it(clear, made):
    found = []

    async def handler(ws):
        async for message in ws:
            found.append(ws.wire.stats()["messages_received"])
            await ws.send(message)

    for payload, expected in ((LARGE, [1, 2, 3, 4]), (SMALL, [4, 4, 4, 4])):
        found.clear()
        async with serving(clear, made(handler), 4) as (server, peer):
            bring(server, b"".join(message(n, payload) for n in (1, 3, 5, 7)))
            left = 4 * (len(payload) + (2 if payload is SMALL else 4))
            while left:
                left -= len((await peer.expect(f.DATA)).content)
        assert found == expected


@pytest.mark.parametrize("window", (2**20, 40_000))
async def test_sends_within_a_read_wait_for_the_peer_alone(clear, made, window):
    """Not for their turn: what the peer has room for is written behind the read."""
    waited, going = [], []

    async def handler(ws):
        async for each in ws:
            sent = ws.send(each)
            waited.append(not sent.done())
            await sent
            going.append(len(each))

    async with serving(clear, made(handler), window=window) as (server, peer):
        bring(server, message(1, LARGE) * 4)
        left = 4 * (len(LARGE) + 4)
        for step in range(2):
            while left > (0 if window > 2**16 or step else 4 * (len(LARGE) + 4) - window):
                left -= len((await peer.expect(f.DATA)).content)
            if step == 0:
                # 40 000 octets have left; 24 016 wait, fewer than `write_limit`: it goes on then.
                peer.send(f.window_update(1, 2**20))
        while len(going) < 4:
            await asyncio.sleep(0.001)
    assert waited == ([False] * 4 if window > 2**16 else [False, False, True, False]), waited


async def test_who_sends_without_end_within_a_read_waits_in_time(clear, made):
    most = []

    async def handler(ws):
        async for each in ws:
            while True:
                sent = ws.send(each)
                most.append(ws.wire.stats()["octets_queued"])
                await sent

    async with serving(clear, made(handler), window=2**30) as (server, peer):
        peer.send(f.window_update(0, 2**30))
        bring(server, message(1, LARGE))
        await asyncio.sleep(0.05)
    # `write_limit`, what one read may bring, and one message more: not the peer's window.
    assert 262_144 < max(most) <= 32_768 + 262_144 + len(LARGE) + 4


@BOTH
@pytest.mark.parametrize("act", ("close", "break", "reset", "abort", "other"))
async def test_a_handler_may_end_what_it_reads_from(clear, made, payload, act):
    """Within the read, too: the other WebSockets of the connection go on where there is one."""
    ended = asyncio.Event()

    async def handler(ws):
        try:
            async for each in ws:
                if ws.stream_id == 3:
                    await ws.send(each)
                    continue
                match act:
                    case "close":
                        await ws.close(4000, "enough")
                    case "break":
                        break
                    case "reset":
                        ws.wire.conn.reset(ws.stream_id, 8)
                        ws.wire.touch()
                    case "abort":
                        ws.wire.abort()
                    case "other":
                        connection = await connect(clear.ws("/other"))
                        await connection.close()
        finally:
            if ws.stream_id == 1 and ws.request.path == "/":
                ended.set()

    async with serving(clear, made(handler), 2, close_timeout=0.1) as (server, peer):
        bring(server, message(1, payload) + message(1, payload) + message(3, payload))
        if act == "abort":
            assert await peer.until_eof() is not None
        else:
            octets = b""
            while len(octets) < len(payload):
                frame = await peer.expect(
                    f.DATA, skip=(f.WINDOW_UPDATE, f.SETTINGS, f.PING, f.RST_STREAM)
                )
                if frame.stream_id == 3:
                    octets += frame.content
            assert read_ws_frames(octets)[0].payload == payload
        if act != "other":
            await ended.wait()


# -- what is left behind -------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("end", ("return", "raise", "cancel"))
async def test_no_cycle_keeps_a_handler(clear, payload, end, monkeypatch):
    if not COMPILED and end != "return":
        pytest.skip("frames of the pure twin stand in the traceback, for the collector to find")
    # pytest keeps what is logged, and with it the frames of what was raised.
    monkeypatch.setattr(logging.getLogger("h2ws_fast.server"), "disabled", True)
    kept = []

    class Local:
        pass

    async def handler(ws):
        local = Local()
        kept.append(weakref.ref(local))
        kept.append(weakref.ref(asyncio.current_task()))
        await ws.recv()
        match end:
            case "raise":
                raise ValueError
            case "cancel":
                asyncio.current_task().cancel()
                await asyncio.sleep(1)
        assert local

    gc.collect()
    gc.disable()
    try:
        async with serving(clear, handler) as (server, peer):
            bring(server, message(1, payload))
            await peer.ws_frames(1, 1)
            for _ in range(10):
                await asyncio.sleep(0)
            assert [each() for each in kept] == [None, None]
    finally:
        gc.enable()


async def test_a_handler_that_is_none(clear, caplog):
    """What no task takes is an error of the application's; the connection lives on."""
    async with clear.serve(lambda ws: 5):
        peer = await RawClient.connect(clear.port)
        for stream_id in (1, 3):
            peer.ask_for_websocket(stream_id)
            peer.send(f.ping(bytes(8)))
            while not (await peer.expect(f.PING, skip=(*f.NAMES,))).ack:
                pass
        peer.close()
    assert caplog.text.count("a coroutine was expected, got 5") == 2
    assert f.GOAWAY not in [frame.kind for frame in peer.frames]


async def echoes_under(factory, place, made):
    """Echo two messages by a handler whose task `factory` makes."""
    loop = asyncio.get_running_loop()

    async def handler(ws):
        async for each in ws:
            await ws.send(each)

    loop.set_task_factory(factory)
    try:
        async with serving(place, made(handler)) as (server, peer):
            bring(server, message(1, SMALL) * 2)
            assert len(await peer.ws_frames(1, 2)) == 2
    finally:
        loop.set_task_factory(None)


async def test_a_task_factory_may_wrap_the_handler(clear, made):
    wrapped = []

    async def wrapper(coroutine):
        wrapped.append(coroutine)
        return await coroutine

    def factory(loop, coroutine, **options):
        return asyncio.Task(wrapper(coroutine), loop=loop, **options)

    await echoes_under(factory, clear, made)
    assert wrapped


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
async def test_eager_tasks(clear, made, loop_kind):
    if loop_kind == "uvloop":
        pytest.skip("uvloop gives the factory an argument that it does not take")
    await echoes_under(asyncio.eager_task_factory, clear, made)


# -- steps, on both twins ------------------------------------------------------------------------


def pure(module):
    path = pathlib.Path(driving.__file__).parent / f"{module}.py"
    spec = importlib.util.spec_from_file_location(f"pure_{module}", path)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture(params=("ours", "pure"))
def step(request):
    return (steps if request.param == "ours" else pure("step")).step


def test_a_step(step):
    class Stop:
        def __await__(self):
            assert (yield "yielded") is None
            return variable.get()

    async def coroutine():
        variable.set(7)
        return await Stop()

    context = contextvars.copy_context()
    under_way = coroutine()
    assert step(under_way, context) == "yielded" and variable.get() == 0
    with pytest.raises(StopIteration) as stop:
        step(under_way, context)
    assert stop.value.value == 7 and context[variable] == 7

    async def failing():
        raise LookupError((1, 2))

    with pytest.raises(LookupError) as failed:
        step(failing(), context)
    assert failed.value.args == ((1, 2),)

    async def of_a_tuple():
        return (1, 2)

    with pytest.raises(StopIteration) as stop:
        step(of_a_tuple(), context)
    assert stop.value.value == (1, 2)

    under_way = coroutine()
    with pytest.raises(RuntimeError, match="already entered"):
        context.run(step, under_way, context)
    under_way.close()
