"""Handshakes that fail, in cleartext and in TLS, of either end, leave nothing behind."""

import asyncio
import contextlib
import socket
import ssl
import struct

import pytest

from h2ws_fast import Response, connect
from h2ws_fast.aio import tls
from tests.support import frames as f
from tests.support.again import flat
from tests.support.raw import RawClient, RawServer
from tests.support.ws_frames import TEXT

pytestmark = pytest.mark.measures  # a sanitizer keeps what was freed

EXTENDED = (f.ENABLE_CONNECT_PROTOCOL, 1)


async def idle(ws):
    await ws.wait_closed()


# -- the client is at fault ------------------------------------------------------------------------

HEADS = {
    "no :path": [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http")],
    "no version": [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "x"),
        (":path", "/"),
    ],
    "refused": [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "x"),
        (":path", "/no"),
        ("sec-websocket-version", "13"),
    ],
    "unknown protocol": [
        (":method", "CONNECT"),
        (":protocol", "what"),
        (":scheme", "http"),
        (":authority", "x"),
        (":path", "/"),
    ],
}

OPENINGS = {
    "nothing": b"",
    "garbage": bytes(range(1, 200)) * 20,
    "half a preface": f.MAGIC[:11],
    "no SETTINGS": f.MAGIC + f.ping(),
    "wrong SETTINGS": f.MAGIC + f.settings((f.INITIAL_WINDOW_SIZE, 2**31)),
    "half a frame": f.MAGIC + f.settings((f.ENABLE_PUSH, 0))[:12],
    "half a block": f.MAGIC + f.settings() + f.headers(1, b"\x82\x86", end_headers=False),
    "HTTP/1.1": b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "half of HTTP/1.1": b"GET / HTTP/1.1\r\nHost",
    "TLS": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(160),
}


def refuse(ws, request):
    return Response(403) if request.path == "/no" else None


@contextlib.asynccontextmanager
async def raw(port, reset, context=None):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        yield reader, writer
    finally:
        if reset:
            writer.transport.abort()
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("opening", OPENINGS)
async def test_wrong_openings(clear, opening, reset):
    async def attempt():
        async with raw(clear.port, reset) as (reader, writer):
            writer.write(OPENINGS[opening])
            await writer.drain()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(0.01):
                    while await reader.read(65536):
                        pass

    async with clear.serve(idle) as server:
        await flat(attempt, server)


@pytest.mark.parametrize("head", HEADS)
async def test_wrong_heads(clear, head):
    async def attempt():
        peer = await RawClient.connect(clear.port)
        peer.headers(1, HEADS[head])
        peer.ws(1, TEXT, b"early")
        while (await peer.frame()).kind not in (f.HEADERS, f.RST_STREAM):
            pass
        peer.close()
        await peer.until_eof()

    async with clear.serve(idle, process_request=refuse) as server:
        await flat(attempt, server)


async def give_up_in_tls(port, octets):
    async with raw(port, True) as (_, writer):
        writer.write(octets)
        await writer.drain()


def hello():
    """The ClientHello of a proper client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = tls.client_context(verify=False).wrap_bio(incoming, outgoing)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


async def test_a_client_that_leaves_right_behind_its_tls_handshake(place):
    if not place.secure:
        pytest.skip("without TLS there is no handshake of it")
    linger = struct.pack("ii", 1, 0)

    def leave():
        for _ in range(100):
            sock = socket.create_connection(("127.0.0.1", place.port))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            with contextlib.suppress(OSError):
                place.client_ssl.wrap_socket(sock, server_hostname="127.0.0.1").close()

    async with place.serve(idle) as server:
        await asyncio.to_thread(leave)
        async with asyncio.timeout(10):
            while server.stats()["connections"]:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("what", ["cleartext", "half a hello", "a hello", "garbage"])
async def test_tls_that_is_broken_off(place, what):
    if not place.secure:
        pytest.skip("without TLS there is none to break off")
    whole = hello()
    octets = {
        "cleartext": f.MAGIC + f.settings(),
        "half a hello": whole[: len(whole) // 2],
        "a hello": whole,
        "garbage": bytes(500),
    }[what]
    async with place.serve(idle) as server:
        await flat(lambda: give_up_in_tls(place.port, octets), server)


async def test_a_client_that_leaves_before_it_says_hello(place):
    if not place.secure:
        pytest.skip("without TLS there is nothing to leave")
    async with place.serve(idle) as server:
        with socket.create_connection(("127.0.0.1", place.port)):
            pass
        await asyncio.sleep(0.05)
        # It was never a connection: nobody waits for its end.
        server.close()
        await asyncio.wait_for(server.wait_closed(), 5)


@pytest.mark.parametrize("what", ["no ALPN", "other ALPN", "untrusted"])
async def test_tls_that_does_not_agree(place, what):
    if not place.secure:
        pytest.skip("without TLS there is nothing to agree on")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if what != "untrusted":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if what == "other ALPN":
        context.set_alpn_protocols(["spdy/3"])

    async def attempt():
        with contextlib.suppress(OSError, ssl.SSLError):
            async with raw(place.port, False, context) as (reader, writer):
                writer.write(f.MAGIC)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.01):
                        while await reader.read(65536):
                            pass

    async with place.serve(idle) as server:
        await flat(attempt, server)


# -- the server is at fault ------------------------------------------------------------------------


async def fails(uri, **options):
    options = {"ping_interval": None, "close_timeout": 0.2, "open_timeout": 5, **options}
    try:
        await connect(uri, **options)
    except Exception:
        return
    raise AssertionError("it succeeded")


async def answer(peer, *fields, end_stream=False):
    await peer.expect(f.HEADERS, 1)
    peer.headers(1, [*fields], end_stream)
    await peer.until_eof()


async def leave(peer):
    await peer.expect(f.HEADERS, 1)


async def reset_stream(peer):
    await peer.expect(f.HEADERS, 1)
    peer.send(f.rst_stream(1, f.REFUSED_STREAM))
    await peer.until_eof()


async def go_away(peer):
    peer.send(f.goaway(0, f.ENHANCE_YOUR_CALM))
    await peer.until_eof()


async def talk_nonsense(peer):
    peer.send(bytes(range(100)))
    await peer.until_eof()


SCRIPTS = {
    "refuses": lambda peer: answer(peer, (":status", "403"), end_stream=True),
    "refuses without an end": lambda peer: answer(peer, (":status", "403")),
    "answers wrongly": lambda peer: answer(peer, (":status", "200"), ("connection", "close")),
    "chooses what was not offered": lambda peer: answer(
        peer, (":status", "200"), ("sec-websocket-protocol", "other")
    ),
    "leaves": leave,
    "resets": reset_stream,
    "goes away": go_away,
    "talks nonsense": talk_nonsense,
    "says nothing": lambda peer: peer.until_eof(),
}


@pytest.mark.parametrize("script", SCRIPTS)
async def test_servers_that_fail(script):
    slow = script in ("says nothing", "refuses without an end")
    await before_a_raw_server(SCRIPTS[script], EXTENDED, open_timeout=0.05 if slow else 5)


async def before_a_raw_server(script, *pairs, **options):
    async with RawServer(script, *pairs) as server:

        async def attempt():
            await fails(f"ws://127.0.0.1:{server.port}", **options)
            # A client that leaves early is none to a script: the frames of its errors would count.
            server.failures.clear()

        await flat(attempt)
        server.failures.clear()


async def test_servers_without_extended_connect():
    await before_a_raw_server(lambda peer: peer.until_eof())


async def test_servers_that_hang_up():
    def hang_up(reader, writer):
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await flat(lambda: fails(f"ws://127.0.0.1:{port}"))


async def test_nobody_listens():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and never listens
        await flat(lambda: fails(f"ws://127.0.0.1:{taken.getsockname()[1]}"))


async def test_certificates_that_nobody_trusts(place):
    if not place.secure:
        pytest.skip("without TLS there is no certificate")
    context = tls.client_context()
    async with place.serve(idle) as server:
        await flat(lambda: fails(place.ws(), ssl=context), server)


async def test_tls_servers_without_h2(place, certificate):
    if not place.secure:
        pytest.skip("without TLS there is no ALPN")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    async def until_eof(reader, writer):
        with contextlib.suppress(OSError, ssl.SSLError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(until_eof, "127.0.0.1", 0, ssl=context)
    async with server:
        place.port = server.sockets[0].getsockname()[1]
        await flat(lambda: fails(place.ws(), ssl=place.client_ssl, http="h2"))


# -- nobody is at fault ----------------------------------------------------------------------------


@pytest.mark.parametrize("close", ["ours", "theirs", "lost"])
async def test_websockets_that_open_and_end(place, close):
    async def handler(ws):
        async for message in ws:
            if message == "close":
                await ws.close()
                return
            await ws.send(message)

    async def attempt():
        ws = await connect(place.ws(), ssl=place.client_ssl, ping_interval=5)
        await ws.send("hello")
        assert await ws.recv() == "hello"
        if close == "theirs":
            await ws.send("close")
        if close == "lost":
            ws.wire.abort()
        else:
            await ws.close()
        await ws.wait_closed()

    async with place.serve(handler, ping_interval=5) as server:
        await flat(attempt, server)
