"""UDP through a server over HTTP/1.1: RFC 9298 sections 3.2 and 3.3, both ends."""

import asyncio

import pytest

from h2ws_fast import (
    InvalidStatus,
    NegotiationError,
    Session,
    StreamClosed,
    StreamReset,
    basic_auth,
)
from h2ws_fast.engine import Settings
from h2ws_fast.masque import connect_udp
from tests.support.backend import RawBackend

from .conftest import PATH, local, target

row = pytest.mark.row


@row("9298-3.2-1")
@pytest.mark.parametrize("http", ["h1", "auto"])
async def test_packets_both_ways(place, http, within):
    """Where a server speaks HTTP/1.1 alone, or a client will have nothing else."""
    proxy = local()
    spoken = {} if http == "h1" else {"http": ("h1",)}
    async with (
        target() as it,
        place.serve(tunnels={"connect-udp": proxy}, **spoken),
        Session(place.http, ssl=place.client_ssl, http=http, proxy=None) as session,
    ):
        async with await connect_udp(session, "127.0.0.1", it.port) as udp:
            assert udp.response.status == 101
            assert udp.response.headers["capsule-protocol"] == "?1"
            for packet in (b"x", b"", bytes(1200), bytes(65507)):
                await udp.send(packet)
                assert await udp.recv() == packet
            async with await connect_udp(session, "127.0.0.1", it.port) as other:
                assert other.send_nowait(b"another connection")
                assert await other.recv() == b"another connection"
        await within(lambda: proxy.stats()["sockets"] == 0)
        assert it.got == [b"x", b"", bytes(1200), bytes(65507), b"another connection"]


async def test_a_server_of_http2_that_takes_no_extended_connect(clear):
    """Its requests go over HTTP/2, its tunnels over HTTP/1.1."""
    settings = Settings(enable_connect_protocol=False)
    async with (
        target() as it,
        clear.serve(tunnels={"connect-udp": local()}, settings=settings),
        Session(clear.http, http="auto", proxy=None) as session,
    ):
        assert (await session.request("GET", "/")).status == 404
        async with await connect_udp(session, "127.0.0.1", it.port) as udp:
            await udp.send(b"x")
            assert await udp.recv() == b"x" and udp.response.status == 101


async def test_a_refusal_tells_why(clear):
    password = basic_auth(credentials=("me", "secret"))
    async with (
        clear.serve(tunnels={"connect-udp": local(ports=[53])}, process_request=password),
        Session(clear.http, http="h1", proxy=None) as session,
        Session(clear.http.replace("//", "//me:secret@"), http="h1", proxy=None) as known,
    ):
        for client, status in ((session, 401), (known, 403)):
            with pytest.raises(InvalidStatus) as caught:
                await connect_udp(client, "127.0.0.1", 54)
            assert caught.value.response.status == status
        assert "proxy-status" in caught.value.response.headers


async def test_a_session_that_ends_takes_its_tunnels_along(clear, within):
    proxy = local()
    async with target() as it, clear.serve(tunnels={"connect-udp": proxy}):
        async with Session(clear.http, http="h1", proxy=None) as session:
            udp = await connect_udp(session, "127.0.0.1", it.port)
            other = await connect_udp(session, "127.0.0.1", it.port)
            stream = (await connect_udp(session, "127.0.0.1", it.port)).tunnel.stream()
            other.abort()
            with pytest.raises(StreamReset):
                await other.recv()
            stream.close()
            await stream.wait_closed()
        with pytest.raises(StreamClosed):
            await udp.recv()
        await within(lambda: proxy.stats()["sockets"] == 0)


SWITCH = "HTTP/1.1 101 Switching Protocols"
UPGRADE = "Connection: Upgrade\r\nUpgrade: connect-udp"


@row("9298-3.2-1")
async def test_what_a_client_asks():
    asked = []

    async def script(visit):
        asked.append((await visit.reader.readuntil(b"\r\n\r\n")).decode())
        visit.writer.write(f"{SWITCH}\r\n{UPGRADE}\r\n\r\n".encode())
        visit.writer.write(bytes.fromhex("00060068656c6c6f"))  # at once
        await visit.reader.read()

    async with RawBackend(script) as server:
        uri = f"http://127.0.0.1:{server.port}"
        async with Session(uri, http="h1", proxy=None) as session:
            async with await connect_udp(session, "2001:db8::42", 443, headers={"x": "y"}) as udp:
                assert await udp.recv() == b"hello"
    line, *fields = asked[0].removesuffix("\r\n\r\n").split("\r\n")
    assert line == f"GET {PATH.format('2001%3Adb8%3A%3A42', 443)} HTTP/1.1"
    assert sorted(fields, key=str.lower) == [
        "capsule-protocol: ?1",
        "Connection: Upgrade",
        f"Host: 127.0.0.1:{server.port}",
        "Upgrade: connect-udp",
        "x: y",
    ]


@row("9298-3.2-1")
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (f"{SWITCH}\r\n{UPGRADE.replace('udp', 'ip')}", NegotiationError),
        (f"{SWITCH}\r\n{UPGRADE}, websocket", NegotiationError),
        (f"{SWITCH}\r\n{UPGRADE}\r\nUpgrade: connect-udp", NegotiationError),
        (f"{SWITCH}\r\nUpgrade: connect-udp", NegotiationError),
        (f"{SWITCH}\r\nConnection: close\r\nUpgrade: connect-udp", NegotiationError),
        (f"{SWITCH}\r\nConnection: Upgrade", NegotiationError),
        (f"{SWITCH}\r\n{UPGRADE}\r\nContent-Type: text/plain", NegotiationError),
        (f"HTTP/1.1 200 OK\r\n{UPGRADE}\r\nContent-Length: 0", InvalidStatus),
        ("HTTP/1.1 204 No Content\r\nCapsule-Protocol: ?1", InvalidStatus),
    ],
)
async def test_an_answer_that_opens_nothing_ends_the_connection(answer, error):
    ended = asyncio.Event()

    async def script(visit):
        await visit.reader.readuntil(b"\r\n\r\n")
        visit.writer.write(f"{answer}\r\n\r\n".encode())
        try:
            assert await visit.reader.read() == b""  # no capsule
        finally:
            ended.set()

    async with RawBackend(script) as server:
        uri = f"http://127.0.0.1:{server.port}"
        async with Session(uri, http="h1", proxy=None) as session:
            with pytest.raises(error):
                await connect_udp(session, "192.0.2.1", 53)
            async with asyncio.timeout(10):
                await ended.wait()


# -- the proxy before octets ---------------------------------------------------------------------


async def upgrade(port, path, *fields, method="GET"):
    """Ask over HTTP/1.1; return the head of the answer, reader and writer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"{method} {path} HTTP/1.1", "Host: proxy.example", *fields, "", ""]
    writer.write("\r\n".join(lines).encode())
    head = await reader.readuntil(b"\r\n\r\n")
    return head.decode().lower(), reader, writer


ASKED = ("Connection: Upgrade", "Upgrade: connect-udp", "Capsule-Protocol: ?1")


@row("9298-3.2-1")
async def test_the_proxys_answer(clear, within):
    proxy = local()
    async with target() as it, clear.serve(tunnels={"connect-udp": proxy}):
        head, reader, writer = await upgrade(clear.port, PATH.format("127.0.0.1", it.port), *ASKED)
        assert head.startswith("http/1.1 101 ")
        for field in ("connection: upgrade", "upgrade: connect-udp", "capsule-protocol: ?1"):
            assert f"\r\n{field}\r\n" in head
        writer.write(bytes.fromhex("00060068656c6c6f"))
        assert await reader.readexactly(8) == bytes.fromhex("00060068656c6c6f")
        writer.write_eof()
        assert await reader.read() == b""
        await within(lambda: proxy.stats()["sockets"] == 0)
        writer.close()
        assert it.got == [b"hello"]


@row("9298-3.2-1")
@pytest.mark.parametrize(
    ("status", "method", "fields"),
    [
        (400, "GET", ("Upgrade: connect-udp",)),
        (400, "GET", (*ASKED, "Host: other.example")),
        (400, "POST", (*ASKED, "Content-Length: 0")),
        (400, "GET", (*ASKED, "Content-Length: 0")),
        (400, "GET", (*ASKED, "Content-Type: text/plain")),
    ],
)
async def test_what_the_proxy_refuses(clear, status, method, fields):
    async with target() as it, clear.serve(tunnels={"connect-udp": local()}):
        path = PATH.format("127.0.0.1", it.port)
        head, _, writer = await upgrade(clear.port, path, *fields, method=method)
        assert head.startswith(f"http/1.1 {status} ")
        assert "capsule-protocol" not in head
        writer.close()
        assert not it.got
