"""Ordinary requests and tunnels, beside WebSockets on one connection."""

import asyncio

import pytest

from h2ws_fast import InvalidStatus, Response, Session, StreamReset, connect
from tests.support import frames as f
from tests.support.raw import RawClient, RawServer


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def about(request):
    """Answers with what it got."""
    body = await request.read()
    text = f"{request.method} {request.scheme} {request.path} {len(body)}"
    return Response(200, {"x-body": str(len(body))}, text, trailers={"x-end": "yes"})


async def test_a_request_and_its_response(place):
    async with (
        place.serve(echo, on_request=about),
        Session(place.http, ssl=place.client_ssl) as session,
    ):
        scheme = "https" if place.secure else "http"
        response = await session.request("GET", "/a?b=c", headers={"X-Y": "z"})
        assert response.status == response.status_code == 200
        assert response.reason_phrase == "OK"
        assert response.headers["X-Body"] == "0"
        assert await response.read() == f"GET {scheme} /a?b=c 0".encode()
        assert response.trailers["x-end"] == "yes"

        response = await session.request("POST", "/up", body=bytes(1_000_000))
        assert await response.read() == f"POST {scheme} /up 1000000".encode()


async def test_bodies_stream_both_ways(place):
    async def shout(request):
        async def upper():
            async for piece in request:
                yield piece.upper()

        return Response(200, {"content-type": "text/plain"}, upper())

    async def pieces():
        for number in range(100):
            await asyncio.sleep(0)
            yield b"piece %d " % number

    async with (
        place.serve(on_request=shout),
        Session(place.http, ssl=place.client_ssl) as session,
    ):
        response = await session.request("POST", "/", body=pieces(), trailers={"t": "1"})
        got = b"".join([piece async for piece in response])
        assert got == b"".join(b"PIECE %d " % number for number in range(100))


async def test_a_large_body_waits_for_its_reader(place):
    sent = 0

    async def flood(request):
        async def endless():
            nonlocal sent
            for _ in range(1000):
                sent += 10000
                yield bytes(10000)

        return Response(200, body=endless())

    async with (
        place.serve(on_request=flood),
        Session(place.http, ssl=place.client_ssl) as session,
    ):
        response = await session.request("GET", "/")
        await asyncio.sleep(0.2)
        assert sent < 262144 + 32768 + 20000
        assert len(await response.read()) == 10_000_000


async def test_a_body_above_the_readers_limit(clear):
    async def limited(request):
        try:
            await request.read(1000)
        except ValueError:
            return Response(413)
        return Response(200)

    async with clear.serve(on_request=limited), Session(clear.http) as session:
        assert (await session.request("POST", "/", body=bytes(1000))).status == 200
        assert (await session.request("POST", "/", body=bytes(1001))).status == 413


async def test_a_response_before_the_request_has_ended(clear):
    async def early(request):
        return Response(403, body=b"no")

    async def endless():
        for _ in range(200):
            await asyncio.sleep(0)
            yield bytes(10000)

    async with clear.serve(on_request=early), Session(clear.http) as session:
        response = await session.request("POST", "/", body=endless())
        assert response.status == 403
        assert await response.read() == b"no"
        # The connection lives, and its window was not eaten by what nobody read.
        assert (await session.request("GET", "/")).status == 403


@pytest.mark.row("8441-4-15")
async def test_requests_websockets_and_tunnels_share_a_connection(place):
    async def loop_back(tunnel):
        async for data in tunnel:
            await tunnel.send(data)

    async with (
        place.serve(echo, on_request=about, tunnels={"bytestream": loop_back}) as server,
        Session(place.http, ssl=place.client_ssl) as session,
    ):
        ws = await session.websocket()
        tunnel = await session.tunnel("bytestream", "/t", headers={"x": "y"})
        assert tunnel.response.status == 200
        upload = asyncio.create_task(session.request("POST", "/", body=bytes(500_000)))
        for number in range(20):
            await ws.send(f"{number}")
            await tunnel.send(b"%d" % number)
            assert await ws.recv() == f"{number}"
            assert await tunnel.recv() == b"%d" % number
        response = await upload
        assert response.headers["x-body"] == "500000"
        await response.read()
        tunnel.send_eof()
        assert await tunnel.recv() == b""
        assert len(server._wires) == 1


async def test_a_tunnel_sees_how_the_other_side_ends(place):
    seen = asyncio.Queue()

    async def watch(tunnel):
        try:
            while data := await tunnel.recv():
                await seen.put(data)
            await seen.put("end")
        except StreamReset as error:
            await seen.put(error)

    async with (
        place.serve(tunnels={"Some-Token": watch}),
        Session(place.http, ssl=place.client_ssl) as session,
    ):
        async with await session.tunnel("some-token", "/x") as tunnel:
            await tunnel.send(b"data")
            assert await seen.get() == b"data"
        assert await seen.get() == "end"
        tunnel = await session.tunnel("some-token")
        tunnel.abort()
        error = await seen.get()
        assert isinstance(error, StreamReset) and error.error_code == f.CANCEL
        with pytest.raises(StreamReset):
            await tunnel.send(b"x")
        with pytest.raises(StreamReset):
            await tunnel.recv()


async def test_a_tunnel_waits_for_its_reader(clear):
    gate = asyncio.Event()
    total = 0

    async def slow(tunnel):
        nonlocal total
        await gate.wait()
        async for data in tunnel:
            total += len(data)

    async with clear.serve(tunnels={"t": slow}), Session(clear.http) as session:
        tunnel = await session.tunnel("t")
        sent = 0

        async def feed():
            nonlocal sent
            for _ in range(100):
                await tunnel.send(bytes(20000))
                sent += 20000
            await tunnel.close()

        task = asyncio.create_task(feed())
        await asyncio.sleep(0.1)
        assert not task.done() and sent < 262144 + 32768 + 20000
        gate.set()
        await task
        async with asyncio.timeout(5):
            while total < 2_000_000:
                await asyncio.sleep(0.01)


async def test_a_tunnel_whose_handler_fails_is_reset(clear, caplog):
    async def fail(tunnel):
        raise RuntimeError("the tunnel's own")

    async with clear.serve(tunnels={"t": fail}), Session(clear.http) as session:
        tunnel = await session.tunnel("t")
        with pytest.raises(StreamReset) as caught:
            await tunnel.recv()
        assert caught.value.error_code == f.INTERNAL_ERROR
    assert "the tunnel's own" in caplog.text


@pytest.mark.row("8441-4-6")
async def test_unknown_tokens_are_501_and_the_connection_lives(place):
    async with place.serve(echo), Session(place.http, ssl=place.client_ssl) as session:
        with pytest.raises(InvalidStatus) as caught:
            await session.tunnel("foo", "/")
        assert caught.value.response.status == 501
        ws = await session.websocket()
        await ws.send("alive")
        assert await ws.recv() == "alive"


async def test_refusal_body_reaches_the_client(place):
    def process_request(ws, request):
        if request.path == "/secret":
            return ws.respond(401, "who are you\n")
        return None

    async with (
        place.serve(echo, process_request=process_request),
        Session(place.http, ssl=place.client_ssl) as session,
    ):
        with pytest.raises(InvalidStatus) as caught:
            await session.websocket("/secret")
        assert caught.value.response.status == 401
        assert caught.value.response.body == b"who are you\n"
        assert caught.value.response.headers["content-type"].startswith("text/plain")
        ws = await session.websocket("/open")
        await ws.send("alive")
        assert await ws.recv() == "alive"


async def test_without_on_request_it_is_404(clear):
    async with clear.serve(echo), Session(clear.http) as session:
        assert (await session.request("GET", "/")).status == 404
        assert (await session.request("HEAD", "/")).status == 404


async def test_on_request_that_fails_is_500(clear, caplog):
    async def fail(request):
        if request.path == "/wrong":
            return "not a Response"
        raise RuntimeError("the request's own")

    async with clear.serve(on_request=fail), Session(clear.http) as session:
        assert (await session.request("GET", "/")).status == 500
        assert (await session.request("GET", "/wrong")).status == 500
    assert "the request's own" in caplog.text
    assert "not a Response" in caplog.text


async def test_a_body_that_fails_half_way_resets_the_stream(clear, caplog):
    async def fail(request):
        async def broken():
            yield b"half"
            raise RuntimeError("the body's own")

        return Response(200, body=broken())

    async with clear.serve(on_request=fail), Session(clear.http) as session:
        response = await session.request("GET", "/")
        with pytest.raises(StreamReset):
            await response.read()
        assert session.connected
    assert "the body's own" in caplog.text


async def test_a_request_body_that_fails_resets_the_stream(clear):
    async def broken():
        yield b"half"
        raise ValueError("the body's own")

    async with clear.serve(on_request=about), Session(clear.http) as session:
        with pytest.raises(ValueError, match="own"):
            await session.request("POST", "/", body=broken())
        assert (await session.request("GET", "/")).status == 200


async def test_the_reset_of_another_stream_is_no_reset_of_this_one(place, caplog):
    async def cut_off():
        yield b"half"
        raise StreamReset(f.CANCEL, "of another stream")

    async def answer(request):
        if request.path == "/head":
            raise StreamReset(f.CANCEL, "of another stream")
        if request.path == "/body":
            return Response(200, body=cut_off())
        return Response(200, body=await request.read())

    async with (
        place.serve(on_request=answer),
        Session(place.http, ssl=place.client_ssl) as session,
        asyncio.timeout(5),
    ):
        assert (await session.request("GET", "/head")).status == 500
        response = await session.request("GET", "/body")
        with pytest.raises(StreamReset) as caught:
            await response.read()
        assert caught.value.error_code == f.INTERNAL_ERROR
        said = [record.message for record in caplog.records]
        assert said == ["on_request failed", "sending a response failed"]
        with pytest.raises(StreamReset, match="of another stream"):
            await session.request("POST", "/", body=cut_off())
        assert await (await session.request("POST", "/", body=b"whole")).read() == b"whole"


async def test_head_has_no_body(clear):
    async def answer(request):
        return Response(200, {"content-length": "5"}, b"12345")

    async with clear.serve(on_request=answer), Session(clear.http) as session:
        response = await session.request("HEAD", "/")
        assert response.headers["content-length"] == "5"
        assert await response.read() == b""
        assert await (await session.request("GET", "/")).read() == b"12345"


async def test_a_client_that_leaves_cancels_the_work(clear):
    state = []
    begun = asyncio.Event()
    over = asyncio.Event()

    async def slow(request):
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            state.append("cancelled")
            over.set()
            raise
        return Response(200)

    async with clear.serve(on_request=slow), Session(clear.http) as session:
        task = asyncio.create_task(session.request("GET", "/"))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await over.wait()
        assert state == ["cancelled"]
        assert session.connected


async def test_closing_a_response_gives_up_its_body(clear):
    async def endless(request):
        async def zeros():
            while True:
                yield bytes(10000)

        return Response(200, body=zeros())

    async with clear.serve(on_request=endless), Session(clear.http) as session:
        async with await session.request("GET", "/") as response:
            assert (await anext(aiter(response)))[:1] == b"\0"
        with pytest.raises(StreamReset):
            await response.read()
        assert session.connected


async def test_informational_responses_are_told(clear):
    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        peer.headers(1, [(":status", "103"), ("link", "</x>")])
        peer.headers(1, [(":status", "200")], end_stream=True)
        await peer.until_eof()

    seen = []
    async with (
        RawServer(script) as server,
        Session(f"http://127.0.0.1:{server.port}") as session,
    ):
        response = await session.request("GET", "/", on_informational=seen.append)
        assert response.status == 200
    assert [(r.status, r.headers["link"]) for r in seen] == [(103, "</x>")]


async def test_a_plain_connect_does_not_disturb(clear):
    async with clear.serve(echo):
        peer = await RawClient.connect(clear.port)
        peer.headers(1, [(":method", "CONNECT"), (":authority", "example.com:443")])
        answer = await peer.expect(f.HEADERS, 1)
        assert answer.get(":status") == "501"
        assert (await peer.websocket(3)).get(":status") == "200"
        peer.close()


async def test_requests_cannot_be_sent_without_a_connection():
    from h2ws_fast import LocalProtocolError

    session = Session("http://127.0.0.1:1")
    with pytest.raises(LocalProtocolError, match="connect"):
        await session.request("GET", "/")
    with pytest.raises(TypeError):
        await session.request("GET", "/", body=5)
    with pytest.raises(OSError):
        await session.connect()


async def test_connect_needs_websocket_support_of_the_server(clear):
    from h2ws_fast import ExtendedConnectUnsupported

    async with clear.serve(on_request=about):
        with pytest.raises(ExtendedConnectUnsupported):
            await connect(clear.ws(), http="h2")


async def test_a_request_knows_who_asks(place):
    addresses = []

    async def remember(request):
        addresses.append(request.remote_address)
        return Response()

    async with (
        place.serve(echo, on_request=remember),
        Session(place.http, ssl=place.client_ssl) as session,
    ):
        await session.request("GET", "/")
        ws = await session.websocket()
        assert addresses[0][0] == "127.0.0.1"
        assert addresses == [ws.local_address]
        await ws.close()


async def test_what_requests_share_is_bounded(clear):
    requests = []

    async def note(request):
        requests.append(request)
        return Response()

    def kept():
        return requests[0].wire.hub.known["texts"]

    async with clear.serve(on_request=note), Session(clear.http) as session:
        for path in ("/same", "/same", "/long" * 100, "/long" * 100):
            await session.request("GET", path)
        first, second, third, fourth = requests
        assert first.path is second.path and first.authority is second.authority
        assert third.path == fourth.path == "/long" * 100 and third.path not in kept()
        for number in range(0, 2000, 50):
            asked = [session.request("GET", f"/{number + more}") for more in range(50)]
            await asyncio.gather(*asked)
        assert len(kept()) <= 1024 < len(requests)
        assert max(map(len, kept())) <= 256


async def test_a_request_says_how_urgent_it_is(clear):
    async def on_request(request):
        seen.append((request.headers.get("priority"), request.wire.conn.priority(1)))
        return Response(200, {"priority": "u=6"}, b"later")

    seen = []
    async with clear.serve(on_request=on_request), Session(clear.http) as session:
        response = await session.request("GET", "/", priority="u=1, i")
        assert await response.read() == b"later"
        assert response.headers["priority"] == "u=6"
    assert seen == [("u=1, i", (1, True))]


async def test_a_stream_that_was_not_taken_is_for_the_next():
    async def script(peer):
        while (frame := await peer.frame()) is not None:
            if frame.kind == f.HEADERS:
                await asyncio.sleep(0.05)  # until the others wait
                peer.headers(frame.stream_id, [(":status", "204")], end_stream=True)

    async with (
        RawServer(script, (f.MAX_CONCURRENT_STREAMS, 1)) as server,
        Session(f"http://127.0.0.1:{server.port}") as session,
    ):
        for at in range(2):  # from here on the limit is known
            assert (await session.request("GET", f"/{at}")).status == 204
        asked = [{}, {}, {"no name": "x"}, {}]
        found = await asyncio.gather(
            *(session.request("GET", "/", headers=headers) for headers in asked),
            return_exceptions=True,
        )
        assert isinstance(found.pop(2), ValueError)
        assert [response.status for response in found] == [204] * 3
