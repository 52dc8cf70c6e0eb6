"""Visits of our own client."""

import asyncio
import collections

from h2ws_fast import ConnectionClosed, ConnectionTerminated, InvalidStatus, StreamReset

from .visits import kind

BODY = 2**22  # the longest body


async def converse(v, ws, exchanges, pause=0.0):
    """Send messages, whole and in fragments, while their echoes are read and compared."""
    sent = collections.deque()

    async def speak():
        for _ in range(exchanges):
            message = v.message()
            sent.append(message)
            if v.random.random() < 0.2:
                await ws.send(v.pieces(message))
            else:
                await ws.send(message)

    async with asyncio.TaskGroup() as group:
        group.create_task(speak())
        for _ in range(exchanges):
            if pause:
                await asyncio.sleep(pause * v.random.random())
            got = await ws.recv()
            v.ledger.echoed(sent.popleft(), got)


def exchanges(v):
    return int(2 ** v.random.uniform(0, 5))


@kind(24)
async def talk(v):
    """WebSockets side by side on one connection; each ends in a way of its own."""

    async def one(session):
        ws = await session.websocket("/talk")
        await converse(v, ws, exchanges(v), v.random.choice((0, 0, 0, 0.02)))
        ending = v.random.random()
        if ending < 0.5:
            code = v.random.choice((1000, 1001, 3000, 4999))
            await ws.close(code, "bye" * v.random.randrange(40))
            if ws.close_code != code:
                raise AssertionError(f"closed with {code}, answered with {ws.close_code}")
        elif ending < 0.7:
            ws.abort()
            await ws.wait_closed()
        # else the session's end is its end

    async with v.place.session() as session:
        v.ledger.connections += 1
        async with asyncio.TaskGroup() as group:
            for _ in range(v.random.choice((1, 1, 2, 3, 5, 8))):
                group.create_task(one(session))


@kind(6)
async def reset_among_others(v):
    """Some are reset in mid-message, with echoes on their way; the others do not notice."""

    async def reset(session):
        ws = await session.websocket("/reset")
        for _ in range(v.random.randint(1, 5)):
            await ws.send(v.message(2**18))
        await asyncio.sleep(v.random.random() * 0.01)
        ws.abort()

    async def steady(session):
        ws = await session.websocket("/steady")
        await converse(v, ws, 8)
        await ws.close()

    async with v.place.session() as session:
        v.ledger.connections += 1
        async with asyncio.TaskGroup() as group:
            group.create_task(steady(session))
            for _ in range(v.random.randint(1, 6)):
                group.create_task(reset(session))


@kind(5)
async def closed_by_the_server(v):
    code = v.random.choice((1000, 1001, 1011, 3999, 4000))
    after = v.random.choice((0, 0, 0.05))
    async with v.place.session() as session:
        v.ledger.connections += 1
        ws = await session.websocket(f"/close?code={code}&reason=enough&after={after}")
        try:
            while True:
                await ws.send(v.message(5000))
                await ws.recv()
        except ConnectionClosed as error:
            if error.rcvd is None or error.rcvd.code != code:
                raise
            v.ledger.expected["closed by the server"] += 1


@kind(3)
async def refused(v):
    async with v.place.session() as session:
        v.ledger.connections += 1
        status = v.random.choice((403, 404, 503))
        body = "no" * v.random.randrange(200)
        try:
            await session.websocket(f"/reject?status={status}&body={body}")
        except InvalidStatus as error:
            if error.response.status != status:
                raise
            v.ledger.expected["handshake refused"] += 1
        else:
            raise AssertionError("a handshake that must be refused succeeded")
        ws = await session.websocket("/after")
        await converse(v, ws, 2)


@kind(4)
async def slow_reader(v):
    """The server sends much, the client takes it with pauses; what comes is counted."""
    count, size = v.random.randint(5, 40), v.size(2**18)
    async with v.place.session() as session:
        v.ledger.connections += 1
        ws = await session.websocket(f"/push?count={count}&size={size}&interval=0")
        for _ in range(count):
            await asyncio.sleep(v.random.random() * 0.03)
            v.ledger.echoed(bytes(size), await ws.recv())
        await ws.close()


@kind(3)
async def never_reads(v):
    """Messages are sent and nobody takes the echoes; then the client is gone."""
    async with v.place.session(close_timeout=0.5) as session:
        v.ledger.connections += 1
        ws = await session.websocket("/talk")
        try:
            async with asyncio.timeout(v.random.uniform(0.1, 1.5)):
                while True:
                    await ws.send(v.message())
        except TimeoutError:
            v.ledger.expected["held back by flow control"] += 1
        ws.abort()


@kind(5)
async def interrupted(v):
    """The client's task is cancelled, wherever it is."""

    async def everything():
        async with v.place.session() as session:
            v.ledger.connections += 1
            async with asyncio.TaskGroup() as group:
                group.create_task(echo_body(v, session))
                group.create_task(through_tunnel(v, session))
                ws = await session.websocket("/talk")
                await converse(v, ws, 20, 0.01)

    try:
        async with asyncio.timeout(v.random.uniform(0, 0.3)):
            await everything()
    except TimeoutError:
        v.ledger.expected["cancelled"] += 1


@kind(5)
async def over_http_1(v):
    """A WebSocket of HTTP/1.1 on the same port, and how it ends."""
    async with v.place.session(http="h1") as session:
        v.ledger.connections += 1
        ws = await session.websocket("/h1")
        await converse(v, ws, exchanges(v))
        if v.random.random() < 0.5:
            await ws.close(4000, "bye")
            if ws.close_code != 4000:
                raise AssertionError(f"closed with 4000, answered with {ws.close_code}")
        elif v.random.random() < 0.5:
            ws.abort()


@kind(8)
async def reconnects(v):
    """Connections that live for one message, and go with and without a word."""
    for _ in range(v.random.randint(2, 10)):
        async with v.place.session() as session:
            v.ledger.connections += 1
            ws = await session.websocket("/again")
            await converse(v, ws, 1)
            if v.random.random() < 0.4:
                session._wire.transport.abort()
                try:
                    await ws.recv()
                except ConnectionClosed:
                    v.ledger.expected["connection dropped"] += 1


# -- requests and tunnels ------------------------------------------------------------------------


async def slices(v, whole):
    for piece in v.pieces(whole):
        if v.random.random() < 0.1:
            await asyncio.sleep(0.005)
        yield piece


async def echo_body(v, session):
    whole = b"".join(v.octets(v.size()) for _ in range(v.random.randint(0, 4)))[:BODY]
    body = slices(v, whole) if v.random.random() < 0.7 else whole
    response = await session.request("POST", "/echo", body=body)
    got = bytearray()
    async for piece in response:
        if v.random.random() < 0.05:
            await asyncio.sleep(0.005)
        got += piece
    v.ledger.body(whole, bytes(got))
    v.ledger.requests += 1


async def download(v, session):
    size = v.size(BODY)
    response = await session.request("GET", f"/bytes/{size}")
    cycle = bytes(range(256)) * (size // 256 + 1)
    v.ledger.body(cycle[:size], await response.read())
    v.ledger.requests += 1


async def give_up_download(v, session):
    response = await session.request("GET", f"/bytes/{10**9}")
    async for _ in response:
        break
    response.close()
    v.ledger.expected["download given up"] += 1


async def give_up_upload(v, session):
    async def endless():
        while True:
            yield v.octets(20000)

    try:
        async with asyncio.timeout(v.random.uniform(0, 0.1)):
            # The echo comes while the body goes: nobody reads it, and both stop.
            response = await session.request("POST", "/echo", body=endless())
            await asyncio.sleep(1)
    except TimeoutError:
        v.ledger.expected["upload given up"] += 1
    else:
        response.close()


async def answered_early(v, session):
    """The whole answer is there before the request's end."""

    async def late():
        yield b"begun"
        await asyncio.sleep(0.02)
        yield v.octets(v.size())

    response = await session.request("POST", "/nowhere", body=late())
    if response.status != 404:
        raise AssertionError(f"404 expected, not {response.status}")
    await response.read()
    v.ledger.requests += 1


@kind(10)
async def requests(v):
    """Ordinary requests of every sort beside each other and beside a WebSocket."""
    async with v.place.session() as session:
        v.ledger.connections += 1
        sorts = (echo_body, echo_body, download, give_up_download, give_up_upload, answered_early)
        async with asyncio.TaskGroup() as group:
            for _ in range(v.random.randint(1, 8)):
                group.create_task(v.random.choice(sorts)(v, session))
            ws = await session.websocket("/beside")
            await converse(v, ws, 4)


async def through_tunnel(v, session):
    """Octets both ways; the client ends its side first and reads on to the end."""
    whole = b"".join(v.octets(v.size()) for _ in range(v.random.randint(0, 3)))
    tunnel = await session.tunnel("echo", "/tunnel")

    async def speak():
        for piece in v.pieces(whole):
            await tunnel.send(piece)
        tunnel.send_eof()

    got = bytearray()
    async with asyncio.TaskGroup() as group:
        group.create_task(speak())
        async for piece in tunnel:
            if v.random.random() < 0.05:
                await asyncio.sleep(0.005)
            got += piece
    v.ledger.body(whole, bytes(got))


async def broken_tunnel(v, session):
    tunnel = await session.tunnel("echo", "/tunnel")
    await tunnel.send(v.octets(1 + v.size(2**16)))
    if v.random.random() < 0.5:
        await tunnel.recv()
    tunnel.abort()
    try:
        while await tunnel.recv():
            pass
    except StreamReset:
        v.ledger.expected["tunnel reset"] += 1


async def unknown_tunnel(v, session):
    try:
        await session.tunnel("no-such-thing")
    except InvalidStatus as error:
        if error.response.status != 501:
            raise
        v.ledger.expected["tunnel refused"] += 1


@kind(6)
async def tunnels(v):
    async with v.place.session() as session:
        v.ledger.connections += 1
        sorts = (through_tunnel, through_tunnel, broken_tunnel, unknown_tunnel)
        async with asyncio.TaskGroup() as group:
            for _ in range(v.random.randint(1, 5)):
                group.create_task(v.random.choice(sorts)(v, session))


@kind(3)
async def dropped_in_the_middle(v):
    """The connection dies under everything at once."""

    async def one(work):
        try:
            await work
        except (ConnectionClosed, ConnectionTerminated, StreamReset):
            pass
        except BaseExceptionGroup as group:
            _, rest = group.split((ConnectionClosed, ConnectionTerminated, StreamReset))
            if rest is not None:
                raise rest from None

    async def chat(session):
        await converse(v, await session.websocket("/talk"), 30)

    async with v.place.session() as session:
        v.ledger.connections += 1
        async with asyncio.TaskGroup() as group:
            for work in (chat, chat, echo_body, through_tunnel):
                group.create_task(one(work(v, session) if work is not chat else chat(session)))
            await asyncio.sleep(v.random.random() * 0.2)
            session._wire.transport.abort()
    v.ledger.expected["connection dropped"] += 1
