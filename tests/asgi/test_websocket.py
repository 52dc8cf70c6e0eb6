"""WebSockets, at the octets."""

import asyncio

import pytest

from tests.support import frames as f
from tests.support.ws_frames import BINARY, CLOSE, TEXT, read_ws_frames, ws_frame


def only_websockets(app):
    async def wrapped(scope, receive, send):
        assert scope["type"] == "websocket", scope["type"]
        await app(scope, receive, send)

    return wrapped


async def accept(receive, send, **more):
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept", **more})


@only_websockets
async def echo(scope, receive, send):
    await accept(receive, send)
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


def recording(seen, over):
    """An application that notes how its WebSocket ends."""

    @only_websockets
    async def app(scope, receive, send):
        await accept(receive, send)
        while (message := await receive())["type"] == "websocket.receive":
            seen.append(message)
        seen.append(message)
        over.set()

    return app


async def ended(client, stream_id=1):
    """The Close frame that came, and what ended the stream: END_STREAM or a code."""
    octets = b""
    while True:
        frame = await client.frame()
        assert frame is not None, "the connection ended"
        if frame.stream_id != stream_id:
            continue
        if frame.kind == f.DATA:
            octets += frame.content
        end = f.END_STREAM if frame.end_stream else None
        if frame.kind == f.RST_STREAM:
            end = ("reset", frame.error_code)
        if end is not None:
            closes = [each for each in read_ws_frames(octets) if each.opcode == CLOSE]
            return closes[0].payload if closes else None, end


def close_payload(code, reason=b""):
    return code.to_bytes(2, "big") + reason


async def test_messages_go_both_ways(place):
    async with place.serve(echo):
        client = await place.client()
        assert (await client.websocket()).get(":status") == "200"
        client.ws(1, TEXT, "grüß".encode())
        client.ws(1, BINARY, bytes(300))
        client.ws(1, TEXT, b"")
        found = await client.ws_frames(1, 3)
        client.close()
    assert [(each.opcode, each.payload) for each in found] == [
        (TEXT, "grüß".encode()),
        (BINARY, bytes(300)),
        (TEXT, b""),
    ]


async def test_the_answer_is_that_of_http2(place):
    @only_websockets
    async def app(scope, receive, send):
        await accept(
            receive, send, subprotocol="b", headers=[(b"X-Told", b"yes"), (b"set-cookie", b"a=1")]
        )
        await receive()

    async with place.serve(app):
        client = await place.client()
        head = await client.websocket(1, "/", ("sec-websocket-protocol", "a, b"))
        client.close()
    assert head.get(":status") == "200"
    assert head.get("sec-websocket-protocol") == "b"
    assert (head.get("x-told"), head.get("set-cookie")) == ("yes", "a=1")
    assert not head.end_stream
    if place.kind != "hypercorn":
        for name in ("sec-websocket-accept", "content-length", "upgrade", "connection"):
            assert head.get(name) is None


async def test_a_key_is_answered_unless_told_otherwise(ours):
    @only_websockets
    async def app(scope, receive, send):
        await accept(receive, send)
        await receive()

    async def accepted(**options):
        async with ours.serve(app, **options):
            client = await ours.client()
            key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            head = await client.websocket(1, "/", key)
            client.close()
        assert head.get(":status") == "200"
        return head.get("sec-websocket-accept")

    told = {"accept_key": False}
    if ours.kind == "uvicorn":
        from h2ws_fast.asgi.uvicorn import Protocol

        told = {"http": type("Told", (Protocol,), {"h2_accept_key": False})}
    assert await accepted() == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert await accepted(**told) is None


@pytest.mark.differs("it resets the stream instead")
@pytest.mark.parametrize(
    "name", [b"sec-websocket-protocol", b"Sec-WebSocket-Extensions", b":status"]
)
async def test_headers_that_accept_must_not_have(place, name, errors):
    @only_websockets
    async def app(scope, receive, send):
        await accept(receive, send, headers=[(name, b"200")])

    async with place.serve(app):
        client = await place.client()
        assert (await client.websocket()).get(":status") == "500"
        client.close()


@pytest.mark.parametrize(
    "name", [b"sec-websocket-accept", b"Sec-WebSocket-Key", b"sec-websocket-version"]
)
async def test_headers_of_another_servers_handshake_are_left_out(ours, name):
    @only_websockets
    async def app(scope, receive, send):
        await accept(receive, send, headers=[(name, b"13"), (b"x-own", b"1")])

    async with ours.serve(app):
        client = await ours.client()
        head = await client.websocket()
        assert (head.get(":status"), head.get("x-own")) == ("200", "1")
        assert head.get(name.decode().lower()) is None
        client.close()


async def test_a_subprotocol_that_was_not_offered(place, errors):
    if place.kind == "hypercorn":
        pytest.skip("it ends the connection")

    @only_websockets
    async def app(scope, receive, send):
        await accept(receive, send, subprotocol="c")

    async with place.serve(app):
        client = await place.client()
        head = await client.websocket(1, "/", ("sec-websocket-protocol", "a, b"))
        assert head.get(":status") == "500"
        client.close()
    assert any("was not offered" in each for each in errors())


async def test_close_instead_of_accept_is_403(place):
    seen = []

    @only_websockets
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.close"})
        if place.kind != "hypercorn":
            seen.append(await receive())

    async with place.serve(app):
        client = await place.client()
        head = await client.websocket()
        if not head.end_stream:
            assert (await client.expect(f.DATA, 1)).end_stream
        client.close()
    assert head.get(":status") == "403"
    if place.kind != "hypercorn":
        assert head.end_stream  # a body makes Firefox leave the connection
        assert seen == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]


async def test_a_response_instead_of_a_websocket(place):
    @only_websockets
    async def app(scope, receive, send):
        assert "websocket.http.response" in scope["extensions"]
        await receive()
        await send(
            {
                "type": "websocket.http.response.start",
                "status": 401,
                "headers": [(b"content-type", b"text/plain")],
            }
        )
        await send({"type": "websocket.http.response.body", "body": b"who ", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"is it?"})

    async with place.serve(app):
        client = await place.client()
        head = await client.websocket()
        assert (head.get(":status"), head.get("content-type")) == ("401", "text/plain")
        octets = b""
        while True:
            frame = await client.expect(f.DATA, 1)
            octets += frame.content
            if frame.end_stream:
                break
        assert octets == b"who is it?"
        client.close()


@pytest.mark.parametrize("status", [101, 200, 204, 304])
async def test_what_is_no_response_instead_of_a_websocket(ours, status, errors):
    async def app(scope, receive, send):
        await send({"type": "websocket.http.response.start", "status": status, "headers": []})

    async with ours.serve(app, lifespan="off"):
        client = await ours.client()
        assert (await client.websocket()).get(":status") == "500"
        client.close()
    assert any(f"not denied with status {status}" in each for each in errors())


@pytest.mark.parametrize("data", [b"longer", b"s"])
async def test_a_response_that_is_not_as_long_as_promised(ours, data, errors):
    async def app(scope, receive, send):
        headers = [(b"content-length", b"2")]
        await send({"type": "websocket.http.response.start", "status": 403, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": data})

    async with ours.serve(app, lifespan="off"):
        client = await ours.client()
        client.ask_for_websocket(1, "/")
        answer = await client.answer()
        assert (answer.status, answer.body, answer.end) == (403, b"", f.INTERNAL_ERROR)
        client.close()
    assert any("Content-Length" in each for each in errors())


@pytest.mark.differs("it says 1006 whatever the client said")
@pytest.mark.parametrize("code, reason", [(1000, "bye"), (1001, ""), (3999, "ä")])
async def test_the_clients_code_and_reason(place, code, reason):
    seen, over = [], asyncio.Event()
    async with place.serve(recording(seen, over)):
        client = await place.client()
        await client.websocket()
        client.ws(1, TEXT, b"last")
        client.close_frame(1, code, reason.encode())
        assert await ended(client) == (close_payload(code), f.END_STREAM)
        await asyncio.wait_for(over.wait(), 5)
        client.close()
    assert seen == [
        {"type": "websocket.receive", "text": "last"},
        {"type": "websocket.disconnect", "code": code, "reason": reason},
    ]


@pytest.mark.differs("it says 1006 whatever the client said")
async def test_a_close_without_a_code_is_1005(place):
    seen, over = [], asyncio.Event()
    async with place.serve(recording(seen, over)):
        client = await place.client()
        await client.websocket()
        client.close_frame(1)
        assert await ended(client) == (b"", f.END_STREAM)
        await asyncio.wait_for(over.wait(), 5)
        client.close()
    assert seen == [{"type": "websocket.disconnect", "code": 1005, "reason": ""}]


@pytest.mark.differs("it never tells of END_STREAM, and its event has no reason")
@pytest.mark.parametrize("how", ["reset", "end", "lost"])
async def test_an_end_without_close_is_1006(place, how):
    seen, over = [], asyncio.Event()
    async with place.serve(recording(seen, over)):
        client = await place.client()
        await client.websocket()
        if how == "reset":
            client.send(f.rst_stream(1))
        elif how == "end":
            client.send(f.data(1, b"", end_stream=True))
        else:
            client.writer.transport.abort()
        await asyncio.wait_for(over.wait(), 5)
        client.close()
    assert seen == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]


@pytest.mark.differs("its message has no reason")
async def test_a_reset_before_the_answer_is_1006(place):
    seen, over = [], asyncio.Event()

    @only_websockets
    async def app(scope, receive, send):
        await receive()
        seen.append(await receive())
        with pytest.raises(OSError):
            await send({"type": "websocket.accept"})
        over.set()

    async with place.serve(app):
        client = await place.client()
        client.ask_for_websocket(1, "/")
        await asyncio.sleep(0.05)
        client.send(f.rst_stream(1))
        await asyncio.wait_for(over.wait(), 5)
        client.close()
    assert seen == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]


async def test_messages_before_the_answer_are_received_behind_it(place):
    if place.kind == "hypercorn":
        pytest.skip("it refuses them with 400")
    go = asyncio.Event()
    seen = []

    @only_websockets
    async def app(scope, receive, send):
        await receive()
        await go.wait()
        await send({"type": "websocket.accept"})
        seen.append(await receive())
        await send({"type": "websocket.close"})

    async with place.serve(app):
        client = await place.client()
        client.ask_for_websocket(1, "/")
        client.ws(1, TEXT, b"early")
        client.send(f.ping())
        await client.expect(f.PING, skip=(f.WINDOW_UPDATE, f.SETTINGS))
        go.set()
        assert (await client.expect(f.HEADERS, 1)).get(":status") == "200"
        assert (await client.ws_frames(1, 1))[0].close_code == 1000
        client.close()
    assert seen == [{"type": "websocket.receive", "text": "early"}]


async def test_the_applications_code_and_reason(place):
    @only_websockets
    async def app(scope, receive, send):
        await accept(receive, send)
        await send({"type": "websocket.send", "text": "before"})
        await send({"type": "websocket.close", "code": 4001, "reason": "enough"})
        message = await receive()
        assert message["type"] == "websocket.disconnect"

    async with place.serve(app):
        client = await place.client()
        await client.websocket()
        found = await client.ws_frames(1, 2)
        assert found[0].payload == b"before"
        assert found[1].payload == close_payload(4001, b"enough")
        client.close_frame(1, 4001, b"enough")
        client.close()


@pytest.mark.parametrize(
    "how, code", [("return", 1000), ("fail", 1011)], ids=["its return", "its exception"]
)
@pytest.mark.differs("its return is not answered by a Close")
async def test_the_applications_end(place, how, code, errors):
    @only_websockets
    async def app(scope, receive, send):
        await accept(receive, send)
        if how == "fail":
            raise LookupError("a bug")

    async with place.serve(app):
        client = await place.client()
        await client.websocket()
        assert (await client.ws_frames(1, 1))[0].close_code == code
        client.close_frame(1, code)
        await client.expect(f.DATA, 1)
        client.close()
    assert [each for each in errors() if "a bug" in each] or how == "return"


@pytest.mark.parametrize("how", ["return", "fail"])
async def test_an_end_before_the_answer_is_500(place, how, errors):
    @only_websockets
    async def app(scope, receive, send):
        if how == "fail":
            raise LookupError("a bug")

    async with place.serve(app):
        client = await place.client()
        assert (await client.websocket()).get(":status") == "500"
        client.close()
    if place.kind != "hypercorn":
        expected = "a bug" if how == "fail" else "without completing handshake"
        assert any(expected in each for each in errors())


@pytest.mark.differs("it ignores what is sent then")
async def test_send_after_a_disconnect_raises_oserror(place, errors):
    raised, over = [], asyncio.Event()

    @only_websockets
    async def app(scope, receive, send):
        await accept(receive, send)
        assert (await receive())["type"] == "websocket.disconnect"
        # Once it is over it stays so.
        assert (await receive())["type"] == "websocket.disconnect"
        for message in ({"type": "websocket.send", "text": "x"}, {"type": "websocket.close"}):
            try:
                await send(message)
            except OSError as error:
                raised.append(error)
        over.set()
        raise raised[0]

    async with place.serve(app):
        client = await place.client()
        await client.websocket()
        client.close_frame(1, 1000)
        await ended(client)
        await asyncio.wait_for(over.wait(), 5)
        client.close()
    assert len(raised) == 2
    assert errors() == []


async def test_two_tasks_may_receive(ours):
    seen, over = [], asyncio.Event()

    async def take(receive):
        while (message := await receive())["type"] == "websocket.receive":
            seen.append(message["text"])
        return message

    async def app(scope, receive, send):
        await accept(receive, send)
        given_up = asyncio.ensure_future(receive())  # the first to wait
        tasks = [asyncio.ensure_future(take(receive)) for _ in range(3)]
        await asyncio.sleep(0.01)
        given_up.cancel()
        await send({"type": "websocket.send", "text": "go"})
        seen.extend(await asyncio.gather(*tasks))
        over.set()

    async with ours.serve(app, lifespan="off"):
        client = await ours.client()
        await client.websocket()
        assert (await client.ws_frames(1, 1))[0].payload == b"go"
        for number in range(5):
            client.ws(1, TEXT, b"%d" % number)
            if number % 2:
                await asyncio.sleep(0.01)
        client.close_frame(1, 1000, b"done")
        await asyncio.wait_for(over.wait(), 5)
        client.close()
    assert sorted(seen[:-3]) == ["0", "1", "2", "3", "4"]
    assert seen[-3:] == [{"type": "websocket.disconnect", "code": 1000, "reason": "done"}] * 3


@pytest.mark.parametrize("code", [None, 1000])
async def test_a_close_needs_no_code(ours, code):
    async def app(scope, receive, send):
        await accept(receive, send)
        await send({"type": "websocket.close", "code": code, "reason": None})

    async with ours.serve(app, lifespan="off"):
        client = await ours.client()
        await client.websocket()
        assert (await client.ws_frames(1, 1))[0].payload == close_payload(1000)
        client.close()


@pytest.mark.parametrize("how", ["cleanup", "from", "framework", "group"])
async def test_what_follows_a_disconnect(ours, how, errors):
    class WebSocketDisconnect(Exception):
        pass

    over = asyncio.Event()

    async def app(scope, receive, send):
        await accept(receive, send)
        await receive()
        try:
            await send({"type": "websocket.send", "text": "x"})
        except OSError as error:
            if how == "cleanup":
                raise KeyError("a bug")  # noqa: B904
            if how == "from":
                raise KeyError("none") from error
            if how == "framework":
                raise WebSocketDisconnect  # noqa: B904
            raise BaseExceptionGroup("both", [error, KeyError("a bug")]) from None
        finally:
            over.set()

    async with ours.serve(app, lifespan="off"):
        client = await ours.client()
        await client.websocket()
        client.close_frame(1, 1000)
        await ended(client)
        await asyncio.wait_for(over.wait(), 5)
        client.close()
    assert len(errors()) == (how in ("cleanup", "group"))


@pytest.mark.differs("it reads on, and blocks the connection when ten wait")
async def test_a_slow_application_stalls_only_its_own_stream(place):
    go = asyncio.Event()
    seen = []

    @only_websockets
    async def app(scope, receive, send):
        await accept(receive, send)
        if scope["path"] == "/slow":
            await go.wait()
        while (message := await receive())["type"] == "websocket.receive":
            seen.append(len(message["bytes"]))
            await send({"type": "websocket.send", "text": str(len(message["bytes"]))})

    async with place.serve(app):
        client = await place.client()
        window = dict(client.frames[0].settings)[f.INITIAL_WINDOW_SIZE]
        await client.websocket(1, "/slow")
        await client.websocket(3, "/")
        octets = b"".join(
            ws_frame(BINARY, bytes(4096 - 8), key=client.key) for _ in range(window // 4096)
        )
        for at in range(0, len(octets), 16384):
            client.send(f.data(1, octets[at : at + 16384]))
        client.ws(3, BINARY, b"quick")
        assert (await client.ws_frames(3, 1))[0].payload == b"5"
        # Framing is credited at once, messages are not.
        credited = sum(
            each.increment
            for each in client.frames
            if each.kind == f.WINDOW_UPDATE and each.stream_id == 1
        )
        assert credited < window // 8
        go.set()
        while credited < window // 2:
            frame = await client.frame()
            if frame.kind == f.WINDOW_UPDATE and frame.stream_id == 1:
                credited += frame.increment
        client.close()


@pytest.mark.differs("its close waits for ever")
async def test_a_slow_client_makes_send_wait(place):
    sent = []

    @only_websockets
    async def app(scope, receive, send):
        await accept(receive, send)
        for n in range(200):
            await send({"type": "websocket.send", "bytes": bytes(16384)})
            sent.append(n)

    async with place.serve(app):
        client = await place.client((f.INITIAL_WINDOW_SIZE, 1000))
        await client.websocket()
        await client.expect(f.DATA, 1)
        await asyncio.sleep(0.2)
        assert len(sent) < 20
        client.send(f.window_update(1, 1 << 22), f.window_update(0, 1 << 22))
        while len(sent) < 200:
            await client.frame()
        client.close()


async def test_without_websockets_there_is_no_setting(place):
    if place.kind == "hypercorn":
        pytest.skip("it has no such switch")
    async with place.serve(echo, websockets=False):
        client = await place.client()
        assert f.ENABLE_CONNECT_PROTOCOL not in dict(client.frames[0].settings)
        client.close()
    async with place.serve(echo):
        client = await place.client()
        assert dict(client.frames[0].settings)[f.ENABLE_CONNECT_PROTOCOL] == 1
        client.close()


async def test_an_unknown_token_is_not_implemented(place):
    if place.kind == "hypercorn":
        pytest.skip("it takes any for a WebSocket")
    async with place.serve(echo):
        client = await place.client()
        client.headers(
            1,
            [
                (":method", "CONNECT"),
                (":protocol", "connect-udp"),
                (":scheme", "http"),
                (":authority", "example.org"),
                (":path", "/"),
            ],
        )
        head = await client.expect(f.HEADERS, 1)
        client.close()
    assert (head.get(":status"), head.end_stream) == ("501", True)


async def test_a_message_that_is_too_long(place):
    if place.kind == "hypercorn":
        pytest.skip("it is configured otherwise")
    seen, over = [], asyncio.Event()
    async with place.serve(recording(seen, over), max_size=1000):
        client = await place.client()
        await client.websocket()
        client.ws(1, BINARY, bytes(1001))
        assert (await client.ws_frames(1, 1))[0].close_code == 1009
        client.close_frame(1, 1009, b"message is too big")
        await asyncio.wait_for(over.wait(), 5)
        client.close()
    assert seen == [{"type": "websocket.disconnect", "code": 1009, "reason": "message is too big"}]


async def test_pings_and_who_does_not_answer_them(place):
    if place.kind == "hypercorn":
        pytest.skip("it is configured otherwise")
    seen, over = [], asyncio.Event()
    async with place.serve(recording(seen, over), ping_interval=0.1, ping_timeout=0.2):
        client = await place.client()
        await client.websocket()
        found = await client.ws_frames(1, 2)
        assert [each.opcode for each in found] == [9, CLOSE]
        assert found[1].close_code == 1011
        client.send(f.rst_stream(1))
        await asyncio.wait_for(over.wait(), 5)
        client.close()
    assert seen == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]


async def test_a_client_that_takes_nothing_is_gone(alone):
    seen, over = [], asyncio.Event()

    @only_websockets
    async def app(scope, receive, send):
        await accept(receive, send)
        try:
            while True:
                await send({"type": "websocket.send", "bytes": bytes(16384)})
        except OSError as error:
            seen.append(error)
        seen.append(await receive())
        over.set()

    async with alone.serve(app, lifespan="off", write_timeout=0.3):
        client = await alone.client((f.INITIAL_WINDOW_SIZE, 100))
        await client.websocket()
        while (frame := await client.frame()).kind != f.RST_STREAM:
            assert not frame.end_stream
        assert frame.error_code == f.CANCEL
        await asyncio.wait_for(over.wait(), 5)
        client.close()
    assert isinstance(seen[0], OSError)
    assert seen[1] == {"type": "websocket.disconnect", "code": 1006, "reason": ""}


async def test_a_hundred_after_each_other_and_none_is_left(place):
    if place.kind == "hypercorn":
        pytest.skip("the streams stay open: the hundredth is refused")
    async with place.serve(echo):
        client = await place.client()
        for n in range(100):
            stream_id = 2 * n + 1
            await client.websocket(stream_id)
            client.close_frame(stream_id, 1000, end_stream=True)
            assert await ended(client, stream_id) == (close_payload(1000), f.END_STREAM)
        client.close()
