"""Clients over HTTP/1.1: the handshake of RFC 6455 section 4.1, and how it comes to that."""

import asyncio
import base64
import contextlib
import errno
import socket

import pytest

from h2ws_fast import (
    AlpnError,
    ConnectionClosedError,
    ConnectionTerminated,
    ExtendedConnectUnsupported,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    LocalProtocolError,
    NegotiationError,
    Response,
    Session,
    StreamReset,
    connect,
    unix_connect,
    unix_serve,
)
from h2ws_fast.aio import tls, uri
from h2ws_fast.aio.client import way
from h2ws_fast.aio.client.fallback import PROBE_S
from h2ws_fast.aio.h1.upgrade import Handshake
from h2ws_fast.aio.http import Request
from h2ws_fast.engine import Limits, Settings
from h2ws_fast.engine.handshake import accept_value
from tests.aio.conftest import Place
from tests.support import frames as f
from tests.support.ws_frames import ws_frame


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def say(ws):
    await ws.send(ws.http_version)
    await echo(ws)


class Listener:
    """A server of HTTP/1.1 by hand: `script(reader, writer, head)` after each request's head."""

    def __init__(self, script, context=None):
        self.script = script
        self.context = context
        self.heads = []
        self.connections = 0
        self.tasks = []
        self.refusal = b"HTTP/1.1 505 HTTP Version Not Supported\r\n\r\n"  # of HTTP/2

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.context)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info):
        self.server.close()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=5)

    async def _serve(self, reader, writer):
        self.tasks.append(asyncio.current_task())
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            if head.startswith(b"PRI "):
                writer.write(self.refusal)
                if not self.refusal:
                    await reader.read()
            else:
                await self.script(reader, writer, head)
        writer.close()


def fields_of(head):
    lines = head.decode("latin-1").split("\r\n")[1:-2]
    return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}


def accepted(head, *more, upgrade="websocket", connection="Upgrade", accept=None):
    key = fields_of(head)["sec-websocket-key"].encode()
    accept = accept_value(key).decode() if accept is None else accept
    lines = ["HTTP/1.1 101 Switching Protocols"]
    if upgrade:
        lines.append(f"Upgrade: {upgrade}")
    if connection:
        lines.append(f"Connection: {connection}")
    if accept:
        lines.append(f"Sec-WebSocket-Accept: {accept}")
    return "\r\n".join([*lines, *more, "", ""]).encode()


def answering(make):
    """A script that writes what `make(head)` says, and reads on."""

    async def script(reader, writer, head):
        writer.write(make(head))
        while await reader.read(65536):
            pass

    return script


# -- sans-IO --------------------------------------------------------------------------------------


class Asked:
    def __init__(self, subprotocols=(), headers=(), path="/"):
        self.opened = []
        self.errors = []
        request = Request(path, headers, authority="example.org")
        self.handshake = Handshake(
            request,
            subprotocols,
            Limits(),
            lambda conn, response, chosen: self.opened.append((conn, response, chosen)),
            self.errors.append,
        )
        (self.head,) = self.handshake.data_to_send()

    def answer(self, octets, step=None):
        for at in range(0, len(octets), step or len(octets)):
            self.handshake.receive_data(octets[at : at + (step or len(octets))])
        return self


@pytest.mark.row("6455-4.1-1")
@pytest.mark.row("6455-4.1-2")
def test_what_a_client_asks():
    asked = Asked(["a", "b"], [("origin", "https://example.org"), ("x", "y")], "/chat?q=1")
    line, _, _ = asked.head.partition(b"\r\n")
    assert line == b"GET /chat?q=1 HTTP/1.1"
    fields = fields_of(asked.head)
    key = fields.pop("sec-websocket-key")
    assert len(base64.b64decode(key, validate=True)) == 16
    assert fields == {
        "host": "example.org",
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-version": "13",
        "sec-websocket-protocol": "a, b",
        "origin": "https://example.org",
        "x": "y",
    }
    keys = {fields_of(Asked().head)["sec-websocket-key"] for _ in range(50)}
    assert len(keys) == 50


@pytest.mark.row("6455-4.1-3")
@pytest.mark.parametrize("wrong", [["a", "a"], [""], ["a b"], ["a,b"], ["\u00e4"]])
def test_subprotocols_that_cannot_be_offered(wrong):
    with pytest.raises(ValueError):
        Asked(wrong)


@pytest.mark.parametrize("name", ["Host", "upgrade", "Sec-WebSocket-Key", "content-length"])
def test_fields_of_the_handshake_are_its_own(name):
    with pytest.raises(ValueError):
        Asked(headers=[(name, "x")])
    with pytest.raises(ValueError):
        Asked(headers=[("x", "a\r\nb: c")])


@pytest.mark.row("6455-4.1-5")
@pytest.mark.parametrize("step", [None, 1])
@pytest.mark.parametrize(
    "options",
    [{}, {"upgrade": "WebSocket"}, {"connection": "keep-alive, UPGRADE"}],
)
def test_answers_that_are_right(options, step):
    asked = Asked()
    asked.answer(accepted(asked.head, **options), step)
    ((_, response, chosen),) = asked.opened
    assert response.status == 101 and chosen is None and not asked.errors


@pytest.mark.row("6455-4.1-5")
def test_blanks_around_the_accept_mean_nothing():
    asked = Asked()
    key = fields_of(asked.head)["sec-websocket-key"].encode()
    asked.answer(accepted(asked.head, accept=f" \t {accept_value(key).decode()} \t"))
    assert asked.opened


@pytest.mark.row("6455-4.1-5")
@pytest.mark.parametrize(
    "options",
    [
        {"upgrade": None},
        {"upgrade": "foo"},
        {"upgrade": "websocket, foo"},
        {"connection": None},
        {"connection": "close"},
        {"accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="},
        {"accept": "x"},
    ],
)
def test_answers_that_are_wrong(options):
    asked = Asked()
    asked.answer(accepted(asked.head, **options))
    (error,) = asked.errors
    assert isinstance(error, InvalidHandshake) and not asked.opened
    assert asked.handshake.terminated


@pytest.mark.row("6455-4.1-5")
def test_an_answer_without_accept():
    asked = Asked()
    octets = accepted(asked.head)
    at = octets.index(b"Sec-WebSocket-Accept")
    asked.answer(octets[:at] + b"\r\n")
    assert isinstance(asked.errors[0], InvalidHandshake)


@pytest.mark.row("6455-4.1-6")
@pytest.mark.row("6455-4.3-1")
@pytest.mark.row("6455-9.1-1")
@pytest.mark.row("6455-9.1-2")
@pytest.mark.parametrize(
    "more",
    [
        ["Sec-WebSocket-Extensions: permessage-deflate"],
        ["Sec-WebSocket-Extensions: ;"],
        ["Sec-WebSocket-Extensions: a", "Sec-WebSocket-Extensions: b"],
        ["Sec-WebSocket-Protocol: c"],
        ["Sec-WebSocket-Protocol: a, b"],
        ["Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: a"],
        ["Sec-WebSocket-Protocol: "],
        ["Sec-WebSocket-Protocol: A"],
    ],
)
def test_what_was_not_offered_cannot_be_chosen(more):
    asked = Asked(["a", "b"])
    asked.answer(accepted(asked.head, *more))
    assert isinstance(asked.errors[0], NegotiationError) and not asked.opened


@pytest.mark.row("6455-4.1-6")
def test_what_was_offered_can_be_chosen():
    asked = Asked(["a", "b"])
    asked.answer(accepted(asked.head, "Sec-WebSocket-Protocol: b"))
    assert asked.opened[0][2] == "b"
    asked = Asked()
    key = fields_of(asked.head)["sec-websocket-key"].encode()
    asked.answer(accepted(asked.head, "Sec-WebSocket-Accept: " + accept_value(key).decode()))
    assert isinstance(asked.errors[0], NegotiationError)  # twice


@pytest.mark.row("6455-4.1-8")
@pytest.mark.parametrize("step", [None, 1])
def test_octets_behind_the_101_belong_to_the_websocket(step):
    asked = Asked()
    octets = accepted(asked.head)
    asked.answer(octets, step)
    assert asked.handshake.early == b""
    asked = Asked()
    asked.answer(accepted(asked.head) + ws_frame(1, b"early", key=None))
    assert asked.handshake.early == ws_frame(1, b"early", key=None)


def sized(size):
    return b"HTTP/1.1 500 Oh\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size


def chunked(size):
    head = b"HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n" % size + b"x" * size + b"\r\n0\r\n\r\n"


@pytest.mark.row("6455-4.1-4")
@pytest.mark.parametrize("step", [None, 1])
@pytest.mark.parametrize(
    ("octets", "status", "body", "whole"),
    [
        (
            b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nContent-Length: 4\r\n\r\nwho?",
            401,
            b"who?",
            True,
        ),
        (
            b"HTTP/1.1 302 Found\r\nLocation: /x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
            302,
            b"a",
            True,
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, b"", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
        (b"HTTP/1.0 404 Not Found\r\n\r\nuntil the end", 404, b"until the end", True),
        (
            b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",
            403,
            b"",
            True,
        ),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 100\r\n\r\nnot all", 500, b"not all", False),
        (sized(65536), 500, b"x" * 65536, True),
        (sized(65537), 500, b"x" * 65536, False),
        (sized(100000), 500, b"x" * 65536, False),
        (chunked(65536), 500, b"x" * 65536, True),
        (chunked(65537), 500, b"x" * 65536, False),
        (b"HTTP/1.0 500 Oh\r\n\r\n" + b"x" * 65536, 500, b"x" * 65536, True),
        (b"HTTP/1.0 500 Oh\r\n\r\n" + b"x" * 65537, 500, b"x" * 65536, False),
    ],
    ids=[
        *("401", "302", "200", "204", "1.0", "103", "short"),
        *("most", "one more", "long", "chunked", "one more chunked", "ended", "one more ended"),
    ],
)
def test_a_refusal_is_handed_over_whole(octets, status, body, whole, step):
    asked = Asked().answer(octets, step)
    asked.handshake.receive_eof()
    (error,) = asked.errors
    assert isinstance(error, InvalidStatus) and not asked.opened
    assert (error.response.status, error.response.body) == (status, body)
    assert error.whole is whole
    if status == 401:
        assert error.response.headers["www-authenticate"] == "Basic"


@pytest.mark.row("6455-4.4-1")
def test_another_version_is_told():
    asked = Asked().answer(
        b"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 8, 7\r\n"
        b"Sec-WebSocket-Version: 12\r\nContent-Length: 0\r\n\r\n"
    )
    assert asked.errors[0].versions == ["8", "7", "12"]
    assert "8, 7, 12" in str(asked.errors[0])


@pytest.mark.parametrize(
    "octets",
    [
        b"\0\0\x06\x04\0\0\0\0\0",
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 101\r\n folded\r\n\r\n",
        b"HTTP/1.1 " + b"x" * 9000,
        b"HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\n\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 30,
    ],
    ids=["h2", "ssh", "folded", "long", "lf", "informed"],
)
def test_answers_that_are_no_http(octets):
    asked = Asked().answer(octets)
    assert type(asked.errors[0]) is InvalidHandshake


# -- on sockets -----------------------------------------------------------------------------------


@pytest.mark.row("6455-3-1")
@pytest.mark.parametrize(
    ("given", "port", "path", "authority"),
    [
        ("ws://example.org", 80, "/", "example.org"),
        ("wss://example.org", 443, "/", "example.org"),
        ("ws://example.org:80/", 80, "/", "example.org"),
        ("wss://example.org:80/a/b", 80, "/a/b", "example.org:80"),
        ("ws://example.org?q=1&r", 80, "/?q=1&r", "example.org"),
        ("WSS://Example.ORG:8443/?q", 8443, "/?q", "example.org:8443"),
        ("ws://[::1]:81/x", 81, "/x", "[::1]:81"),
        ("ws://[fe80::1%25lo]/", 80, "/", "[fe80::1]"),
        ("ws://[fe80::1%lo]:81/", 81, "/", "[fe80::1]:81"),
        ("ws://a:0/", 0, "/", "a:0"),
    ],
)
def test_uris(given, port, path, authority):
    target = uri.parse(given)
    assert (target.port, target.path, target.authority) == (port, path, authority)


@pytest.mark.parametrize("given", ["wss://[fe80::1%25lo]/", "wss://[fe80::1%lo]/"])
def test_a_zone_leads_there_and_is_told_to_nobody(given):
    target = uri.parse(given)
    assert (target.host, target.server_hostname) == ("fe80::1%lo", "fe80::1")


@pytest.mark.row("6455-3-1")
@pytest.mark.parametrize("wrong", ["ws://a/#x", "ws://a/?q#", "ftp://a", "ws://", "ws:///x"])
def test_uris_that_are_none(wrong):
    with pytest.raises(InvalidURI):
        uri.parse(wrong)


@pytest.mark.parametrize("http", ["h1", "auto", "h2"])
async def test_connect_over_either(place, http):
    async with place.serve(say, subprotocols=["chat"]):
        async with connect(
            place.ws("/p?q"),
            ssl=place.client_ssl,
            http=http,
            subprotocols=["chat"],
            origin=place.http,
            additional_headers={"x-one": "1"},
            user_agent_header="me",
        ) as ws:
            version = "1.1" if http == "h1" else "2"
            assert await ws.recv() == version and ws.http_version == version
            assert ws.subprotocol == "chat" and ws.request.path == "/p?q"
            assert ws.response.status == (101 if http == "h1" else 200)
            assert ws.request.headers["origin"] == place.http
            for message in ("text", b"binary", "", "\u00e9" * 1000, bytes(200000)):
                await ws.send(message)
                assert await ws.recv() == message
            assert await (await ws.ping()) >= 0
        assert ws.close_code == 1000
        await ws.wire.gone


async def test_callbacks_over_http_1_1(place):
    log = []
    async with place.serve(echo):
        async with Session(place.http, ssl=place.client_ssl, http="h1") as session:
            ws = await session.websocket(
                on_message=lambda ws, message: log.append(message),
                on_close=lambda ws: log.append(ws.close_code),
            )
            other = await session.websocket()
            assert len(session.websockets) == 2
            await ws.send("one")
            await other.send("two")
            assert await other.recv() == "two"
            await ws.close()
            assert log == ["one", 1000]
        assert other.close_code == 1000 and session.websockets == []


@pytest.mark.row("6455-4.1-8")
async def test_a_message_right_behind_the_101():
    async def script(reader, writer, head):
        writer.write(accepted(head) + ws_frame(1, b"early", key=None))
        await reader.read(100)

    async with Listener(script) as listener:
        ws = await connect(f"ws://127.0.0.1:{listener.port}", http="h1")
        assert await ws.recv() == "early"
        ws.abort()
        await ws.wire.gone


async def test_a_socket_in_cleartext_is_not_used_up_by_asking():
    """There is one connection, so a server that speaks HTTP/1.1 alone must understand its first word."""

    async def script(reader, writer, head):
        writer.write(accepted(head) + ws_frame(1, b"there", key=None))
        await reader.read(100)

    async with Listener(script) as listener:
        uri = f"ws://127.0.0.1:{listener.port}"
        sock = socket.create_connection(("127.0.0.1", listener.port))
        ws = await connect(uri, sock=sock)
        assert await ws.recv() == "there"
        assert (ws.http_version, listener.connections) == ("1.1", 1)
        ws.abort()
        await ws.wire.gone
        assert listener.heads[0].startswith(b"GET / ")


@pytest.mark.row("6455-4.1-4")
async def test_refusals_are_raised_with_their_bodies(place):
    def process(ws, request):
        return Response(401, {"www-authenticate": "Basic"}, "who?")

    async with place.serve(echo, process_request=process) as server:
        for http in ("h1", "h2"):
            with pytest.raises(InvalidStatus) as caught:
                await connect(place.ws(), ssl=place.client_ssl, http=http)
            response = caught.value.response
            assert (response.status, response.body) == (401, b"who?")
            assert response.headers["www-authenticate"] == "Basic"
        async with asyncio.timeout(5):
            while server._wires:
                await asyncio.sleep(0.01)


@pytest.mark.row("6455-4.1-5")
async def test_a_failed_handshake_closes_tcp():
    ended = asyncio.Event()

    async def script(reader, writer, head):
        writer.write(accepted(head, accept="wrong"))
        assert await reader.read() == b""
        ended.set()

    async with Listener(script) as listener:
        with pytest.raises(InvalidHandshake):
            await connect(f"ws://127.0.0.1:{listener.port}", http="h1")
        await ended.wait()


async def test_a_server_that_does_not_answer_or_leaves():
    async def silent(reader, writer, head):
        await reader.read()

    async def leaving(reader, writer, head):
        writer.close()

    async with Listener(silent) as listener:
        with pytest.raises(TimeoutError):
            await connect(f"ws://127.0.0.1:{listener.port}", http="h1", open_timeout=0.1)
    async with Listener(leaving) as listener:
        with pytest.raises((ConnectionTerminated, OSError)):
            await connect(f"ws://127.0.0.1:{listener.port}", http="h1")


@pytest.mark.row("6455-4.1-7")
async def test_one_handshake_at_a_time_to_one_place():
    under_way = most = 0

    async def script(reader, writer, head):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.02)
        under_way -= 1
        if len(listener.heads) == 2:
            writer.write(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
            return
        writer.write(accepted(head))
        await reader.read(100)

    async with Listener(script) as listener:
        connects = [connect(f"ws://127.0.0.1:{listener.port}", http="h1") for _ in range(5)]
        found = await asyncio.gather(
            *(each._connect() for each in connects), return_exceptions=True
        )
        assert most == 1
        assert [type(each).__name__ for each in found].count("WebSocket") == 4
        for each in found:
            if not isinstance(each, InvalidStatus):
                assert "dialling" not in str(each.wire.hub.known)
                each.abort()
                await each.wire.gone


@pytest.mark.row("8441-5h-5")
async def test_a_server_without_the_setting_gets_http_1_1(place):
    options = {"settings": Settings(enable_connect_protocol=False)}
    async with place.serve(say, **options) as server:
        with pytest.raises(ExtendedConnectUnsupported):
            await connect(place.ws(), ssl=place.client_ssl, http="h2")
        for _ in range(2):
            async with connect(place.ws(), ssl=place.client_ssl) as ws:
                assert await ws.recv() == "1.1"
                if place.secure:
                    chosen = ws.wire.transport.get_extra_info("ssl_object")
                    assert chosen.selected_alpn_protocol() == "http/1.1"
                await asyncio.sleep(0.05)
                # The connection that did not serve is gone; the second time there was none.
                assert len(server._wires) == 1
        assert server.stats()["accepted"] == 1 + 2 + 1


@pytest.mark.row("8441-5h-5")
async def test_a_session_keeps_http_2_for_requests(place):
    async def about(request):
        return Response(200, {}, request.wire.http_version)

    options = {"settings": Settings(enable_connect_protocol=False), "on_request": about}
    async with place.serve(say, **options):
        async with Session(place.http, ssl=place.client_ssl, http="auto") as session:
            ws = await session.websocket()
            assert await ws.recv() == "1.1"
            assert await (await session.request("GET")).read() == b"2"
            again = await session.websocket()
            assert again.wire is not ws.wire
            assert session.websockets == [ws, again] or session.websockets == [again, ws]
        assert ws.close_code == again.close_code == 1000


@pytest.mark.row("8441-5h-5")
async def test_a_server_of_http_1_1_alone(place):
    async with place.serve(say, http="h1") as server:
        async with connect(place.ws(), ssl=place.client_ssl) as ws:
            assert await ws.recv() == "1.1"
        # Over TLS the connection on which ALPN chose HTTP/1.1 was used.
        assert server.stats()["accepted"] == (1 if place.secure else 2)
        async with connect(place.ws(), ssl=place.client_ssl) as ws:
            assert await ws.recv() == "1.1"
        assert server.stats()["accepted"] == (2 if place.secure else 3)
        async with Session(place.http, ssl=place.client_ssl, http="auto") as session:
            with pytest.raises(AlpnError):
                await session.request("GET")
            assert await (await session.websocket()).recv() == "1.1"
    with pytest.raises(OSError):
        await connect(place.ws(), ssl=place.client_ssl)


async def test_a_server_that_wants_http_1_1_for_this(place):
    def process(ws, request):
        if ws.http_version == "2":
            ws.wire.conn.reset(ws.stream_id, f.HTTP_1_1_REQUIRED)

    async with place.serve(say, process_request=process):
        with pytest.raises(StreamReset):
            await connect(place.ws(), ssl=place.client_ssl, http="h2")
        async with connect(place.ws(), ssl=place.client_ssl) as ws:
            assert await ws.recv() == "1.1"


@pytest.mark.row("8441-5h-5")
async def test_a_cleartext_server_that_never_heard_of_http_2():
    assert PROBE_S <= 5

    async with Listener(answering(accepted)) as listener:
        for count in (2, 3):
            ws = await connect(f"ws://127.0.0.1:{listener.port}")
            assert ws.http_version == "1.1" and listener.connections == count
            ws.abort()
            await ws.wire.gone


async def test_a_cleartext_server_that_keeps_quiet_about_http_2():
    async def script(reader, writer, head):
        writer.write(accepted(head))
        await reader.read(100)

    async with Listener(script) as listener:
        listener.refusal = b""
        ws = await connect(f"ws://127.0.0.1:{listener.port}", open_timeout=0.4)
        assert ws.http_version == "1.1"
        ws.abort()
        await ws.wire.gone


async def test_the_context_of_the_caller_may_be_shared(certificate, server_tls):
    context = tls.client_context(cafile=certificate[0])
    place = Place(server_tls, context)
    async with place.serve(say):
        found = await asyncio.gather(
            *(connect(place.ws(), ssl=context, http=http)._connect() for http in ["h1", "h2"] * 4)
        )
        assert [await ws.recv() for ws in found] == ["1.1", "2"] * 4
        for ws in found:
            await ws.close()
            await ws.wire.gone


@pytest.mark.parametrize("by", ["client", "server"])
async def test_over_tls_nobody_waits_behind_the_closing_handshake(
    certificate, server_tls, by, monkeypatch
):
    async def handler(ws):
        async for _ in ws:
            if by == "server":
                await ws.close()

    monkeypatch.setattr(tls, "SHUTDOWN_S", 30)
    context = tls.client_context(cafile=certificate[0])
    place = Place(server_tls, context)
    async with place.serve(handler, close_timeout=30):
        ws = await connect(place.ws(), ssl=context, http="h1", close_timeout=30)
        begun = asyncio.get_running_loop().time()
        if by == "client":
            await ws.close()
        else:
            await ws.send("close, please")
            await ws.wait_closed()
        await ws.wire.gone
        assert asyncio.get_running_loop().time() - begun < 10
        assert ws.close_code == 1000


async def test_wrong_arguments(clear):
    with pytest.raises(ValueError):
        connect("ws://a", http="h3")
    with pytest.raises(LocalProtocolError):
        await Session("http://a", http="h1").websocket()
    async with clear.serve(echo):
        async with Session(clear.http, http="h1") as session:
            with pytest.raises(ValueError):
                await session.websocket(subprotocols=["a", "a"])
            with pytest.raises(ValueError):
                await session.websocket(additional_headers={"host": "x"})
            with pytest.raises(AlpnError):
                await session.connect_tcp("a:1")
            with pytest.raises(ValueError):
                await session.tunnel("t", headers={"content-type": "x"})


async def test_keepalive_and_loss_over_http_1_1():
    async with Listener(answering(accepted)) as listener:
        ws = await connect(
            f"ws://127.0.0.1:{listener.port}",
            http="h1",
            ping_interval=0.05,
            ping_timeout=0.05,
            close_timeout=0.05,
        )
        with pytest.raises(ConnectionClosedError) as caught:
            await ws.recv()
        assert caught.value.sent.code == 1011
        await ws.wire.gone


# -- 421 ------------------------------------------------------------------------------------------


@pytest.mark.row("9113-9.1.1-1")
@pytest.mark.parametrize("http", ["h2", "h1"])
async def test_a_misdirected_websocket_is_tried_once_more(place, http):
    wires = []

    def process(ws, request):
        wires.append(ws.wire)
        return ws.respond(421, "not here") if len(wires) in (1, 3, 4) else None

    async with place.serve(say, process_request=process):
        async with connect(place.ws(), ssl=place.client_ssl, http=http) as ws:
            assert await ws.recv() == ws.http_version
            assert wires[0] is not wires[1]
        with pytest.raises(InvalidStatus) as caught:
            await connect(place.ws(), ssl=place.client_ssl, http=http)
        assert caught.value.response.status == 421
        assert len(wires) == 4 and len(set(map(id, wires))) == 4


@pytest.mark.row("9113-9.1.1-1")
async def test_a_misdirected_request_is_tried_once_more(place):
    wires = []

    async def answer(request):
        wires.append(request.wire)
        body = await request.read()
        return Response(421 if request.path == "/never" or len(wires) == 2 else 200, {}, body)

    async with place.serve(say, on_request=answer) as server:
        async with Session(place.http, ssl=place.client_ssl) as session:
            ws = await session.websocket()
            assert (await session.request("GET", "/1")).status == 200
            response = await session.request("POST", "/2", body=b"body")
            assert (response.status, await response.read()) == (200, b"body")
            assert wires[0] is wires[1] and wires[2] is not wires[1]
            # What was open on the other connection goes on, and it ends with that.
            assert await ws.recv() == "2"
            await ws.send("still")
            assert await ws.recv() == "still"
            assert len(server._wires) == 2
            await ws.close()
            async with asyncio.timeout(5):
                while len(server._wires) > 1:
                    await asyncio.sleep(0.01)
            # Never more than once; and not at all where the body cannot be sent again.
            count = len(wires)
            assert (await session.request("GET", "/never")).status == 421
            assert len(wires) == count + 2

            async def pieces():
                yield b"x"

            assert (await session.request("POST", "/never", body=pieces())).status == 421
            assert len(wires) == count + 3
            again = await session.websocket()
            assert await again.recv() == "2"


async def test_what_is_misdirected_at_once_shares_the_fresh_connection(clear):
    wires = []

    def process(ws, request):
        wires.append(ws.wire)
        return ws.respond(421) if len(set(map(id, wires))) == 1 else None

    async def answer(request):
        wires.append(request.wire)
        return Response(421 if len(set(map(id, wires))) == 1 else 200)

    async with clear.serve(say, process_request=process, on_request=answer) as server:
        async with Session(clear.http) as session:
            asked = [session.websocket(), session.request("GET", "/"), session.websocket()]
            first, response, second = await asyncio.gather(*asked)
            assert first.wire is second.wire and response.status == 200
            assert len(set(map(id, wires))) == 2
        async with asyncio.timeout(5):
            while server._wires:
                await asyncio.sleep(0.01)


@pytest.mark.row("9113-9.1.1-1")
async def test_a_session_serves_its_own_origin_alone(place):
    async def answer(request):
        return Response(200, {}, request.authority)

    async with place.serve(echo, on_request=answer):
        async with Session(place.http, ssl=place.client_ssl) as session:
            got = await (await session.request("GET", "/")).read()
            assert got.decode() == session.target.authority == f"127.0.0.1:{place.port}"
            for headers in ({"host": "other.example"}, {":authority": "other.example"}):
                with pytest.raises(ValueError):
                    await session.request("GET", "/", headers=headers)
                with pytest.raises(ValueError):
                    await session.websocket("/", additional_headers=headers)
            with pytest.raises(ValueError):
                await session.request("GET", "https://other.example/")


async def test_a_fresh_connection_that_cannot_be_had(clear):
    def process(ws, request):
        return ws.respond(421)

    async with clear.serve(echo, process_request=process) as server:
        async with Session(clear.http) as session:
            server.server.close()
            with pytest.raises(OSError):
                await session.websocket()
            assert session.connected


async def test_one_connect_is_one_context(clear):
    async with clear.serve(echo):
        opening = connect(clear.ws())
        async with opening as ws:
            with pytest.raises(RuntimeError, match="not reentrant"):
                async with opening:
                    pass
            await ws.send("still here")
            assert await ws.recv() == "still here"
        async with opening:  # and again
            pass


async def test_a_refusal_whose_body_never_ends_over_http_1_1():
    head = b"HTTP/1.1 503 No\r\nContent-Length: 100\r\n\r\none moment"
    async with Listener(answering(lambda _: head)) as listener:
        uri = f"ws://127.0.0.1:{listener.port}"
        with pytest.raises(InvalidStatus) as caught:
            await connect(uri, http="h1", open_timeout=0.1)
        assert caught.value.response.status == 503
        assert caught.value.response.body == b"one moment"


async def test_places_over_unix_sockets_are_not_one(clear, tmp_path):
    leave = asyncio.Event()

    async def silent(reader, writer):
        await leave.wait()
        writer.close()

    paths = [str(tmp_path / "silent"), str(tmp_path / "served")]
    async with (
        await asyncio.start_unix_server(silent, paths[0]),
        unix_serve(echo, paths[1]),
    ):
        waiting = asyncio.ensure_future(unix_connect(paths[0], http="h1")._connect())
        await asyncio.sleep(0.05)
        async with unix_connect(paths[1], http="h1") as ws:
            assert not waiting.done()
            await ws.send("there")
            assert await ws.recv() == "there"
        leave.set()
        with pytest.raises(ConnectionTerminated):
            await waiting


async def test_giving_up_on_a_server_leaves_no_connection():
    ended = asyncio.Event()

    async def script(reader, writer):
        await reader.read()
        ended.set()
        writer.close()

    async with await asyncio.start_server(script, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        session = Session(f"http://127.0.0.1:{port}", http="auto")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):  # it has not shown whether it speaks HTTP/2
                await session.connect()
        async with asyncio.timeout(5):  # its own patience is longer
            await ended.wait()


async def test_a_fresh_connection_that_does_not_come(clear, monkeypatch):
    async def never(wire, tls):
        await asyncio.Event().wait()

    async def misdirected(request):
        return Response(421)

    async with clear.serve(on_request=misdirected):
        async with Session(clear.http, open_timeout=0.1) as session:
            monkeypatch.setattr(session._way, "open", never)
            with pytest.raises(TimeoutError):
                await session.request("GET", "/")
            assert session.connected


async def test_a_socket_that_was_lost_cannot_be_tuned(clear, monkeypatch):
    def lost(sock):
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(way, "limit_unsent", lost)
    async with clear.serve(echo), connect(clear.ws()) as ws:
        await ws.send("there")
        assert await ws.recv() == "there"


async def test_two_tasks_connect_one_session_once(clear):
    async with clear.serve(echo) as server:
        session = Session(clear.http)
        await asyncio.gather(session.connect(), session.connect())
        assert server.stats()["accepted"] == 1
        await session.close()
