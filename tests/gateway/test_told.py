"""What a client says of itself in its request's head, and what of it a backend is told."""

import pytest

from h2ws_fast.gateway import Backend, Forwarding
from tests.gateway.conftest import in_front_of
from tests.gateway.test_requests import sent_on
from tests.support import frames as f
from tests.support.backend import RawBackend
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
