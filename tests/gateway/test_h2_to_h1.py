"""An extended CONNECT that becomes an Upgrade: what a backend of HTTP/1.1 is sent, octet by octet."""

import asyncio

import pytest

from h2ws_fast.gateway import Table, Token
from tests.support import frames as f
from tests.support.backend import RawBackend, accept_of
from tests.support.raw import RawClient, RawServer


def connect(token="websocket", *extra, path="/chat?x=1", authority="example.org:81"):
    fields = [
        (":method", "CONNECT"),
        (":protocol", token),
        (":scheme", "http"),
        (":authority", authority),
        (":path", path),
    ]
    if token == "websocket":
        fields.append(("sec-websocket-version", "13"))
    return [*fields, *extra]


async def answer(client, stream_id=1):
    """(status, fields, body, ended) of an answer, read to its end where it has one."""
    head = await client.expect(f.HEADERS, stream_id)
    fields = {name.decode(): value.decode() for name, value in head.fields}
    return fields.pop(":status"), fields, head.end_stream


async def body_of(client, stream_id=1):
    body = b""
    while True:
        frame = await client.expect(f.DATA, stream_id)
        body += frame.content
        if frame.end_stream:
            return body


async def silent(visit):
    await visit.rest()


TOKENS = Table({"websocket": Token(needs_key=True), "foo/1": Token(), "foo": Token()})


@pytest.mark.row("GW-h2h1-1", "GW-tun-5", "GW-tun-7")
async def test_a_connect_becomes_an_upgrade(door):
    heads = []

    async def script(visit):
        heads.append(await visit.switch("websocket"))
        assert await visit.read(5) == b"hello"
        visit.writer.write(b"world")
        await visit.rest()

    async with RawBackend(script) as backend, door(backend.port) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, connect("websocket", ("origin", "http://a"), ("x-1", "a"), ("x-0", "b")))
        status, _, ended = await answer(client)
        assert (status, ended) == ("200", False)
        client.send(f.data(1, b"hello"))
        assert (await client.expect(f.DATA, 1)).content == b"world"
        client.close()
    line, fields = heads[0]
    assert line == "GET /chat?x=1 HTTP/1.1"
    assert fields["host"] == "example.org:81"
    assert fields["connection"].lower() == "upgrade" and fields["upgrade"] == "websocket"
    assert fields["sec-websocket-version"] == "13" and fields["origin"] == "http://a"
    assert list(fields).index("x-1") < list(fields).index("x-0")
    assert fields["via"].startswith("2 h2ws-")
    assert fields["x-forwarded-for"] == "127.0.0.1" and fields["x-forwarded-proto"] == "http"


@pytest.mark.row("GW-h2h1-1", "GW-h2h1-3")
async def test_any_token_is_carried_without_a_key(door):
    heads = []

    async def script(visit):
        heads.append(await visit.switch("foo/1"))
        await visit.rest()

    async with RawBackend(script) as backend, door(backend.port, tokens=TOKENS) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, connect("foo/1"))
        assert (await answer(client))[0] == "200"
        client.close()
    assert heads[0][1]["upgrade"] == "foo/1"
    assert not [name for name in heads[0][1] if name.startswith("sec-websocket")]


@pytest.mark.row("GW-h2h1-2", "SEC-7-3")
@pytest.mark.parametrize("accept", [None, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", ""])
async def test_an_accept_that_does_not_answer_is_no_tunnel(door, accept):
    keys = []

    async def script(visit):
        _, fields = await visit.head()
        keys.append(fields["sec-websocket-key"])
        extra = [] if accept is None else [f"Sec-WebSocket-Accept: {accept}"]
        visit.say("HTTP/1.1 101 Yes", "Upgrade: websocket", "Connection: upgrade", *extra)
        await visit.rest()

    async with RawBackend(script) as backend, door(backend.port) as gate:
        client = await RawClient.connect(gate.port)
        own = "dGhlIHNhbXBsZSBub25jZQ=="
        for stream_id in (1, 3):
            client.headers(stream_id, connect("websocket", ("sec-websocket-key", own)))
            client.send(f.data(stream_id, b"smuggled"))
            status, _, ended = await answer(client, stream_id)
            assert (status, ended) == ("502", True)
        client.close()
        assert b"smuggled" not in backend.octets
    assert len(set(keys)) == 2 and own not in keys


@pytest.mark.row("GW-h2h1-4")
@pytest.mark.parametrize(
    "lines",
    [
        ("Upgrade: bar", "Connection: upgrade"),
        ("Upgrade: foo, bar", "Connection: upgrade"),
        ("Connection: upgrade",),
        ("Upgrade: foo",),
        ("Upgrade: foo", "Connection: close"),
    ],
)
async def test_a_101_must_name_the_token(door, lines):
    async def script(visit):
        await visit.head()
        visit.say("HTTP/1.1 101 Yes", *lines)
        await visit.rest()

    async with RawBackend(script) as backend, door(backend.port, tokens=TOKENS) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, connect("foo"))
        assert (await answer(client))[0] == "502"
        client.close()


@pytest.mark.row("GW-h2h1-4")
async def test_a_token_is_compared_without_case(door):
    async def script(visit):
        await visit.head()
        visit.say("HTTP/1.1 101 Yes", "Upgrade: FOO", "Connection: x, UPGRADE")
        await visit.rest()

    async with RawBackend(script) as backend, door(backend.port, tokens=TOKENS) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, connect("foo"))
        assert (await answer(client))[0] == "200"
        client.close()


@pytest.mark.row("GW-h2h1-5", "GW-gen-2")
async def test_a_101_becomes_a_200_without_what_is_of_its_connection(door):
    async def script(visit):
        await visit.switch(
            "websocket",
            "Keep-Alive: 5",
            "X-Hop: 1",
            "Connection: X-Hop",
            "Content-Length: 7",
            "TE: gzip",
            "Sec-WebSocket-Protocol: a",
            "Sec-WebSocket-Extensions: permessage-deflate",
            "Set-Cookie: b=c",
        )
        await visit.rest()

    async with RawBackend(script) as backend, door(backend.port) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, connect("websocket", ("sec-websocket-protocol", "a")))
        status, fields, ended = await answer(client)
        client.close()
    assert (status, ended) == ("200", False)
    assert fields == {
        "sec-websocket-protocol": "a",
        "sec-websocket-extensions": "permessage-deflate",
        "set-cookie": "b=c",
    }


@pytest.mark.row("GW-h2h1-6", "SEC-7-3")
@pytest.mark.parametrize("status", [200, 201, 204, 299])
async def test_a_backend_that_did_not_upgrade_opens_no_tunnel(door, status):
    async def script(visit):
        await visit.head()
        visit.say(f"HTTP/1.1 {status} OK", *([] if status == 204 else ["Content-Length: 4"]))
        if status != 204:
            visit.writer.write(b"page")
        await visit.rest()

    async with RawBackend(script) as backend, door(backend.port) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, connect())
        client.send(f.data(1, b"early"))
        got, _, ended = await answer(client)
        assert (got, ended) == ("502", True)
        client.close()
        assert b"early" not in backend.octets


@pytest.mark.row("GW-h2h1-7")
async def test_refusals_pass_whole(door):
    async def script(visit):
        # Behind a refusal the connection serves the next request.
        assert "/401" in (await visit.head())[0]
        visit.say(
            "HTTP/1.1 401 No",
            'WWW-Authenticate: Basic realm="x"',
            "Content-Length: 3",
            body=b"who",
        )
        assert "/404" in (await visit.head())[0]
        chunks = b"3\r\nnot\r\n5\r\n here\r\n0\r\n\r\n"
        visit.say("HTTP/1.1 404 No", "Transfer-Encoding: chunked", body=chunks)
        await visit.rest()

    async with RawBackend(script) as backend, door(backend.port) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, connect(path="/401"))
        status, fields, _ = await answer(client)
        assert (status, fields["www-authenticate"]) == ("401", 'Basic realm="x"')
        assert await body_of(client) == b"who"
        client.headers(3, connect(path="/404"))
        status, fields, _ = await answer(client, 3)
        assert status == "404" and "transfer-encoding" not in fields
        assert await body_of(client, 3) == b"not here"
        client.close()


@pytest.mark.row("GW-h2h1-8", "SEC-7-3")
async def test_a_426_loses_what_is_of_its_connection(door):
    async def script(visit):
        await visit.head()
        visit.say(
            "HTTP/1.1 426 Upgrade Required",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 8, 13",
            "Content-Length: 0",
        )
        await visit.rest()

    async with RawBackend(script) as backend, door(backend.port) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, connect())
        status, fields, ended = await answer(client)
        assert (status, ended) == ("426", True)
        assert fields == {"sec-websocket-version": "8, 13", "content-length": "0"}
        client.close()


@pytest.mark.row("GW-h2h1-9")
async def test_interim_answers_are_passed_or_consumed(door):
    async def script(visit):
        await visit.head()
        visit.say("HTTP/1.1 100 Continue")
        visit.say("HTTP/1.1 103 Early Hints", "Link: </a>")
        visit.say("HTTP/1.1 103 Early Hints", "Link: </b>")
        visit.say(
            "HTTP/1.1 101 Yes",
            "Upgrade: websocket",
            "Connection: upgrade",
            f"Sec-WebSocket-Accept: {accept_of(visit.raw)}",
        )
        await visit.rest()

    async with RawBackend(script) as backend, door(backend.port) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, connect())
        got = [await answer(client) for _ in range(3)]
        assert [(status, fields.get("link")) for status, fields, _ in got] == [
            ("103", "</a>"),
            ("103", "</b>"),
            ("200", None),
        ]
        client.close()


@pytest.mark.row("GW-h2h1-10")
async def test_nothing_of_a_tunnel_comes_before_its_101(door):
    asked, go = asyncio.Event(), asyncio.Event()

    async def script(visit):
        await visit.head()
        asked.set()
        await go.wait()
        visit.say("HTTP/1.1 403 No", "Content-Length: 0")
        assert (await visit.head())[0] == "GET /second HTTP/1.1"
        visit.say("HTTP/1.1 403 No", "Content-Length: 0")
        await visit.rest()

    async with RawBackend(script) as backend, door(backend.port) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, connect())
        client.send(f.data(1, b"GET /admin HTTP/1.1\r\n\r\n"))
        await asked.wait()
        client.send(f.data(1, b"more"), f.ping(b"12345678"))
        await client.expect(f.PING, skip=(f.WINDOW_UPDATE, f.SETTINGS))
        go.set()
        assert (await answer(client))[0] == "403"
        # A second request on the same connection of the backend shows that nothing is between.
        client.headers(3, connect(path="/second"))
        assert (await answer(client, 3))[0] == "403"
        client.close()
        assert b"admin" not in backend.octets and b"more" not in backend.octets


@pytest.mark.row("GW-h2h1-10", "GW-h2h1-11")
async def test_what_came_early_is_sent_behind_the_101_and_what_came_with_it_is_the_tunnels(door):
    async def script(visit):
        await visit.switch("websocket", body=b"at once")
        assert await visit.read(5) == b"early"
        await visit.rest()

    async with RawBackend(script) as backend, door(backend.port) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, connect())
        client.send(f.data(1, b"early"))
        assert (await answer(client))[0] == "200"
        assert (await client.expect(f.DATA, 1)).content == b"at once"
        client.close()


@pytest.mark.row("GW-h2h1-11", "SEC-7-6")
async def test_octets_behind_a_refusal_are_no_answer(door):
    async def script(visit):
        await visit.head()
        visit.say(
            "HTTP/1.1 403 No",
            "Content-Length: 2",
            body=b"noHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong",
        )
        assert await visit.rest() in (b"", b"RESET")

    async with RawBackend(script) as backend, door(backend.port) as gate:
        client = await RawClient.connect(gate.port)
        for stream_id in (1, 3):
            client.headers(stream_id, connect())
            assert (await answer(client, stream_id))[0] == "403"
            assert await body_of(client, stream_id) == b"no"
        client.close()
        assert len(backend.visits) == 2


@pytest.mark.row("GW-h2h1-12")
async def test_a_tunnels_connection_serves_nothing_else(door):
    async def script(visit):
        await visit.switch()
        assert await visit.rest() == b""

    async with RawBackend(script) as backend, door(backend.port) as gate:
        client = await RawClient.connect(gate.port)
        for stream_id in (1, 3):
            client.headers(stream_id, connect())
            assert (await answer(client, stream_id))[0] == "200"
            client.send(f.data(stream_id, b"", end_stream=True))
            assert (await client.expect(f.DATA, stream_id)).end_stream
        (stats,) = gate.stats()["backends"].values()
        assert stats["h1_idle"] == 0
        client.close()
        assert len(backend.visits) == 2


@pytest.mark.row("GW-gen-3")
async def test_further_connection_fields_are_named_in_the_table(door):
    heads = []

    async def script(visit):
        heads.append(await visit.switch("foo"))
        await visit.rest()

    table = Table({"foo": Token(fields=(("x-foo", "1"),), options=("X-Foo",))})
    async with RawBackend(script) as backend, door(backend.port, tokens=table) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, connect("foo"))
        assert (await answer(client))[0] == "200"
        client.close()
    assert heads[0][1]["connection"] == "Upgrade, X-Foo" and heads[0][1]["x-foo"] == "1"


@pytest.mark.row("GW-tun-11", "9297-3.5-3")
@pytest.mark.parametrize("http", ["h1", "h2"])
async def test_capsules_pass_as_they_are(door, http):
    """connect-udp, both versions of HTTP behind: RFC 9298 section 3.2 to 3.5."""
    heads = []
    capsules = b"\x00\x05\x00datasome other\x00"
    path = "/.well-known/masque/udp/192.0.2.6/443/"

    async def visited(visit):
        heads.append((await visit.switch("connect-udp", "Capsule-Protocol: ?1"))[1])
        assert await visit.read(len(capsules)) == capsules
        visit.writer.write(capsules[::-1])
        await visit.rest()

    async def streamed(peer):
        asked = await peer.expect(f.HEADERS)
        heads.append({name.decode(): value.decode() for name, value in asked.fields})
        peer.headers(1, [(":status", "200"), ("capsule-protocol", "?1")])
        assert (await peer.expect(f.DATA)).content == capsules
        peer.send(f.data(1, capsules[::-1]))
        await peer.until_eof()

    tokens = Table(["connect-udp"])
    server = RawBackend(visited) if http == "h1" else RawServer(streamed, (8, 1))
    async with server as backend, door(backend.port, http=http, tokens=tokens) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, connect("connect-udp", ("capsule-protocol", "?1"), path=path))
        client.send(f.data(1, capsules))
        status, fields, _ = await answer(client)
        assert (status, fields) == ("200", {"capsule-protocol": "?1"})
        assert (await client.expect(f.DATA, 1)).content == capsules[::-1]
        client.close()
    assert heads[0]["capsule-protocol"] == "?1"


@pytest.mark.row("GW-gen-5", "SEC-7-4")
@pytest.mark.parametrize("token", ["h2c", "tls", "TLS/1.2", "http/3", "foo", "connect-udp"])
@pytest.mark.parametrize("others", [False, True])
async def test_tokens_pass_by_an_allow_list(door, token, others):
    async def script(visit):
        await visit.switch(token)
        await visit.rest()

    table = Table(others=others)
    async with RawBackend(script) as backend, door(backend.port, tokens=table) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, connect(token))
        passes = others and token in ("foo", "connect-udp")
        assert (await answer(client))[0] == ("200" if passes else "501")
        client.close()
        assert len(backend.visits) == passes


async def test_a_backend_that_resets_while_it_is_asked_is_a_502(door):
    async def script(visit):
        await visit.head()
        visit.cut()

    async with RawBackend(script) as backend, door(backend.port) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, connect())
        assert (await answer(client))[0] == "502"
        client.close()


@pytest.mark.row("9112-x-1", "9112-5.2-1", "9112-6.3-1")
@pytest.mark.parametrize(
    "octets",
    [
        b"HTTP/1.1 403 No\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 403 No\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 403 No\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.0 403 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 403 No\r\nX : 1\r\n\r\n",
        b"HTTP/1.1 403 No\r\nX: 1\r\n folded\r\n\r\n",
        b"HTTP/1.1 403 No\nX: 1\n\n",
        b"HTTP/1.1 403 No\r\nX: " + b"a" * 70000 + b"\r\n\r\n",
        b"HTTP/1.1 403 No\r\n" + b"X: 1\r\n" * 200 + b"\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 103 Early\r\n\r\n" * 30,
    ],
    ids=range(11),
)
async def test_an_answer_that_is_no_http_is_a_502(door, octets):
    async def script(visit):
        await visit.head()
        visit.writer.write(octets)
        await visit.rest()

    async with RawBackend(script) as backend, door(backend.port) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, connect())
        status = "103"
        while status == "103":
            status = (await answer(client))[0]
        assert status == "502"
        client.close()


async def test_lines_of_a_cookie_become_one(door):
    """RFC 9113 section 8.2.3: "concatenated into a single octet string" before HTTP/1.1."""
    heads = []

    async def script(visit):
        heads.append((await visit.switch("websocket"), visit.fields))
        await visit.rest()

    async with RawBackend(script) as backend, door(backend.port) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, connect("websocket", ("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")))
        assert (await answer(client))[0] == "200"
        client.close()
    lines = [value for name, value in heads[0][1] if name.lower() == "cookie"]
    assert lines == ["a=1; b=2"]
