"""Messages of HTTP/1.1 that two readers may see differently, of every family that has led astray a
pair of a proxy and a server: a second request within must reach no backend as one.

Whatever the gateway makes of them, a backend sees one request at most, and its line is the first's.
"""

import asyncio
import random

import pytest

from h2ws_fast import Response, serve
from h2ws_fast.gateway import Backend
from tests.gateway.conftest import in_front_of
from tests.support.backend import RawBackend

SMUGGLED = b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"
ENDED = b"0\r\n\r\n" + SMUGGLED
REFUSED = (400, 501, 505)


def post(*lines, first=b"POST / HTTP/1.1", host=b"Host: a"):
    return b"\r\n".join([first, *([host] if host else []), *lines, b"", b""])


# How Transfer-Encoding has been written so that one of two readers does not see it.
CODINGS = [
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunkedx",
    b"Transfer-Encoding: x chunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: identity, chunked, chunked",
    b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: chunked, gzip",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding:",
    b"Transfer-Encoding: ,",
    b"Transfer-Encoding: 'chunked'",
    b'Transfer-Encoding: "chunked"',
    b"Transfer-Encoding: chunked;q=1",
    b"Transfer-Encoding: chunked\x00",
    b"Transfer-Encoding: \x00chunked",
    b"Transfer-Encoding:\x0bchunked",
    b"Transfer-Encoding:\x0cchunked",
    b"Transfer-Encoding: chunked\x0b",
    b"Transfer-Encoding:\xa0chunked",
    b"Transfer-Encoding: chunked\xa0",
    b"Transfer-Encoding: ch\xc5\xb1nked",
    b"Transfer-Encoding: chunked\r",
    b"Transfer-Encoding\r: chunked",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding\t: chunked",
    b"Transfer-Encoding\x0b: chunked",
    b"Transfer-Encoding\x00: chunked",
    b"Transfer-Encoding\xa0: chunked",
    b" Transfer-Encoding: chunked",
    b"\tTransfer-Encoding: chunked",
    b"X: y\r\n Transfer-Encoding: chunked",
    b"X: y\r\n\tTransfer-Encoding: chunked",
    b"Transfer-Encoding:\r\n chunked",
    b"Transfer-Encoding:\n chunked",
    b"X: y\nTransfer-Encoding: chunked",
    b"X: y\rTransfer-Encoding: chunked",
    b"X: y\n\rTransfer-Encoding: chunked",
    b"X\nTransfer-Encoding: chunked",
    b"Transfer-Encoding chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
    b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nContent-Length: 0",
    b"Content-Length: 0\r\nTransfer-Encoding: chunked",
]
LENGTHS = [
    b"Content-Length: 5\r\nContent-Length: 0",
    b"Content-Length: 0\r\nContent-Length: 5",
    b"Content-Length: 5, 0",
    b"Content-Length: 0,",
    b"Content-Length: +0",
    b"Content-Length: -0",
    b"Content-Length: -1",
    b"Content-Length: 0x0",
    b"Content-Length: 0 0",
    b"Content-Length: 0;",
    b"Content-Length: 0.0",
    b"Content-Length: 1e1",
    b"Content-Length: 0\x00",
    b"Content-Length: 0\x0b",
    b"Content-Length: \xd9\xa0",
    b'Content-Length: "0"',
    b"Content-Length:",
    b"Content-Length: 0_0",
    b"Content-Length: 18446744073709551616",
    b"Content-Length: 99999999999999999999999999",
    b"Content-Length : 0",
    b"Content-Length\t: 0",
    b" Content-Length: 0",
    b"X: y\nContent-Length: 0",
    b"Content-Length\x00: 0",
]
# Bodies in chunks, the last octets of which are a request where one is lax.
CHUNKS = [
    b"0x0\r\n\r\n",
    b"+0\r\n\r\n",
    b"-0\r\n\r\n",
    b" 0\r\n\r\n",
    b"0_0\r\n\r\n",
    b"\r\n0\r\n\r\n",
    b"\r\n\r\n",
    b"x\r\n\r\n",
    b";\r\n\r\n",
    b"0\n\r\n",
    b"0\r\n\n",
    b"0\r\r\n\r\n",
    b"0\n\n",
    b"1\r\nxx\r\n0\r\n\r\n",
    b"1\r\nx0\r\n\r\n",
    b"1\r\nx\n0\r\n\r\n",
    b"1\r\nx\r0\r\n\r\n",
    b"1\nx\r\n0\r\n\r\n",
    b"1;\nx\r\n0\r\n\r\n",
    b"1;a\nx\r\n0\r\n\r\n",
    b"1;a=\rx\r\n0\r\n\r\n",
    b"1;a=\x00\r\nx\r\n0\r\n\r\n",
    b"10000000000000001\r\nx\r\n0\r\n\r\n",
    b"ffffffffffffffff\r\nx\r\n0\r\n\r\n",
    b"1 1\r\nx\r\n0\r\n\r\n",
    b"\xd9\xa1\r\nx\r\n0\r\n\r\n",
    b"0\r\nX\r\n\r\n",
    b"0\r\n X: y\r\n\r\n",
    b"0\r\nX : y\r\n\r\n",
    b"0\r\nX: y\nZ: z\r\n\r\n",
]
LINES = [
    b"POST / HTTP/1.1 HTTP/1.1",
    b"POST  / HTTP/1.1",
    b"POST /  HTTP/1.1",
    b"POST\t/\tHTTP/1.1",
    b"POST / HTTP/1.1 ",
    b" POST / HTTP/1.1",
    b"POST / HTTP/1.10",
    b"POST / HTTP/01.1",
    b"POST / HTTP/2.0",
    b"POST / HTTP/3.1",
    b"POST / http/1.1",
    b"POST /\x00 HTTP/1.1",
    b"POST /\x0bx HTTP/1.1",
    b"POST / HTTP/1.1\nX: y",
    b"POST /\nHTTP/1.1",
    b"POST /",
    b"POST",
    b"POST\x00 / HTTP/1.1",
    b"PO\x0bST / HTTP/1.1",
    b"POST /\xa0 HTTP/1.1",
    b"POST * HTTP/1.1",
    b"POST a HTTP/1.1",
    b"POST http:// HTTP/1.1",
]
HOSTS = [
    b"Host: a\r\nHost: b",
    b"Host: a, b",
    b"Host: a/b",
    b"Host: a b",
    b"Host: u@a",
    b"Host : a",
    b"Host: a\r\n Host: b",
    b"Host: a\x00",
    b"",
]
CORPUS = [
    *(post(each) + ENDED for each in CODINGS),
    *(post(each) + SMUGGLED for each in LENGTHS),
    *(post(b"Transfer-Encoding: chunked") + each + SMUGGLED for each in CHUNKS),
    *(post(b"Content-Length: 0", first=each) + SMUGGLED for each in LINES),
    *(post(b"Content-Length: 0", host=each) + SMUGGLED for each in HOSTS),
    # What an old version of HTTP does not know.
    post(b"Transfer-Encoding: chunked", first=b"POST / HTTP/1.0") + ENDED,
    post(b"Transfer-Encoding: chunked", first=b"GET / HTTP/1.0") + ENDED,
]


async def sent(port, octets, pieces):
    """Say all of it, in so many pieces; return the status and how many answers there were."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    cuts = sorted(random.Random(octets).sample(range(1, len(octets)), pieces - 1))
    for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True):
        writer.write(octets[start:end])
        await asyncio.sleep(0)
    answer = b""
    try:
        async with asyncio.timeout(20):
            answer = await reader.read()
    except ConnectionResetError:
        pass
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head[9:12] or 0), 1 + (b"\r\n\r\n" in body) if head else 0


async def check(port, pieces):
    gate = asyncio.Semaphore(20)

    async def one(octets):
        async with gate:
            return await sent(port, octets, pieces)

    outcomes = zip(CORPUS, await asyncio.gather(*map(one, CORPUS)), strict=True)
    wrong = [each for each in outcomes if each[1][1] != 1 or each[1][0] not in REFUSED]
    assert wrong == []


@pytest.mark.row("SEC-7-1", "9112-6.3-1", "9112-7.1-1")
@pytest.mark.parametrize("pieces", [1, 9])
async def test_no_backend_of_http1_sees_a_second_request(pieces):
    heads = []

    async def script(visit):
        heads.append(await visit.head())
        assert await visit.rest() in (b"", b"RESET")

    async with RawBackend(script) as backend:
        there = Backend(f"http://127.0.0.1:{backend.port}", http="h1")
        async with in_front_of(there) as gate:
            await check(gate.port, pieces)
        assert b"admin" not in backend.octets
        assert {line for line, _ in heads} <= {"POST / HTTP/1.1"}


@pytest.mark.row("SEC-7-1")
@pytest.mark.parametrize("pieces", [1, 9])
async def test_no_backend_of_http2_sees_a_second_request(pieces):
    paths = []

    async def answer(request):
        paths.append(request.path)
        return Response(200, {}, await request.read())

    async with serve(None, "127.0.0.1", 0, on_request=answer, http="h2") as server:
        port = server.sockets[0].getsockname()[1]
        async with in_front_of(Backend(f"http://127.0.0.1:{port}", http="h2")) as gate:
            await check(gate.port, pieces)
    assert set(paths) <= {"/"}
