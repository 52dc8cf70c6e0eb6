"""Ordinary requests of an `httpx.AsyncClient` against our server, in cleartext and over TLS."""

import asyncio
import hashlib

import httpx
import pytest

from h2ws_fast import Response, errors
from h2ws_fast.aio import tls
from h2ws_fast.engine import Settings
from tests.aio.conftest import Place
from tests.http_client.application import on_request
from tests.support import frames as f


async def test_request_goes_over_http2(place, client):
    async with place.serve(on_request=on_request), client(place) as http:
        response = await http.get("/asked", params={"a": "b c"}, headers={"X-Name": "value"})
        asked = response.json()
        assert (asked["method"], asked["path"]) == ("GET", "/asked?a=b+c")
        assert asked["version"] == "2" and ["x-name", "value"] in asked["headers"]
        assert asked["authority"] == f"127.0.0.1:{place.port}"
        assert (response.http_version, response.reason_phrase) == ("HTTP/2", "OK")
        extensions = response.extensions
        assert (extensions["http_version"], extensions["stream_id"]) == (b"HTTP/2", 1)
        stream = extensions["network_stream"]
        assert stream.get_extra_info("server_addr")[:2] == ("127.0.0.1", place.port)
        assert stream.get_extra_info("client_addr")[1] == asked["port"]
        assert (stream.get_extra_info("ssl_object") is not None) == place.secure
        assert stream.get_extra_info("unheard of") is None


async def test_what_httpx_does_by_itself_works(place, client):
    async with place.serve(on_request=on_request), client(place) as http:
        response = await http.get("/redirect", follow_redirects=True)
        assert response.json()["path"] == "/asked?redirected"
        assert [each.status_code for each in response.history] == [302]
        response = await http.get("/cookies")
        assert response.headers.get_list("set-cookie") == ["a=1; path=/", "b=2; path=/"]
        assert ["cookie", "a=1; b=2"] in (await http.get("/asked")).json()["headers"]
        assert (await http.get("/gzip")).text == "small " * 1000
        assert (await http.get("/private")).status_code == 401
        response = await http.get("/private", auth=("user", "secret"))
        assert response.status_code == 200
        form = await http.post("/asked", data={"name": "value"})
        assert form.json()["body"] == "name=value"
        files = await http.post("/size", files={"file": b"x" * 1000})
        assert int(files.text) > 1000


async def test_header_field_may_stand_twice(place, client):
    async with place.serve(on_request=on_request), client(place) as http:
        fields = [("X-Twice", "one"), ("x-other", "z"), ("X-Twice", "two")]
        asked = (await http.get("/asked", headers=fields)).json()
        mine = [value for value in asked["headers"] if value[0] in ("x-twice", "x-other")]
        assert mine == [["x-twice", "one"], ["x-other", "z"], ["x-twice", "two"]]


@pytest.mark.parametrize("status", [204, 304, 404, 599])
async def test_response_without_content(clear, client, status):
    async with clear.serve(on_request=on_request), client(clear) as http:
        for method in ("GET", "HEAD", "DELETE"):
            response = await http.request(method, f"/status?{status}")
            assert (response.status_code, response.content) == (status, b"")
        assert (await http.post("/size")).text == "0"


async def test_bodies_stream_both_ways_at_once(place, client):
    async with place.serve(on_request=on_request), client(place) as http:
        said = asyncio.Queue()

        async def body():
            while piece := await said.get():
                yield piece

        said.put_nowait(b"one")
        async with http.stream("POST", "/echo", content=body()) as response:
            pieces = response.aiter_raw()
            assert await anext(pieces) == b"one"
            said.put_nowait(b"two")
            assert await anext(pieces) == b"two"
            said.put_nowait(b"")
            assert [piece async for piece in pieces] == []


async def test_large_bodies_pass_whole(place, client):
    sent = hashlib.sha256()

    async def body():
        for number in range(80):
            piece = number.to_bytes(2, "big") * 50_000
            sent.update(piece)
            yield piece

    async with place.serve(on_request=on_request), client(place) as http:
        came = hashlib.sha256()
        async with http.stream("POST", "/echo", content=body()) as response:
            async for piece in response.aiter_bytes():
                came.update(piece)
        assert came.digest() == sent.digest()
        octets = bytes(range(256)) * 40_000
        assert (await http.post("/echo", content=octets)).content == octets
        assert (await http.post("/echo", content=octets[:70_000])).content == octets[:70_000]


async def test_slow_reader_holds_the_server_back(clear, client):
    produced = 0

    async def endless(request):
        async def pieces():
            nonlocal produced
            while True:
                produced += 65536
                yield bytes(65536)

        return Response(200, body=pieces())

    async with clear.serve(on_request=endless), client(clear) as http:
        async with http.stream("GET", "/") as response:
            async for _ in response.aiter_raw():
                break
            before = -1
            while before != produced:
                before = produced
                await asyncio.sleep(0.1)
            assert produced < 8 * 2**20


async def test_hundred_requests_share_a_connection(place, client):
    settings = Settings(max_concurrent_streams=40)
    async with place.serve(on_request=on_request, settings=settings):
        async with client(place, timeout=20) as http:
            responses = await asyncio.gather(
                *(http.post("/asked", content=str(number)) for number in range(100))
            )
            asked = [response.json() for response in responses]
            assert [each["body"] for each in asked] == [str(number) for number in range(100)]
            assert len({each["port"] for each in asked}) == 1
            assert len({response.extensions["stream_id"] for response in responses}) == 100


async def test_trailers_are_told_when_the_body_has_ended(clear, client):
    async with clear.serve(on_request=on_request), client(clear) as http:
        async with http.stream("GET", "/trailers") as response:
            assert "trailers" not in response.extensions
            assert await response.aread() == b"text"
            trailers = response.extensions["trailers"]
            assert trailers.multi_items() == [("checksum", "17"), ("again", "18")]
        assert "trailers" not in (await http.get("/asked")).extensions


# The last are what this library itself raises, where a body is made of another stream.
@pytest.mark.parametrize(
    "error",
    [
        KeyError("mine"),
        ValueError("mine"),
        errors.LocalProtocolError("mine"),
        errors.StreamReset(f.CANCEL, "mine"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("after", [0, 3])
async def test_body_that_fails_is_raised_and_harms_nobody_else(clear, client, after, error):
    async def body():
        for _ in range(after):
            yield b"piece"
        raise error

    async with clear.serve(on_request=on_request), client(clear) as http:
        first = (await http.get("/asked")).json()
        with pytest.raises(type(error), match="mine") as caught:
            await http.post("/size", content=body())
        assert caught.value is error
        assert (await http.get("/asked")).json()["port"] == first["port"]


async def test_body_that_fails_behind_the_head_is_raised_to_the_reader(clear, client):
    go = asyncio.Event()

    async def body():
        yield b"piece"
        await go.wait()
        raise KeyError("mine")

    async with clear.serve(on_request=on_request), client(clear) as http:
        async with http.stream("POST", "/echo", content=body()) as response:
            with pytest.raises(KeyError, match="mine"):
                async for _ in response.aiter_raw():
                    go.set()
        assert (await http.get("/asked")).status_code == 200


async def test_answer_may_come_before_the_body_has_ended(clear, client):
    closed = asyncio.Event()

    async def body():
        try:
            while True:
                yield bytes(65536)
                await asyncio.sleep(0)
        finally:
            closed.set()

    async with clear.serve(on_request=on_request), client(clear) as http:
        response = await http.post("/early", content=body())
        assert (response.status_code, response.text) == (413, "too much")
        async with asyncio.timeout(5):
            await closed.wait()
        assert (await http.get("/asked")).status_code == 200


async def test_response_that_is_closed_early_leaves_the_connection(place, client):
    async with place.serve(on_request=on_request), client(place) as http:
        port = (await http.get("/asked")).json()["port"]
        async with http.stream("GET", "/big?1000") as response:
            async for _ in response.aiter_raw():
                break
        assert (await http.get("/asked")).json()["port"] == port


async def test_two_origins_have_a_connection_each(clear, client, certificate):

    other = Place(tls.server_context(*certificate), tls.client_context(cafile=certificate[0]))
    async with clear.serve(on_request=on_request), other.serve(on_request=on_request):
        async with client(clear, verify=other.client_ssl) as http:
            ports = set()
            for _ in range(2):
                for origin in (clear.http, other.http):
                    response = await http.get(f"{origin}/asked")
                    assert response.http_version == "HTTP/2"
                    ports.add(response.json()["port"])
            assert len(ports) == 2


async def test_what_cannot_be_sent_is_raised_at_once(clear, client):
    async with clear.serve(on_request=on_request), client(clear) as http:
        with pytest.raises(httpx.UnsupportedProtocol):
            await http.get("ftp://127.0.0.1/")
        with pytest.raises(httpx.LocalProtocolError):
            await http.get("/asked", headers={"x": "line\nbreak"})
        assert (await http.get("/asked")).status_code == 200
