"""An Upgrade that becomes an extended CONNECT, and what must not become one."""

import asyncio

import pytest

from h2ws_fast.gateway import Table, Token
from tests.support import frames as f
from tests.support.backend import RawBackend
from tests.support.h1 import ACCEPT, read_answers, request, upgrade
from tests.support.raw import RawClient, RawServer

CONNECT_PROTOCOL = (8, 1)
GET = [(":method", "GET"), (":scheme", "http"), (":authority", "example.org"), (":path", "/")]
TOKENS = Table({"websocket": Token(needs_key=True), "foo": Token()})
FOO = ["Upgrade: foo", "Connection: Upgrade"]


class Client:
    """A client of HTTP/1.1."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, gate):
        return cls(*await asyncio.open_connection("127.0.0.1", gate.port))

    async def ask(self, octets):
        self.writer.write(octets)
        return await self.answer()

    async def answer(self):
        head = await self.reader.readuntil(b"\r\n\r\n")
        body = b""
        if b"content-length: " in head.lower():
            n = int(head.lower().split(b"content-length: ")[1].split()[0])
            body = await self.reader.readexactly(n)
        (answer,) = read_answers(head + body)
        return answer

    def close(self):
        self.writer.close()


def accepting(heads, status="200", *fields):
    """A backend's script: answer every request, and keep the heads."""

    async def script(peer):
        while (frame := await peer.frame()) is not None:
            if frame.kind == f.HEADERS:
                heads.append([(name.decode(), value.decode()) for name, value in frame.fields])
                peer.headers(frame.stream_id, [(":status", status), *fields], status != "200")

    return script


async def forwarded(door, octets):
    """The head that a backend over HTTP/2 gets for octets of HTTP/1.1."""
    heads = []
    async with RawServer(accepting(heads, "404"), CONNECT_PROTOCOL) as backend:
        async with door(backend.port, http="h2", tokens=TOKENS) as gate:
            client = await Client.to(gate)
            assert (await client.ask(octets)).status == 404
            client.close()
    return dict(heads[0])


@pytest.mark.row("GW-h1h2-1", "GW-h1h2-5", "GW-h1h2-6")
async def test_an_upgrade_becomes_a_connect(door):
    heads = []
    script = accepting(heads, "200", ("sec-websocket-protocol", "a"), ("content-length", "0"))
    async with RawServer(script, CONNECT_PROTOCOL) as backend:
        async with door(backend.port, http="h2") as gate:
            client = await Client.to(gate)
            answer = await client.ask(
                upgrade("GET /chat?x HTTP/1.1", sec_websocket_protocol="a", host="example.org:81")
            )
            client.close()
    assert answer.status == 101
    assert answer.fields.pop("sec-websocket-accept") == ACCEPT
    assert answer.fields == {
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-protocol": "a",
    }
    (head,) = heads
    fields = dict(head)
    assert {name: value for name, value in head if name[0] == ":"} == {
        ":method": "CONNECT",
        ":protocol": "websocket",
        ":scheme": "http",
        ":authority": "example.org:81",
        ":path": "/chat?x",
    }
    assert fields["sec-websocket-version"] == "13" and fields["sec-websocket-protocol"] == "a"
    assert not {"sec-websocket-key", "upgrade", "connection", "host"} & fields.keys()
    assert fields["via"].startswith("1.1 ")


@pytest.mark.row("GW-h1h2-2")
@pytest.mark.parametrize(
    "octets",
    [
        request(["Upgrade: foo"]),
        request(["Upgrade: foo", "Connection: keep-alive"]),
        request(FOO, line="GET / HTTP/1.0"),
        upgrade(connection="keep-alive"),
        upgrade("GET / HTTP/1.0"),
    ],
    ids=range(5),
)
async def test_an_upgrade_that_is_not_asked_for_as_it_must_be_is_ignored(door, octets):
    fields = await forwarded(door, octets)
    assert fields[":method"] == "GET" and "upgrade" not in fields


@pytest.mark.row("GW-h1h2-3", "GW-gen-1")
@pytest.mark.parametrize(
    "octets",
    [
        request(FOO, line="POST / HTTP/1.1"),
        request([*FOO, "Content-Length: 3"], body=b"abc"),
        request([*FOO, "Transfer-Encoding: chunked"], body=b"3\r\nabc\r\n0\r\n\r\n"),
    ],
    ids=range(3),
)
async def test_only_get_without_a_body_is_converted(door, octets):
    fields = await forwarded(door, octets)
    assert fields[":method"] in ("GET", "POST") and "upgrade" not in fields


@pytest.mark.row("GW-h1h2-3")
@pytest.mark.parametrize(
    "octets", [upgrade("POST / HTTP/1.1"), upgrade(content_length="3") + b"abc"], ids=range(2)
)
async def test_a_websocket_with_another_method_or_a_body_is_refused(door, octets):
    heads = []
    async with RawServer(accepting(heads), CONNECT_PROTOCOL) as backend:
        async with door(backend.port, http="h2") as gate:
            client = await Client.to(gate)
            assert (await client.ask(octets)).status in (400, 405)
            client.close()
    assert not heads


@pytest.mark.row("GW-h1h2-4", "SEC-7-4")
@pytest.mark.parametrize(
    ("tokens", "chosen"),
    [
        ("bar, foo, websocket", "foo"),
        ("websocket, foo", "websocket"),
        ("h2c, FOO", "foo"),
        ("h2c", None),
        ("bar", None),
    ],
)
async def test_the_first_token_that_passes_is_tried(door, tokens, chosen):
    heads = []
    script = accepting(heads, "200" if chosen else "404")
    async with RawServer(script, CONNECT_PROTOCOL) as backend:
        async with door(backend.port, http="h2", tokens=TOKENS) as gate:
            client = await Client.to(gate)
            octets = upgrade(
                upgrade=tokens, connection="Upgrade, HTTP2-Settings", http2_settings="x"
            )
            answer = await client.ask(octets)
            client.close()
    fields = dict(heads[0])
    assert fields.get(":protocol") == chosen
    assert "http2-settings" not in fields
    assert (answer.status, answer.fields.get("upgrade")) == (
        (101, chosen) if chosen else (404, None)
    )


@pytest.mark.row("GW-h1h2-5", "SEC-7-3", "SEC-7-7")
@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"sec_websocket_key": "short"}, 400),
        ({"sec_websocket_key": None}, 400),
        ({"sec_websocket_version": "1337"}, 426),
        ({"sec_websocket_version": None}, 400),
    ],
)
async def test_a_handshake_that_is_wrong_stays_http(door, changes, status):
    heads = []
    async with RawServer(accepting(heads), CONNECT_PROTOCOL) as backend:
        async with door(backend.port, http="h2") as gate:
            client = await Client.to(gate)
            assert (await client.ask(upgrade(**changes))).status == status
            client.close()
    assert not heads


@pytest.mark.row("GW-h1h2-6")
async def test_a_refusal_is_an_ordinary_answer(door):
    async def script(peer):
        for _ in range(2):
            head = await peer.expect(f.HEADERS, skip=(f.DATA, f.WINDOW_UPDATE, f.SETTINGS))
            peer.headers(head.stream_id, [(":status", "403"), ("content-length", "2")])
            peer.send(f.data(head.stream_id, b"no", end_stream=True))
        await peer.until_eof()

    async with RawServer(script, CONNECT_PROTOCOL) as backend:
        async with door(backend.port, http="h2") as gate:
            client = await Client.to(gate)
            for _ in range(2):  # the connection stays usable
                answer = await client.ask(upgrade())
                assert (answer.status, answer.body) == (403, b"no")
            client.close()


@pytest.mark.row("GW-h1h2-7")
async def test_a_100_comes_before_the_101(door):
    heads = []
    async with RawServer(accepting(heads), CONNECT_PROTOCOL) as backend:
        async with door(backend.port, http="h2") as gate:
            client = await Client.to(gate)
            first = await client.ask(upgrade(expect="100-continue"))
            second = await client.answer()
            client.close()
    assert (first.status, second.status) == (100, 101)


@pytest.mark.row("GW-h1h2-8")
async def test_octets_behind_a_refused_upgrade_are_not_executed(door):
    heads = []
    async with RawServer(accepting(heads, "403"), CONNECT_PROTOCOL) as backend:
        async with door(backend.port, http="h2") as gate:
            client = await Client.to(gate)
            answer = await client.ask(upgrade() + request(line="GET /admin HTTP/1.1"))
            assert answer.status == 403 and answer.fields["connection"] == "close"
            assert await client.reader.read() == b""
            client.close()
    assert [dict(head)[":path"] for head in heads] == ["/chat"]


@pytest.mark.row("GW-h1h2-8")
async def test_octets_behind_an_accepted_upgrade_are_the_tunnels(door):
    got = []

    async def script(peer):
        head = await peer.expect(f.HEADERS)
        peer.headers(head.stream_id, [(":status", "200")])
        got.append((await peer.expect(f.DATA)).content)
        await peer.until_eof()

    async with RawServer(script, CONNECT_PROTOCOL) as backend:
        async with door(backend.port, http="h2") as gate:
            client = await Client.to(gate)
            smuggled = request(line="GET /admin HTTP/1.1")
            client.writer.write(upgrade() + smuggled)
            assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
            while not got:
                await asyncio.sleep(0.005)
            client.close()
    assert got == [smuggled]


@pytest.mark.row("GW-h1h2-9")
@pytest.mark.parametrize("http", ["h2", "auto"])
async def test_a_backend_without_the_setting(door, http):
    """It is reached over HTTP/1.1 where that is allowed, and not at all otherwise."""
    asked = []

    async def serve(reader, writer):
        octets = await reader.readexactly(4)
        if octets == b"PRI ":
            writer.write(f.settings())
            asked.append("h2")
            await reader.read(-1)
        else:
            asked.append("h1")
            octets += await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with door(port, http=http) as gate:
        client = await Client.to(gate)
        answer = await client.ask(upgrade())
        assert answer.status == (501 if http == "h2" else 403)
        if http == "auto":  # and it is remembered
            assert (await client.ask(upgrade())).status == 403
            assert asked == ["h2", "h1", "h1"]
        client.close()
    server.close()


@pytest.mark.row("GW-h1h2-9")
@pytest.mark.parametrize("polite", [True, False])
async def test_a_backend_of_http1_is_found_out_and_remembered(door, polite):
    async def script(visit):
        if not polite and await visit.read(4) == b"PRI ":
            visit.cut()
            return
        line, _ = await visit.head()
        if line.startswith("PRI"):
            visit.say("HTTP/1.1 400 Bad Request", "Connection: close", "Content-Length: 0")
            return
        visit.say("HTTP/1.1 404 No", "Content-Length: 0", "Connection: close")

    async with RawBackend(script) as backend, door(backend.port, http="auto") as gate:
        client = await Client.to(gate)
        for _ in range(2):
            assert (await client.ask(request())).status == 404
        client.close()
        assert len(backend.visits) == 3


@pytest.mark.row("GW-tun-10")
async def test_many_clients_share_connections_and_goaway_moves_the_next(door):
    streams = []  # of each connection
    leave, left = asyncio.Event(), asyncio.Event()

    async def script(peer):
        mine = []
        streams.append(mine)

        async def go():
            await leave.wait()
            if mine is streams[0]:
                peer.send(f.goaway(mine[-1], 0))
                left.set()

        task = asyncio.create_task(go())
        while (frame := await peer.frame()) is not None:
            if frame.kind == f.HEADERS:
                mine.append(frame.stream_id)
                peer.headers(frame.stream_id, [(":status", "200")])
            elif frame.kind == f.DATA:
                peer.send(f.data(frame.stream_id, frame.content, frame.end_stream))
        task.cancel()

    pairs = (CONNECT_PROTOCOL, (3, 5))
    async with RawServer(script, *pairs) as backend:
        options = {"backend": {"connections": 2}}
        async with door(backend.port, http="h2", **options) as gate:
            clients = [await Client.to(gate) for _ in range(11)]
            for client in clients[:8]:
                assert (await client.ask(upgrade())).status == 101
            assert sorted(map(len, streams)) == [4, 4]
            leave.set()
            await left.wait()
            for client in clients[:8]:  # behind the GOAWAY
                client.writer.write(b"ping")
                assert await client.reader.readexactly(4) == b"ping"
            for client in clients[8:]:
                assert (await client.ask(upgrade())).status == 101
            assert len(streams) == 3
            for client in clients:  # those of the connection that leaves live on
                client.writer.write(b"ping")
                assert await client.reader.readexactly(4) == b"ping"
                client.close()
            assert len(streams[0]) == 4


@pytest.mark.row("8441-7-2")
@pytest.mark.parametrize("pairs", [(), (CONNECT_PROTOCOL,)], ids=["without", "with"])
@pytest.mark.parametrize(("tokens", "told"), [(None, 1), (Table({}), None)], ids=["some", "none"])
async def test_the_setting_is_of_one_hop(door, pairs, tokens, told):
    """What clients are told depends on what the gateway does, not on what its backend has said."""

    async def script(peer):
        while (frame := await peer.frame()) is not None:
            if frame.kind == f.HEADERS:
                peer.headers(frame.stream_id, [(":status", "204")], end_stream=True)

    async with (
        RawServer(script, *pairs) as backend,
        door(backend.port, http="h2", tokens=tokens) as gate,
    ):
        for _ in range(2):  # also when it knows what the backend says
            client = await RawClient.connect(gate.port)
            payload = client.frames[0].payload
            entries = {
                int.from_bytes(payload[at : at + 2], "big"): payload[at + 5]
                for at in range(0, len(payload), 6)
            }
            assert entries.get(8) == told
            client.headers(1, GET, end_stream=True)
            assert (await client.expect(f.HEADERS, 1)).get(":status") == "204"
            client.close()


async def test_lines_of_a_cookie_stay_one_cookie(door):
    """RFC 9113 section 8.2.3: over HTTP/2 it may be cut into lines, and they are joined by "; "."""
    heads = []
    async with RawServer(accepting(heads, "404"), CONNECT_PROTOCOL) as backend:
        async with door(backend.port, http="h2", tokens=TOKENS) as gate:
            client = await Client.to(gate)
            octets = request(["Cookie: a=1", "Cookie: b=2; c=3"])
            assert (await client.ask(octets)).status == 404
            client.close()
    assert [value for name, value in heads[0] if name == "cookie"] == ["a=1", "b=2; c=3"]
