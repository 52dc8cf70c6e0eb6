"""The connections of a transport: one an origin, bounded, closed; HTTP/1.1 left to httpx."""

import asyncio
import contextlib
import socket

import httpx
import pytest

from h2ws_fast.aio import tls
from h2ws_fast.httpx import AsyncTransport
from tests.aio.conftest import Place
from tests.http_client.application import on_request
from tests.support import frames as f
from tests.support.raw import RawServer

OK = [(b":status", b"200")]


@contextlib.asynccontextmanager
async def servers(count):
    """So many servers; `place.server` counts its connections."""
    async with contextlib.AsyncExitStack() as stack:
        places = []
        for _ in range(count):
            place = Place()
            place.server = await stack.enter_async_context(place.serve(on_request=on_request))
            places.append(place)
        yield places


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


def open_ones(places):
    return [place.server.stats()["connections"] for place in places]


async def test_idle_connections_are_bounded(client):
    async with servers(4) as places:
        limits = httpx.Limits(max_keepalive_connections=2, keepalive_expiry=None)
        async with client(places[0], limits=limits) as http:
            for place in places:
                assert (await http.get(f"{place.http}/asked")).status_code == 200
            await until(lambda: open_ones(places) == [0, 0, 1, 1])
            port = (await http.get(f"{places[2].http}/asked")).json()["port"]
            assert (await http.get(f"{places[2].http}/asked")).json()["port"] == port
            # The latest used stays.
            await http.get(f"{places[0].http}/asked")
            await until(lambda: open_ones(places) == [1, 0, 1, 0])
        await until(lambda: open_ones(places) == [0] * 4)


@pytest.mark.parametrize("limits", [{"max_keepalive_connections": 0}, {"keepalive_expiry": 0}])
async def test_no_idle_connections(client, limits):
    async with servers(1) as places, client(places[0], limits=httpx.Limits(**limits)) as http:
        for _ in range(2):
            assert (await http.get("/asked")).status_code == 200
            await until(lambda: open_ones(places) == [0])


async def test_idle_connection_expires(client):
    limits = httpx.Limits(keepalive_expiry=0.2)
    async with servers(1) as places, client(places[0], limits=limits) as http:
        assert (await http.get("/asked")).status_code == 200
        await until(lambda: open_ones(places) == [0])
        async with http.stream("GET", "/stops") as response:
            pieces = response.aiter_raw()
            assert await anext(pieces) == b"first"
            await asyncio.sleep(0.5)
            assert open_ones(places) == [1]
            await pieces.aclose()


async def test_connections_are_bounded(client):
    async with servers(3) as places:
        limits = httpx.Limits(max_connections=2)
        async with client(places[0], limits=limits) as http:
            first = await http.send(http.build_request("GET", "/stops"), stream=True)
            for place in places[1:]:  # an idle one makes room
                assert (await http.get(f"{place.http}/asked")).status_code == 200
            request = http.build_request("GET", f"{places[2].http}/stops")
            second = await http.send(request, stream=True)
            with pytest.raises(httpx.PoolTimeout):
                await http.get(f"{places[1].http}/asked", timeout=httpx.Timeout(5, pool=0.1))
            waiting = asyncio.create_task(http.get(f"{places[1].http}/asked"))
            await asyncio.sleep(0.05)
            await first.aclose()
            assert (await waiting).status_code == 200
            await second.aclose()


def accepted(places):
    return [place.server.stats()["accepted"] for place in places]


async def test_requests_that_wait_for_room_share_a_connection(client):
    async with servers(3) as places:
        limits = httpx.Limits(max_connections=1)
        async with client(places[0], limits=limits) as http:

            def ask(number, path="/asked"):
                request = http.build_request("GET", f"{places[number].http}{path}")
                return asyncio.create_task(http.send(request, stream=path != "/asked"))

            async def answered(tasks):
                async with asyncio.timeout(2):
                    assert {(await task).status_code for task in tasks} == {200}

            first = await ask(0, "/stops")
            others = [ask(1, "/stops"), ask(2, "/stops"), *(ask(1) for _ in range(3))]
            others += [ask(2), ask(2)]
            await asyncio.sleep(0.05)
            await first.aclose()
            await answered([others[0], *others[2:5]])  # the last ones wait for the first of them
            await answered([ask(1)])
            assert not others[1].done() and not others[5].done()
            await (await others[0]).aclose()
            await answered([others[1], *others[5:]])
            assert accepted(places) == [1, 1, 1]
            assert open_ones(places)[2] == 1
        await until(lambda: open_ones(places) == [0, 0, 0])


async def test_room_that_nobody_wants_any_more_is_for_the_next(client):
    async with servers(3) as places:
        limits = httpx.Limits(max_connections=1, keepalive_expiry=None)
        async with client(places[0], limits=limits) as http:

            def ask(number):
                return asyncio.create_task(http.get(f"{places[number].http}/asked"))

            for turns in range(12):
                first = await http.send(http.build_request("GET", "/stops"), stream=True)
                gone = [ask(1), ask(1)]
                last = ask(2)
                await asyncio.sleep(0.01)
                await first.aclose()
                for _ in range(turns):  # from before it has room to after it has a connection
                    await asyncio.sleep(0)
                for task in gone:
                    task.cancel()
                assert (await asyncio.wait_for(last, 2)).status_code == 200
                await asyncio.wait(gone)
        await until(lambda: open_ones(places) == [0, 0, 0])


async def test_aclose_ends_requests_without_a_connection(client_tls):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with servers(2) as places:
            limits = httpx.Limits(max_connections=2)
            transport = AsyncTransport(client_tls, prior_knowledge=True, limits=limits)

            def ask(url):
                request = httpx.Request("GET", url)
                return asyncio.create_task(transport.handle_async_request(request))

            response = await ask(f"{places[0].http}/stops")
            tasks = [ask(f"https://127.0.0.1:{silent.getsockname()[1]}/") for _ in range(2)]
            tasks += [ask(f"{places[1].http}/asked") for _ in range(2)]
            await asyncio.sleep(0.05)
            await transport.aclose()
            for task in tasks:
                with pytest.raises(httpx.ConnectError, match="closed"):
                    await asyncio.wait_for(task, 2)
            await response.aclose()
            await until(lambda: open_ones(places) == [0, 0])
            assert accepted(places) == [1, 0]
            # It can be used again.
            again = await ask(f"{places[1].http}/asked")
            assert await again.aread()
            await transport.aclose()
            await until(lambda: open_ones(places) == [0, 0])


async def test_aclose_ends_requests_without_a_stream(raw):
    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        await peer.until_eof()

    async with RawServer(script, (f.MAX_CONCURRENT_STREAMS, 1)) as server:
        transport = AsyncTransport(prior_knowledge=True)
        request = httpx.Request("GET", raw(server).http)
        tasks = [asyncio.create_task(transport.handle_async_request(request)) for _ in range(3)]
        await asyncio.sleep(0.1)
        await transport.aclose()
        for task in tasks:
            with pytest.raises(httpx.RemoteProtocolError):
                await asyncio.wait_for(task, 2)


async def test_connection_that_is_given_up_is_not_left_behind(client, client_tls):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        place = Place()
        place.port = port
        async with client(place, verify=client_tls) as http:
            tasks = [asyncio.create_task(http.get(f"https://127.0.0.1:{port}/")) for _ in range(3)]
            connection, _ = await asyncio.to_thread(silent.accept)
            await asyncio.sleep(0.05)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            connection.settimeout(5)
            with connection:
                assert await asyncio.to_thread(_drained, connection)


def _drained(connection):
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


async def test_transport_that_is_closed_can_be_used_again(client):
    async with servers(1) as places:
        transport = AsyncTransport(prior_knowledge=True)
        for _ in range(2):
            request = httpx.Request("GET", f"{places[0].http}/asked")
            response = await transport.handle_async_request(request)
            await response.aread()
            await transport.aclose()
            await until(lambda: open_ones(places) == [0])


async def test_aclose_resets_what_is_open(client, raw):
    seen = []

    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        await peer.expect(f.HEADERS, 3)
        peer.headers(1, OK)
        while (frame := await peer.frame()) is not None:
            if frame.kind == f.PING and not frame.ack:
                peer.send(f.ping(frame.payload, ack=True))
            if frame.kind == f.RST_STREAM:
                seen.append((frame.stream_id, frame.error_code))

    async with RawServer(script) as server:
        transport = AsyncTransport(prior_knowledge=True)
        url = f"http://127.0.0.1:{server.port}/"
        open_one = asyncio.create_task(transport.handle_async_request(httpx.Request("GET", url)))
        await asyncio.sleep(0.05)
        waiting = asyncio.create_task(transport.handle_async_request(httpx.Request("GET", url)))
        response = await open_one
        await transport.aclose()
        with pytest.raises(httpx.RemoteProtocolError):
            await waiting
        with pytest.raises(httpx.RemoteProtocolError):
            await response.aread()
    assert sorted(seen) == [(1, f.CANCEL), (3, f.CANCEL)]


@contextlib.asynccontextmanager
async def h1_only(server_tls, http=("h1",)):
    place = Place(server_tls)
    async with place.serve(on_request=on_request, http=http) as server:
        place.server = server
        yield place


async def test_server_without_h2_is_left_to_httpx_and_remembered(
    client, server_tls, client_tls, monkeypatch
):
    dialled = []
    from h2ws_fast.httpx.pool import Pool

    dial = Pool._dial

    async def counted(self, origin, connect_s):
        dialled.append(origin)
        return await dial(self, origin, connect_s)

    monkeypatch.setattr(Pool, "_dial", counted)
    async with h1_only(server_tls) as place:
        async with client(place, verify=client_tls) as http:
            for _ in range(3):
                response = await http.post("/asked", content=b"body")
                assert response.http_version == "HTTP/1.1"
                assert response.json()["version"] == "1.1"
                assert response.json()["body"] == "body"
        assert len(dialled) == 1


async def test_cleartext_without_prior_knowledge_is_left_to_httpx(clear, client):
    async with clear.serve(on_request=on_request):
        async with client(clear, prior_knowledge=False) as http:
            assert (await http.get("/asked")).json()["version"] == "1.1"


async def test_cleartext_behind_a_proxy_is_left_to_httpx(clear, client):
    seen = []

    async def connected(reader, writer):
        seen.append(await reader.readline())
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        writer.close()

    proxy = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with proxy:
        clear.port = 1
        port = proxy.sockets[0].getsockname()[1]
        async with client(clear, proxy=f"http://127.0.0.1:{port}") as http:
            assert (await http.get("/there")).text == "ok"
    assert seen == [b"GET http://127.0.0.1:1/there HTTP/1.1\r\n"]


async def test_server_that_asks_for_http1_is_given_it(client, server_tls, client_tls, certificate):
    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        peer.send(f.rst_stream(1, f.HTTP_1_1_REQUIRED))
        await peer.until_eof()

    # The same port: ALPN chooses h2 where it is offered, which httpx's own transport does not.
    async with RawServer(script) as server, h1_only(server_tls) as place:

        async def lead(reader, writer):
            tls_object = writer.get_extra_info("ssl_object")
            port = server.port
            if tls_object.selected_alpn_protocol() != "h2":
                port = inner.port
            await _pipe(reader, writer, port)

        inner = Place()
        async with inner.serve(on_request=on_request, http=("h1",)):
            context = tls.server_context(*certificate)
            context.set_alpn_protocols(["h2", "http/1.1"])
            front = await asyncio.start_server(lead, "127.0.0.1", 0, ssl=context)
            async with front:
                place.port = front.sockets[0].getsockname()[1]
                async with client(place, verify=client_tls) as http:
                    for _ in range(2):
                        response = await http.get("/asked")
                        assert response.json()["version"] == "1.1"


async def _pipe(reader, writer, port):
    other_reader, other_writer = await asyncio.open_connection("127.0.0.1", port)

    async def copy(source, target):
        while data := await source.read(65536):
            target.write(data)
        target.close()

    await asyncio.gather(
        copy(reader, other_writer), copy(other_reader, writer), return_exceptions=True
    )


async def test_unix_socket_and_local_address(client, tmp_path, clear):
    path = str(tmp_path / "socket")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    from h2ws_fast import serve

    async with serve(None, sock=listener, on_request=on_request):
        transport = AsyncTransport(uds=path, prior_knowledge=True)
        async with httpx.AsyncClient(transport=transport) as http:
            request = http.build_request("GET", "http://name/status?204")
            assert (await http.send(request)).http_version == "HTTP/2"
    option = (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    async with clear.serve(on_request=on_request):
        async with client(clear, local_address="127.0.0.1", socket_options=iter([option])) as http:
            response = await http.get("/asked")
            sock = response.extensions["network_stream"].get_extra_info("socket")
            assert sock.getsockopt(*option[:2])


def test_transport_outlives_its_loop(tmp_path):
    transport = AsyncTransport(prior_knowledge=True)

    async def one():
        async with servers(1) as places:
            request = httpx.Request("GET", f"{places[0].http}/asked")
            response = await transport.handle_async_request(request)
            await response.aread()
            return response.status_code

    for _ in range(2):
        assert asyncio.run(one()) == 200
