"""Connections that a server has not accepted: those it dialled, and those inside of streams."""

import asyncio
import contextlib
import socket

import pytest

from h2ws_fast import (
    ConnectionClosed,
    ConnectionTerminated,
    ExtendedConnectUnsupported,
    Response,
    Session,
    accept_sessions,
    serve,
)
from h2ws_fast.aio import tls

from .test_server_streams import echo, octets_back


async def hello(request):
    return Response(200, body=f"{request.scheme} {request.path}")


def device(**arguments):
    """A server that listens to nobody."""
    return serve(
        echo, on_request=hello, tunnels={"bytestream": octets_back}, listen=False, **arguments
    )


def port_of(acceptor):
    return acceptor.sockets[0].getsockname()[1]


async def use(session, scheme="http"):
    """Everything at once, on a connection."""
    async with await session.websocket("/a") as ws, await session.bytestream("/b") as stream:
        text = "a long message " * 10_000
        await ws.send(text)
        stream.write(bytes(300_000))
        stream.write_eof()
        assert await ws.recv() == text
        assert await stream.read() == bytes(300_000)
        response = await session.request("GET", "/c")
        assert await response.read() == f"{scheme} /c".encode()


@pytest.mark.parametrize("secure", [False, True])
async def test_a_device_dials_in_and_serves(certificate, secure):
    used = asyncio.get_running_loop().create_future()
    contexts = {}
    scheme = "https" if secure else "http"

    async def on_session(session):
        await use(session, scheme)
        used.set_result(session)

    if secure:
        contexts["ssl"] = tls.server_context(*certificate)
    async with (
        accept_sessions(on_session, "127.0.0.1", 0, **contexts) as acceptor,
        device() as server,
    ):
        if secure:
            contexts["ssl"] = tls.client_context(cafile=certificate[0])
        gone = await server.dial(f"{scheme}://127.0.0.1:{port_of(acceptor)}", **contexts)
        session = await used
        await gone  # `on_session` has returned
        assert not session.connected
        assert server.stats()["accepted"] == 1 and server.sockets == ()
        assert server.is_serving() and server.get_loop() is asyncio.get_running_loop()
    assert not server.is_serving()


async def test_several_devices_and_the_end_of_the_listener():
    came = []
    ready = asyncio.Event()

    async def on_session(session):
        came.append(session)
        if len(came) == 3:
            ready.set()
        await session.wait_closed()

    async with contextlib.AsyncExitStack() as stack:
        acceptor = await stack.enter_async_context(accept_sessions(on_session, "127.0.0.1", 0))
        servers = [await stack.enter_async_context(device()) for _ in range(3)]
        url = f"http://127.0.0.1:{port_of(acceptor)}"
        gone = [await server.dial(url) for server in servers]
        await ready.wait()
        await asyncio.gather(*(use(session) for session in came))
        await acceptor.close()
        await asyncio.gather(*gone)


async def test_a_device_that_leaves_closes_its_websockets():
    left = asyncio.get_running_loop().create_future()
    opened = asyncio.Event()

    async def on_session(session):
        ws = await session.websocket()
        opened.set()
        with contextlib.suppress(ConnectionClosed):
            await ws.recv()
        left.set_result(ws.close_code)

    async with accept_sessions(on_session, "127.0.0.1", 0) as acceptor:
        async with device() as server:
            await server.dial(f"http://127.0.0.1:{port_of(acceptor)}")
            await opened.wait()
        assert await left == 1001


async def test_beyond_max_sessions_connections_are_closed():
    async def on_session(session):
        await session.wait_closed()

    async with (
        accept_sessions(on_session, "127.0.0.1", 0, max_sessions=1) as acceptor,
        device() as server,
    ):
        url = f"http://127.0.0.1:{port_of(acceptor)}"
        first = await server.dial(url)
        await (await server.dial(url))
        assert not first.done()


async def test_an_on_session_that_fails_is_logged(caplog):
    async def on_session(session):
        raise KeyError("of the listener")

    async with accept_sessions(on_session, "127.0.0.1", 0) as acceptor, device() as server:
        await (await server.dial(f"http://127.0.0.1:{port_of(acceptor)}"))
    assert "of the listener" in caplog.text


async def test_a_device_that_serves_requests_alone():
    """It takes no extended CONNECT; what else a Session can do it can do."""
    done = asyncio.get_running_loop().create_future()

    async def on_session(session):
        response = await session.request("GET", "/x")
        with pytest.raises(ExtendedConnectUnsupported):
            await session.tunnel("bytestream")
        done.set_result(await response.read())

    async with (
        accept_sessions(on_session, "127.0.0.1", 0) as acceptor,
        serve(None, listen=False, on_request=hello) as server,
    ):
        await server.dial(f"http://127.0.0.1:{port_of(acceptor)}")
        async with asyncio.timeout(5):
            assert await done == b"http /x"


async def never(session):
    raise AssertionError("nobody has come")


@pytest.mark.parametrize("secure", [False, True])
async def test_who_connects_and_leaves_is_no_error(certificate, caplog, secure):
    context = tls.server_context(*certificate) if secure else None
    async with accept_sessions(never, "127.0.0.1", 0, ssl=context) as acceptor:
        for _ in range(5):
            _, writer = await asyncio.open_connection("127.0.0.1", port_of(acceptor))
            writer.close()
            await writer.wait_closed()
        while acceptor.admission.wires or acceptor.admission.arriving or acceptor._tasks:
            await asyncio.sleep(0.01)
    assert not [record for record in caplog.records if record.exc_info]


async def test_handshakes_count_as_sessions(certificate):
    """Who begins TLS and goes no further takes a place, and leaves it free with its connection."""
    came = asyncio.Queue()

    async def on_session(session):
        came.put_nowait(session)
        await session.wait_closed()

    context = tls.server_context(*certificate)
    outer = tls.client_context(cafile=certificate[0])
    async with (
        accept_sessions(on_session, "127.0.0.1", 0, ssl=context, max_sessions=2) as acceptor,
        device() as server,
    ):
        url = f"https://127.0.0.1:{port_of(acceptor)}"
        halves = [await asyncio.open_connection("127.0.0.1", port_of(acceptor)) for _ in range(2)]
        while len(acceptor.admission.arriving) < 2:
            await asyncio.sleep(0.01)
        async with asyncio.timeout(10):
            await (await server.dial(url, ssl=outer))
        assert came.empty() and acceptor.admission.refused == {"max_connections": 1}
        for _, writer in halves:
            writer.close()
        while acceptor.admission.arriving:
            await asyncio.sleep(0.01)
        await server.dial(url, ssl=outer)
        await use(await came.get(), "https")


async def test_handshakes_end_with_the_listener(certificate):
    """What arrives while it closes makes no session."""
    context = tls.server_context(*certificate)
    acceptor = await accept_sessions(never, "127.0.0.1", 0, ssl=context)
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(acceptor))
    while not acceptor.admission.arriving:
        await asyncio.sleep(0.01)
    async with asyncio.timeout(5):
        await asyncio.gather(acceptor.close(), acceptor.close())
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    writer.close()


async def test_who_dials_and_finds_nobody(certificate):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with device() as server:
        with pytest.raises(OSError):
            await server.dial(f"http://127.0.0.1:{port}")
        with pytest.raises(ValueError):
            await server.dial(
                f"http://127.0.0.1:{port}", ssl=tls.client_context(cafile=certificate[0])
            )
    with pytest.raises(RuntimeError):
        await device().dial(f"http://127.0.0.1:{port}")


# -- inside of streams -----------------------------------------------------------------------------


async def test_three_connections_inside_of_each_other(place):
    """A tunnel knows nothing of what it carries: HTTP/2 in HTTP/2 in HTTP/2, with WebSockets in it."""

    async def inside(tunnel):
        await server.serve_on(tunnel)

    async with (
        place.serve(
            echo, on_request=hello, tunnels={"bytestream": octets_back, "h2": inside}
        ) as server,
        Session(place.http, ssl=place.client_ssl) as outer,
    ):
        tunnel = await outer.tunnel("h2")
        async with Session("http://middle", transport=tunnel) as middle:
            deeper = await middle.tunnel("h2")
            async with Session("http://inner", transport=deeper) as inner:
                await asyncio.gather(
                    use(inner), use(middle), use(outer, "https" if place.secure else "http")
                )
                assert inner.stats()["streams"] == middle.stats()["streams"] - 1
                assert server.stats()["connections"] == 3
            assert middle.connected
            await use(middle)
        assert outer.connected
        await use(outer, "https" if place.secure else "http")


async def test_the_end_of_the_outer_connection_ends_the_inner_one(clear):
    async def inside(tunnel):
        await server.serve_on(tunnel)

    async with clear.serve(echo, tunnels={"h2": inside}) as server:
        async with Session(clear.http) as outer:
            inner = await Session("http://inner", transport=await outer.tunnel("h2"))
            ws = await inner.websocket()
            outer._wire.abort()
            with pytest.raises(ConnectionClosed) as caught:
                await ws.recv()
            assert caught.value.rcvd is None
            await inner.wait_closed()
            with pytest.raises(ConnectionTerminated):
                await inner.websocket()
            await inner.close()


async def test_a_slow_reader_inside_stops_neither_its_neighbours_nor_the_outer_ones(clear):
    async def flood(ws):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await ws.send(bytes(10_000))

    async def either(ws):
        await (flood if ws.request.path == "/flood" else echo)(ws)

    async def inside(tunnel):
        await server.serve_on(tunnel)

    async with clear.serve(either, tunnels={"h2": inside}) as server, Session(clear.http) as outer:
        async with Session("http://inner", transport=await outer.tunnel("h2")) as inner:
            await inner.websocket("/flood")  # which nobody reads
            for session in (inner, outer):
                async with await session.websocket() as ws:
                    for _ in range(20):
                        await ws.send("x" * 1000)
                        assert await ws.recv() == "x" * 1000
            inner._abort()


async def test_http1_inside_of_a_stream(clear):
    """What is spoken inside is found out as on any port in cleartext."""

    async def inside(tunnel):
        await server.serve_on(tunnel)

    async with (
        clear.serve(on_request=hello, tunnels={"inner": inside}) as server,
        Session(clear.http) as outer,
    ):
        async with await outer.bytestream(protocol="inner") as stream:
            stream.write(b"GET /d HTTP/1.1\r\nhost: inner\r\nconnection: close\r\n\r\n")
            answer = await stream.read()
            assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"http /d")
