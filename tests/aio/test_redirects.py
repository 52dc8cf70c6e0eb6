"""Refusals that lead elsewhere: RFC 9110 section 15.4, as `connect` follows them."""

import asyncio
import socket

import pytest

from h2ws_fast import (
    InvalidStatus,
    InvalidURI,
    Pool,
    Response,
    SecurityError,
    connect,
)
from h2ws_fast.aio.client.redirect import MAX_REDIRECTS, Place, follow
from tests.aio.conftest import Place as Where


async def echo(ws):
    async for message in ws:
        await ws.send(f"{ws.request.path} {message}")


def leading(where, status=302, seen=None):
    """A `process_request` that leads from /moved to `where`, and keeps what it was asked."""

    def process(ws, request):
        if seen is not None:
            seen.append(request)
        if request.path.startswith("/moved"):
            return Response(status, {"location": where}, "there")
        return None

    return process


@pytest.mark.parametrize("http", ["h2", "h1", "auto"])
@pytest.mark.parametrize("pooled", [False, True])
async def test_they_are_followed(place, http, pooled):
    seen = []
    async with (
        place.serve(echo, process_request=leading("/else?x", seen=seen)),
        Pool(http=http, ssl=place.client_ssl) as pool,
    ):
        options = {"pool": pool} if pooled else {"http": http, "ssl": place.client_ssl}
        headers = {"Authorization": "Bearer it", "Cookie": "a=b"}
        async with connect(place.ws("/moved"), additional_headers=headers, **options) as ws:
            await ws.send("here")
            assert await ws.recv() == "/else?x here"
        assert [request.path for request in seen] == ["/moved", "/else?x"]
        assert [request.headers["authorization"] for request in seen] == ["Bearer it"] * 2


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308])
async def test_which_statuses(clear, status):
    async with clear.serve(echo, process_request=leading("/else", status)):
        if status in (304, 305):
            with pytest.raises(InvalidStatus):
                await connect(clear.ws("/moved"))
            return
        async with connect(clear.ws("/moved")) as ws:
            assert ws.request.path == "/else"


async def test_without_a_location(clear):
    async with clear.serve(echo, process_request=lambda ws, request: Response(302, {}, "where?")):
        with pytest.raises(InvalidStatus) as caught:
            await connect(clear.ws())
        assert caught.value.response.body == b"where?"


async def test_there_is_an_end_to_them(clear):
    seen = []
    async with clear.serve(echo, process_request=leading("/moved", seen=seen)) as server:
        with pytest.raises(SecurityError, match=f"more than {MAX_REDIRECTS} redirects"):
            await connect(clear.ws("/moved"))
        assert len(seen) == MAX_REDIRECTS + 1
        while server._wires:
            await asyncio.sleep(0.01)


async def test_they_share_one_timeout(clear):
    async def process(ws, request):
        await asyncio.sleep(0.1)
        return Response(302, {"location": "/moved"})

    async with clear.serve(echo, process_request=process):
        with pytest.raises(TimeoutError, match="opening handshake"):
            await connect(clear.ws("/moved"), open_timeout=0.25)


async def test_credentials_stay_with_their_origin():
    first, second = Where(), Where()
    seen = []
    async with second.serve(echo, process_request=leading("/else", seen=seen)):
        where = f"ws://127.0.0.1:{second.port}/moved"
        async with first.serve(echo, process_request=leading(where, seen=seen)):
            headers = [
                ("Authorization", "Bearer it"),
                ("Cookie", "a=b"),
                ("Proxy-Authorization", "Basic it"),
                ("X-Mine", "yes"),
            ]
            opening = connect(
                f"ws://me:pw@127.0.0.1:{first.port}/moved", additional_headers=headers[3:]
            )
            for _ in range(2):  # the next attempt begins at the first URI, with all of it
                async with opening:
                    pass
            async with connect(first.ws("/moved"), additional_headers=headers):
                pass
    basic = [request.headers.get("authorization") for request in seen]
    assert basic == ["Basic bWU6cHc=", None, None] * 2 + ["Bearer it", None, None]
    assert [request.headers.get("cookie") for request in seen[6:]] == ["a=b", None, None]
    assert [request.headers.get("proxy-authorization") for request in seen[6:]] == [
        "Basic it",
        None,
        None,
    ]
    assert {request.headers["x-mine"] for request in seen} == {"yes"}


async def test_never_from_tls_to_cleartext(server_tls, client_tls):
    place = Where(server_tls, client_tls)
    for where in ("ws://127.0.0.1/", "http://127.0.0.1/"):
        async with place.serve(echo, process_request=leading(where)):
            with pytest.raises(SecurityError, match="cleartext"):
                await connect(place.ws("/moved"), ssl=client_tls)


async def test_where_the_way_is_told(clear, tmp_path):
    async with clear.serve(echo, process_request=leading("/else")):
        sock = socket.create_connection(("127.0.0.1", clear.port))
        with pytest.raises(ValueError, match="sock is for one connection"):
            await connect(clear.ws("/moved"), sock=sock)
        async with connect("ws://elsewhere/moved", host="127.0.0.1", port=clear.port) as ws:
            assert ws.request.path == "/else"
    async with clear.serve(echo, process_request=leading("ws://127.0.0.1:1/")):
        with pytest.raises(ValueError, match="the way is told"):
            await connect("ws://elsewhere/moved", host="127.0.0.1", port=clear.port)


async def test_a_location_that_is_none(clear):
    async with clear.serve(echo, process_request=leading("ftp://127.0.0.1/")):
        with pytest.raises(InvalidURI):
            await connect(clear.ws("/moved"))


@pytest.mark.parametrize(
    "before, location, after",
    [
        ("wss://a/b/c", "d", "wss://a/b/d"),
        ("wss://a/b/c", "/d?e=f", "wss://a/d?e=f"),
        ("wss://a/b/c", "//g/h", "wss://g/h"),
        ("wss://a/b/c", "https://a/h", "https://a/h"),
        ("ws://a/b", "wss://a/b", "wss://a/b"),
        ("wss://u:p@a/b", "c", "wss://u:p@a/c"),
        ("wss://a/b", "c#d", "wss://a/c"),
        ("a:8000/b", "/c", "https://a:8000/c"),
    ],
)
def test_references(before, location, after):
    refusal = InvalidStatus(Response(302, {"location": location}))
    assert follow(Place(before, None), refusal, once=False, fixed=False) == (after, None)


async def test_fields_that_can_be_read_once(clear):
    seen = []
    async with clear.serve(echo, process_request=leading("/else", seen=seen)):
        fields = iter([("authorization", "Bearer it")])
        async with connect(clear.ws("/moved"), additional_headers=fields):
            assert [request.headers.get("authorization") for request in seen] == ["Bearer it"] * 2
