"""What a server answers: the same over HTTP/2 and HTTP/1.1, whatever an application gives it."""

import asyncio
from http.client import HTTPConnection

import pytest

from h2ws_fast import InvalidStatus, Response, Session, connect

OF_HTTP1 = {
    "Connection": "close",
    "Keep-Alive": "timeout=5",
    "Proxy-Connection": "close",
    "Upgrade": "x",
    "TE": "trailers",
}


async def echo(ws):
    async for message in ws:
        await ws.send(message)


def asked_over_http1(port, path, method, octets):
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, octets)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


async def asked(place, http, path, method="GET", octets=b""):
    """(status, fields, body) of an ordinary request."""
    if http == "h1":
        return await asyncio.to_thread(asked_over_http1, place.port, path, method, octets)
    async with Session(place.http) as session:
        response = await session.request(method, path, body=octets)
        return response.status, response.headers, await response.read()


async def refusal(place, http, path="/", **options):
    with pytest.raises(InvalidStatus) as caught:
        await connect(place.ws(path), http=http, **options)
    return caught.value.response


async def accepted(place, http, path="/"):
    """The answer to a WebSocket that opens, and works."""
    async with connect(place.ws(path), http=http) as ws:
        await ws.send("there")
        assert await ws.recv() == "there"
        return ws.response


# -- fields that only HTTP/1.1 has -------------------------------------------------------------------


async def test_answers_with_fields_of_http1(clear, http):
    def process(ws, asked):
        if asked.path == "/page":
            return Response(200, {**OF_HTTP1, "x-own": "1"}, "page")
        if asked.path == "/no":
            return Response(403, {"Connection": "close", "x-own": "1"}, "no")
        return None

    async with clear.serve(echo, process_request=process):
        status, fields, body = await asked(clear, http, "/page")
        assert (status, fields["x-own"], body) == (200, "1", b"page")
        assert ("connection" in fields) == (http == "h1")
        response = await refusal(clear, http, "/no")
        assert (response.status, response.headers["x-own"], response.body) == (403, "1", b"no")
        await accepted(clear, http)


async def test_ordinary_requests_with_fields_of_http1(clear, http):
    async def answer(asked):
        return Response(200, OF_HTTP1, "page")

    async with clear.serve(on_request=answer):
        status, _, body = await asked(clear, http, "/")
        assert (status, body) == (200, b"page")


async def test_accepting_with_fields_of_http1(clear, http):
    def process(ws, asked, response):
        response.headers["connection"] = "close"
        response.headers["x-own"] = "1"

    async with clear.serve(echo, process_response=process):
        assert (await accepted(clear, http)).headers["x-own"] == "1"


# -- process_response has the last word --------------------------------------------------------------


@pytest.mark.parametrize("kind", ["function", "coroutine"])
async def test_process_response_sees_every_answer(clear, http, kind):
    seen = []

    def request_hook(ws, asked):
        if asked.path == "/broken":
            raise RuntimeError("the hook's own")
        if asked.path == "/no":
            return ws.respond(403, "no\n")
        return ws.respond(200, "OK\n") if asked.path == "/healthz" else None

    def response_hook(ws, asked, response):
        seen.append((asked.path, response.status))
        response.headers["x-blessing"] = "1"

    async def later_request(ws, asked):
        await asyncio.sleep(0)
        return request_hook(ws, asked)

    async def later_response(ws, asked, response):
        await asyncio.sleep(0)
        response_hook(ws, asked, response)

    hooks = (request_hook, response_hook) if kind == "function" else (later_request, later_response)
    nowhere = 404 if http == "h2" else 426
    async with clear.serve(echo, process_request=hooks[0], process_response=hooks[1]):
        assert (await accepted(clear, http, "/yes")).headers["x-blessing"] == "1"
        for path, status in (("/no", 403), ("/broken", 500)):
            response = await refusal(clear, http, path)
            assert (response.status, response.headers["x-blessing"]) == (status, "1")
        response = await refusal(clear, http, "/origin", origin="http://other.example")
        assert (response.status, response.headers["x-blessing"]) == (403, "1")
        for path, status in (("/healthz", 200), ("/nowhere", nowhere)):
            for octets in (b"", b"a body that nobody reads"):
                found, fields, _ = await asked(clear, http, path, "POST", octets)
                assert (found, fields["x-blessing"]) == (status, "1")
    assert seen == [
        ("/yes", 200),
        ("/no", 403),
        ("/broken", 500),
        ("/origin", 403),
        *[("/healthz", 200)] * 2,
        *[("/nowhere", nowhere)] * 2,
    ]


async def test_process_response_alone_sees_ordinary_requests(clear, http):
    def process(ws, asked, response):
        return ws.respond(410, "gone\n")

    async with clear.serve(echo, process_response=process, subprotocols=["a"], server_header="s"):
        status, fields, body = await asked(clear, http, "/")
        assert (status, fields["server"], body) == (410, "s", b"gone\n")
        assert (await refusal(clear, http)).status == 410  # it was 400: no subprotocol


async def test_process_response_changes_the_status_in_place(clear, http):
    def process(ws, asked, response):
        response.status = 403

    async with clear.serve(echo, process_response=process, server_header="s"):
        response = await refusal(clear, http)
        assert response.status == 403
        assert response.headers.get_all("server") == ["s"]


# -- answers that are none ---------------------------------------------------------------------------


async def test_a_websocket_answered_with_2xx(clear, http, caplog):
    def process(ws, asked):
        return Response(200, {}, "OK\n") if asked.path == "/healthz" else None

    async def tunnel(tunnel):
        await tunnel.send(b"open")

    caplog.set_level("INFO", "h2ws_fast.server")
    async with clear.serve(echo, process_request=process, tunnels={"t": tunnel}):
        response = await refusal(clear, http, "/healthz")
        # Over HTTP/2 any 2xx would accept the WebSocket.
        assert response.status == (200 if http == "h1" else 400)
        assert response.body == b"OK\n"
        assert ("which would accept it over HTTP/2" in caplog.text) == (http == "h2")
        await accepted(clear, http)
        async with Session(clear.http) as session:
            with pytest.raises(InvalidStatus) as caught:
                await session.tunnel("t", "/healthz")
            assert caught.value.response.status == 400
            assert await (await session.tunnel("t")).recv() == b"open"


BROKEN = {
    "a field that is none": lambda ws, asked, response: response.headers.add("bad name", "x"),
    "a value that is none": lambda ws, asked, response: response.headers.add("x", "\N{EURO SIGN}"),
    "no response": lambda ws, asked, response: "a text",
}


@pytest.mark.parametrize("what", list(BROKEN))
@pytest.mark.parametrize("kind", ["function", "coroutine"])
async def test_what_fails_while_answering_is_500(clear, http, what, kind, caplog):
    async def later(ws, asked, response):
        await asyncio.sleep(0)
        return BROKEN[what](ws, asked, response)

    hook = BROKEN[what] if kind == "function" else later
    async with clear.serve(echo, process_response=hook):
        assert (await refusal(clear, http)).status == 500
        status, _, _ = await asked(clear, http, "/", "POST", b"a body")
        assert status == 500
    assert caplog.text.count("answering a request failed") == 2


async def test_a_hook_that_fails_is_500(clear, http, caplog):
    def select(ws, offered):
        raise RuntimeError("the hook's own")

    async with clear.serve(echo, select_subprotocol=select):
        assert (await refusal(clear, http, subprotocols=["a"])).status == 500
    async with clear.serve(echo, process_request=lambda ws, asked: 5):
        assert (await refusal(clear, http)).status == 500
        assert (await asked(clear, http, "/"))[0] == 500
    assert "the hook's own" in caplog.text
    assert "process_request returned 5" in caplog.text


async def test_a_connection_outlives_what_failed(clear):
    def process(ws, asked, response):
        if asked.path == "/broken":
            response.headers["bad name"] = "x"

    async with clear.serve(echo, process_response=process), Session(clear.http) as session:
        ws = await session.websocket("/")
        for _ in range(3):
            with pytest.raises(InvalidStatus):
                await session.websocket("/broken")
            assert (await session.request("PUT", "/broken", body=bytes(100_000))).status == 500
        await ws.send("alive")
        assert await ws.recv() == "alive"


# -- lengths -----------------------------------------------------------------------------------------


async def test_a_length_that_is_not_the_bodys(clear, http, caplog):
    def process(ws, asked):
        response = ws.respond(404 if asked.path == "/no" else 200, "OK\n")
        if asked.method != "HEAD":
            response.body = b"something else"
        return response

    async with clear.serve(echo, process_request=process):
        assert (await asked(clear, http, "/"))[0] == 500
        assert (await refusal(clear, http, "/no")).status == 500
    assert "content-length is 3, and the body has 14 octets" in caplog.text


async def test_lengths_of_what_has_no_body(clear, http):
    async def answer(asked):
        if asked.method == "HEAD":
            return Response(200, {"content-length": "1000"})
        return Response(304, {"content-length": "1000"})

    async with clear.serve(on_request=answer):
        for method, status in (("HEAD", 200), ("GET", 304)):
            found, fields, body = await asked(clear, http, "/", method)
            assert (found, fields["content-length"], body) == (status, "1000", b"")


async def test_a_length_that_is_not_the_bodys_of_an_ordinary_request(clear, http, caplog):
    async def answer(asked):
        return Response(200, {"content-length": "2"}, "longer")

    async with clear.serve(on_request=answer):
        assert (await asked(clear, http, "/", "POST", bytes(10_000)))[0] == 500
    assert "content-length is 2, and the body has 6 octets" in caplog.text


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("body", ["text", "pieces"])
async def test_a_body_that_no_answer_of_this_status_has(clear, http, status, body, caplog):
    async def pieces():
        yield b"x"

    async def answer(asked):
        if asked.path == "/bare":
            return Response(status, {}, b"")
        return Response(status, {}, "x" if body == "text" else pieces())

    async with clear.serve(on_request=answer):
        assert (await asked(clear, http, "/", "POST", bytes(10_000)))[0] == 500
        assert f"a {status} has no body" in caplog.text
        caplog.clear()
        assert (await asked(clear, http, "/bare"))[::2] == (status, b"")
        assert (await asked(clear, http, "/", "HEAD"))[::2] == (status, b"")
    assert caplog.text == ""


async def test_a_refusal_with_a_body_that_its_status_has_not(clear, http, caplog):
    async with clear.serve(echo, process_request=lambda ws, asked: Response(304, {}, "x")):
        assert (await refusal(clear, http)).status == 500
    assert "a 304 has no body" in caplog.text


# -- what the handshake says by itself ----------------------------------------------------------------

HANDSHAKE = ["accept", "extensions", "key", "protocol", "version"]


@pytest.mark.parametrize("name", HANDSHAKE)
@pytest.mark.parametrize("kind", ["function", "coroutine", "another"])
async def test_process_response_leaves_the_handshake_alone(clear, http, name, kind, caplog):
    field = f"sec-websocket-{name}"

    def process(ws, asked, response):
        if asked.path == "/no":
            return Response(426, {field: "13"})
        if asked.path == "/wrong":
            if kind == "another":
                return Response(200, {field: "13"})
            response.headers[field.title()] = "13"
        return None

    async def later(ws, asked, response):
        await asyncio.sleep(0)
        return process(ws, asked, response)

    hook = later if kind == "coroutine" else process
    async with clear.serve(echo, process_response=hook):
        assert (await refusal(clear, http, "/no")).headers[field] == "13"  # RFC 6455 section 4.4
        assert caplog.text == ""
        assert (await refusal(clear, http, "/wrong")).status == 500
        assert caplog.text.count(f"ValueError: {field} is for the handshake to say") == 1
        assert caplog.text.count("Traceback") == 1
        await accepted(clear, http, "/")


@pytest.mark.parametrize("name", HANDSHAKE)
async def test_a_client_leaves_the_handshake_alone(clear, http, name):
    field = f"Sec-WebSocket-{name.title()}"
    async with clear.serve(echo, subprotocols=["13"]):
        async with Session(clear.http, http=http) as session:
            with pytest.raises(ValueError, match=f"^{field.lower()} is for the handshake to say"):
                await session.websocket("/", subprotocols=["13"], additional_headers={field: "13"})
            ws = await session.websocket("/", subprotocols=["13"])
            assert ws.subprotocol == "13"
            await ws.close()
        with pytest.raises(ValueError, match=f"^{field.lower()} is for the handshake to say"):
            await connect(clear.ws("/"), http=http, additional_headers={field: "13"})
