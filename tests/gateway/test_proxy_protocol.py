"""The PROXY protocol before the gateway: whom it names is the client, for all purposes."""

import asyncio
import contextlib
import ipaddress
import logging
import random

import pytest

from h2ws_fast.engine import Limits
from h2ws_fast.gateway import Forwarding
from tests.support import frames as f
from tests.support.backend import RawBackend
from tests.support.h1 import ACCEPT, request, upgrade
from tests.support.raw import RawClient

V1 = b"PROXY TCP4 192.0.2.1 127.0.0.1 4711 443\r\n"
V6 = b"PROXY TCP6 ::ffff:192.0.2.1 ::1 4711 443\r\n"
UNKNOWN = b"PROXY UNKNOWN\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V2 = (
    SIGNATURE
    + b"\x21\x11\0\x12"
    + ipaddress.ip_address("192.0.2.1").packed
    + ipaddress.ip_address("127.0.0.1").packed
    + b"\x12\x67\x01\xbb"
    + b"\x04\0\x03abc"  # a TLV
)
LOCAL = SIGNATURE + b"\x20\0\0\0"
CLIENT = "192.0.2.1"


async def talk(visit):
    """A backend that says of whom it was told."""
    while True:
        _, fields = await visit.head()
        body = fields.get("x-forwarded-for", "nobody").encode()
        visit.say("HTTP/1.1 200 OK", f"Content-Length: {len(body)}", body=body)


@pytest.fixture
def proxied(door, server_tls, client_tls):
    """`async with proxied(secure, **options) as gate:` before a backend that tells what it heard."""

    @contextlib.asynccontextmanager
    async def make(secure=False, **options):
        options.setdefault("proxy_protocol", True)
        tls = server_tls if secure else None
        async with RawBackend(talk) as backend, door(backend.port, tls=tls, **options) as gate:
            client_tls.set_alpn_protocols(["http/1.1"])
            gate.client_tls = client_tls if secure else None
            yield gate

    return make


async def pieces(writer, octets, rng):
    """Write octets in pieces, each of which leaves before the next."""
    at = 0
    while at < len(octets):
        n = rng.randint(1, 20) if rng.random() < 0.5 else 1
        writer.write(octets[at : at + n])
        await writer.drain()
        await asyncio.sleep(0)
        at += n


async def ask(gate, head, rng=None):
    """Say a head and a request over HTTP/1.1; return the body of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
    try:
        octets = b"" if gate.client_tls else request()
        if rng is None:
            writer.write(head + octets)
        else:
            await pieces(writer, head + octets, rng)
        if gate.client_tls:
            await writer.start_tls(gate.client_tls, server_hostname="127.0.0.1")
            writer.write(request())
        said = await reader.readuntil(b"\r\n\r\n")
        length = int(said.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        return (await reader.readexactly(length)).decode()
    finally:
        writer.close()


@pytest.mark.parametrize("secure", [False, True], ids=["cleartext", "tls"])
@pytest.mark.parametrize(
    ("head", "client"),
    [(V1, CLIENT), (V2, CLIENT), (V6, CLIENT), (UNKNOWN, "127.0.0.1"), (LOCAL, "127.0.0.1")],
    ids=["v1", "v2", "mapped", "unknown", "local"],
)
async def test_backends_hear_of_the_client(proxied, secure, head, client):
    async with proxied(secure) as gate:
        assert await ask(gate, head) == client
        assert await ask(gate, head, random.Random(len(head))) == client
        assert gate.stats()["refused"] == {}


async def test_http2_and_what_follows_in_the_same_octets(proxied, caplog):
    caplog.set_level(logging.INFO, "h2ws_fast.gateway.access")
    async with proxied(access_log=True) as gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        client = RawClient(reader, writer)
        client.send(V2, f.MAGIC, f.settings())
        fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")]
        client.headers(1, fields, end_stream=True)
        assert (await client.expect(f.HEADERS, 1)).get(":status") == "200"
        assert (await client.expect(f.DATA, 1)).content == CLIENT.encode()
        (wire,) = gate.admission.wires
        assert wire.remote_address == (CLIENT, 4711)
        client.close()
    assert [record.getMessage().split()[0] for record in caplog.records] == [CLIENT]


async def test_a_tunnel_behind_a_head(proxied, door):
    async def script(visit):
        await visit.switch()
        visit.writer.write(await visit.read(5))

    async with RawBackend(script) as backend, door(backend.port, proxy_protocol=True) as gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        writer.write(V1 + upgrade())
        assert ACCEPT.encode() in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()


@pytest.mark.parametrize("secure", [False, True], ids=["cleartext", "tls"])
@pytest.mark.parametrize(
    "octets",
    [request(), f.MAGIC, b"\x16\x03\x01\x02\0\x01", b"PROXY TCP4 a b c d\r\n", V2[:13] + b"\xff"],
    ids=["http", "http2", "tls", "words", "family"],
)
async def test_what_is_no_head_ends_the_connection(proxied, secure, octets, caplog):
    caplog.set_level(logging.WARNING, "h2ws_fast.gateway")
    async with proxied(secure) as gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        writer.write(octets + bytes(40))
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        assert gate.stats()["refused"] == {"proxy_protocol": 1}
        assert gate.stats()["requests"] == gate.stats()["accepted"] == 0
    assert "a connection from 127.0.0.1:" in caplog.text and "PROXY" in caplog.text


@pytest.mark.parametrize("octets", [b"", V1[:20]])
async def test_a_head_has_its_time(proxied, octets, caplog):
    limits = Limits(preface_timeout_s=0.2, close_timeout_s=0.1)
    async with proxied(limits=limits) as gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        writer.write(octets)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        assert gate.stats()["refused"] == {"proxy_protocol": 1}
    assert "did not come in time" in caplog.text


@pytest.mark.parametrize(("octets", "told"), [(b"", {}), (V1[:20], {"proxy_protocol": 1})])
async def test_who_leaves_at_once_only_looked_whether_somebody_listens(proxied, octets, told):
    async with proxied() as gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        writer.write(octets)
        writer.write_eof()
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        async with asyncio.timeout(10):
            while gate.stats()["handshakes"]:
                await asyncio.sleep(0.005)
        assert gate.stats()["refused"] == told


@pytest.mark.parametrize("secure", [False, True], ids=["cleartext", "tls"])
async def test_only_trusted_proxies_speak_for_others(proxied, secure):
    """From elsewhere a connection is a client's own, and a head from there is no HTTP."""
    forwarding = Forwarding(trusted=["10.0.0.0/8"])
    async with proxied(secure, forwarding=forwarding) as gate:
        assert await ask(gate, b"") == "127.0.0.1"
        if not secure:
            assert "illegal request line" in await ask(gate, V1)
    forwarding = Forwarding(trusted=["127.0.0.0/8"])
    async with proxied(secure, forwarding=forwarding) as gate:
        assert await ask(gate, V1) == CLIENT


async def test_what_the_client_claims_is_not_believed_for_its_proxy(proxied):
    """The proxy is trusted, who is behind it is not."""
    async with proxied(forwarding=Forwarding(trusted=["127.0.0.1"])) as gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        writer.write(V1 + request(["X-Forwarded-For: 1.1.1.1", "Connection: close"]))
        assert (await reader.read()).endswith(b"\r\n\r\n" + CLIENT.encode())
        writer.close()


@pytest.mark.parametrize("secure", [False, True], ids=["cleartext", "tls"])
async def test_limits_by_address_see_the_client(proxied, secure):
    """All of them come from one proxy; two are of one client."""
    async with proxied(secure, max_connections_per_address=1) as gate:

        async def come(source):
            reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
            writer.write(f"PROXY TCP4 {source} 127.0.0.1 1 2\r\n".encode())
            if secure:
                await writer.start_tls(gate.client_tls, server_hostname="127.0.0.1")
            writer.write(request())
            return await reader.readuntil(b"\r\n\r\n"), writer

        said, first = await come("192.0.2.1")
        assert b" 200 " in said
        said, second = await come("192.0.2.1")
        assert b" 503 " in said
        said, third = await come("192.0.2.2")
        assert b" 200 " in said
        assert gate.stats()["refused"] == {"max_connections_per_address": 1}
        for writer in (first, second, third):
            writer.close()
        async with asyncio.timeout(10):
            while gate.stats()["connections"]:
                await asyncio.sleep(0.005)
        said, fourth = await come("192.0.2.1")
        assert b" 200 " in said
        fourth.close()


@pytest.mark.parametrize("secure", [False, True], ids=["cleartext", "tls"])
async def test_who_has_not_said_for_whom_it_comes_counts(proxied, secure):
    async with proxied(secure, max_connections=1) as gate:
        _, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        writer.write(V1[:5])
        async with asyncio.timeout(10):
            while gate.stats()["handshakes"] != 1:
                await asyncio.sleep(0.005)
        other = await asyncio.open_connection("127.0.0.1", gate.port)
        other[1].write(V1 + (b"" if secure else request()))
        if secure:
            await other[1].start_tls(gate.client_tls, server_hostname="127.0.0.1")
            other[1].write(request())
        assert b" 503 " in await other[0].readuntil(b"\r\n\r\n")
        other[1].close()
        writer.close()
        assert gate.stats()["refused"] == {"max_connections": 1}


async def test_a_gateway_that_ends_waits_for_no_head(proxied):
    async with proxied() as gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        writer.write(V1[:5])
        async with asyncio.timeout(10):
            while gate.stats()["handshakes"] != 1:
                await asyncio.sleep(0.005)
        gate.close()
        async with asyncio.timeout(10):
            await gate.wait_closed()
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
