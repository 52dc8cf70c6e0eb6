"""Upgrade in HTTP/2 by a private dialect, in front of HTTP/1.1: any method, fields of one hop, 101."""

import asyncio

import pytest

from h2ws_fast.engine.dialect import DIALECT_ID, DialectSettings
from h2ws_fast.gateway import Table, Token
from tests.support import frames as f
from tests.support.backend import RawBackend, accept_of
from tests.support.raw import RawClient

SPOKEN = ((f.ENABLE_CONNECT_PROTOCOL, 1), (DIALECT_ID, 1))


def asking(upgrade, *fields, method="GET"):
    return [
        (":method", method),
        (":scheme", "http"),
        (":authority", "server.example.com"),
        (":path", "/chat"),
        (":upgrade", upgrade),
        *fields,
    ]


def switching(*fields):
    """A backend that answers 101 with these fields, and says everything back."""

    async def script(visit):
        visit.head = (await visit.reader.readuntil(b"\r\n\r\n")).decode()
        lines = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", *fields]
        if "sec-websocket-key" in visit.head:
            lines.append(f"Sec-WebSocket-Accept: {accept_of(visit.head.encode())}")
        visit.writer.write("\r\n".join([*lines, "", ""]).encode())
        while data := await visit.reader.read(65536):
            visit.writer.write(data)

    return RawBackend(script)


async def answered(gate, fields):
    """The client and the answer to its request."""
    client = await RawClient.connect(gate.port, *SPOKEN)
    client.headers(1, fields)
    frame = await client.expect(f.HEADERS, 1)
    return client, frame, [(name.decode(), value.decode()) for name, value in frame.fields]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.row("GW-gen-1", "GW-gen-2", "GW-gen-3")
async def test_an_upgrade_of_any_method_that_names_its_fields(door, method):
    """The second example of the mail; the token is let through by name, since h2c never is."""
    table = Table({"h2c": Token()})
    async with (
        switching("Upgrade: h2c") as backend,
        door(backend.port, http="auto", tokens=table, settings=DialectSettings()) as gate,
    ):
        fields = asking("h2c; http2-settings", ("http2-settings", "AAMAAABk"), method=method)
        client, _, answer = await answered(gate, fields)
        assert answer == [(":status", "101"), (":upgrade", "h2c")]
        client.send(f.data(1, f.MAGIC))
        assert (await client.expect(f.DATA, 1)).content == f.MAGIC
        line, *rest = backend.visits[-1].head.removesuffix("\r\n\r\n").split("\r\n")
        told = {name.lower(): value for name, value in (each.split(": ", 1) for each in rest)}
        assert line == f"{method} /chat HTTP/1.1" and told["host"] == "server.example.com"
        assert told["connection"] == "Upgrade, http2-settings" and told["upgrade"] == "h2c"
        assert told["http2-settings"] == "AAMAAABk" and "h2ws-upgrade" not in told
        client.close()


@pytest.mark.row("GW-gen-2")
async def test_a_websocket(door):
    """The first example: the key that comes is answered, and the backend has one of its own."""
    async with (
        switching("Upgrade: websocket", "Sec-WebSocket-Protocol: chat") as backend,
        door(backend.port, settings=DialectSettings()) as gate,
    ):
        key = "dGhlIHNhbXBsZSBub25jZQ=="
        fields = asking(
            "websocket",
            ("sec-websocket-key", key),
            ("sec-websocket-protocol", "chat, superchat"),
            ("sec-websocket-version", "13"),
        )
        client, _, answer = await answered(gate, fields)
        assert sorted(answer) == [
            (":status", "101"),
            (":upgrade", "websocket"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            ("sec-websocket-protocol", "chat"),
        ]
        client.send(f.data(1, b"as RFC 6455 has it"))
        assert (await client.expect(f.DATA, 1)).content == b"as RFC 6455 has it"
        assert key not in backend.visits[-1].head
        client.close()


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (asking("h2c; http2-settings"), "501"),  # not let through
        (asking("foo; host"), "400"),
        (asking("foo; transfer-encoding"), "400"),
        (asking("foo; X-Forwarded-For"), "400"),
        (asking("foo; via"), "400"),
        (asking("foo", ("content-length", "5"), method="POST"), "501"),
    ],
)
async def test_what_does_not_pass(door, fields, status):
    async with (
        switching("Upgrade: foo") as backend,
        door(backend.port, tokens=Table(["foo"]), settings=DialectSettings()) as gate,
    ):
        client, frame, answer = await answered(gate, fields)
        assert answer[0] == (":status", status) and frame.end_stream and not backend.visits
        client.close()


async def test_a_backend_of_http2_alone_is_a_501(door):
    async with (
        switching() as backend,
        door(backend.port, http="h2", tokens=Table(["foo"]), settings=DialectSettings()) as gate,
    ):
        client, _, answer = await answered(gate, asking("foo"))
        assert answer[0] == (":status", "501") and not backend.visits
        client.close()


async def test_it_is_off_by_default(door):
    async with switching() as backend, door(backend.port, tokens=Table(["foo"])) as gate:
        client = await RawClient.connect(gate.port, *SPOKEN)
        client.headers(1, asking("foo"))
        async with asyncio.timeout(10):
            assert (await client.expect(f.RST_STREAM, 1)).error_code == f.PROTOCOL_ERROR
        assert not backend.visits
        client.close()
