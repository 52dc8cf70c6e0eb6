"""Tasks that are cancelled, at every point where they wait, leave nothing behind."""

import asyncio
import contextlib
import functools
import gc

import pytest

from h2ws_fast import (
    ConnectionClosed,
    ConnectionTerminated,
    Response,
    Session,
    StreamReset,
    connect,
)
from h2ws_fast.aio.server.exchange import Exchange
from h2ws_fast.engine import Settings

# -- cancelling ----------------------------------------------------------------------------------


class Cancelling:
    """Await this: it awaits `what`, and cancels the task at its `at`th stop, counted from one.

    `late` cancels when what the task waits for has come, before the task goes on: then neither may
    be lost. `cancelled` says whether there were as many stops.
    """

    def __init__(self, what, at, late=False):
        self.what = what
        self.at = at
        self.late = late
        self.stops = 0
        self.cancelled = False

    def __await__(self):
        task = asyncio.current_task()
        driven = self.what.__await__()
        error = None
        while True:
            try:
                yielded = driven.send(None) if error is None else driven.throw(error)
            except StopIteration as stop:
                return stop.value
            error = None
            self.stops += 1
            if self.stops == self.at:
                self.cancelled = True
                if self.late and isinstance(yielded, asyncio.Future):
                    yielded.add_done_callback(lambda _: task.cancel())
                else:
                    asyncio.get_running_loop().call_soon(task.cancel)
            try:
                yield yielded
            except BaseException as thrown:
                error = thrown


async def drive(work):
    return await work


async def cancel_everywhere(prepare, late, quiet):
    """Cancel what `prepare()` gives at its first stop, anew at its second, until it ends."""
    for at in range(1, 100):
        async with prepare() as what:
            work = Cancelling(what, at, late)
            task = asyncio.ensure_future(drive(work))
            done, _ = await asyncio.wait([task], timeout=10)
            assert done, f"cancelled at stop {at}, it goes on"
            if work.cancelled:
                assert task.cancelled(), (at, task)
            else:
                task.result()
        del task, what, done
        await quiet()
        if not work.cancelled:
            return at
    raise AssertionError("a hundred stops")


# -- what is there -------------------------------------------------------------------------------


def pending_futures():
    gc.collect()
    return [
        each
        for each in gc.get_objects()
        if issubclass(type(each), asyncio.Future) and not each.done()
    ]


def timers(loop):
    """Timers that are due some time; uvloop does not tell."""
    return [each for each in getattr(loop, "_scheduled", ()) if not each.cancelled()]


class Watch:
    """Remembers which tasks and futures there are; `quiet` waits until there are no others."""

    def __init__(self, server, *, futures=True):
        self.server = server
        self.judges_futures = futures
        self.tasks = asyncio.all_tasks()
        self.futures = {id(each) for each in pending_futures()}
        self.loop = asyncio.get_running_loop()
        self.timers = timers(self.loop)

    async def quiet(self):
        until = self.loop.time() + 3
        while self.left() and self.loop.time() < until:
            await asyncio.sleep(0.005)
        assert not self.left()
        futures = [each for each in pending_futures() if id(each) not in self.futures]
        assert not (futures and self.judges_futures), futures
        assert not gc.garbage

    def left(self):
        tasks = asyncio.all_tasks() - self.tasks
        due = [each for each in timers(self.loop) if each not in self.timers]
        return [*tasks, *self.server._wires, *self.server._tasks, *due]


SOON_S = 0.01
BIG = bytes(2**20)


class Prepared:
    """A session, and on it something to await that ends by itself, soon."""

    def __init__(self, place, operation, **options):
        options = {"ping_interval": None, "close_timeout": 1, **options}
        self.session = Session(place.http, ssl=place.client_ssl, **options)
        self.operation = operation

    async def __aenter__(self):
        await self.session.connect()
        return await self.operation(self.session)

    async def __aexit__(self, *error):
        await self.session.close()


async def handler(ws):
    path = ws.request.path
    try:
        if path == "/closes":
            await asyncio.sleep(SOON_S)
            await ws.close()
        elif path == "/late-reader":
            await asyncio.sleep(SOON_S)
        async for message in ws:
            await asyncio.sleep(SOON_S)
            await ws.send(message)
    except ConnectionClosed:
        pass


async def on_request(request):
    if request.path == "/slow":
        await asyncio.sleep(SOON_S)
        return Response(200, (), b"slow")
    if request.path == "/late-reader":
        await asyncio.sleep(SOON_S)
    if request.path == "/drip":
        return Response(200, (), drip())
    if request.path == "/much":
        return Response(200, (), much_of_it())
    return Response(200, (), await request.read())


async def drip():
    for _ in range(3):
        await asyncio.sleep(SOON_S)
        yield b"drop"


async def much_of_it():
    for _ in range(3):
        yield BIG


async def tunnel_handler(tunnel):
    await asyncio.sleep(SOON_S)
    try:
        async for data in tunnel:
            await asyncio.sleep(SOON_S)
            await tunnel.send(data)
    except StreamReset:
        pass


async def slow_decision(ws, request):
    if request.path.startswith("/decided"):
        await asyncio.sleep(SOON_S)
    return None


async def sink_handler(tunnel):
    await asyncio.sleep(SOON_S)
    async for _ in tunnel:
        pass


SERVED = {
    "on_request": on_request,
    "tunnels": {"echo": tunnel_handler, "sink": sink_handler},
    "process_request": slow_decision,
    "ping_interval": None,
    "close_timeout": 1,
}

# -- on the client ---------------------------------------------------------------------------------

OPERATIONS = {}


def operation(function):
    OPERATIONS[function.__name__] = function
    return function


@operation
async def opening(session):
    return session.websocket("/decided")


@operation
async def receiving(session):
    ws = await session.websocket()
    await ws.send("message")
    return ws.recv()


@operation
async def receiving_as_octets(session):
    ws = await session.websocket()
    await ws.send("message")
    return ws.recv(decode=False)


@operation
async def iterating(session):
    ws = await session.websocket("/closes")

    async def iterate():
        async for _ in ws:
            pass

    return iterate()


@operation
async def sending_blocked(session):
    ws = await session.websocket("/late-reader")

    async def send():
        for _ in range(3):
            await ws.send(BIG)

    return send()


@operation
async def sending_fragments(session):
    ws = await session.websocket("/late-reader")

    async def pieces():
        for _ in range(6):
            await asyncio.sleep(0)
            yield BIG[: 2**17]

    return ws.send(pieces())


@operation
async def sending_behind_fragments(session):
    ws = await session.websocket("/late-reader")

    async def pieces():
        yield "begun"
        await asyncio.sleep(SOON_S)
        yield "ended"

    async def both():
        async with asyncio.TaskGroup() as group:
            group.create_task(ws.send(pieces()))
            await asyncio.sleep(0)
            await ws.send("behind")

    return both()


@operation
async def pinging(session):
    ws = await session.websocket()

    async def ping():
        await (await ws.ping())

    return ping()


@operation
async def closing(session):
    return (await session.websocket()).close()


@operation
async def closing_behind_what_is_blocked(session):
    ws = await session.websocket("/late-reader")
    for _ in range(3):
        ws.send(BIG)
    return ws.close()


@operation
async def waiting_for_the_close(session):
    return (await session.websocket("/closes")).wait_closed()


@operation
async def within_a_websocket(session):
    ws = await session.websocket()

    async def work():
        async with ws:
            await ws.send("message")
            await ws.recv()

    return work()


@operation
async def requesting(session):
    async def request():
        await (await session.request("GET", "/slow")).read()

    return request()


@operation
async def uploading(session):
    async def request():
        response = await session.request("POST", "/late-reader", body=BIG)
        assert await response.read() == BIG

    return request()


@operation
async def uploading_slowly(session):
    async def request():
        response = await session.request("POST", "/late-reader", body=drip())
        assert await response.read() == b"dropdropdrop"

    return request()


@operation
async def downloading(session):
    async def request():
        async with await session.request("GET", "/drip") as response:
            async for _ in response:
                pass

    return request()


@operation
async def opening_a_tunnel(session):
    async def open_tunnel():
        (await session.tunnel("echo", "/decided")).abort()

    return open_tunnel()


@operation
async def through_a_tunnel(session):
    tunnel = await session.tunnel("echo")

    async def work():
        async with tunnel:
            await tunnel.send(b"octets")
            await tunnel.recv()

    return work()


@operation
async def sending_into_a_tunnel(session):
    tunnel = await session.tunnel("sink")

    async def work():
        for _ in range(3):
            await tunnel.send(BIG)
        tunnel.abort()

    return work()


@operation
async def closing_the_session(session):
    ws = await session.websocket()
    await ws.send("message")
    return session.close()


async def never():
    yield b"begun"
    await asyncio.get_running_loop().create_future()


@operation
async def uploading_what_never_comes(session):
    async def request():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3 * SOON_S):
                await session.request("POST", "/", body=never())

    return request()


@operation
async def closing_the_session_under_an_upload(session):
    await session.request("POST", "/drip", body=never())
    asyncio.get_running_loop().call_later(3 * SOON_S, session._wire.transport.abort)
    return session.close()


@operation
async def waiting_for_the_session(session):
    async def wait():
        asyncio.get_running_loop().call_later(SOON_S, session._shutdown)
        await session.wait_closed()

    return wait()


@pytest.mark.parametrize("late", [False, True], ids=["", "late"])
@pytest.mark.parametrize("name", OPERATIONS)
async def test_of_a_client(clear, name, late):
    async with clear.serve(handler, **SERVED) as server:
        watch = Watch(server)
        prepare = functools.partial(Prepared, clear, OPERATIONS[name])
        stops = await cancel_everywhere(prepare, late, watch.quiet)
        assert stops > 1  # it did wait


class Connecting:
    """The operation that makes its connection itself."""

    def __init__(self, place, how):
        self.place = place
        self.how = how

    async def __aenter__(self):
        return self.how(self.place)

    async def __aexit__(self, *error):
        pass


async def connected(place):
    options = {"ssl": place.client_ssl, "ping_interval": None, "close_timeout": 1}
    async with connect(place.ws("/decided"), **options) as ws:
        await ws.send("message")
        await ws.recv()


async def in_a_session(place):
    options = {"ssl": place.client_ssl, "ping_interval": None, "close_timeout": 1}
    async with Session(place.http, **options) as session:
        await (await session.request("GET", "/slow")).read()


@pytest.mark.parametrize("late", [False, True], ids=["", "late"])
@pytest.mark.parametrize("how", [connected, in_a_session])
async def test_of_a_whole_connection(place, how, late):
    # uvloop keeps the transport of a TLS handshake that was cancelled, and who was to have it.
    keeps = place.secure and "uvloop" in type(asyncio.get_running_loop()).__module__
    async with place.serve(handler, **SERVED) as server:
        watch = Watch(server, futures=not keeps)
        prepare = functools.partial(Connecting, place, how)
        assert await cancel_everywhere(prepare, late, watch.quiet) > 1


@pytest.mark.parametrize("late", [False, True], ids=["", "late"])
async def test_waiting_for_a_free_stream(clear, late):
    async def third(session):
        first = await session.websocket()
        waiting = [asyncio.create_task(session.websocket("/decided")) for _ in range(2)]
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(SOON_S, first.abort)

        async def work():
            ws = await session.websocket("/decided")
            await ws.close()

        async def close(task):
            with contextlib.suppress(ConnectionTerminated):
                await (await task).close()

        for task in waiting:
            task.add_done_callback(
                lambda task: None if task.cancelled() else asyncio.ensure_future(close(task))
            )
        return work()

    settings = Settings(max_concurrent_streams=1)
    async with clear.serve(handler, settings=settings, **SERVED) as server:
        watch = Watch(server)
        prepare = functools.partial(Prepared, clear, third)
        assert await cancel_everywhere(prepare, late, watch.quiet) > 1


# -- on the server -----------------------------------------------------------------------------------


class Served:
    """What a server runs: the next is cancelled at its `at`th stop."""

    def __init__(self):
        self.at = 1
        self.late = False
        self.works = []

    def wrap(self, function):
        async def run(*arguments):
            work = Cancelling(function(*arguments), self.at, self.late)
            self.works.append(work)
            return await work

        return run


async def talk_to_the_handler(session):
    ws = await session.websocket()
    try:
        await ws.send("one")
        await ws.recv()
        await ws.send("two")
        await ws.recv()
        await ws.close()
    except ConnectionClosed:
        await ws.wait_closed()


async def receive_much(session):
    ws = await session.websocket("/much")
    try:
        await asyncio.sleep(SOON_S)
        while True:
            await ws.recv()
    except ConnectionClosed:
        pass


async def send_a_body(session):
    try:
        response = await session.request("POST", "/", body=drip())
        await response.read()
    except StreamReset:
        pass


async def read_a_body(session):
    try:
        await (await session.request("GET", "/drip")).read()
    except StreamReset:
        pass


async def read_much_slowly(session):
    try:
        async with await session.request("GET", "/much") as response:
            async for _ in response:
                await asyncio.sleep(SOON_S / 10)
    except StreamReset:
        pass


async def use_a_tunnel(session):
    try:
        tunnel = await session.tunnel("echo")
        await tunnel.send(b"octets")
        await tunnel.recv()
        tunnel.send_eof()
        while await tunnel.recv():
            pass
    except StreamReset:
        pass


async def be_decided_upon(session):
    try:
        ws = await session.websocket("/decided")
        await ws.close()
    except StreamReset:
        pass


async def much(ws):
    if ws.request.path == "/much":
        for _ in range(4):
            await ws.send(BIG)
    else:
        await handler(ws)


@pytest.mark.parametrize("late", [False, True], ids=["", "late"])
@pytest.mark.parametrize(
    "client",
    [
        talk_to_the_handler,
        receive_much,
        send_a_body,
        read_a_body,
        read_much_slowly,
        use_a_tunnel,
        be_decided_upon,
    ],
)
async def test_of_a_server(clear, client, late, monkeypatch):
    served = Served()
    served.late = late
    decides = client is be_decided_upon
    # The task of a request is more than `on_request`: it sends the answer too.
    monkeypatch.setattr(Exchange, "run", served.wrap(Exchange.run))
    options = {
        **SERVED,
        "tunnels": {"echo": served.wrap(tunnel_handler)},
        "process_request": served.wrap(slow_decision) if decides else None,
    }
    main = handler if decides else served.wrap(much)
    async with clear.serve(main, **options) as server:
        watch = Watch(server)
        for served.at in range(1, 50):
            served.works.clear()
            async with Session(clear.http, ping_interval=None, close_timeout=1) as session:
                async with asyncio.timeout(5):
                    await client(session)
            await watch.quiet()
            if not any(work.cancelled for work in served.works):
                break
        assert 1 < served.at < 49


@pytest.mark.parametrize("late", [False, True], ids=["", "late"])
async def test_of_who_waits_for_the_server(clear, late):
    for at in range(1, 20):
        server = clear.serve(handler, **SERVED)
        async with server as running:
            watch = Watch(running)
            async with Session(clear.http, ping_interval=None, close_timeout=1) as session:
                await session.websocket()
                work = Cancelling(running.serve_forever(), at, late)
                task = asyncio.ensure_future(drive(work))
                await asyncio.sleep(SOON_S)
                running.close()
                await asyncio.wait([task], timeout=5)
                assert task.done() and task.cancelled() is work.cancelled
            await watch.quiet()
        if not work.cancelled:
            break
    assert 1 < at < 19


# -- again and again ---------------------------------------------------------------------------------


def futures():
    gc.collect()
    return sum(1 for each in gc.get_objects() if issubclass(type(each), asyncio.Future))


async def give_up(what):
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0):
            await what


async def test_who_waits_with_a_timeout_leaves_no_future(clear):
    async with (
        clear.serve(handler, **SERVED),
        Session(clear.http, ping_interval=None, close_timeout=0.5) as session,
    ):
        ws = await session.websocket("/late-reader")
        other = await session.websocket()
        tunnel = await session.tunnel("sink")
        before = futures()
        for _ in range(200):
            await give_up(other.wait_closed())
            await give_up(other.recv())
            await give_up(session.wait_closed())
            await give_up(tunnel.recv())
        assert futures() - before < 40
        while (sent := ws.send(BIG)).done():
            pass
        for _ in range(200):
            await give_up(sent)
            sent = ws.send("behind")
        assert futures() - before < 60
        ws.abort()


async def test_errors_collect_no_frames(clear):
    """An error that is raised to one after the other is another one each time."""

    def frames(error):
        count, trace = 0, error.__traceback__
        while trace is not None:
            count, trace = count + 1, trace.tb_next
        return count

    async def failure(what):
        try:
            await what()
        except Exception as error:
            return error
        raise AssertionError("it succeeded")

    async with clear.serve(handler, **SERVED), Session(clear.http, ping_interval=None) as session:
        tunnel = await session.tunnel("echo")
        ws = await session.websocket()
        tunnel.abort()
        ws.abort()
        await ws.wait_closed()
        session._wire.transport.abort()
        await session.wait_closed()
        calls = (
            tunnel.recv,
            functools.partial(tunnel.send, b"x"),
            ws.recv,
            functools.partial(ws.send, b"x"),
            session.websocket,
            functools.partial(session.request, "GET"),
        )
        for call in calls:
            first, second = [await failure(call) for _ in range(2)]
            assert first is not second
            assert frames(first) == frames(second)
            assert (type(first), str(first)) == (type(second), str(second))


async def test_the_generator_of_a_body_is_closed_with_its_stream(clear):
    closed = []

    async def endless(name):
        try:
            while True:
                yield BIG
        finally:
            closed.append(name)

    async def serve_it(request):
        return Response(200, (), endless("response"))

    gc.disable()  # what it would collect does not count
    try:
        async with (
            clear.serve(on_request=serve_it, close_timeout=1),
            Session(clear.http, ping_interval=None, close_timeout=1) as session,
        ):
            response = await session.request("POST", "/", body=endless("request"))
            await anext(aiter(response))
            response.close()
            async with asyncio.timeout(5):
                while len(closed) < 2:
                    await asyncio.sleep(0.01)
            assert sorted(closed) == ["request", "response"]
    finally:
        gc.enable()
