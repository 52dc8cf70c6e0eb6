"""httpx-ws, unchanged, over HTTP/2: and over HTTP/1.1 where the server takes it so."""

import asyncio

import anyio
import httpcore
import httpx
import httpx_ws
import pytest
from httpx_ws import aconnect_ws

from h2ws_fast.engine import Settings
from tests.http_client.application import echo, on_request
from tests.support import frames as f
from tests.support.raw import RawServer
from tests.support.ws_frames import CLOSE, TEXT, close_frame, read_ws_frames, ws_frame

ENABLED = (f.ENABLE_CONNECT_PROTOCOL, 1)
OK = [(b":status", b"200")]
HTTPX = (b"accept", b"accept-encoding", b"user-agent")  # the fields that it adds by itself
BESIDE = (f.DATA, f.WINDOW_UPDATE, f.SETTINGS, f.PING)


async def recorded(ws, into):
    into.append(ws)
    await echo(ws)


def versions(into):
    return [ws.request.http_version for ws in into]


async def test_text_binary_json_and_pings(place, client):
    seen = []
    async with place.serve(lambda ws: recorded(ws, seen), on_request=on_request):
        async with client(place) as http:
            async with aconnect_ws("/chat?room=1", http) as ws:
                await ws.send_text("Hello! ☃")
                assert await ws.receive_text() == "Hello! ☃"
                await ws.send_bytes(b"\x00\xff")
                assert await ws.receive_bytes() == b"\x00\xff"
                await ws.send_json({"a": [1, 2]})
                assert await ws.receive_json() == {"a": [1, 2]}
                with anyio.fail_after(5):
                    await (await ws.ping()).wait()
                response = ws.response
            assert (response.status_code, response.http_version) == (101, "HTTP/2")
            assert response.headers["upgrade"] == "websocket"
            # The connection is there for what comes next.
            asked = (await http.get("/asked")).json()
            assert asked["port"] == seen[0].remote_address[1]
    assert versions(seen) == ["2"]
    assert (seen[0].request.path, seen[0].close_code) == ("/chat?room=1", 1000)


async def test_handshake_is_translated(client, raw):
    async def script(peer):
        head = await peer.expect(f.HEADERS, 1)
        assert not head.flags & f.END_STREAM
        assert head.fields == [
            (b":method", b"CONNECT"),
            (b":protocol", b"websocket"),
            (b":scheme", b"http"),
            (b":authority", b"127.0.0.1:%d" % server.port),
            (b":path", b"/a?b"),
            *((name, value) for name, value in head.fields if name in HTTPX),
            (b"x-mine", b"1"),
            (b"sec-websocket-version", b"13"),
            (b"sec-websocket-protocol", b"one, two"),
        ]
        peer.headers(1, [*OK, (b"sec-websocket-protocol", b"two"), (b"x-theirs", b"2")])
        peer.ws(1, TEXT, b"first")
        [message] = await peer.ws_frames(1, 1)
        assert message.payload == b"hello"
        [close] = await peer.ws_frames(1, 1)
        assert (close.opcode, close.payload) == (CLOSE, b"\x03\xe8")
        last = peer.frames[-1]
        assert last.flags & f.END_STREAM or (await peer.expect(f.DATA, 1)).flags & f.END_STREAM
        # However late it answers, it is not reset, though the client is closed meanwhile.
        await asyncio.sleep(0.2)
        peer.close_frame(1, 1000, end_stream=True)
        assert not [frame for frame in await peer.until_eof() if frame.kind == f.RST_STREAM]

    async with RawServer(script, ENABLED) as server, client(raw(server)) as http:
        http.headers = httpx.Headers()
        options = {"headers": {"x-mine": "1"}, "subprotocols": ["one", "two"]}
        async with aconnect_ws("/a?b", http, **options) as ws:
            assert ws.subprotocol == "two"
            headers = ws.response.headers
            assert headers["x-theirs"] == "2" and headers["connection"] == "Upgrade"
            assert len(headers["sec-websocket-accept"]) == 28
            assert await ws.receive_text() == "first"
            await ws.send_text("hello")


async def test_accept_is_computed_of_the_key(client, raw):
    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        peer.headers(1, [*OK, (b"sec-websocket-accept", b"nonsense")])
        peer.send(f.data(1, b"", True))
        await peer.until_eof()

    async with RawServer(script, ENABLED) as server, client(raw(server)) as http:
        fields = {
            "connection": "Upgrade",
            "upgrade": "WebSocket",
            "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
            "sec-websocket-version": "13",
        }
        async with http.stream("GET", "/", headers=fields) as response:
            assert response.status_code == 101
            accept = response.headers.get_list("sec-websocket-accept")
            assert accept == ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]  # RFC 6455 section 1.3


async def test_many_share_a_connection_with_requests(place, client):
    seen = []
    async with place.serve(lambda ws: recorded(ws, seen), on_request=on_request):
        async with client(place, timeout=20) as http:

            async def talk(number):
                async with aconnect_ws("/", http) as ws:
                    for turn in range(3):
                        await ws.send_text(f"{number}.{turn}")
                        assert await ws.receive_text() == f"{number}.{turn}"
                        assert (await http.get("/status?204")).status_code == 204

            await asyncio.gather(*(talk(number) for number in range(20)))
    assert len({ws.remote_address for ws in seen}) == 1
    assert {ws.close_code for ws in seen} == {1000}


async def test_large_messages_both_ways(place, client):
    async with place.serve(echo, max_size=None), client(place) as http:
        async with aconnect_ws("/", http) as ws:
            octets = bytes(range(256)) * 12_000
            await ws.send_bytes(octets)
            assert await ws.receive_bytes() == octets


async def test_server_closes_with_code_and_reason(place, client):
    async with place.serve(echo), client(place) as http:
        async with aconnect_ws("/", http) as ws:
            await ws.send_text("close enough")
            with pytest.raises(httpx_ws.WebSocketDisconnect) as caught:
                await ws.receive_text()
        assert (caught.value.code, caught.value.reason) == (4000, "enough")


async def test_last_words_arrive_before_a_reset(client, raw):
    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        peer.headers(1, OK)
        await peer.ws_frames(1, 1)
        peer.send(
            f.data(1, ws_frame(TEXT, b"last", key=None) + close_frame(4001, b"bye", key=None)),
            f.rst_stream(1, f.CANCEL),
        )
        await peer.until_eof()

    async with RawServer(script, ENABLED) as server, client(raw(server)) as http:
        async with aconnect_ws("/", http) as ws:
            await ws.send_text("go")
            assert await ws.receive_text() == "last"
            with pytest.raises(httpx_ws.WebSocketDisconnect) as caught:
                await ws.receive_text()
        assert (caught.value.code, caught.value.reason) == (4001, "bye")


@pytest.mark.parametrize("how", ["reset", "end", "lost"])
async def test_end_without_a_close_is_a_network_error(client, raw, how):
    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        peer.headers(1, OK)
        await peer.ws_frames(1, 1)
        if how == "lost":
            return
        peer.send(f.rst_stream(1, f.CANCEL) if how == "reset" else f.data(1, b"", True))
        await peer.until_eof()

    async with RawServer(script, ENABLED) as server, client(raw(server)) as http:
        async with aconnect_ws("/", http) as ws:
            await ws.send_text("go")
            with pytest.raises(httpx_ws.WebSocketNetworkError):
                await ws.receive_text()


UPGRADE = {
    "connection": "upgrade",
    "upgrade": "websocket",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-version": "13",
}


async def test_network_stream_reads_and_writes_octets(client, raw):
    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        peer.headers(1, OK)
        assert (await peer.expect(f.DATA, 1)).content == b"any octets"
        peer.send(f.data(1, b"12345"), f.data(1, b"67"))
        await peer.expect(f.PING)
        peer.send(f.data(1, b"89", True))
        await peer.expect(f.HEADERS, 3, skip=BESIDE)
        peer.headers(3, OK)
        assert (await peer.expect(f.DATA, 3)).flags & f.END_STREAM
        peer.send(f.data(3, b"", True))
        await peer.until_eof()

    async with RawServer(script, ENABLED) as server, client(raw(server)) as http:
        async with http.stream("GET", "/", headers=UPGRADE) as response:
            stream = response.extensions["network_stream"]
            assert isinstance(stream, httpcore.AsyncNetworkStream)
            assert stream.get_extra_info("server_addr")[1] == server.port
            await stream.write(b"any octets")
            read = b""
            while len(read) < 7:
                piece = await stream.read(3)
                assert 0 < len(piece) <= 3
                read += piece
            assert read == b"1234567"
            with pytest.raises(httpcore.ReadTimeout):
                await stream.read(1, timeout=0.05)
            [link] = http._transport._pool.connections.links()
            link._wire.conn.ping(0, b"12345678")
            link._wire.touch()
            assert await stream.read(100) == b"89"
            assert await stream.read(100) == await stream.read(100) == b""
            with pytest.raises(httpcore.ConnectError):
                await stream.start_tls(None)
        async with http.stream("GET", "/", headers=UPGRADE) as response:
            stream = response.extensions["network_stream"]
            reading = asyncio.create_task(stream.read(1))
            await asyncio.sleep(0)
            await stream.aclose()
            with pytest.raises(httpcore.ReadError):
                await reading
            with pytest.raises(httpcore.WriteError):
                await stream.write(b"x")


async def test_network_stream_of_a_request_is_no_tunnel(clear, client):
    async with clear.serve(on_request=on_request), client(clear) as http:
        stream = (await http.get("/asked")).extensions["network_stream"]
        with pytest.raises(httpcore.ReadError):
            await stream.read(1)
        with pytest.raises(httpcore.WriteError):
            await stream.write(b"x")
        await stream.aclose()


async def test_writing_waits_for_the_servers_window(client, raw):
    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        peer.headers(1, OK)
        await asyncio.sleep(0.2)
        size = 0
        while size < 300_000:
            frame = await peer.expect(f.DATA, 1)
            size += len(frame.content)
            peer.send(f.window_update(1, len(frame.content)))
            peer.send(f.window_update(0, len(frame.content)))
        arrived.set()
        peer.send(f.data(1, b"", True))
        await peer.until_eof()

    arrived = asyncio.Event()
    server = RawServer(script, ENABLED, (f.INITIAL_WINDOW_SIZE, 5000))
    async with server, client(raw(server)) as http:
        async with http.stream("GET", "/", headers=UPGRADE) as response:
            stream = response.extensions["network_stream"]
            with pytest.raises(httpcore.WriteTimeout):
                await stream.write(bytes(150_000), timeout=0.1)
            await stream.write(bytes(150_000), timeout=10)
            async with asyncio.timeout(10):
                await arrived.wait()


async def test_refusal_is_the_response_with_its_body(place, client):
    from h2ws_fast import Response

    def refuse(_, request):
        return Response(403, [("x-why", "because")], "x" * 200_000)

    async with place.serve(echo, process_request=refuse, on_request=on_request):
        async with client(place) as http:
            with pytest.raises(httpx_ws.WebSocketUpgradeError) as caught:
                async with aconnect_ws("/", http):
                    raise AssertionError("it was accepted")
            response = caught.value.response
            assert (response.status_code, response.http_version) == (403, "HTTP/2")
            assert response.headers["x-why"] == "because"
            async with http.stream("GET", "/", headers=UPGRADE) as response:
                assert len(await response.aread()) == 200_000
            assert (await http.get("/asked")).status_code == 200


async def test_server_that_does_not_offer_it_is_asked_over_http1(place, client):
    seen = []
    settings = Settings(enable_connect_protocol=False)
    async with place.serve(lambda ws: recorded(ws, seen), on_request=on_request, settings=settings):
        async with client(place) as http:
            for _ in range(2):
                async with aconnect_ws("/", http) as ws:
                    await ws.send_text("hello")
                    assert await ws.receive_text() == "hello"
                    assert ws.response.http_version == "HTTP/1.1"
            assert (await http.get("/asked")).http_version == "HTTP/2"
    assert versions(seen) == ["1.1", "1.1"]


async def test_server_of_http1_is_asked_over_http1(place, client):
    seen = []
    async with place.serve(lambda ws: recorded(ws, seen), http=("h1",)):
        async with client(place, prior_knowledge=False) as http:
            scheme = "wss" if place.secure else "ws"
            async with aconnect_ws(f"{scheme}://127.0.0.1:{place.port}/", http) as ws:
                await ws.send_text("hello")
                assert await ws.receive_text() == "hello"
    assert versions(seen) == ["1.1"]


async def test_schemes_of_websockets_are_taken(place, client):
    seen = []
    async with place.serve(lambda ws: recorded(ws, seen)), client(place) as http:
        async with aconnect_ws(place.ws("/x"), http) as ws:
            await ws.send_text("hello")
            assert await ws.receive_text() == "hello"
    assert versions(seen) == ["2"]


async def test_server_without_settings_times_out_connecting(client, raw):
    async def script(peer):
        await peer.until_eof()

    async with RawServer(script, greet=False) as server:
        async with client(raw(server), timeout=0.3) as http:
            with pytest.raises(httpx.ConnectTimeout):
                async with aconnect_ws("/", http):
                    raise AssertionError("it was opened")


async def test_server_that_does_not_answer_the_end_is_left(client, raw, monkeypatch):
    monkeypatch.setattr("h2ws_fast.httpx.exchange.LINGER_S", 0.3)
    frames = []

    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        peer.headers(1, OK)
        octets = b""
        while not octets or not read_ws_frames(octets):
            octets += (await peer.expect(f.DATA, 1)).content
        # Floods instead of ending: nobody reads it, and nothing is held back.
        for _ in range(40):
            peer.send(f.data(1, bytes(16000)))
        frames.append(await peer.expect(f.RST_STREAM, 1, skip=BESIDE))
        await peer.until_eof()

    async with RawServer(script, ENABLED) as server, client(raw(server)) as http:
        async with aconnect_ws("/", http):
            pass
        [link] = http._transport._pool.connections.links()
        await asyncio.sleep(0.1)
        assert link._wire.conn.stats()["octets_buffered"] == 0
        async with asyncio.timeout(5):
            while not frames:
                await asyncio.sleep(0.01)
        assert frames[0].error_code == f.CANCEL
