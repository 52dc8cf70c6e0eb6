"""What is asked a second time, since nothing came of the first: nothing that would come without its body."""

import asyncio

import pytest

from h2ws_fast.gateway import Backend
from tests.gateway.conftest import in_front_of
from tests.gateway.test_requests import head, whole
from tests.support import frames as f
from tests.support.backend import RawBackend
from tests.support.raw import RawClient, RawServer

BODIES = pytest.mark.parametrize("method", ["PUT", "DELETE", "GET"])
ENDS = pytest.mark.parametrize("trailers", [False, True], ids=["data", "trailers"])


def ask(client, stream_id, method, trailers):
    """Send a request with a body."""
    client.headers(stream_id, head(method))
    client.send(f.data(stream_id, b"hello", not trailers))
    if trailers:
        client.headers(stream_id, [("x-sum", "7")], True)


@BODIES
@ENDS
async def test_a_body_is_not_left_out_where_a_connection_was_stale(method, trailers):
    """The backend reads the request on a connection that is used again, and hangs up."""
    heads = []

    async def script(visit):
        heads.append((await visit.head())[0])
        visit.say("HTTP/1.1 200 OK", "Content-Length: 0")
        if len(heads) == 1:
            heads.append((await visit.head())[0])
            await visit.until(b"\r\n\r\n")  # of the chunks
            visit.close()
        await visit.rest()

    async with RawBackend(script) as backend:
        async with in_front_of(Backend(f"http://127.0.0.1:{backend.port}", http="h1")) as gate:
            client = await RawClient.connect(gate.port)
            client.headers(1, head(), True)
            assert (await whole(client))[0] == "200"
            ask(client, 3, method, trailers)
            assert (await whole(client, 3))[0] == "502"
            client.close()
    assert heads == ["GET / HTTP/1.1", f"{method} / HTTP/1.1"]


@BODIES
@ENDS
async def test_a_body_is_not_left_out_where_a_stream_was_refused(method, trailers):
    heads = []

    async def script(peer):
        while (frame := await peer.frame()) is not None:
            if frame.kind == f.HEADERS and frame.get(":method") is not None:
                heads.append(frame.get(":method"))
            if frame.kind in (f.HEADERS, f.DATA) and frame.end_stream:
                if len(heads) == 1:
                    peer.send(f.rst_stream(frame.stream_id, 7))  # REFUSED_STREAM
                else:
                    peer.headers(frame.stream_id, [(":status", "201")], True)

    async with RawServer(script) as backend:
        async with in_front_of(Backend(f"http://127.0.0.1:{backend.port}", http="h2")) as gate:
            client = await RawClient.connect(gate.port)
            ask(client, 1, method, trailers)
            async with asyncio.timeout(20):
                assert (await whole(client))[0] == "502"
                client.headers(3, head("GET", "/2"), True)
                assert (await whole(client, 3))[0] == "201"
            client.close()
    assert heads == [method, "GET"]


async def test_a_refused_request_without_a_body_is_asked_again():
    heads = []

    async def script(peer):
        while (frame := await peer.frame()) is not None:
            if frame.kind == f.HEADERS:
                heads.append((frame.get(":method"), frame.end_stream))
                if len(heads) == 1:
                    peer.send(f.rst_stream(frame.stream_id, 7))
                else:
                    peer.headers(frame.stream_id, [(":status", "201")], True)

    async with RawServer(script) as backend:
        async with in_front_of(Backend(f"http://127.0.0.1:{backend.port}", http="h2")) as gate:
            client = await RawClient.connect(gate.port)
            client.headers(1, head("PUT", "/", ("content-length", "0")), True)
            assert (await whole(client))[0] == "201"
            client.close()
    assert heads == [("PUT", True)] * 2
