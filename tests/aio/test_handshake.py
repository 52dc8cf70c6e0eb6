"""Opening: who is let in, subprotocols, origins, hooks, limits, servers that cannot."""

import asyncio
import os
import re

import pytest

from h2ws_fast import (
    ConnectionTerminated,
    ExtendedConnectUnsupported,
    InvalidStatus,
    InvalidURI,
    Pool,
    Response,
    Session,
    State,
    StreamReset,
    connect,
    serve,
)
from h2ws_fast.aio import uri
from h2ws_fast.aio.server.origins import is_same_origin
from h2ws_fast.engine import Limits, Settings
from tests.support import frames as f
from tests.support.raw import RawClient, RawServer

ENABLED = (f.ENABLE_CONNECT_PROTOCOL, 1)


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def refused(place, **options):
    """The response with which a connection attempt is refused."""
    with pytest.raises(InvalidStatus) as caught:
        await connect(place.ws(), **options)
    return caught.value.response


# -- what RFC 8441 does without -----------------------------------------------------------------


async def test_a_key_over_http2_is_answered_unless_told_otherwise(clear):
    key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")

    async def accepted(**options):
        async with clear.serve(echo, **options):
            client = await RawClient.connect(clear.port)
            head = await client.websocket(1, "/", key)
            without = await client.websocket(3)
            client.close()
        assert head.get(":status") == "200"
        assert without.get("sec-websocket-accept") is None
        return head.get("sec-websocket-accept")

    assert await accepted() == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert await accepted(accept_key=False) is None
    # RFC 6455 section 4.2.2 leaves no choice over HTTP/1.1.
    async with (
        clear.serve(echo, accept_key=False),
        connect(clear.ws(), http="h1") as ws,
    ):
        await ws.send("x")
        assert await ws.recv() == "x"


# -- subprotocols ------------------------------------------------------------------------------


async def test_the_servers_first_choice_among_those_offered(clear):
    async with clear.serve(echo, subprotocols=["c", "b", "a"]):
        async with connect(clear.ws(), subprotocols=["a", "b"]) as ws:
            assert ws.subprotocol == "b"
        assert (await refused(clear, subprotocols=["x"])).status == 400
        assert (await refused(clear)).status == 400
    async with clear.serve(echo), connect(clear.ws(), subprotocols=["a"]) as ws:
        assert ws.subprotocol is None


async def test_select_subprotocol_decides(clear):
    def select(ws, offered):
        assert ws.request.path == "/"
        return offered[-1] if offered else None

    async with clear.serve(echo, select_subprotocol=select):
        async with connect(clear.ws(), subprotocols=["a", "b"]) as ws:
            assert ws.subprotocol == "b"
        async with connect(clear.ws()) as ws:
            assert ws.subprotocol is None
    async with clear.serve(echo, select_subprotocol=lambda ws, offered: "other"):
        assert (await refused(clear, subprotocols=["a"])).status == 400


# -- origins -----------------------------------------------------------------------------------


@pytest.mark.row("8441-8-1")
async def test_an_origin_must_name_the_server_unless_told_otherwise(clear):
    async with clear.serve(echo):
        for origin in ("http://example.com", "null", "https://127.0.0.1.example.com"):
            assert (await refused(clear, origin=origin)).status == 403
        async with connect(clear.ws(), origin=f"http://127.0.0.1:{clear.port}") as ws:
            assert ws.state is State.OPEN
        async with connect(clear.ws()) as ws:
            assert ws.state is State.OPEN


async def test_a_list_of_origins(clear):
    allowed = ["https://good.example", re.compile(r"https://[a-z]+\.example\.com")]
    async with clear.serve(echo, origins=allowed):
        for origin in ("https://good.example", "https://www.example.com"):
            async with connect(clear.ws(), origin=origin) as ws:
                assert ws.state is State.OPEN
        for origin in ("https://good.example.evil.com", "https://www.example.com.evil", None):
            assert (await refused(clear, origin=origin)).status == 403
    async with clear.serve(echo, origins=[None]), connect(clear.ws()) as ws:
        assert ws.state is State.OPEN
    async with clear.serve(echo, origins=None), connect(clear.ws(), origin="http://any") as ws:
        assert ws.state is State.OPEN


def test_same_origin():
    yes = [
        ("https://example.com", "https", "example.com"),
        ("https://example.com", "https", "example.com:443"),
        ("https://example.com:443", "https", "example.com"),
        ("https://EXAMPLE.com", "https", "example.COM"),
        ("https://example.com:8443", "http", "example.com:8443"),
        ("https://example.com", "http", "example.com"),
        ("http://[::1]:80", "http", "[::1]"),
    ]
    no = [
        ("null", "https", "example.com"),
        ("https://good.example.evil.com", "https", "good.example"),
        ("https://example.com:8443", "https", "example.com"),
        ("https://example.com@evil.com", "https", "example.com"),
        ("ftp://example.com", "https", "example.com"),
        ("https://example.com/path", "https", "example.com"),
        ("https://", "https", "example.com"),
        ("https://example.com:x", "https", "example.com"),
        ("example.com", "https", "example.com"),
        ("", "https", ""),
    ]
    for origin, scheme, authority in yes:
        assert is_same_origin(origin, scheme, authority), (origin, authority)
    for origin, scheme, authority in no:
        assert not is_same_origin(origin, scheme, authority), (origin, authority)


# -- hooks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["function", "coroutine"])
async def test_process_request_may_refuse(place, kind):
    seen = []

    def decide(ws, request):
        assert ws.state is State.CONNECTING
        seen.append((request.path, request.headers["x-token"]))
        if request.headers["x-token"] != "good":
            return Response(401, {"www-authenticate": "Basic"}, "sorry\n")
        return None

    async def decide_later(ws, request):
        await asyncio.sleep(0.01)
        return decide(ws, request)

    hook = decide if kind == "function" else decide_later
    async with (
        place.serve(echo, process_request=hook),
        Session(place.http, ssl=place.client_ssl) as session,
    ):
        with pytest.raises(InvalidStatus) as caught:
            await session.websocket("/a", additional_headers={"X-Token": "bad"})
        assert caught.value.response.status == 401
        assert caught.value.response.headers["WWW-Authenticate"] == "Basic"
        assert caught.value.response.body == b"sorry\n"
        ws = await session.websocket("/b", additional_headers=[("x-token", "good")])
        await ws.send("in")
        assert await ws.recv() == "in"
    assert seen == [("/a", "bad"), ("/b", "good")]


@pytest.mark.parametrize("kind", ["function", "coroutine"])
async def test_process_request_that_fails_is_500(clear, caplog, kind):
    def fail(ws, request):
        raise RuntimeError("the hook's own")

    async def fail_later(ws, request):
        raise RuntimeError("the hook's own")

    hook = fail if kind == "function" else fail_later
    async with clear.serve(echo, process_request=hook):
        assert (await refused(clear)).status == 500
    assert "the hook's own" in caplog.text


async def test_process_request_guards_tunnels_too(clear):
    def decide(tunnel, request):
        return Response(403) if request.path == "/no" else None

    async def loop_back(tunnel):
        async for data in tunnel:
            await tunnel.send(data)

    async with (
        clear.serve(tunnels={"t": loop_back}, process_request=decide),
        Session(clear.http) as session,
    ):
        with pytest.raises(InvalidStatus) as caught:
            await session.tunnel("t", "/no")
        assert caught.value.response.status == 403
        tunnel = await session.tunnel("t", "/yes")
        await tunnel.send(b"x")
        assert await tunnel.recv() == b"x"


async def test_process_response_may_add_and_refuse(clear):
    def decide(ws, request, response):
        if request.path == "/no":
            return Response(418)
        response.headers["X-Added"] = ws.request.path
        return None

    async with (
        clear.serve(echo, process_response=decide, server_header="tested"),
        Session(clear.http) as session,
    ):
        ws = await session.websocket("/yes")
        assert ws.response.headers["x-added"] == "/yes"
        assert ws.response.headers["server"] == "tested"
        with pytest.raises(InvalidStatus) as caught:
            await session.websocket("/no")
        assert caught.value.response.status == 418


async def test_a_client_that_leaves_while_it_is_looked_at(clear):
    cancelled = asyncio.Event()

    async def slow(ws, request):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with clear.serve(echo, process_request=slow), Session(clear.http) as session:
        with pytest.raises(TimeoutError):
            await session.websocket(open_timeout=0.05)
        await cancelled.wait()
        assert session.connected


async def test_a_hook_that_takes_too_long_is_408(clear):
    async def slow(ws, request):
        await asyncio.sleep(60)

    async with clear.serve(echo, process_request=slow, open_timeout=0.1):
        assert (await refused(clear)).status == 408


# -- servers that cannot -------------------------------------------------------------------------


@pytest.mark.row("8441-3-1")
async def test_a_server_without_the_setting(clear):
    seen = []

    async def script(peer):
        seen.extend(await peer.until_eof())

    for pairs in ((), ((f.ENABLE_CONNECT_PROTOCOL, 0),)):
        async with RawServer(script, *pairs) as server:
            with pytest.raises(ExtendedConnectUnsupported):
                await connect(f"ws://127.0.0.1:{server.port}", http="h2")
            await asyncio.sleep(0.02)
    assert not [frame for frame in seen if frame.kind == f.HEADERS]


@pytest.mark.parametrize("most", [0, 1, 100])
async def test_everybody_learns_that_the_setting_did_not_come(most):
    async def script(peer):
        await peer.until_eof()

    async with (
        RawServer(script, (f.MAX_CONCURRENT_STREAMS, most)) as server,
        Session(f"http://127.0.0.1:{server.port}") as session,
        asyncio.timeout(1),
    ):
        asked = [session.websocket() for _ in range(3)]
        got = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(error) for error in got} == {ExtendedConnectUnsupported}


async def test_streams_are_given_in_the_order_in_which_they_were_asked_for(clear):
    order = []

    async def note(ws):
        order.append(ws.request.path)

    async with (
        clear.serve(note, settings=Settings(max_concurrent_streams=2)),
        Session(clear.http) as session,
    ):
        await asyncio.gather(*(session.websocket(f"/{number}") for number in range(8)))
    assert order == [f"/{number}" for number in range(8)]


async def test_no_settings_no_request():
    async def script(peer):
        assert await peer.reader.readexactly(24) == f.MAGIC
        found = await peer.until_eof()
        assert not [x for x in found if x.kind == f.HEADERS]

    async with RawServer(script, greet=False) as server:
        with pytest.raises(TimeoutError):
            await connect(f"ws://127.0.0.1:{server.port}", open_timeout=0.1, http="h2")


async def test_the_setting_may_come_late():
    async def script(peer):
        assert await peer.reader.readexactly(24) == f.MAGIC
        await asyncio.sleep(0.05)
        assert not [x for x in peer.frames if x.kind == f.HEADERS]
        peer.send(f.settings(ENABLED))
        await peer.expect(f.HEADERS, 1)
        peer.headers(1, [(":status", "200")])
        await peer.expect(f.DATA, 1, skip=(f.SETTINGS, f.WINDOW_UPDATE))
        peer.close_frame(1, 1000, end_stream=True)
        await peer.until_eof()

    async with RawServer(script, greet=False) as server:
        async with connect(f"ws://127.0.0.1:{server.port}") as ws:
            assert ws.state is State.OPEN


async def test_a_server_that_speaks_something_else():
    async def script(peer):
        peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await peer.reader.read()

    async with RawServer(script, greet=False) as server:
        with pytest.raises(ConnectionTerminated):
            await connect(f"ws://127.0.0.1:{server.port}", http="h2")


async def test_a_server_that_resets_the_stream():
    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        peer.send(f.rst_stream(1, f.REFUSED_STREAM))
        await peer.expect(f.HEADERS, 3)
        peer.send(f.rst_stream(3, f.CANCEL))
        await peer.until_eof()

    async with (
        RawServer(script, ENABLED) as server,
        Session(f"http://127.0.0.1:{server.port}") as session,
    ):
        with pytest.raises(StreamReset) as caught:
            await session.websocket()
        assert caught.value.error_code == f.REFUSED_STREAM and caught.value.retryable
        with pytest.raises(StreamReset) as caught:
            await session.websocket()
        assert caught.value.error_code == f.CANCEL and not caught.value.retryable


async def never_ends(peer):
    """A refusal whose body does not end."""
    await peer.expect(f.HEADERS, 1)
    peer.headers(1, [(":status", "503")])
    peer.send(f.data(1, b"one moment"))
    await peer.expect(f.RST_STREAM, 1, skip=(f.WINDOW_UPDATE, f.SETTINGS, f.DATA))
    await peer.until_eof()


async def test_a_refusal_whose_body_never_ends():
    async with (
        RawServer(never_ends, ENABLED) as server,
        Session(f"http://127.0.0.1:{server.port}") as session,
    ):
        uri = f"http://127.0.0.1:{server.port}"
        async with Pool() as pool:
            for asked in (
                session.websocket(open_timeout=0.1),
                connect(uri, http="h2", open_timeout=0.1),
                pool.websocket(uri, open_timeout=0.1),
            ):
                with pytest.raises(InvalidStatus) as caught:
                    await asked
                assert caught.value.response.status == 503
                assert caught.value.response.body == b"one moment"


@pytest.mark.parametrize("kind", ["websocket", "tunnel"])
async def test_cancelling_is_not_lost_where_a_refusal_has_begun(kind):
    async with (
        RawServer(never_ends, ENABLED) as server,
        Session(f"http://127.0.0.1:{server.port}") as session,
    ):
        opening = session.websocket() if kind == "websocket" else session.tunnel("token")
        task = asyncio.create_task(opening)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_goaway_ends_what_was_not_taken():
    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        peer.headers(1, [(":status", "200")])
        await peer.expect(f.HEADERS, 3)
        peer.send(f.goaway(1))
        peer.close_frame(1, 1001, end_stream=True)
        await peer.until_eof()

    async with RawServer(script, ENABLED) as server:
        session = await Session(f"http://127.0.0.1:{server.port}")
        ws = await session.websocket()
        with pytest.raises(StreamReset) as caught:
            await session.websocket()
        assert caught.value.retryable
        assert not session.connected
        await ws.wait_closed()
        assert ws.close_code == 1001
        with pytest.raises(Exception, match=r"no new streams|terminated|closed"):
            await session.websocket()
        await session.close()


# -- limits --------------------------------------------------------------------------------------


async def test_opening_waits_for_a_free_stream(place):
    settings = Settings(max_concurrent_streams=2)
    async with (
        place.serve(echo, settings=settings) as server,
        Session(place.http, ssl=place.client_ssl) as session,
    ):
        first = await session.websocket()
        second = await session.websocket()
        others = [asyncio.create_task(session.websocket(f"/{i}")) for i in range(4)]
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in others)
        await first.close()
        third = await others[0]
        assert third.request.path == "/0"
        await asyncio.sleep(0.02)
        assert not others[1].done()
        # Who gives up leaves the place in the queue to the next.
        others[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await others[1]
        await second.close()
        fourth = await others[2]
        assert fourth.request.path == "/2"
        await third.close()
        await (await others[3]).close()
        assert len(server._wires) == 1
        async with asyncio.timeout(5):
            await asyncio.gather(*(_use(session) for _ in range(50)))


async def _use(session):
    ws = await session.websocket()
    await ws.send("x")
    assert await ws.recv() == "x"
    await ws.close()


async def test_waiting_for_a_stream_ends_with_the_connection(clear):
    async with clear.serve(echo, settings=Settings(max_concurrent_streams=1)):
        session = await Session(clear.http)
        await session.websocket()
        waiting = asyncio.create_task(session.websocket())
        await asyncio.sleep(0.02)
        await session.close()
        with pytest.raises(Exception, match=r"no new streams|shut down|closed"):
            await waiting


async def test_connections_above_the_limit_are_refused(place):
    async with place.serve(echo, max_connections=2) as server:
        options = {"ssl": place.client_ssl}
        one = await connect(place.ws(), **options)
        two = await connect(place.ws(), **options)
        with pytest.raises((ConnectionTerminated, OSError)):
            await connect(place.ws(), **options)
        assert len(server._wires) == 2
        await one.close()
        await one.wire.session.wait_closed()
        async with asyncio.timeout(5):
            while len(server._wires) == 2:
                await asyncio.sleep(0.01)
        async with connect(place.ws(), **options) as ws:
            await ws.send("x")
            assert await ws.recv() == "x"
        await two.send("still there")
        assert await two.recv() == "still there"
        await two.close()


async def test_connections_above_the_limit_of_one_address(clear):
    async with clear.serve(echo, max_connections_per_address=1):
        async with connect(clear.ws()):
            with pytest.raises((ConnectionTerminated, OSError)):
                await connect(clear.ws())
        await asyncio.sleep(0.05)
        async with connect(clear.ws()) as ws:
            assert ws.state is State.OPEN


@pytest.mark.parametrize("http", ["h2", "h1", ("h2", "h1")])
async def test_a_client_that_says_nothing_is_dropped(clear, http):
    limits = Limits(preface_timeout_s=0.1, handshake_timeout_s=0.1)
    async with clear.serve(echo, http=http, limits=limits) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", clear.port)
        octets = await reader.read()
        # HTTP/2 says SETTINGS and GOAWAY; where the client might speak either, it speaks first.
        assert (octets[3:4] == b"\x04") == (http == "h2") and bool(octets) == (http == "h2")
        writer.close()
        async with asyncio.timeout(5):
            while server._wires:
                await asyncio.sleep(0.01)


async def test_a_client_that_never_reads_is_bounded_in_memory(clear):
    import tracemalloc

    sent = 0
    stop = asyncio.Event()

    async def flood(ws):
        nonlocal sent
        while not stop.is_set():
            await ws.send(os.urandom(10000))
            sent += 10000

    async with clear.serve(flood, close_timeout=0.2) as server:
        peer = await RawClient.connect(clear.port)
        # It lets us send for ever as far as HTTP/2 goes, and never reads the socket.
        peer.send(f.settings((f.INITIAL_WINDOW_SIZE, 2**31 - 1)), f.window_update(0, 2**31 - 70000))
        peer.ask_for_websocket()
        peer.writer.transport.pause_reading()
        before = -1
        async with asyncio.timeout(20):
            while sent != before:
                before = sent
                await asyncio.sleep(0.2)
        tracemalloc.start()
        await asyncio.sleep(0.1)
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
        tracemalloc.stop()
        (wire,) = server._wires
        # The kernel's buffers took what they take; ours hold the limit and not more.
        assert wire.transport.get_write_buffer_size() < 65536 * 3
        assert wire.conn.stats()["octets_queued"] < 65536
        assert sent == before
        stop.set()
        peer.writer.transport.abort()


# -- arguments -----------------------------------------------------------------------------------


@pytest.mark.row("8441-5-1")
def test_uris():
    def parts(text):
        target = uri.parse(text)
        return target.scheme, target.host, target.port, target.authority, target.path

    assert parts("ws://example.com") == ("http", "example.com", 80, "example.com", "/")
    assert parts("wss://h:443/p?q") == ("https", "h", 443, "h", "/p?q")
    assert parts("https://h:8443") == ("https", "h", 8443, "h:8443", "/")
    assert parts("http://[::1]:81/a b") == ("http", "::1", 81, "[::1]:81", "/a%20b")
    assert parts("host:99") == ("https", "host", 99, "host:99", "/")
    assert parts("wss://ö.example/ü?ö") == (
        "https",
        "xn--nda.example",
        443,
        "xn--nda.example",
        "/%C3%BC?%C3%B6",
    )
    target = uri.parse("wss://me:secret@h/")
    assert target.authority == "h"
    assert target.headers == [("authorization", "Basic bWU6c2VjcmV0")]
    for text in ("ftp://h", "ws://", "ws://h/#f", "ws://h:port", "wss://h/#", "ws://h:99999/"):
        with pytest.raises(InvalidURI):
            uri.parse(text)
    with pytest.raises(TypeError):
        uri.parse(b"ws://h")


def test_arguments_that_make_no_sense():
    with pytest.raises(ValueError, match="not both"):
        serve(echo, on_message=print)
    with pytest.raises(ValueError, match="go with on_message"):
        serve(echo, on_open=print)
    with pytest.raises(TypeError, match="callable"):
        serve(5)
    with pytest.raises(TypeError, match="not one str"):
        serve(echo, subprotocols="chat")
    with pytest.raises(ValueError, match="write_low"):
        serve(echo, write_limit=(10, 20))
    with pytest.raises(ValueError, match="status"):
        Response(99)


async def test_the_connect_setting_is_advertised_only_with_a_handler(clear):
    async def answer(request):
        return Response(200)

    for options, expected in (
        ({"on_request": answer}, None),
        ({"handler": echo}, 1),
        ({"on_message": print}, 1),
        ({"tunnels": {"t": echo}}, 1),
    ):
        async with clear.serve(**options, http="h2"):
            peer = await RawClient.connect(clear.port, greet=False)
            frame = await peer.expect(f.SETTINGS, 0)
            assert dict(frame.settings).get(f.ENABLE_CONNECT_PROTOCOL) == expected
            peer.close()


async def test_a_refusal_that_is_too_long_is_stopped():
    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        peer.headers(1, [(":status", "403")])
        for _ in range(5):
            peer.send(f.data(1, b"x" * 13_200))
        skip = (f.WINDOW_UPDATE, f.SETTINGS, f.DATA)  # its own side has ended
        frame = await peer.expect(f.RST_STREAM, 1, skip=skip)
        assert frame.error_code == f.CANCEL
        await peer.until_eof()

    async with (
        RawServer(script, ENABLED) as server,
        Session(f"http://127.0.0.1:{server.port}") as session,
    ):
        with pytest.raises(InvalidStatus) as caught:
            await session.websocket()
        assert len(caught.value.response.body) == 65536
        assert session.stats()["open_streams"] == 0
