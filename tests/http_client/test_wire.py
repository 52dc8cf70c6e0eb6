"""What stands on the wire: an `httpx.AsyncClient` against a server made of octets."""

import asyncio

import httpx
import pytest

from tests.support import frames as f
from tests.support.raw import RawServer

OK = [(b":status", b"200")]
BODIES = (f.DATA, f.RST_STREAM, f.WINDOW_UPDATE, f.SETTINGS, f.PING)  # may stand before a request


async def test_fields_of_the_connection_do_not_travel(client, raw):
    async def script(peer):
        head = await peer.expect(f.HEADERS, 1)
        assert head.flags & f.END_STREAM
        assert head.fields == [
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":authority", b"name.example:81"),
            (b":path", b"/a%20b?c"),
            (b"te", b"trailers"),
            (b"x-kept", b"\xe9"),
            (b"x-kept", b"again"),
        ]
        peer.headers(1, OK, end_stream=True)
        head = await peer.expect(f.HEADERS, 3)
        assert (b"content-length", b"4") in head.fields
        assert not {b"transfer-encoding", b"te"} & {name for name, _ in head.fields}
        body = await peer.expect(f.DATA, 3)
        assert (body.content, body.flags & f.END_STREAM) == (b"body", f.END_STREAM)
        peer.headers(3, OK, end_stream=True)
        await peer.until_eof()

    async with RawServer(script) as server, client(raw(server)) as http:
        http.headers = httpx.Headers()
        fields = [
            (b"Host", b"name.example:81"),
            (b"Connection", b"keep-alive, X-Mine"),
            (b"Keep-Alive", b"5"),
            (b"Proxy-Connection", b"keep-alive"),
            (b"X-Mine", b"gone"),
            (b"TE", b"trailers"),
            (b"X-Kept", b"\xe9"),
            (b"X-Kept", b"again"),
        ]
        request = httpx.Request("GET", f"http://127.0.0.1:{server.port}/a b?c", headers=fields)
        assert (await http.send(request)).status_code == 200
        response = await http.post("/", content=b"body", headers={"TE": "gzip"})
        assert response.status_code == 200


async def test_target_and_informational_responses(client, raw):
    async def script(peer):
        head = await peer.expect(f.HEADERS, 1)
        assert (b":path", b"*") in head.fields
        peer.headers(1, [(b":status", b"100")])
        peer.headers(1, [(b":status", b"103"), (b"link", b"</a>")])
        peer.headers(1, [*OK, (b"content-length", b"2"), (b"x", b"\xff")])
        peer.send(f.data(1, b"ab", True))
        await peer.until_eof()

    async with RawServer(script) as server, client(raw(server)) as http:
        response = await http.options("/", extensions={"target": b"*"})
        assert (response.text, response.headers["x"]) == ("ab", "ÿ")
        assert "link" not in response.headers


async def canceled(peer, stream_id):
    frame = await peer.expect(f.RST_STREAM, stream_id)
    assert frame.error_code == f.CANCEL


async def serves(peer, stream_id):
    """The connection goes on: the next request is answered."""
    await peer.expect(f.HEADERS, stream_id, skip=BODIES)
    peer.headers(stream_id, OK, end_stream=True)
    await peer.until_eof()


@pytest.mark.parametrize("answered", [False, True])
async def test_cancellation_resets_the_stream_alone(client, raw, answered):
    waits = asyncio.Event()

    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        if answered:
            peer.headers(1, OK)
        waits.set()
        await canceled(peer, 1)
        await serves(peer, 3)

    async with RawServer(script) as server, client(raw(server)) as http:
        task = asyncio.create_task(http.get("/"))
        await waits.wait()
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await http.get("/")).status_code == 200


async def test_response_that_is_not_read_is_reset(client, raw):
    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        peer.headers(1, OK)
        peer.send(f.data(1, b"x"))
        await canceled(peer, 1)
        await serves(peer, 3)

    async with RawServer(script) as server, client(raw(server)) as http:
        async with http.stream("GET", "/"):
            pass
        assert (await http.get("/")).status_code == 200


async def test_goaway_lets_the_old_streams_end_and_moves_the_new_ones(client, raw):
    gone = asyncio.Event()
    connections = []

    async def script(peer):
        connections.append(peer)
        if len(connections) == 1:
            await peer.expect(f.HEADERS, 1)
            await peer.expect(f.HEADERS, 3)
            peer.send(f.goaway(1, f.NO_ERROR))  # 3 was not processed
            await gone.wait()
            peer.headers(1, OK)
            peer.send(f.data(1, b"old", True))
        else:
            for stream_id in (1, 3):
                await peer.expect(f.HEADERS, stream_id, skip=BODIES)
                peer.headers(stream_id, OK)
                peer.send(f.data(stream_id, b"new", True))
                gone.set()
        await peer.until_eof()

    async with RawServer(script) as server, client(raw(server)) as http:
        first = asyncio.create_task(http.get("/"))
        await asyncio.sleep(0.05)
        assert (await http.post("/", content=b"again")).text == "new"
        assert (await http.get("/")).text == "new"
        assert (await first).text == "old"
        assert len(connections) == 2


async def test_refused_stream_is_tried_once_more(client, raw):
    async def script(peer):
        for stream_id in (1, 3, 5):
            await peer.expect(f.HEADERS, stream_id)
            assert (await peer.expect(f.DATA, stream_id)).content == b"body"
            peer.send(f.rst_stream(stream_id, f.REFUSED_STREAM))
        await peer.expect(f.HEADERS, 7)
        await peer.expect(f.DATA, 7)
        peer.headers(7, OK, end_stream=True)
        await peer.expect(f.HEADERS, 9, skip=BODIES)
        peer.send(f.rst_stream(9, f.REFUSED_STREAM))
        await serves(peer, 11)

    async def once():
        yield b"body"

    async with RawServer(script) as server, client(raw(server)) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.post("/", content=b"body")
        assert (await http.post("/", content=b"body")).status_code == 200
        # What was read of it is gone: whoever has the body has to say it once more.
        with pytest.raises(httpx.RemoteProtocolError):
            await http.post("/", content=once())
        assert (await http.get("/")).status_code == 200


@pytest.mark.parametrize("code", [f.CANCEL, f.INTERNAL_ERROR, f.NO_ERROR])
async def test_other_resets_are_not_tried_again(client, raw, code):
    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        peer.send(f.rst_stream(1, code))
        await peer.expect(f.HEADERS, 3)
        peer.headers(3, OK)
        peer.send(f.data(3, b"half"), f.rst_stream(3, code))
        await serves(peer, 5)

    async with RawServer(script) as server, client(raw(server)) as http:
        with pytest.raises(httpx.RemoteProtocolError) as caught:
            await http.get("/one")
        assert caught.value.request.url.path == "/one"
        came = []
        with pytest.raises(httpx.RemoteProtocolError):
            async with http.stream("GET", "/two") as response:
                async for piece in response.aiter_raw():
                    came.append(piece)
        assert b"".join(came) == b"half"
        assert (await http.get("/")).status_code == 200


async def test_answer_and_reset_of_the_rest_of_the_request(client, raw):
    # RFC 9113 section 8.1: a complete response, then RST_STREAM(NO_ERROR), is no failure.
    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        peer.headers(1, OK)
        peer.send(f.data(1, b"enough", True), f.rst_stream(1, f.NO_ERROR))
        await peer.until_eof()

    async def endless():
        while True:
            yield bytes(1000)
            await asyncio.sleep(0)

    async with RawServer(script) as server, client(raw(server)) as http:
        assert (await http.post("/", content=endless())).text == "enough"


@pytest.mark.parametrize("answered", [False, True])
async def test_lost_connection_is_a_protocol_error_and_replaced(client, raw, answered):
    connections = []

    async def script(peer):
        connections.append(peer)
        await peer.expect(f.HEADERS, 1)
        if len(connections) == 2:
            peer.headers(1, OK, end_stream=True)
            await peer.until_eof()
        elif answered:
            peer.headers(1, [*OK, (b"content-length", b"10")])

    async with RawServer(script) as server, client(raw(server)) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get("/")
        assert (await http.get("/")).status_code == 200


async def test_connection_that_ended_idle_is_replaced_without_a_word(client, raw):
    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        peer.headers(1, OK, end_stream=True)

    async with RawServer(script) as server, client(raw(server)) as http:
        for _ in range(3):
            assert (await http.get("/")).status_code == 200
            while server.tasks:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("pieces", [[], [b"ab"], [b"abc", b"def"], [b"abcdef"]])
async def test_body_that_is_not_as_long_as_promised(client, raw, pieces):
    # RFC 9113 section 8.1.1: to the server it would be malformed, and harm the connection.
    async def script(peer):
        head = await peer.expect(f.HEADERS, 1)
        assert (b"content-length", b"5") in head.fields
        assert not head.flags & f.END_STREAM
        while (frame := await peer.frame()).kind != f.RST_STREAM:
            assert frame.kind != f.DATA or not frame.flags & f.END_STREAM
        assert (frame.stream_id, frame.error_code) == (1, f.CANCEL)
        await serves(peer, 3)

    async def body():
        for piece in pieces:
            yield piece
            await asyncio.sleep(0)

    length = {"content-length": "5"}
    async with RawServer(script) as server, client(raw(server)) as http:
        words = "longer" if sum(map(len, pieces)) > 5 else "shorter"
        with pytest.raises(httpx.LocalProtocolError, match=words):
            await http.post("/", content=body(), headers=length)
        # Nothing of what is at hand is sent.
        with pytest.raises(httpx.LocalProtocolError, match="is 5"):
            await http.post("/", content=b"".join(pieces), headers=length)
        with pytest.raises(httpx.LocalProtocolError, match="no number"):
            await http.post("/", content=b"", headers={"content-length": "-1"})
        assert (await http.get("/")).status_code == 200


async def test_bodies_heed_the_servers_windows(client, raw):
    size = 200_000

    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        received = 0
        while received < size:
            frame = await peer.expect(f.DATA, 1)
            received += len(frame.content)
            assert len(frame.content) <= 5000
            peer.send(f.window_update(1, len(frame.content)))
            peer.send(f.window_update(0, len(frame.content)))
        assert received == size
        peer.headers(1, OK, end_stream=True)
        await peer.until_eof()

    server = RawServer(script, (f.INITIAL_WINDOW_SIZE, 5000))
    async with server, client(raw(server)) as http:
        assert (await http.post("/", content=bytes(size))).status_code == 200
