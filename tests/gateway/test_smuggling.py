"""What must not reach a backend, or come back from one: SEC-7."""

import asyncio

import pytest

from h2ws_fast.engine import Limits
from h2ws_fast.gateway.fields import Refused
from h2ws_fast.gateway.h1 import H1Client
from h2ws_fast.gateway.table import Token
from tests.support import frames as f
from tests.support.backend import RawBackend
from tests.support.h1 import request, upgrade
from tests.support.raw import RawClient, RawServer

POST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", "example.org"),
    (":path", "/"),
]
SMUGGLED = b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"


def changed(**pseudo):
    return [(name, pseudo.get(name[1:], value)) for name, value in POST]


async def polite(visit):
    """Answer every request, whatever its body."""
    while True:
        _, fields = await visit.head()
        if "content-length" in fields:
            await visit.read(int(fields["content-length"]))
        elif fields.get("transfer-encoding") == "chunked":
            while n := int(await visit.until(b"\r\n"), 16):
                await visit.read(n + 2)
            await visit.until(b"\r\n")
        visit.say("HTTP/1.1 200 OK", "Content-Length: 0")


async def outcome(client, stream_id=1):
    """The status of an answer, or the name of the frame that came instead."""
    while True:
        frame = await client.frame()
        if frame is None or frame.kind == f.GOAWAY:
            return "GOAWAY"
        if frame.stream_id == stream_id and frame.kind == f.RST_STREAM:
            return "RST_STREAM"
        if frame.stream_id == stream_id and frame.kind == f.HEADERS:
            return frame.get(":status")


@pytest.mark.row("SEC-7-1")
@pytest.mark.parametrize(
    "extra",
    [
        [("content-length", "0")],
        [("content-length", "5")],
        [("content-length", "5"), ("content-length", "6")],
        [("content-length", "+5")],
        [("content-length", "5, 5")],
        [("content-length", "0x5")],
        [("transfer-encoding", "chunked")],
        [("transfer-encoding", "chunked"), ("content-length", "5")],
        [("connection", "transfer-encoding"), ("transfer-encoding", "chunked")],
        [("transfer-encoding ", "chunked")],
        [("Transfer-Encoding", "chunked")],
        [("x: y\r\ntransfer-encoding", "chunked")],
        [("te", "chunked")],
        [("upgrade", "h2c")],
    ],
    ids=range(14),
)
async def test_lengths_of_http2_smuggle_nothing(door, extra):
    async with RawBackend(polite) as backend, door(backend.port) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, [*POST, *extra])
        client.send(f.data(1, b"0\r\n\r\n" + SMUGGLED, end_stream=True))
        assert await outcome(client) in ("RST_STREAM", "GOAWAY", "400")
        client.close()
        assert b"admin" not in backend.octets.replace(b"0\r\n\r\n" + SMUGGLED, b"")
        lines = [octets for octets in backend.octets.split(b"\r\n") if b" HTTP/1.1" in octets]
        assert all(line.startswith(b"POST / ") for line in lines)


@pytest.mark.row("SEC-7-1")
async def test_a_body_is_framed_anew(door):
    """What looks like chunks or requests within a body stays within it."""
    async with RawBackend(polite) as backend, door(backend.port) as gate:
        client = await RawClient.connect(gate.port)
        octets = b"0\r\n\r\n" + SMUGGLED
        client.headers(1, POST)
        client.send(f.data(1, octets, end_stream=True))
        assert await outcome(client) == "200"
        client.headers(3, [*POST, ("content-length", str(len(octets)))])
        client.send(f.data(3, octets, end_stream=True))
        assert await outcome(client, 3) == "200"
        client.close()
        chunked, counted = backend.octets.split(b"POST / HTTP/1.1\r\n")[1:]
        assert chunked.endswith(b"\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(octets), octets))
        assert counted.endswith(b"\r\n\r\n" + octets)


@pytest.mark.row("SEC-7-1", "9112-6.3-1", "9112-7.1-1")
@pytest.mark.parametrize(
    "octets",
    [
        request(["Content-Length: 5", "Transfer-Encoding: chunked"], body=b"0\r\n\r\n" + SMUGGLED),
        request(["Transfer-Encoding: xchunked"], body=b"0\r\n\r\n" + SMUGGLED),
        request(["Transfer-Encoding: chunked, identity"], body=b"0\r\n\r\n" + SMUGGLED),
        request(["Transfer-Encoding : chunked"], body=b"0\r\n\r\n" + SMUGGLED),
        request(["Transfer-Encoding:\x0bchunked"], body=b"0\r\n\r\n" + SMUGGLED),
        request(["X: y", " Transfer-Encoding: chunked"], body=b"0\r\n\r\n" + SMUGGLED),
        request(["Content-Length: 5", "Content-Length: 0"], body=SMUGGLED),
        request(["Transfer-Encoding: chunked"], "GET / HTTP/1.0", b"0\r\n\r\n" + SMUGGLED),
        request(["Transfer-Encoding: chunked"], body=b"0x0\r\n\r\n" + SMUGGLED),
        request(["Transfer-Encoding: chunked"], body=b"1;\nx\r\n0\r\n\r\n" + SMUGGLED),
        request(["Content-Length: 5\nTransfer-Encoding: chunked"], body=b"0\r\n\r\n" + SMUGGLED),
    ],
    ids=range(11),
)
async def test_lengths_of_http1_smuggle_nothing(door, octets):
    async with RawBackend(polite) as backend, door(backend.port) as gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        writer.write(octets)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 400 "), answer
        assert answer.count(b"HTTP/1.1") == 1
        writer.close()
        assert b"admin" not in backend.octets


@pytest.mark.row("SEC-7-2")
@pytest.mark.parametrize(
    "fields",
    [
        changed(method="GET / HTTP/1.1\r\nX: y"),
        changed(method="GE T"),
        changed(path="/ HTTP/1.1\r\nX: y"),
        changed(path="/a b"),
        changed(path="/a\tb"),
        changed(path="http://other/"),
        changed(path="*"),
        changed(authority="a\r\nX: y"),
        changed(authority="user@example.org"),
        changed(authority="a/b"),
        changed(authority="a, b"),
        changed(authority="a b"),
        changed(scheme="http\r\nX: y"),
        [*POST, ("x", "y\r\nz: 1")],
        [*POST, ("x", "y\n")],
        [*POST, ("x", "y\0z")],
        [*POST, ("x y", "z")],
        [*POST, ("x\r\ny", "z")],
        [*POST, ("", "z")],
        [*POST, ("x:", "z")],
    ],
    ids=range(20),
)
async def test_fields_inject_nothing(door, fields):
    async with RawBackend(polite) as backend, door(backend.port) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, fields, end_stream=True)
        assert await outcome(client) in ("RST_STREAM", "GOAWAY", "400")
        client.close()
        assert backend.octets == b""


@pytest.mark.row("SEC-7-2")
@pytest.mark.parametrize(
    "field",
    [
        (":method", "GET / HTTP/1.1\r\nX:"),
        (":method", "GE T"),
        (":path", "/ HTTP/1.1"),
        (":path", "/\r\n"),
        (":path", "/\0"),
        (":path", ""),
        (":authority", "a\r\nX: y"),
        ("x", "y\r\nz: 1"),
        ("x", "y\0"),
        ("x y", "z"),
    ],
)
def test_what_writes_the_head_looks_again(field):
    """Whatever came through would end here: nothing is written, and the connection stays as it is."""
    fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")]
    if field[0].startswith(":"):
        fields = [field if name == field[0] else (name, value) for name, value in fields]
    else:
        fields.append(field)
    client = H1Client(Limits(), lambda: None, lambda tunnel: None)
    with pytest.raises(ValueError):
        client.request(fields)
    if field[0] != ":method":  # an upgrade has its own
        with pytest.raises(ValueError):
            client.request([(":protocol", "foo"), *fields], False, Token())
    assert client.data_to_send() == []
    client.request([(":method", "GET"), (":authority", "a"), (":path", "/")])
    assert client.data_to_send()


@pytest.mark.row("SEC-7-3")
async def test_another_version_is_no_tunnel(door):
    """The client believes in a refused upgrade, and goes on as if it were one (0ang3el's scenario)."""
    async with RawBackend(polite) as backend, door(backend.port) as gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        writer.write(upgrade(sec_websocket_version="1337") + SMUGGLED)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 426 ")
        writer.close()
        # Whatever became of the second one, it was a request like any other, looked at like any.
        assert b"1337" not in backend.octets and b"Upgrade" not in backend.octets


@pytest.mark.row("SEC-7-4")
@pytest.mark.parametrize("connection", ["Upgrade, HTTP2-Settings", "Upgrade"])
async def test_an_upgrade_to_h2c_is_never_forwarded(door, connection):
    async with RawBackend(polite) as backend, door(backend.port) as gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        fields = [f"Connection: {connection}", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"]
        writer.write(request(fields))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()
        assert b"h2c" not in backend.octets.lower()
        assert b"settings" not in backend.octets.lower()


@pytest.mark.row("SEC-7-6", "GW-h2h1-11")
async def test_octets_that_nobody_asked_for_close_the_backend(door):
    """An answer that comes before its request is never taken for one."""

    async def script(visit):
        await visit.head()
        visit.say("HTTP/1.1 200 OK", "Content-Length: 0", "X-For: first")
        await asyncio.sleep(0.02)
        visit.say("HTTP/1.1 200 OK", "Content-Length: 0", "X-For: nobody")
        assert await visit.rest() in (b"", b"RESET")

    async with RawBackend(script) as backend, door(backend.port) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, POST, end_stream=True)
        assert (await client.expect(f.HEADERS, 1)).get("x-for") == "first"
        (stats,) = gate.stats()["backends"].values()
        while stats["h1_connections"]:
            await asyncio.sleep(0.005)
            (stats,) = gate.stats()["backends"].values()
        client.headers(3, POST, end_stream=True)
        assert (await client.expect(f.HEADERS, 3)).get("x-for") == "first"
        client.close()
        assert len(backend.visits) == 2


@pytest.mark.row("SEC-7-7")
@pytest.mark.parametrize(
    "field",
    [
        ("origin", "http://a"),
        ("content-type", "a/b"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("host", "example.org"),
    ],
    ids=lambda field: field[0],
)
async def test_singletons_that_stand_twice_are_refused(door, field):
    async with RawBackend(polite) as backend, door(backend.port) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, [*POST, field, field], end_stream=True)
        assert await outcome(client) in ("400", "RST_STREAM")
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        lines = [f"{field[0]}: {field[1]}"] * 2
        writer.write(request(lines, host=None if field[0] == "host" else "example.org"))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
        writer.close()
        client.close()
        assert backend.octets == b""


@pytest.mark.row("SEC-7-7")
async def test_a_length_that_stands_twice_alike_is_one(door):
    """RFC 9110 section 8.6 allows that where all are the same; others are refused."""
    async with RawBackend(polite) as backend, door(backend.port) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, [*POST, *[("content-length", "1")] * 2])
        client.send(f.data(1, b"x", end_stream=True))
        assert (await client.expect(f.HEADERS, 1)).get(":status") == "200"
        client.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        for twice in (["Content-Length: 1"] * 2, ["Content-Length: 1, 1"]):
            writer.write(request(twice, "POST / HTTP/1.1", b"x"))
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()
        assert backend.octets.lower().count(b"content-length: 1\r\n") == 3


TRAILERS = [
    ("x-sum", "1"),
    *((name, "6.6.6.6") for name in ("x-forwarded-for", "forwarded", "x-real-ip")),
    *((name, "6.6.6.6") for name in ("x_forwarded_for", "client-ip", "via", "host")),
    *((name, "x") for name in ("authorization", "cookie", "set-cookie", "content-type")),
    *((name, "x") for name in ("content-encoding", "trailer", "origin", "location", "x-hop")),
]


@pytest.mark.row("SEC-7-5")
async def test_trailers_of_a_client_say_nothing_that_heads_say(door):
    """Programs that merge trailers with the head would take them for a proxy's word, or a login."""
    came = []

    async def script(visit):
        await visit.head()
        await visit.until(b"\r\n0\r\n")
        came.append(await visit.until(b"\r\n\r\n"))
        visit.say("HTTP/1.1 200 OK", "Content-Length: 0")
        await visit.rest()

    async with RawBackend(script) as backend, door(backend.port) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, POST)
        client.send(f.data(1, b"x"))
        client.headers(1, TRAILERS, end_stream=True)
        assert (await client.expect(f.HEADERS, 1)).get(":status") == "200"
        client.close()
    assert came == [b"x-sum: 1\r\nx-hop: x\r\n\r\n"]


@pytest.mark.row("SEC-7-5")
async def test_trailers_over_http_1_1_say_nothing_that_heads_say(door):
    """Both ways; Connection takes trailers along, too: RFC 9110 section 7.6.1."""
    lines = [f"{name}: {value}" for name, value in TRAILERS if name != "host"]
    last = "\r\n".join(["1", "x", "0", *lines, "", ""]).encode()
    came = []

    async def script(peer):
        stream = await peer.expect(f.HEADERS)
        while not came:
            frame = await peer.frame()
            if frame.kind == f.HEADERS:
                came.append(frame.fields)
        peer.headers(stream.stream_id, [(":status", "200")])
        peer.headers(stream.stream_id, TRAILERS, end_stream=True)
        await peer.until_eof()

    named = ["Transfer-Encoding: chunked", "Connection: x-hop"]
    async with RawServer(script) as backend, door(backend.port, http="h2") as gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        writer.write(request(named, "POST / HTTP/1.1") + last)
        await reader.readuntil(b"\r\n0\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"x-sum: 1\r\nx-hop: x\r\n\r\n"
        writer.close()
    assert came == [[(b"x-sum", b"1")]]


def test_a_refusal_says_its_status():
    error = Refused(508, "round and round")
    assert (error.status, error.reason) == (508, "round and round")
