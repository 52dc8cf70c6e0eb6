"""Ordinary requests through the gateway, whatever is spoken on either side."""

import asyncio
import random

import hpack
import pytest

from h2ws_fast import Response, Session, serve
from h2ws_fast.engine import Limits
from h2ws_fast.engine.arrivals import Data
from h2ws_fast.engine.events import Ended, Informed, Responded, Terminated, Trailers
from h2ws_fast.gateway import Backend, Forwarding, Table
from h2ws_fast.gateway.h1 import H1Client
from tests.gateway.conftest import in_front_of
from tests.support import frames as f
from tests.support.backend import RawBackend
from tests.support.h1 import read_answers, request
from tests.support.programs import free_port
from tests.support.raw import RawClient, RawServer


def head(method="GET", path="/", *extra, authority="example.org"):
    return [
        (":method", method),
        (":scheme", "http"),
        (":authority", authority),
        (":path", path),
        *extra,
    ]


async def whole(client, stream_id=1):
    """(status, fields, body, trailers)"""
    got = await client.expect(f.HEADERS, stream_id)
    fields = {name.decode(): value.decode() for name, value in got.fields}
    body, trailers = b"", None
    while not got.end_stream:
        got = await client.frame()
        assert got is not None
        if got.kind == f.HEADERS:
            trailers = got.fields
        elif got.kind == f.DATA:
            body += got.content
        else:
            assert got.kind != f.RST_STREAM, got
            got = f.Frame(f.PING, 0, 0, b"")
    return fields.pop(":status"), fields, body, trailers


@pytest.mark.parametrize("http", ["h1", "h2", "auto"])
async def test_bodies_and_trailers_both_ways(http):
    octets = random.Random(5).randbytes(700_000)

    async def answer(asked):
        came = b"".join([piece async for piece in asked])
        assert came == octets

        async def body():
            for at in range(0, len(came), 50_000):
                yield came[at : at + 50_000]

        said = None if asked.trailers is None else asked.trailers["x-end"]
        return Response(201, {"x-method": asked.method}, body(), trailers={"x-said": str(said)})

    async def upload():
        for at in range(0, len(octets), 30_000):
            yield octets[at : at + 30_000]

    async with serve(None, "127.0.0.1", 0, on_request=answer) as server:
        port = server.sockets[0].getsockname()[1]
        async with (
            in_front_of(Backend(f"http://127.0.0.1:{port}", http=http)) as gate,
            Session(f"http://127.0.0.1:{gate.port}") as session,
        ):
            response = await session.request("PUT", "/a", body=upload(), trailers={"x-end": "1"})
            assert (response.status, response.headers["x-method"]) == (201, "PUT")
            assert await response.read() == octets
            assert response.trailers["x-said"] == "1"


async def test_interim_answers_are_passed():
    async def script(visit):
        await visit.head()
        visit.say("HTTP/1.1 103 Early Hints", "Link: </a>")
        visit.say("HTTP/1.1 100 Continue")  # nobody waits for one
        visit.say("HTTP/1.1 200 OK", "Content-Length: 2", body=b"ok")
        await visit.rest()

    async with RawBackend(script) as backend:
        async with in_front_of(Backend(f"http://127.0.0.1:{backend.port}", http="h1")) as gate:
            client = await RawClient.connect(gate.port)
            client.headers(1, head(), end_stream=True)
            hint = await client.expect(f.HEADERS, 1)
            assert (hint.get(":status"), hint.get("link")) == ("103", "</a>")
            assert (await whole(client))[0::2] == ("200", b"ok")
            client.close()


async def hints_over_http_1_1(visit, count):
    await visit.head()
    for _ in range(count):
        visit.say("HTTP/1.1 103 Early Hints")
    visit.say("HTTP/1.1 200 OK", "Content-Length: 0")
    await visit.rest()


async def hints_over_http_2(peer, count):
    stream = await peer.expect(f.HEADERS)
    for _ in range(count):
        peer.headers(stream.stream_id, [(":status", "103")])
    peer.headers(stream.stream_id, [(":status", "200")], end_stream=True)
    await peer.until_eof()


@pytest.mark.parametrize(("count", "last"), [(20, "200"), (21, "502")])
@pytest.mark.parametrize("http", ["h1", "h2"])
async def test_interim_answers_are_bounded(http, count, last):
    kind, hints = (
        (RawBackend, hints_over_http_1_1) if http == "h1" else (RawServer, hints_over_http_2)
    )
    async with kind(lambda end: hints(end, count)) as backend:
        async with in_front_of(Backend(f"http://127.0.0.1:{backend.port}", http=http)) as gate:
            client = await RawClient.connect(gate.port)
            client.headers(1, head(), end_stream=True)
            said = [(await client.expect(f.HEADERS, 1)).get(":status") for _ in range(21)]
            assert said == ["103"] * 20 + [last]
            client.close()


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        (["HTTP/1.1 200 OK", "Content-Length: 0", "Content-Length: 0"], "0"),
        (["HTTP/1.1 200 OK", "Content-Length: 0, 0"], "0"),
        (["HTTP/1.1 204 No", "Content-Length: 5"], None),
        (["HTTP/1.1 204 No"], None),
    ],
)
async def test_the_length_of_an_answer_is_said_once_and_not_of_a_204(lines, length):
    """RFC 9110 section 8.6; and clients of either version see the same."""

    async def script(visit):
        while True:
            await visit.head()
            visit.say(*lines)

    async with RawBackend(script) as backend:
        async with in_front_of(Backend(f"http://127.0.0.1:{backend.port}", http="h1")) as gate:
            client = await RawClient.connect(gate.port)
            client.headers(1, head(), end_stream=True)
            status, fields, *_ = await whole(client)
            assert (status, fields.get("content-length")) == (lines[0][9:12], length)
            client.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
            writer.write(request())
            (answer,) = read_answers(await reader.readuntil(b"\r\n\r\n"))
            assert (answer.status, answer.fields.get("content-length")) == (int(status), length)
            writer.close()


async def test_who_expects_a_100_gets_it_from_the_backend():
    async def script(visit):
        _, fields = await visit.head()
        assert fields["expect"] == "100-continue"
        visit.say("HTTP/1.1 100 Continue")
        assert await visit.read(4) == b"body"
        visit.say("HTTP/1.1 200 OK", "Content-Length: 0")
        await visit.rest()

    async with RawBackend(script) as backend:
        async with in_front_of(Backend(f"http://127.0.0.1:{backend.port}", http="h1")) as gate:
            client = await RawClient.connect(gate.port)
            client.headers(
                1, head("POST", "/", ("expect", "100-continue"), ("content-length", "4"))
            )
            assert (await client.expect(f.HEADERS, 1)).get(":status") == "100"
            client.send(f.data(1, b"body", end_stream=True))
            assert (await whole(client))[0] == "200"
            client.close()


@pytest.mark.row("9112-6.3-2")
@pytest.mark.parametrize(
    "octets",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0x4\r\n",
    ],
    ids=["length", "chunked", "no size"],
)
async def test_a_body_that_is_cut_is_a_reset(octets):
    async def script(visit):
        await visit.head()
        visit.writer.write(octets)

    async with RawBackend(script) as backend:
        async with in_front_of(Backend(f"http://127.0.0.1:{backend.port}", http="h1")) as gate:
            client = await RawClient.connect(gate.port)
            client.headers(1, head(), end_stream=True)
            assert (await client.expect(f.HEADERS, 1)).get(":status") == "200"
            frame = await client.expect(f.RST_STREAM, 1, skip=(f.DATA, f.WINDOW_UPDATE, f.SETTINGS))
            assert frame.error_code == 2  # INTERNAL_ERROR
            client.close()


@pytest.mark.row("9112-6.3-2")
@pytest.mark.parametrize(
    ("method", "octets", "body"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 204 No\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwhole", b"whol"),
        ("GET", b"HTTP/1.1 200 OK\r\n\r\nto the end", b"to the end"),
        ("GET", b"HTTP/1.0 200 OK\r\n\r\nto the end", b"to the end"),
    ],
    ids=range(6),
)
async def test_where_a_body_ends(method, octets, body):
    async def script(visit):
        await visit.head()
        visit.writer.write(octets)
        if b"to the end" not in octets:
            await visit.rest()

    async with RawBackend(script) as backend:
        async with in_front_of(Backend(f"http://127.0.0.1:{backend.port}", http="h1")) as gate:
            client = await RawClient.connect(gate.port)
            client.headers(1, head(method), end_stream=True)
            assert (await whole(client))[2] == body
            client.close()


@pytest.mark.row("9112-6.3-2")
@pytest.mark.parametrize(
    ("fields", "rest", "trailers"),
    [
        (b"Content-Length: 5\r\n", b"whole", []),
        (b"Transfer-Encoding: chunked\r\n", b"2\r\nwh\r\n3;x\r\nole\r\n0\r\n\r\n", []),
        (b"Transfer-Encoding: chunked\r\n", b"5\r\nwhole\r\n0\r\nA: b\r\n\r\n", [(b"a", b"b")]),
        (b"", b"whole", []),
    ],
    ids=["length", "chunked", "trailers", "to the end"],
)
def test_an_answer_comes_in_any_pieces(fields, rest, trailers):
    """Above all: its head alone."""
    octets = b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\n" + fields + b"\r\n" + rest
    cuts = [[octets[:at], octets[at:]] for at in range(1, len(octets))]
    for pieces in [*cuts, [octets], [octets[at : at + 1] for at in range(len(octets))]]:
        client = H1Client(Limits(), lambda: None, lambda tunnel: None)
        client.request(head())
        client.data_to_send()
        events = [event for piece in pieces for event in client.receive_data(piece)]
        if not fields:
            events += client.receive_eof()
        kinds = [type(event) for event in events if type(event) is not Data]
        expected = [Informed, Responded, *([Trailers] if trailers else []), Ended]
        assert kinds[: len(expected)] == expected, pieces
        assert set(kinds[len(expected) :]) <= {Terminated}
        assert b"".join(event.data for event in events if type(event) is Data) == b"whole"
        assert [each for e in events if type(e) is Trailers for each in e.headers] == trailers


@pytest.mark.row("GW-tun-6", "SEC-7-5")
async def test_fields_of_one_hop_are_removed():
    heads = []

    async def script(visit):
        while True:
            heads.append(await visit.head())
            visit.say(
                "HTTP/1.1 200 OK",
                "Content-Length: 0",
                "Connection: keep-alive, X-Hop",
                "Keep-Alive: 5",
                "Proxy-Connection: x",
                "Upgrade: h2c",
                "X-Hop: 1",
                "X-Stays: 1",
            )

    async with RawBackend(script) as backend:
        async with in_front_of(Backend(f"http://127.0.0.1:{backend.port}", http="h1")) as gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
            writer.write(
                request(
                    [
                        "Connection: X-Secret, Host, Content-Length, X-Forwarded-For, Via, close",
                        "X-Secret: 1",
                        "Keep-Alive: 5",
                        "Proxy-Connection: x",
                        "TE: gzip, trailers",
                        "Upgrade: h2c",
                        "HTTP2-Settings: x",
                        "Proxy-Authorization: Basic x",
                        "X-Forwarded-For: 10.0.0.1",
                        "Content-Length: 2",
                    ],
                    line="POST / HTTP/1.1",
                    body=b"ab",
                )
            )
            (answer,) = read_answers(await reader.read())
            writer.close()
    assert answer.fields["x-stays"] == "1"
    assert not {"x-hop", "keep-alive", "proxy-connection", "upgrade"} & answer.fields.keys()
    ((_, fields),) = heads
    gone = {"x-secret", "keep-alive", "proxy-connection", "te", "upgrade", "http2-settings"}
    assert not (gone | {"connection"}) & fields.keys()
    assert fields["host"] == "example.org" and fields["content-length"] == "2"
    assert fields["proxy-authorization"] == "Basic x"
    assert fields["x-forwarded-for"] == "127.0.0.1" and "via" in fields


async def sent_on(send, **options):
    """The HEADERS that a backend over HTTP/2 gets for a request that `send(client)` sends."""
    heads = []

    async def script(peer):
        got = await peer.expect(f.HEADERS)
        heads.append(got)
        peer.headers(got.stream_id, [(":status", "200")], True)
        await peer.until_eof()

    async with RawServer(script) as backend:
        there = Backend(f"http://127.0.0.1:{backend.port}", http="h2")
        async with in_front_of(there, **options) as gate:
            client = await RawClient.connect(gate.port)
            send(client)
            assert (await whole(client))[0] == "200"
            client.close()
    (got,) = heads
    return got


@pytest.mark.row("GW-tun-6")
async def test_te_trailers_goes_on_over_http2():
    fields = head("GET", "/", ("te", "trailers"))
    got = await sent_on(lambda client: client.headers(1, fields, end_stream=True))
    assert got.get("te") == "trailers"


@pytest.mark.row("GW-h2h2-2")
async def test_never_indexed_stays_never_indexed():
    """The block of the request to the backend holds the literal of RFC 7541 section 6.2.3."""

    def send(client):
        literal = b"\x10\x08x-secret\x05value"
        client.send(f.headers(1, client.encoder.encode(head()) + literal, True))

    got = await sent_on(send)
    fields = hpack.Decoder().decode(got.content)
    assert [value for name, value in fields if name == "x-secret"] == ["value"]
    kept = {field[0]: isinstance(field, hpack.NeverIndexedHeaderTuple) for field in fields}
    assert kept["x-secret"] and not kept["via"]


@pytest.mark.row("GW-tun-7")
@pytest.mark.parametrize(
    ("forwarding", "sent", "got"),
    [
        (
            Forwarding(),
            [("x-forwarded-for", "10.0.0.1"), ("forwarded", "for=1.2.3.4"), ("x-real-ip", "9")],
            {"x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http"},
        ),
        (
            Forwarding(trusted=["127.0.0.0/8"]),
            [("x-forwarded-for", "10.0.0.1"), ("x-forwarded-proto", "https")],
            {"x-forwarded-for": "10.0.0.1, 127.0.0.1", "x-forwarded-proto": "https"},
        ),
        (
            Forwarding("forwarded"),
            [("x-forwarded-for", "10.0.0.1")],
            {"forwarded": 'for=127.0.0.1;proto=http;host="example.org"'},
        ),
        (Forwarding("none"), [("x-forwarded-for", "10.0.0.1")], {}),
    ],
    ids=["drops", "trusts", "forwarded", "none"],
)
async def test_what_backends_are_told_of_clients(forwarding, sent, got):
    heads = []

    async def script(visit):
        heads.append(await visit.head())
        told = dict.fromkeys(name.lower() for name, _ in visit.fields)
        for name in told:
            values = [value for key, value in visit.fields if key.lower() == name]
            told[name] = ", ".join(values)
        heads.append(told)
        visit.say("HTTP/1.1 200 OK", "Content-Length: 0")
        await visit.rest()

    async with RawBackend(script) as backend:
        there = Backend(f"http://127.0.0.1:{backend.port}", http="h1")
        async with in_front_of(there, forwarding=forwarding) as gate:
            client = await RawClient.connect(gate.port)
            client.headers(1, head("GET", "/", *sent), end_stream=True)
            assert (await whole(client))[0] == "200"
            client.close()
    told = heads[1]
    names = {"x-forwarded-for", "x-forwarded-proto", "forwarded", "x-real-ip"}
    assert {name: value for name, value in told.items() if name in names} == got
    assert told["via"] == f"2 {forwarding.name.decode()}"


@pytest.mark.row("GW-tun-8")
async def test_loops_are_noticed():
    """A gateway that leads to itself answers 508, as does one that the request has passed."""
    port = free_port()
    backend = Backend(f"http://127.0.0.1:{port}", http="h2")
    async with in_front_of(backend, port=port) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, head(), end_stream=True)
        assert (await whole(client))[0] == "508"
        far = ("via", ", ".join(["1.1 a"] * 20))
        client.headers(3, head("GET", "/", far), end_stream=True)
        assert (await whole(client, 3))[0] == "508"
        client.close()


@pytest.mark.row("GW-tun-5")
async def test_host_is_what_authority_says():
    heads = []

    async def script(visit):
        heads.append(await visit.head())
        visit.say("HTTP/1.1 200 OK", "Content-Length: 0")
        await visit.rest()

    async with RawBackend(script) as backend:
        async with in_front_of(Backend(f"http://127.0.0.1:{backend.port}", http="h1")) as gate:
            client = await RawClient.connect(gate.port)
            client.headers(1, head("GET", "/", ("host", "other.example")), end_stream=True)
            assert (await client.expect(f.RST_STREAM, 1)).error_code == 1  # PROTOCOL_ERROR
            client.headers(3, head("GET", "/", ("host", "example.org")), end_stream=True)
            assert (await whole(client, 3))[0] == "200"
            client.close()
    assert [value for name, value in heads[0][1].items() if name == "host"] == ["example.org"]
    assert len(heads) == 1


async def test_a_connection_that_went_stale_costs_no_request():
    """The backend closes while the gateway uses its connection again: another is made."""
    served = []

    async def script(visit):
        await visit.head()
        served.append(visit)
        visit.say("HTTP/1.1 200 OK", "Content-Length: 0")
        if len(served) == 1:
            await visit.head()
            visit.close()
        else:
            await visit.rest()

    async with RawBackend(script) as backend:
        async with in_front_of(Backend(f"http://127.0.0.1:{backend.port}", http="h1")) as gate:
            client = await RawClient.connect(gate.port)
            for stream_id in (1, 3):
                client.headers(stream_id, head(), end_stream=True)
                assert (await whole(client, stream_id))[0] == "200"
            client.close()
    assert len(served) == 2


async def test_as_many_stale_connections_as_there_are_cost_no_request():
    """What went stale with one of them is not asked of the others: a new one is made."""
    visits = []
    three = asyncio.Event()

    async def script(visit):
        await visit.head()
        visits.append(visit)
        if len(visits) == 3:
            three.set()
        await three.wait()
        visit.say("HTTP/1.1 200 OK", "Content-Length: 0")
        if len(visits) == 3:
            await visit.head()
            visit.close()
        await visit.rest()

    async with RawBackend(script) as backend:
        there = Backend(f"http://127.0.0.1:{backend.port}", http="h1")
        async with in_front_of(there) as gate:
            client = await RawClient.connect(gate.port)
            for stream_id in (1, 3, 5):
                client.headers(stream_id, head(), end_stream=True)
            for _ in range(3):
                assert (await client.expect(f.HEADERS)).get(":status") == "200"
            client.headers(7, head(), end_stream=True)
            assert (await whole(client, 7))[0] == "200"
            client.close()
    assert len(visits) == 4


async def test_an_answer_before_the_request_is_whole():
    async def script(visit):
        await visit.head()
        visit.say("HTTP/1.1 413 Too Large", "Content-Length: 0")
        assert await visit.rest() in (b"", b"RESET")

    async with RawBackend(script) as backend:
        async with in_front_of(Backend(f"http://127.0.0.1:{backend.port}", http="h1")) as gate:
            client = await RawClient.connect(gate.port)
            client.headers(1, head("POST"))
            assert (await whole(client))[0] == "413"
            client.send(f.data(1, b"more", end_stream=True))
            client.headers(3, head("POST", "/2"))
            assert (await whole(client, 3))[0] == "413"
            client.close()


@pytest.mark.row("GW-tun-9")
async def test_what_the_gateway_answers_itself():
    asked = asyncio.Event()

    async def script(visit):
        await visit.head()
        asked.set()
        await visit.rest()

    closed = Backend(f"http://127.0.0.1:{free_port()}", http="h1")
    async with in_front_of(closed) as gate:
        client = await RawClient.connect(gate.port)
        client.headers(1, head(), end_stream=True)
        assert (await whole(client))[0] == "502"
        client.headers(3, [(":method", "CONNECT"), (":authority", "a:443")])
        assert (await client.expect(f.HEADERS, 3)).get(":status") == "501"
        client.close()
    async with RawBackend(script) as backend:
        there = Backend(f"http://127.0.0.1:{backend.port}", http="h1")
        async with in_front_of(there, answer_timeout=0.1, tokens=Table()) as gate:
            client = await RawClient.connect(gate.port)
            client.headers(1, head(), end_stream=True)
            assert (await whole(client))[0] == "504"
            client.close()
        assert asked.is_set()


@pytest.mark.row("GW-tun-9")
async def test_the_time_for_an_answer_begins_when_the_request_is_whole():
    async def script(visit):
        await visit.head()
        await visit.read(6)
        visit.say("HTTP/1.1 200 OK", "Content-Length: 0")
        await visit.head()
        await visit.read(6)
        await visit.rest()  # no answer

    async with RawBackend(script) as backend:
        there = Backend(f"http://127.0.0.1:{backend.port}", http="h1")
        async with in_front_of(there, answer_timeout=0.2) as gate:
            client = await RawClient.connect(gate.port)
            client.headers(1, head("POST", "/", ("content-length", "6")))
            for _ in range(3):
                await asyncio.sleep(0.15)
                client.send(f.data(1, b"ab"))
            client.send(f.data(1, b"", end_stream=True))
            assert (await whole(client))[0] == "200"
            client.headers(3, head("POST", "/", ("content-length", "6")))
            client.send(f.data(3, b"abcdef", end_stream=True))
            assert (await whole(client, 3))[0] == "504"
            client.close()


async def test_a_client_that_leaves_costs_the_backend_nothing_more():
    gone = asyncio.Event()

    async def script(visit):
        await visit.head()
        assert await visit.rest() in (b"", b"RESET")
        gone.set()

    async with RawBackend(script) as backend:
        async with in_front_of(Backend(f"http://127.0.0.1:{backend.port}", http="h1")) as gate:
            client = await RawClient.connect(gate.port)
            client.headers(1, head(), end_stream=True)
            while not backend.visits or not backend.visits[0].octets:
                await asyncio.sleep(0.005)
            client.send(f.rst_stream(1, 8))
            await gone.wait()
            client.close()
