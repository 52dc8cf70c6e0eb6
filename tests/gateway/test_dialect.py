"""Upgrade in HTTP/2 by a private dialect, in front of HTTP/1.1: any method, fields of one hop, 101."""

import asyncio
import contextlib
import random

import pytest

from h2ws_fast import Session
from h2ws_fast.engine.dialect import DIALECT_ID, MAX_OPTIONS, DialectSettings, Upgrade
from h2ws_fast.gateway import Backend, Table, Token
from tests.gateway.conftest import in_front_of
from tests.support import frames as f
from tests.support.backend import RawBackend, accept_of
from tests.support.h1 import request
from tests.support.raw import RawClient, RawServer

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


# -- with a body -------------------------------------------------------------------------------


def posting(length, *fields, upgrade="foo"):
    return asking(upgrade, ("content-length", str(length)), *fields, method="POST")


@contextlib.asynccontextmanager
async def posted(door, script, length, *fields):
    """A client that has asked with a body of so many octets, before a backend with this script."""
    async with (
        RawBackend(script) as backend,
        door(backend.port, tokens=Table(["foo"]), settings=DialectSettings()) as gate,
    ):
        client = await RawClient.connect(gate.port, *SPOKEN)
        client.headers(1, posting(length, *fields))
        yield client, backend
        client.close()


SWITCH = ("HTTP/1.1 101 Switching Protocols", "Upgrade: foo", "Connection: Upgrade")


async def test_a_body_goes_before_the_answer_and_the_tunnel_behind_it(door):
    heard = asyncio.Event()

    async def script(visit):
        visit.line, visit.told = await visit.head()
        visit.body = await visit.read(5)
        heard.set()
        await asyncio.sleep(0.05)  # nothing more may come
        assert visit.octets.endswith(b"\r\n\r\nabcde")
        visit.say(*SWITCH)
        while data := await visit.reader.read(65536):
            visit.writer.write(data)

    async with posted(door, script, 5) as (client, backend):
        client.send(f.data(1, b"ab"))
        client.send(f.data(1, b"cdeTUN", pad=7))
        await heard.wait()
        client.send(f.data(1, b"NEL"))
        assert (b":status", b"101") in (await client.expect(f.HEADERS, 1)).fields
        octets = b""
        while len(octets) < 6:
            octets += (await client.expect(f.DATA, 1)).content
        assert octets == b"TUNNEL"
        (visit,) = backend.visits
        assert visit.line == "POST /chat HTTP/1.1" and visit.told["content-length"] == "5"
        assert visit.told["upgrade"] == "foo" and visit.body == b"abcde"


async def test_a_body_larger_than_every_buffer(door):
    body = random.Random(1).randbytes(3_000_000)

    async def script(visit):
        await visit.head()
        assert await visit.read(len(body)) == body
        visit.say(*SWITCH)
        await visit.rest()

    async with RawBackend(script) as backend:
        there = Backend(f"http://127.0.0.1:{backend.port}", http="h1")
        settings = DialectSettings()
        async with in_front_of(there, tokens=Table(["foo"]), settings=settings) as gate:
            url = f"http://127.0.0.1:{gate.port}"
            # Nobody ends the tunnel: the session does not wait for that.
            async with Session(url, settings=settings, close_timeout=0.1) as session:
                fields = [Upgrade("POST", len(body)).field()]
                opening = asyncio.create_task(sent_first(session, fields, body))
                async with asyncio.timeout(20):
                    assert await opening == 200


async def sent_first(session, fields, body):
    """The status of the answer to a request for a tunnel whose body goes first."""
    events = asyncio.Queue()
    wire = session._live()
    while not wire.conn.settings_received:
        await wire.greeted()
    head = [(":method", "CONNECT"), (":protocol", "foo"), (":scheme", "http")]
    head += [(":authority", "a"), (":path", "/"), *fields]
    stream_id = wire.conn.request(head, False)
    wire.conn.attach(stream_id, events.put_nowait)
    wire.conn.send_data(stream_id, body)
    wire.touch()
    while type(event := await events.get()).__name__ not in ("Opened", "Responded", "Reset"):
        pass
    return event.status


async def test_a_refusal_before_the_body_is_whole(door):
    async def script(visit):
        await visit.head()
        await visit.read(2)
        visit.say("HTTP/1.1 403 Forbidden", "Content-Length: 2", body=b"no")
        assert await visit.rest() in (b"", b"c", b"RESET", b"cRESET")

    async with posted(door, script, 5) as (client, backend):
        client.send(f.data(1, b"ab"))
        frame = await client.expect(f.HEADERS, 1)
        assert (b":status", b"403") in frame.fields
        assert (await client.expect(f.DATA, 1)).content == b"no"
        client.send(f.data(1, b"c"))
        async with asyncio.timeout(10):
            while backend.tasks:
                await asyncio.sleep(0.005)


async def test_an_answer_that_switches_before_the_body_is_whole_is_a_502(door):
    async def script(visit):
        await visit.head()
        visit.say(*SWITCH)
        await visit.rest()

    async with posted(door, script, 5) as (client, _):
        client.send(f.data(1, b"ab"))
        assert (b":status", b"502") in (await client.expect(f.HEADERS, 1)).fields


async def test_a_body_that_ends_too_early_is_reset(door):
    async def script(visit):
        await visit.head()
        assert await visit.rest() in (b"ab", b"abRESET")

    async with posted(door, script, 5) as (client, _):
        client.send(f.data(1, b"ab", end_stream=True))
        async with asyncio.timeout(10):
            assert (await client.expect(f.RST_STREAM, 1)).error_code == f.INTERNAL_ERROR


async def test_a_client_that_waits_before_its_body_hears_when_it_may_go_on(door):
    async def script(visit):
        _, fields = await visit.head()
        assert fields["expect"] == "100-continue"
        visit.say("HTTP/1.1 100 Continue")
        assert await visit.read(5) == b"abcde"
        visit.say(*SWITCH)
        await visit.rest()

    async with posted(door, script, 5, ("expect", "100-continue")) as (client, _):
        assert (await client.expect(f.HEADERS, 1)).fields == [(b":status", b"100")]
        client.send(f.data(1, b"abcde"))
        assert (b":status", b"101") in (await client.expect(f.HEADERS, 1)).fields


# -- towards HTTP/2 ----------------------------------------------------------------------------


def agreeing(asked, *pairs):
    """A server that notes what it is asked, and answers 101 in the dialect, or else 200."""

    async def script(peer):
        while (frame := await peer.frame()) is None or frame.kind != f.HEADERS:
            if frame is None:
                return
        asked.extend((name.decode(), value.decode()) for name, value in frame.fields)
        token = dict(asked).get(":upgrade", "").split(";")[0]
        answer = [(":status", "101"), (":upgrade", token)] if token else [(":status", "200")]
        peer.octets = b""
        if ("content-length", "5") in asked:
            while len(peer.octets) < 5:
                peer.octets += (await peer.expect(f.DATA)).content
        peer.headers(frame.stream_id, answer)
        peer.send(f.data(frame.stream_id, peer.octets + b"hello"))
        await peer.until_eof()

    return RawServer(script, *pairs)


def before(server, http="h2", **options):
    there = Backend(f"http://127.0.0.1:{server.port}", http=http, settings=DialectSettings())
    return in_front_of(there, tokens=Table(["h2c", "foo"]), settings=DialectSettings(), **options)


async def upgraded(gate, octets):
    """What an HTTP/1.1 client reads that asks so, up to the end of `hello`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
    writer.write(octets)
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        assert not head.startswith(b"HTTP/1.1 101") or await reader.readexactly(5) == b"hello"
    writer.close()
    return head.decode()


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.row("GW-gen-1", "GW-gen-3")
async def test_an_upgrade_of_http1_becomes_one(method):
    """The second example of the mail, the other way: what Connection names goes on."""
    asked = []
    async with agreeing(asked, *SPOKEN) as server, before(server) as gate:
        fields = ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk"]
        head = await upgraded(gate, request(fields, f"{method} / HTTP/1.1", host="a.example"))
        assert head.startswith("HTTP/1.1 101 ") and "Upgrade: h2c\r\n" in head
        assert "h2ws-upgrade" not in head.lower()
    own = [field for field in asked if field[0] not in ("via",) and field[0][:2] != "x-"]
    assert own[:5] == [
        (":method", method),
        (":scheme", "http"),
        (":authority", "a.example"),
        (":path", "/"),
        (":upgrade", "h2c; http2-settings"),
    ]
    assert own[5:] == [("http2-settings", "AAMAAABk")]


@pytest.mark.parametrize(("named", "answer"), [(8, "101"), (9, "400"), (60, "400")])
@pytest.mark.parametrize("http", ["h2", "h1"])
async def test_more_fields_than_an_upgrade_can_name_are_refused_here(named, answer, http):
    """The backend would have to reset the stream, and be blamed for what the client did."""
    names = [f"X-{n}" for n in range(named)]
    fields = ["Upgrade: foo", f"Connection: {', '.join(['Upgrade', *names])}"]
    octets = request([*fields, *(f"{name}: 1" for name in names)], host="a.example")
    asked = []
    backend = agreeing(asked, *SPOKEN) if http == "h2" else switching("Upgrade: foo")
    async with backend as server, before(server, http) as gate:
        for _ in range(4):
            reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
            writer.write(octets)
            async with asyncio.timeout(10):
                assert (await reader.readline()).startswith(f"HTTP/1.1 {answer} ".encode())
            writer.close()
        (told,) = gate.stats()["backends"].values()
        assert (told["served"], told["unanswered"]) == ((4, 0) if named == 8 else (0, 0))
    assert named == 8 or not asked


async def test_the_tables_own_names_count_too(door):
    table = Table({"foo": Token(fields=(("x-own", "1"),), options=("X-Own",))})
    async with (
        switching("Upgrade: foo") as backend,
        door(backend.port, tokens=table, settings=DialectSettings()) as gate,
    ):
        for named, status in ((7, "101"), (8, "400")):
            names = [f"x-{n}" for n in range(named)]
            upgrade = "; ".join(["foo", *names])
            fields = asking(upgrade, *((name, "1") for name in names))
            client, _, answer = await answered(gate, fields)
            assert answer[0] == (":status", status)
            client.close()
        assert len(backend.visits) == 1


def test_an_upgrade_that_names_more_is_not_made():
    names = tuple(f"x-{n}" for n in range(MAX_OPTIONS + 1))
    assert Upgrade("GET", 0, names[1:]).field()
    with pytest.raises(ValueError, match="at most 8 fields"):
        Upgrade("GET", 0, names).field()


async def test_what_an_extended_connect_says_as_well_stays_one():
    asked = []
    async with agreeing(asked, *SPOKEN) as server, before(server) as gate:
        head = await upgraded(gate, request(["Upgrade: foo", "Connection: Upgrade"]))
        assert head.startswith("HTTP/1.1 101 ")
    assert (":protocol", "foo") in asked and (":method", "CONNECT") in asked


@pytest.mark.parametrize(("method", "answer"), [("GET", "101"), ("POST", "501")])
async def test_a_backend_without_the_dialect(method, answer):
    asked = []
    async with agreeing(asked, SPOKEN[0]) as server, before(server) as gate:
        fields = ["Upgrade: foo", "Connection: Upgrade, X-Foo", "X-Foo: 1"]
        head = await upgraded(gate, request(fields, f"{method} / HTTP/1.1"))
        assert head.startswith(f"HTTP/1.1 {answer} ")
    assert ((":protocol", "foo") in asked) == (method == "GET") and "x-foo" not in dict(asked)


@pytest.mark.parametrize("switches", [True, False])
async def test_from_http2_to_http2(switches):
    """With a body and named fields, where all three agree; a 501 where the backend does not."""
    asked = []
    pairs = SPOKEN if switches else SPOKEN[:1]
    async with agreeing(asked, *pairs) as server, before(server) as gate:
        client = await RawClient.connect(gate.port, *SPOKEN)
        client.headers(1, posting(5, ("x-foo", "1"), upgrade="foo; x-foo"))
        client.send(f.data(1, b"abcde"))
        frame = await client.expect(f.HEADERS, 1)
        if switches:
            assert frame.fields == [(b":status", b"101"), (b":upgrade", b"foo")]
            assert (await client.expect(f.DATA, 1)).content == b"abcdehello"
            told = dict(asked)
            assert told[":upgrade"] == "foo; x-foo" and told[":method"] == "POST"
            assert (told["content-length"], told["x-foo"]) == ("5", "1")
        else:
            assert (b":status", b"501") in frame.fields and not asked
        client.close()


async def test_a_backend_that_may_be_either_is_asked_over_http1_where_it_does_not_speak_it():
    async with switching("Upgrade: foo") as backend, before(backend, "auto") as gate:
        octets = request(["Upgrade: foo", "Connection: Upgrade"], "POST / HTTP/1.1") + b"hello"
        assert (await upgraded(gate, octets)).startswith("HTTP/1.1 101 ")
        assert backend.visits[-1].head.startswith("POST / HTTP/1.1\r\n")


# -- what it must not open ---------------------------------------------------------------------


@pytest.mark.parametrize("dialect", [True, False])
@pytest.mark.row("SEC-7-2")
async def test_nobody_says_by_a_field_what_the_dialect_says(door, dialect):
    """The engine's own field, sent by clients of either version: it is no word of theirs."""
    options = {"settings": DialectSettings()} if dialect else {}
    claimed = ("h2ws-upgrade", "POST; 5; host")
    async with (
        switching("Upgrade: foo") as backend,
        door(backend.port, tokens=Table(["foo"]), **options) as gate,
    ):
        client = await RawClient.connect(gate.port, SPOKEN[0])
        fields = [(":method", "CONNECT"), (":protocol", "foo"), *asking("")[1:4], claimed]
        client.headers(1, fields)
        assert (await client.expect(f.HEADERS, 1)).fields == [(b":status", b"200")]
        client.close()
        line = ": ".join(claimed)
        octets = request(["Upgrade: foo", "Connection: Upgrade", line]) + b"hello"
        assert (await upgraded(gate, octets)).startswith("HTTP/1.1 101 ")
        for visit in backend.visits:
            assert visit.head.startswith("GET /") and "h2ws-upgrade" not in visit.head


async def test_nobody_says_so_to_a_backend_that_speaks_it():
    asked = []
    async with agreeing(asked, *SPOKEN) as server, before(server) as gate:
        head = await upgraded(gate, request(["H2ws-Upgrade: POST; 5; host"], host="a.example"))
        assert head.startswith("HTTP/1.1 200 ")
    assert (":method", "GET") in asked and "h2ws-upgrade" not in dict(asked)
    assert not {":upgrade", "content-length"} & set(dict(asked))
