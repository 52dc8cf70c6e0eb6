"""What a client says of itself in its request's head, and what of it a backend is told."""

import asyncio

import pytest

from h2ws_fast.gateway import Backend, Forwarding, Route, Routes, Table, Upstream
from tests.gateway.conftest import in_front_of
from tests.gateway.test_requests import sent_on
from tests.support import frames as f
from tests.support.backend import RawBackend
from tests.support.h1 import read_answers, request
from tests.support.raw import RawClient

HEAD = [(":method", "GET"), (":scheme", "http"), (":authority", "example.org"), (":path", "/")]
CONNECT = [(":method", "CONNECT"), (":protocol", "websocket"), *HEAD[1:]]


def changed(fields=HEAD, *extra, **pseudo):
    return [*[(name, pseudo.get(name[1:], value)) for name, value in fields], *extra]


async def answer_all(visit):
    while True:
        await visit.head()
        visit.say("HTTP/1.1 200 OK", "Content-Length: 0")


async def answered(port, fields, **options):
    """The status that a client over HTTP/2 gets."""
    client = await RawClient.connect(port, **options)
    client.headers(1, fields, end_stream=fields[0][1] != "CONNECT")
    got = await client.expect(f.HEADERS, 1)
    client.close()
    return got.get(":status")


async def told(fields, *, tls=None, **options):
    """The fields that a backend over HTTP/1.1 gets for a request over HTTP/2, as (name, value)."""
    tls, connecting = (None, {}) if tls is None else (tls[0], {"ssl": tls[1]})
    async with RawBackend(answer_all) as backend:
        there = Backend(f"http://127.0.0.1:{backend.port}", http="h1")
        async with in_front_of(there, tls=tls, **options) as gate:
            assert await answered(gate.port, fields, **connecting) == "200"
        (visit,) = backend.visits
        return [(name.lower(), value) for name, value in visit.fields]


@pytest.mark.row("SEC-7-2", "GW-tun-7")
@pytest.mark.parametrize(
    "fields",
    [
        changed(scheme="foo"),
        changed(scheme="foo", authority='a",for=6.6.6.6;x="b'),
        changed(scheme="foo", authority="u@evil/adm?x"),
        changed(scheme="foo", path="?x"),
        changed(scheme="wss"),
        changed(CONNECT, ("sec-websocket-version", "13"), scheme="foo", path="x"),
    ],
    ids=range(6),
)
async def test_a_scheme_of_which_nothing_is_known_is_refused(fields):
    """Authority and path are checked for http and https alone: RFC 9113 section 8.3.1."""
    async with RawBackend(answer_all) as backend:
        there = Backend(f"http://127.0.0.1:{backend.port}", http="h1")
        async with in_front_of(there, forwarding=Forwarding("both")) as gate:
            assert await answered(gate.port, fields) == "400"
        assert backend.octets == b""


@pytest.mark.row("GW-tun-7")
@pytest.mark.parametrize("said", ["http", "https"])
@pytest.mark.parametrize("secure", [False, True], ids=["cleartext", "tls"])
async def test_whether_it_came_over_tls_is_what_the_connection_is(
    server_tls, client_tls, said, secure
):
    tls = (server_tls, client_tls) if secure else None
    fields = await told(changed(scheme=said), tls=tls, forwarding=Forwarding("both"))
    scheme = "https" if secure else "http"
    assert [value for name, value in fields if name == "x-forwarded-proto"] == [scheme]
    forwarded = f'for=127.0.0.1;proto={scheme};host="example.org"'
    assert [value for name, value in fields if name == "forwarded"] == [forwarded]


@pytest.mark.row("GW-tun-7")
@pytest.mark.parametrize(("trusted", "scheme"), [([], "http"), (["127.0.0.1"], "https")])
async def test_a_backend_over_http2_is_told_the_same_scheme(trusted, scheme):
    """A trusted proxy that ends TLS says by `:scheme` what its client came by."""
    got = await sent_on(
        lambda client: client.headers(1, changed(scheme="https"), end_stream=True),
        forwarding=Forwarding(trusted=trusted),
    )
    assert (got.get(":scheme"), got.get("x-forwarded-proto")) == (scheme, scheme)


@pytest.mark.row("GW-tun-7")
async def test_what_a_trusted_proxy_says_of_tls_stays():
    trusting = Forwarding(trusted=["127.0.0.1"])
    fields = await told(changed(HEAD, ("x-forwarded-proto", "https")), forwarding=trusting)
    assert [value for name, value in fields if name == "x-forwarded-proto"] == ["https"]


@pytest.mark.row("GW-tun-7")
@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize(
    "name",
    ["x_forwarded_for", "x-forwarded_proto", "X-Forwarded-Prefix", "X-Client-IP", "true_client_ip"],
)
async def test_no_spelling_of_a_proxys_fields_passes(name, trusted):
    """WSGI and CGI make one variable of `-` and `_`; a proxy that is trusted writes `-`."""
    forwarding = Forwarding(trusted=["127.0.0.1"] if trusted else [])
    fields = await told(
        changed(HEAD, (name.lower(), "6.6.6.6"), ("x_other", "1")), forwarding=forwarding
    )
    passed = [value for key, value in fields if key == name.lower()]
    assert passed == (["6.6.6.6"] if trusted and "_" not in name else [])
    assert ("x_other", "1") in fields


async def test_connection_takes_nothing_of_a_trusted_proxy_away():
    async with RawBackend(answer_all) as backend:
        there = Backend(f"http://127.0.0.1:{backend.port}", http="h1")
        async with in_front_of(there, forwarding=Forwarding(trusted=["127.0.0.1"])) as gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
            lines = ["X-Forwarded-Proto: https", "X-Hop: 1"]
            writer.write(request(["Connection: X-Forwarded-Proto, X-Hop, close", *lines]))
            assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
            writer.close()
    names = [name.lower() for name, _ in backend.visits[0].fields]
    assert "x-forwarded-proto" in names and "x-hop" not in names


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
@pytest.mark.parametrize(
    ("said", "left"), [("1", "0"), ("07", "6"), ("1000", "999"), ("9" * 6000, "999")]
)
async def test_max_forwards_is_counted_down(method, said, left):
    """RFC 9110 section 7.6.2."""
    fields = await told(changed(HEAD, ("max-forwards", said), method=method))
    assert [value for name, value in fields if name == "max-forwards"] == [left]


async def test_max_forwards_of_other_methods_passes():
    fields = await told(changed(HEAD, ("max-forwards", "0")))
    assert ("max-forwards", "0") in fields


@pytest.mark.parametrize(
    ("method", "values", "status"),
    [
        ("OPTIONS", ["0"], "200"),
        ("OPTIONS", ["000"], "200"),
        ("TRACE", ["0"], "501"),
        ("OPTIONS", ["-1"], "400"),
        ("OPTIONS", ["x"], "400"),
        ("OPTIONS", ["1", "1"], "400"),
    ],
    ids=range(6),
)
async def test_what_goes_no_further_is_answered_here(method, values, status):
    extra = [("max-forwards", value) for value in values]
    async with RawBackend(answer_all) as backend:
        there = Backend(f"http://127.0.0.1:{backend.port}", http="h1")
        async with in_front_of(there) as gate:
            assert await answered(gate.port, changed(HEAD, *extra, method=method)) == status
        assert backend.octets == b""


async def test_options_of_a_whole_server_goes_where_its_root_does():
    async with RawBackend(answer_all) as backend:
        there = Backend(f"http://127.0.0.1:{backend.port}", http="h1")
        async with in_front_of(there) as gate:
            assert await answered(gate.port, changed(method="OPTIONS", path="*")) == "200"
        assert backend.octets.startswith(b"OPTIONS * HTTP/1.1\r\n")


def test_a_route_below_the_root_takes_no_whole_server():
    upstream = Upstream([Backend("http://127.0.0.1:1")], table=Table())
    assert Routes([Route(upstream, "/chat")]).find("a", "*") is None
    assert Routes([Route(upstream, "/", "a")]).find("a", "*") is upstream


@pytest.mark.parametrize(
    ("said", "passed"), [("websocket, foo", "websocket"), ("WebSocket", "WebSocket"), ("foo", None)]
)
async def test_a_426_says_to_http1_what_it_requires(said, passed):
    """RFC 9110 section 15.5.22: "MUST send an Upgrade header field"."""

    async def script(visit):
        lines = (f"Upgrade: {said}", "Connection: Upgrade", "Content-Length: 0")
        while True:
            await visit.head()
            visit.say("HTTP/1.1 426 Upgrade Required", *lines)

    async with RawBackend(script) as backend:
        there = Backend(f"http://127.0.0.1:{backend.port}", http="h1")
        async with in_front_of(there) as gate:
            assert await answered(gate.port, HEAD) == "426"
            reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
            writer.write(request(["X: y"]))
            (answer,) = read_answers(await reader.readuntil(b"\r\n\r\n"))
            writer.close()
    assert answer.status == 426 and answer.fields.get("upgrade") == passed
    assert answer.fields.get("connection") == (None if passed is None else "upgrade")


@pytest.mark.row("SEC-7-2")
@pytest.mark.parametrize("octet", [1, 8, 0x1B, 0x7F])
async def test_control_octets_in_fields_pass_in_no_direction(octet):
    async def script(visit):
        await visit.head()
        visit.say("HTTP/1.1 200 OK", f"X: a{octet:c}b", "Content-Length: 0")
        await visit.rest()

    async with RawBackend(script) as backend:
        there = Backend(f"http://127.0.0.1:{backend.port}", http="h1")
        async with in_front_of(there) as gate:
            assert await answered(gate.port, HEAD) == "502"
            for line, status in [("X: \ty\tz", b"502"), (f"X: a{octet:c}b", b"400")]:
                reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
                writer.write(request([line]))
                assert (await reader.readuntil(b"\r\n"))[9:12] == status
                writer.close()
        assert len(backend.visits) == 2


@pytest.mark.row("SEC-7-2")
@pytest.mark.parametrize("octet", [1, 0x1B, 0x7F])
async def test_control_octets_in_trailers_pass_in_no_direction(octet):
    async def script(visit):
        _, fields = await visit.head()
        if "transfer-encoding" in fields:
            assert "x: a" not in (await visit.rest()).decode("latin-1")
            return
        visit.say("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "")
        visit.writer.write(b"1\r\na\r\n0\r\nX: a%cb\r\n\r\n" % octet)
        await visit.rest()

    async with RawBackend(script) as backend:
        there = Backend(f"http://127.0.0.1:{backend.port}", http="h1")
        async with in_front_of(there) as gate:
            client = await RawClient.connect(gate.port)
            client.headers(1, HEAD, True)  # the backend's answer
            await client.expect(f.HEADERS, 1)
            frame = await client.frame()  # DATA, where that did not come with the trailers
            while frame.kind != f.RST_STREAM:
                assert frame.kind == f.DATA and not frame.end_stream, frame
                frame = await client.frame()
            assert frame.error_code == f.INTERNAL_ERROR
            client.headers(3, [(":method", "POST"), *HEAD[1:]])  # a client over HTTP/2
            client.send(f.data(3, b"a"))
            client.headers(3, [("x", f"a{octet:c}b")], True)
            frame = await client.frame()
            while frame.kind != f.RST_STREAM:
                assert frame.kind != f.HEADERS, frame
                frame = await client.frame()
            client.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
            writer.write(request(["Transfer-Encoding: chunked"], "POST / HTTP/1.1"))
            writer.write(b"1\r\na\r\n0\r\nX: a%cb\r\n\r\n" % octet)
            assert (await reader.readuntil(b"\r\n"))[9:12] == b"400"
            writer.close()
