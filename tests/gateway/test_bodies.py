"""Where bodies end, and where they break off, between HTTP/1.1 and HTTP/2."""

import asyncio
import socket
import struct

import pytest

from h2ws_fast.engine import Limits
from h2ws_fast.engine.events import Ended, Terminated
from h2ws_fast.errors import LocalProtocolError
from h2ws_fast.gateway.h1 import H1Client
from tests.support import frames as f
from tests.support.backend import RawBackend
from tests.support.h1 import request
from tests.support.raw import RawClient, RawServer

GET = [(":method", "GET"), (":scheme", "http"), (":authority", "example.org"), (":path", "/")]
POST = [(":method", "POST"), *GET[1:]]
TO_THE_END = b"HTTP/1.1 200 OK\r\n\r\npartial"


def asking(head=GET, end_stream=True):
    """An H1Client that has sent this head."""
    client = H1Client(Limits(), lambda: None, lambda tunnel: None)
    client.request(head, end_stream)
    return client, b"".join(client.data_to_send())


def reset_by_tcp(writer):
    sock = writer.get_extra_info("socket")
    with socket.fromfd(sock.fileno(), sock.family, sock.type) as twin:
        twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.row("9112-6.3-2")
def test_an_end_is_no_loss():
    client, _ = asking()
    client.receive_data(TO_THE_END)
    assert [type(event) for event in client.receive_eof()] == [Ended, Terminated]
    assert client.receive_loss() == []  # which always follows
    client, _ = asking()
    events = client.receive_data(TO_THE_END) + client.receive_loss()
    assert [type(event) for event in events[-1:]] == [Terminated]
    assert Ended not in [type(event) for event in events]


@pytest.mark.row("9112-6.3-2")
async def test_a_body_to_the_end_that_tcp_resets_is_reset(door):
    going_on = asyncio.Event()

    async def script(visit):
        await visit.head()
        visit.writer.write(TO_THE_END)
        await going_on.wait()
        going_on.clear()
        reset_by_tcp(visit.writer)

    async with RawBackend(script) as backend, door(backend.port) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, GET, end_stream=True)
        assert (await client.expect(f.HEADERS, 1)).get(":status") == "200"
        assert (await client.expect(f.DATA, 1)).content == b"partial"
        going_on.set()
        assert (await client.expect(f.RST_STREAM, 1)).error_code == 2  # INTERNAL_ERROR
        client.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        writer.write(request())
        await reader.readuntil(b"partial\r\n")
        going_on.set()
        assert await reader.read() == b""  # no last chunk
        writer.close()


def test_trailers_follow_a_chunked_body_alone():
    client, head = asking(POST, False)
    assert b"\r\ntransfer-encoding: chunked\r\n" in head.lower()
    client.send_data(1, b"hello")
    client.send_trailers(1, [("x-sum", "1")])
    assert b"".join(client.data_to_send()) == b"5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n"
    client, head = asking([*POST, ("content-length", "5")], False)
    assert b"chunked" not in head
    client.send_data(1, b"hello")
    client.send_trailers(1, [("x-sum", "1")])
    assert b"".join(client.data_to_send()) == b"hello"


def test_trailers_do_not_make_a_short_body_whole():
    client, _ = asking([*POST, ("content-length", "6")], False)
    client.send_data(1, b"hello")
    with pytest.raises(LocalProtocolError):
        client.send_trailers(1, [("x-sum", "1")])


@pytest.mark.parametrize("http", ["h1", "h2"])
async def test_trailers_behind_a_length_cost_no_request(door, http):
    """To a backend of HTTP/2 they pass; over HTTP/1.1 there is no place for them."""
    came = []

    async def by_h1(visit):
        _, fields = await visit.head()
        came.append((fields["content-length"], await visit.read(5)))
        visit.say("HTTP/1.1 200 OK", "Content-Length: 0")
        await visit.rest()

    async def by_h2(peer):
        got = await peer.expect(f.HEADERS)
        body = await peer.expect(f.DATA)
        assert (await peer.expect(f.HEADERS)).get("x-sum") == "1"
        came.append((got.get("content-length"), body.content))
        peer.headers(got.stream_id, [(":status", "200")], True)
        await peer.until_eof()

    backend = RawBackend(by_h1) if http == "h1" else RawServer(by_h2)
    async with backend, door(backend.port, http=http) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, [*POST, ("content-length", "5")])
        client.send(f.data(1, b"hello"))
        client.headers(1, [("x-sum", "1")], end_stream=True)
        assert (await client.expect(f.HEADERS, 1)).get(":status") == "200"
        client.close()
    assert came == [("5", b"hello")]


@pytest.mark.parametrize("whole", [False, True], ids=["broken", "whole"])
async def test_a_fin_says_to_http10_that_a_body_is_whole(door, whole):
    """It ends with the connection: one that broke off ends by TCP's reset."""

    async def script(visit):
        await visit.head()
        visit.writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await going_on.wait()
        if whole:
            visit.writer.write(b"0\r\n\r\n")
            await visit.rest()
        visit.close()

    going_on = asyncio.Event()
    async with RawBackend(script) as backend, door(backend.port) as gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        writer.write(request(line="GET / HTTP/1.0"))
        head = await reader.readuntil(b"hello")
        assert head.startswith(b"HTTP/1.1 200 ") and b"chunked" not in head
        going_on.set()
        if whole:
            assert await reader.read() == b""
        else:
            with pytest.raises(ConnectionResetError):
                await reader.read()
        writer.close()
