"""HTTP/1.1 where no other server speaks it: the same exchanges over other octets."""

import asyncio

import pytest

from tests.support.h1 import read_answers, request, upgrade
from tests.support.ws_frames import CLOSE, TEXT, read_ws_frames, ws_frame


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError("none")
    if scope["type"] == "websocket":
        await websocket(scope, receive, send)
        return
    if scope["path"] == "/fails":
        raise LookupError("a bug")
    if scope["path"] == "/hints":
        await send({"type": "http.response.early_hint", "links": [b"</a.css>"]})
    body, more = b"", scope["path"] != "/unread"
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    trailers = scope["path"] == "/trailers"
    headers = [(b"x-version", scope["http_version"].encode()), (b"Connection", b"upgrade")]
    await send(
        {"type": "http.response.start", "status": 200, "headers": headers, "trailers": trailers}
    )
    await send({"type": "http.response.body", "body": body[:3], "more_body": True})
    await send({"type": "http.response.body", "body": body[3:]})
    if trailers:
        await send({"type": "http.response.trailers", "headers": [(b"x-last", b"1")]})


async def websocket(scope, receive, send):
    assert (await receive())["type"] == "websocket.connect"
    if scope["path"] == "/refuse":
        await send({"type": "websocket.http.response.start", "status": 404, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"none"})
        return
    await send({"type": "websocket.accept", "subprotocol": scope["subprotocols"][0]})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})
    scope["state"]["seen"].append(message)


async def talk(place, *octets):
    """Send requests, the last of which ends the connection; return what comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    for each in octets:
        writer.write(each)
        await asyncio.sleep(0.01)
    came = await reader.read()
    writer.close()
    return came


async def exchange(place, *octets):
    """As `talk`, the answers apart."""
    return read_answers(await talk(place, *octets))


async def test_requests(alone, errors):
    last = ["Connection: close"]
    async with alone.serve(app):
        first, second, third = await exchange(
            alone,
            request(["Content-Length: 8"], line="POST / HTTP/1.1", body=b"some"),
            b"body" + request(line="GET /fails HTTP/1.1"),
            request(
                ["Transfer-Encoding: chunked", "TE: trailers", *last],
                line="POST /trailers HTTP/1.1",
                body=b"5\r\nhello\r\n0\r\n\r\n",
            ),
        )
        assert (first.status, first.body) == (200, b"somebody")
        assert first.fields["x-version"] == "1.1" and "connection" not in first.fields
        assert second.status == 500
        assert (third.body, third.fields["trailers"]) == (b"hello", "x-last: 1")
        hint, answer = await exchange(alone, request(last, line="GET /hints HTTP/1.1"))
        assert (hint.status, hint.fields["link"], answer.status) == (103, "</a.css>", 200)
        octets = await talk(alone, request(last, line="HEAD / HTTP/1.1"))
        assert octets.startswith(b"HTTP/1.1 200") and octets.find(b"\r\n\r\n") == len(octets) - 4
        (answer,) = await exchange(alone, request(last, line="CONNECT a:1 HTTP/1.1"))
        assert answer.status == 501
    assert any("a bug" in each for each in errors())


async def test_a_file(alone, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 4096)

    async def sending(scope, receive, send):
        headers = [(b"content-length", b"1048576")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.pathsend", "path": str(path)})

    async with alone.serve(sending, lifespan="off"):
        (answer,) = await exchange(alone, request(["Connection: close"]))
    assert answer.body == path.read_bytes()


@pytest.mark.parametrize("asked", ["request", "body", "websocket"])
async def test_an_application_may_end_the_connection(alone, asked):
    seen = []

    async def closing(scope, receive, send):
        seen.append(scope["type"])
        kind = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
        headers = [(b"Connection", b"Keep-Alive, Close"), (b"content-length", b"2")]
        await send({"type": f"{kind}.start", "status": 403, "headers": headers})
        await send({"type": f"{kind}.body", "body": b"no"})

    first = {
        "request": request(),
        "body": request(["Content-Length: 9"], line="POST / HTTP/1.1", body=b"half"),
        "websocket": upgrade(),
    }[asked]
    async with alone.serve(closing, lifespan="off"):
        (answer,) = await exchange(alone, first + request())  # nothing answers the second
        assert (answer.status, answer.body) == (403, b"no")
        assert answer.fields["connection"] == "close"
        assert len(seen) == 1
        # HTTP/2 has no such field, and goes on.
        client = await alone.client()
        assert (await client.get()).get("connection") is None
        assert (await client.get(stream_id=3)).status == 403
        client.close()


async def test_continue(alone):
    async with alone.serve(app):
        fields = ["Expect: 100-continue", "Content-Length: 4", "Connection: close"]
        head = request(fields, line="POST / HTTP/1.1")
        first, answer = await exchange(alone, head, b"body")
        assert (first.status, answer.status, answer.body) == (100, 200, b"body")
        (answer,) = await exchange(alone, request(fields, line="POST /unread HTTP/1.1"))
        assert answer.status == 200


async def test_websockets(alone):
    async def with_state(scope, receive, send):
        if scope["type"] == "lifespan":
            scope["state"]["seen"] = seen
            while True:
                kind = (await receive())["type"]
                await send({"type": kind + ".complete"})
                if kind == "lifespan.shutdown":
                    return
        await app(scope, receive, send)

    seen = []
    async with alone.serve(with_state):
        for code in (1000, None):
            reader, writer = await asyncio.open_connection("127.0.0.1", alone.port)
            # The first message comes before the answer.
            writer.write(upgrade(add=["Sec-WebSocket-Protocol: a, b"]) + ws_frame(TEXT, b"hello"))
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"Sec-WebSocket-Protocol: a\r\n" in head
            assert await reader.readexactly(7) == b"\x81\x05hello"
            if code is not None:
                writer.write(ws_frame(CLOSE, code.to_bytes(2, "big")))
                (close,) = read_ws_frames(await reader.read())
                assert close.close_code == code
            writer.close()
        (answer,) = await exchange(
            alone, upgrade("GET /refuse HTTP/1.1", Connection="Upgrade, close")
        )
        assert (answer.status, answer.body) == (404, b"none")
    assert [message["code"] for message in seen] == [1000, 1006]
