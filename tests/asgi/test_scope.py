"""What the application is told of a request."""

import asyncio
import contextlib
import ssl

import pytest

from tests.support.asgi import Client

VERSIONS = {"version": "3.0", "spec_version": "2.5"}


class Recorder:
    """An application that keeps its scopes, and answers."""

    def __init__(self):
        self.scopes = []
        self.shared = []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            scope["state"]["shared"] = self.shared
            while True:
                message = await receive()
                await send({"type": message["type"] + ".complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        self.scopes.append({**scope, "state": dict(scope["state"])})
        scope["state"]["own"] = 1
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b""})
        else:
            await receive()
            await send({"type": "websocket.accept"})

    @property
    def scope(self):
        return self.scopes[-1]


async def test_a_request(place):
    app = Recorder()
    async with place.serve(app):
        client = await place.client()
        local = client.writer.get_extra_info("sockname")
        await client.get("/a%20b/%C3%A4?q=%20&r", ("x-one", "1"), ("x-two", "2"), method="PUT")
        client.close()
    scope = app.scope
    if place.kind == "hypercorn":
        for key in ("asgi", "state", "extensions"):
            del scope[key]
        assert scope.pop("server") in (("127.0.0.1", place.port), None)
    else:
        assert scope.pop("asgi") == VERSIONS
        assert set(scope.pop("extensions")) == {
            "http.response.trailers",
            "http.response.early_hint",
            "http.response.pathsend",
        }
        assert scope.pop("state") == {"shared": app.shared}
        assert scope.pop("server") == ("127.0.0.1", place.port)
    assert scope == {
        "type": "http",
        "http_version": "2",
        "method": "PUT",
        "scheme": "http",
        "path": "/a b/ä",
        "raw_path": b"/a%20b/%C3%A4",
        "query_string": b"q=%20&r",
        "root_path": "",
        "headers": [(b"host", b"example.org"), (b"x-one", b"1"), (b"x-two", b"2")],
        "client": local[:2],
    }


async def test_a_websocket(place):
    app = Recorder()
    async with place.serve(app):
        client = await place.client()
        local = client.writer.get_extra_info("sockname")
        await client.websocket(1, "/a%20b?q", ("sec-websocket-protocol", "a, b"), ("x-one", "1"))
        client.close()
    scope = app.scope
    headers = list(scope.pop("headers"))
    assert headers[0] == (b"host", b"127.0.0.1")
    assert (b"x-one", b"1") in headers
    assert not [name for name, _ in headers if name.startswith(b":") or name == b"upgrade"]
    assert scope.pop("extensions") == {"websocket.http.response": {}}
    assert scope.pop("server", None) in (("127.0.0.1", place.port), None)
    if place.kind == "hypercorn":
        for key in ("asgi", "state"):
            del scope[key]
    else:
        assert scope.pop("asgi") == VERSIONS
        assert scope.pop("state") == {"shared": app.shared}
    assert scope == {
        "type": "websocket",
        "http_version": "2",
        "scheme": "ws",
        "path": "/a b",
        "raw_path": b"/a%20b",
        "query_string": b"q",
        "root_path": "",
        "subprotocols": ["a", "b"],
        "client": local[:2],
    }


async def test_the_state_is_copied_for_each(place):
    app = Recorder()
    async with place.serve(app):
        client = await place.client()
        await client.get()
        await client.get(stream_id=3)
        client.close()
    first, second = app.scopes
    # What the first added is not there.
    assert first["state"] == second["state"] == {"shared": app.shared}
    # Shallow: what the lifespan put there is one object.
    assert first["state"]["shared"] is second["state"]["shared"] is app.shared


@pytest.mark.differs("it appends a second host")
async def test_host_is_the_authority(place):
    app = Recorder()
    async with place.serve(app):
        client = await place.client()
        await client.get("/", ("x", "1"), ("host", "EXAMPLE.org"))
        assert app.scope["headers"] == [(b"host", b"example.org"), (b"x", b"1")]
        await client.get("/", ("x", "1"), ("host", "other.org"), stream_id=3, authority=None)
        assert app.scope["headers"] == [(b"host", b"other.org"), (b"x", b"1")]
        client.close()


async def test_cookies_are_one_field(place):
    app = Recorder()
    async with place.serve(app):
        client = await place.client()
        await client.get("/", ("cookie", "a=1"), ("cookie", "b=2"))
        client.close()
    assert app.scope["headers"][1:] == [(b"cookie", b"a=1; b=2")]


@pytest.mark.differs("it takes root_path away from path")
async def test_the_root_path(place):
    app = Recorder()
    async with place.serve(app, root_path="/here"):
        client = await place.client()
        await client.get("/a%20b")
        client.close()
    scope = app.scope
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == (
        "/here",
        "/here/a b",
        b"/here/a%20b",
    )


async def test_over_tls(secure, client_tls):
    app = Recorder()
    client_tls.set_alpn_protocols(["h2"])
    async with secure.serve(app):
        client = await Client.connect(secure.port, ssl=client_tls)
        alpn = client.writer.get_extra_info("ssl_object").selected_alpn_protocol()
        assert alpn == "h2"
        await client.get(scheme="https")
        assert app.scope["scheme"] == "https"
        await client.websocket(3)
        assert app.scope["scheme"] == "wss"
        client.close()
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            await client.writer.wait_closed()


async def test_alpn_chooses_http1(secure, client_tls):
    app = Recorder()
    client_tls.set_alpn_protocols(["http/1.1"])
    async with secure.serve(app):
        reader, writer = await asyncio.open_connection("127.0.0.1", secure.port, ssl=client_tls)
        writer.write(b"GET /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            await writer.wait_closed()
    assert (app.scope["http_version"], app.scope["scheme"]) == ("1.1", "https")


async def test_fields_of_http1_on_request(alone):
    app = Recorder()
    async with alone.serve(app, synthesize_h1_headers=True):
        client = await alone.client()
        await client.websocket()
        client.close()
    fields = dict(app.scope["headers"])
    assert (fields[b"upgrade"], fields[b"connection"]) == (b"websocket", b"Upgrade")
    assert fields[b"sec-websocket-version"] == b"13"
    assert len(fields[b"sec-websocket-key"]) == 24
