"""HTTP/1.1 beside HTTP/2 on one port: the same handler, the same WebSocket, the same requests."""

import asyncio
import ssl
import sys

import pytest

from h2ws_fast import (
    ConnectionClosedError,
    ConnectionClosedOK,
    Dialer,
    Response,
    connect,
    serve,
)
from h2ws_fast.aio import tls
from h2ws_fast.engine import Limits
from tests.support import frames as f
from tests.support.h1 import ACCEPT, read_answers, request, upgrade
from tests.support.raw import RawClient
from tests.support.ws_frames import close_frame, read_ws_frames, ws_frame

KEY = b"mask"


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def answer(asked):
    body = await asked.read()
    text = f"{asked.method} {asked.scheme} {asked.authority} {asked.path} {len(body)}"
    return Response(200, {"content-type": "text/plain"}, text)


class Peer:
    """A client of HTTP/1.1 on a real socket."""

    @classmethod
    async def to(cls, place, alpn=("http/1.1",)):
        peer = cls()
        context = None
        if place.secure:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            if alpn:
                context.set_alpn_protocols(list(alpn))
        peer.reader, peer.writer = await asyncio.open_connection(
            "127.0.0.1", place.port, ssl=context
        )
        return peer

    async def ask(self, octets, step=None):
        """Write a request, in pieces where asked; return its answer."""
        if step is None:
            self.writer.write(octets)
        else:
            for at in range(0, len(octets), step):
                self.writer.write(octets[at : at + step])
                await self.writer.drain()
                await asyncio.sleep(0)
        return await self.answer()

    async def answer(self):
        head = await self.reader.readuntil(b"\r\n\r\n")
        body = b""
        if b"content-length: " in head:
            body = await self.reader.readexactly(int(head.split(b"content-length: ")[1].split()[0]))
        (answer,) = read_answers(head + body)
        return answer

    async def websocket(self, octets=None):
        answer = await self.ask(octets or upgrade(host="127.0.0.1"))
        assert answer.status == 101, answer
        assert answer.fields["sec-websocket-accept"] == ACCEPT
        return answer

    def send(self, opcode, payload=b"", **options):
        self.writer.write(ws_frame(opcode, payload, key=KEY, **options))

    async def frames(self, count):
        octets = b""
        for _ in range(count):
            head = await self.reader.readexactly(2)
            if head[1] > 125:
                head += await self.reader.readexactly(2 if head[1] == 126 else 8)
            size = int.from_bytes(head[2:], "big") if len(head) > 2 else head[1]
            octets += head + await self.reader.readexactly(size)
        return read_ws_frames(octets)

    async def close(self):
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except (ConnectionError, ssl.SSLError):
            pass


@pytest.mark.row("9113-3.3-2")
@pytest.mark.parametrize("step", [None, 1, 3])
async def test_one_cleartext_port_tells_h2_from_h1(clear, step):
    async with clear.serve(echo, on_request=answer):
        # HTTP/2, its preface in pieces.
        peer = await RawClient.connect(clear.port, greet=False)
        octets = f.MAGIC + f.settings()
        for at in range(0, len(octets), step or len(octets)):
            peer.send(octets[at : at + (step or len(octets))])
            await peer.writer.drain()
            await asyncio.sleep(0)
        await peer.expect(f.SETTINGS, 0)
        assert (await peer.websocket()).get(":status") == "200"
        peer.close()
        # HTTP/1.1, whose first octets may be those of the preface.
        for method in ("GET", "POST", "PUT", "PRIVATE", "PRI-VATE", "P", "PR"):
            h1 = await Peer.to(clear)
            got = await h1.ask(request(line=f"{method} /x HTTP/1.1"), step)
            assert (got.status, got.body.split()[0].decode()) == (200, method)
            await h1.close()
        h1 = await Peer.to(clear)
        assert (await h1.ask(upgrade(host="127.0.0.1"), step)).status == 101
        h1.send(1, b"hello")
        assert [(each.opcode, each.payload) for each in await h1.frames(1)] == [(1, b"hello")]
        await h1.close()


@pytest.mark.row("9113-3.3-2")
async def test_a_websocket_right_behind_its_request_and_byte_by_byte(place):
    async with place.serve(echo):
        octets = (
            upgrade(host="127.0.0.1") + ws_frame(1, b"one", key=KEY) + ws_frame(2, b"two", key=KEY)
        )
        for step in (None, 1):
            peer = await Peer.to(place)
            assert (await peer.ask(octets, step)).status == 101
            got = [(each.opcode, each.payload) for each in await peer.frames(2)]
            assert got == [(1, b"one"), (2, b"two")]
            await peer.close()


@pytest.mark.parametrize("alpn", [("http/1.1",), (), ("h2c",)], ids=["h1", "none", "other"])
async def test_tls_without_h2_is_http_1_1(certificate, server_tls, alpn):
    from tests.aio.conftest import Place

    place = Place(server_tls, tls.client_context(cafile=certificate[0]))
    async with place.serve(echo, on_request=answer):
        peer = await Peer.to(place, alpn)
        chosen = peer.writer.get_extra_info("ssl_object").selected_alpn_protocol()
        assert chosen == ("http/1.1" if alpn == ("http/1.1",) else None)
        got = await peer.ask(request())
        assert got.body == b"GET https example.org / 0"
        # What is HTTP/1.1 stays so: the magic is no request.
        got = await peer.ask(f.MAGIC + f.settings())
        assert got.status in (400, 505)
        await peer.close()
        async with connect(place.ws(), ssl=place.client_ssl) as ws:
            await ws.send("h2")
            assert await ws.recv() == "h2"


async def test_either_can_be_switched_off(place):
    async with place.serve(echo, on_request=answer, http="h2"):
        peer = await Peer.to(place)
        peer.writer.write(request())
        try:
            octets = await peer.reader.read()
        except ConnectionError:
            octets = b""
        assert not octets.startswith(b"HTTP/1")
        await peer.close()
    async with place.serve(echo, on_request=answer, http="h1"):
        peer = await Peer.to(place, ("h2", "http/1.1"))
        assert (await peer.ask(request())).status == 200
        got = await peer.ask(f.MAGIC + f.settings())
        assert got.status in (400, 505)
        await peer.close()


@pytest.mark.parametrize("wrong", [(), "h3", ("h2", "h2"), ("h2", "http/1.1")])
def test_http_names_what_there_is(wrong):
    with pytest.raises(ValueError):
        serve(echo, http=wrong)


async def test_the_same_object_as_over_http_2(place):
    seen = []

    async def handler(ws):
        seen.append(
            (ws.request.path, ws.request.protocol, ws.subprotocol, ws.request.headers["user-agent"])
        )
        assert ws.remote_address[0] == "127.0.0.1" and ws.local_address[1] == place.port
        assert ws.request.remote_address == ws.remote_address
        await echo(ws)

    async with place.serve(handler, subprotocols=["b", "a"]) as server:
        peer = await Peer.to(place)
        got = await peer.websocket(
            upgrade(
                "GET /p?q=1 HTTP/1.1",
                host=f"127.0.0.1:{place.port}",
                sec_websocket_protocol="a, b",
                user_agent="x",
                origin=place.http,
            )
        )
        assert got.fields["sec-websocket-protocol"] == "b"
        (ws,) = server.connections
        assert ws.wire.http_version == "1.1"
        async with connect(
            place.ws("/p?q=1"),
            ssl=place.client_ssl,
            subprotocols=["a", "b"],
            user_agent_header="x",
        ) as other:
            assert other.subprotocol == "b"
            assert len(server.connections) == 2
        assert seen == [("/p?q=1", "websocket", "b", "x")] * 2
        pong = await ws.ping(b"data")
        assert [(each.opcode, each.payload) for each in await peer.frames(1)] == [(9, b"data")]
        peer.send(10, b"data")
        assert await pong >= 0
        for size in (0, 125, 126, 65535, 65536, 300000):
            peer.send(2, bytes(size))
            (frame,) = await peer.frames(1)
            assert frame.payload == bytes(size)
        peer.writer.write(close_frame(1000, b"done", key=KEY))
        (frame,) = await peer.frames(1)
        assert frame.opcode == 8 and frame.payload[:2] == b"\x03\xe8"
        # The server ends TCP first.
        assert await peer.reader.read() == b""
        await ws.wait_closed()
        assert (ws.close_code, ws.close_reason) == (1000, "done")
        await peer.close()


async def test_callbacks_and_early_messages(place):
    log = []
    async with place.serve(
        on_message=lambda ws, message: log.append(message) or ws.send(message),
        on_open=lambda ws: log.append("open"),
        on_close=lambda ws: log.append(ws.close_code),
    ):
        peer = await Peer.to(place)
        await peer.websocket(upgrade(host="127.0.0.1") + ws_frame(1, b"early", key=KEY))
        assert (await peer.frames(1))[0].payload == b"early"
        await peer.close()
        async with asyncio.timeout(5):
            while log[-1] != 1006:
                await asyncio.sleep(0.01)
        assert log == ["open", "early", 1006]


async def test_requests_follow_each_other_and_are_answered_in_order(place):
    begun = []

    async def slow(asked):
        begun.append(asked.path)
        await asyncio.sleep(0.02 if asked.path == "/1" else 0)
        return Response(200, {}, asked.path)

    async with place.serve(on_request=slow):
        peer = await Peer.to(place)
        peer.writer.write(b"".join(request(line=f"GET /{i} HTTP/1.1") for i in range(1, 6)))
        assert [(await peer.answer()).body for _ in range(5)] == [b"/1", b"/2", b"/3", b"/4", b"/5"]
        assert begun == ["/1", "/2", "/3", "/4", "/5"]
        got = await peer.ask(request(["Connection: close"]))
        assert got.fields["connection"] == "close"
        assert await peer.reader.read() == b""
        await peer.close()


async def test_pipelined_requests_are_held_back_by_tcp(clear):
    go = asyncio.Event()
    count = 0

    async def wait(asked):
        nonlocal count
        count += 1
        await go.wait()
        return Response(204)

    async with clear.serve(on_request=wait) as server:
        peer = await Peer.to(clear)
        peer.writer.write(request(["X: " + "y" * 1000]) * 2000)
        await asyncio.sleep(0.2)
        (wire,) = server._wires
        assert wire.held and len(wire.conn._gathering) < 65536 + 262144
        assert count == 1
        go.set()
        octets = b""
        async with asyncio.timeout(20):
            while octets.count(b"HTTP/1.1 204") < 2000:
                octets += await peer.reader.read(65536)
        assert count == 2000
        await peer.close()


async def test_bodies_both_ways(place):
    async def stream(asked):
        async def pieces():
            async for piece in asked:
                yield piece

        return Response(200, {}, pieces(), trailers={"x-end": "yes"})

    async with place.serve(on_request=stream):
        peer = await Peer.to(place)
        body = bytes(range(256)) * 4000
        peer.writer.write(
            request(["Transfer-Encoding: chunked"], "POST / HTTP/1.1")
            + b"".join(
                b"%x\r\n%b\r\n" % (len(p), p) for p in (body[:1], body[1:70000], body[70000:])
            )
            + b"0\r\n\r\n"
        )
        octets = b""
        while not octets.endswith(b"x-end: yes\r\n\r\n"):
            octets += await peer.reader.read(65536)
        (got,) = read_answers(octets)
        assert got.body == body and got.fields["trailers"] == "x-end: yes"
        # HTTP/1.0 knows no chunks: the end of the connection is the end of the body.
        peer.writer.write(request(["Content-Length: 5"], "POST / HTTP/1.0") + b"hello")
        assert (await peer.reader.read()).endswith(b"\r\n\r\nhello")
        await peer.close()


async def test_head_and_statuses_without_a_body(place):
    async def status(asked):
        if asked.path == "/204":
            return Response(204)
        return Response(200, {}, "body")

    async with place.serve(on_request=status):
        peer = await Peer.to(place)
        for line in ("HEAD / HTTP/1.1", "GET /204 HTTP/1.1", "HEAD /204 HTTP/1.1"):
            peer.writer.write(request(line=line))
            head = await peer.reader.readuntil(b"\r\n\r\n")
            assert (b"content-length: 4" in head) == (line == "HEAD / HTTP/1.1")
        assert (await peer.ask(request())).body == b"body"
        await peer.close()


@pytest.mark.parametrize("reads", [True, False])
async def test_expect_100_continue(place, reads):
    async def handler(asked):
        if reads:
            await asyncio.sleep(0.01)
            return Response(200, {}, await asked.read())
        return Response(413)

    head = request(["Expect: 100-Continue", "Content-Length: 5"], "POST / HTTP/1.1")
    async with place.serve(on_request=handler):
        peer = await Peer.to(place)
        got = await peer.ask(head)
        if reads:
            assert got.status == 100
            got = await peer.ask(b"hello")
            assert got.body == b"hello"
        else:
            assert got.status == 413 and got.fields["connection"] == "close"
            assert await peer.reader.read() == b""
        await peer.close()


async def test_expect_100_continue_over_http_2(clear):
    async def handler(asked):
        return Response(200, {}, await asked.read())

    async with clear.serve(on_request=handler):
        peer = await RawClient.connect(clear.port)
        fields = [(":method", "POST"), (":scheme", "http"), (":path", "/")]
        peer.headers(1, [*fields, (":authority", "a"), ("expect", "100-continue")])
        frame = await peer.expect(f.HEADERS, 1)
        assert frame.fields[0] == (b":status", b"100")
        peer.send(f.data(1, b"hello", True))
        frame = await peer.expect(f.HEADERS, 1)
        assert frame.fields[0] == (b":status", b"200")
        peer.close()


async def test_a_client_that_leaves_cancels_its_request(place):
    cancelled = asyncio.Event()

    async def handler(asked):
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with place.serve(on_request=handler):
        peer = await Peer.to(place)
        peer.writer.write(request())
        await asyncio.sleep(0.05)
        peer.writer.transport.abort()
        async with asyncio.timeout(5):
            await cancelled.wait()


async def test_an_ordinary_request_where_only_websockets_are_served(place):
    async with place.serve(echo):
        peer = await Peer.to(place)
        got = await peer.ask(request(["Content-Length: 3"], "POST / HTTP/1.1", b"abc"))
        assert got.status == 426
        assert (got.fields["upgrade"], got.fields["connection"]) == ("websocket", "upgrade")
        await peer.websocket()
        await peer.close()
    async with place.serve(tunnels={"t": echo}):
        peer = await Peer.to(place)
        assert (await peer.ask(request())).status == 404
        assert (await peer.ask(request(line="CONNECT example.org:443 HTTP/1.1"))).status == 501
        await peer.close()
    # A proxy of HTTP/2 is none of HTTP/1.1.
    async with place.serve(on_request=answer, connect=Dialer()):
        peer = await Peer.to(place)
        assert (await peer.ask(request(line="CONNECT 127.0.0.1:9 HTTP/1.1"))).status == 501
        assert (await peer.ask(request())).status == 200
        await peer.close()


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_process_request_answers_ordinary_requests_and_handshakes(place, kind):
    def process(ws, asked):
        if asked.path == "/health":
            return ws.respond(200, "OK\n")
        if asked.path == "/secret":
            return Response(401, {"www-authenticate": "Basic"}, "who?")
        return None

    async def later(ws, asked):
        await asyncio.sleep(0)
        return process(ws, asked)

    async with place.serve(echo, process_request=process if kind == "plain" else later):
        peer = await Peer.to(place)
        got = await peer.ask(request(line="GET /health HTTP/1.1"))
        assert (got.status, got.body) == (200, b"OK\n")
        assert (await peer.ask(request(line="GET /else HTTP/1.1"))).status == 426
        got = await peer.ask(upgrade("GET /secret HTTP/1.1", host="127.0.0.1"))
        assert (got.status, got.fields["www-authenticate"]) == (401, "Basic")
        await peer.websocket()
        peer.send(1, b"x")
        assert (await peer.frames(1))[0].payload == b"x"
        await peer.close()


async def test_origins_and_process_response(place):
    def process(ws, asked, response):
        response.headers["x-one"] = "1"

    async with place.serve(echo, process_response=process):
        peer = await Peer.to(place)
        got = await peer.ask(upgrade(host="127.0.0.1", origin="https://evil.example"))
        assert got.status == 403
        got = await peer.websocket(upgrade(host=f"127.0.0.1:{place.port}", origin=place.http))
        assert got.fields["x-one"] == "1"
        await peer.close()


async def test_shutting_down(place):
    closed = []

    async def handler(ws):
        with pytest.raises(ConnectionClosedOK):
            await ws.recv()
        closed.append(ws.close_code)

    async def slow(asked):
        await asyncio.sleep(0.1)
        return Response(200, {}, "done")

    async with place.serve(handler, on_request=slow) as server:
        peer = await Peer.to(place)
        await peer.websocket()
        asking = await Peer.to(place)
        asking.writer.write(request())
        idle = await Peer.to(place)
        await idle.ask(request())
        asking_again = request()
        asking.writer.write(asking_again)
        await asyncio.sleep(0.02)
        server.close()
        (frame,) = await peer.frames(1)
        assert frame.opcode == 8 and frame.payload == b"\x03\xe9"
        peer.writer.write(close_frame(1001, key=KEY))
        assert await idle.reader.read() == b""
        octets = await asking.reader.read()
        answers = read_answers(octets)
        assert [each.body for each in answers] in ([b"done"], [b"done", b"done"])
        assert answers[-1].fields["connection"] == "close"
        await server.wait_closed()
        assert closed == [1001]
        for each in (peer, asking, idle):
            await each.close()


async def test_a_peer_that_breaks_the_rules(place):
    async def handler(ws):
        with pytest.raises(ConnectionClosedError):
            await ws.recv()

    async with place.serve(handler):
        peer = await Peer.to(place)
        await peer.websocket()
        peer.writer.write(b"\x81\x05hello")  # not masked
        (frame,) = await peer.frames(1)
        assert frame.opcode == 8 and frame.payload[:2] == b"\x03\xea"
        peer.writer.write(close_frame(1002, key=KEY))
        assert await peer.reader.read() == b""
        await peer.close()


async def test_what_nobody_takes_stays_with_the_peer(place):
    go = asyncio.Event()
    taken = 0

    async def handler(ws):
        nonlocal taken
        await go.wait()
        async for message in ws:
            taken += len(message)

    async with place.serve(handler) as server:
        peer = await Peer.to(place)
        await peer.websocket()
        total = 0
        try:
            async with asyncio.timeout(0.5):
                while total < 2**26:
                    peer.send(2, bytes(65536))
                    total += 65536
                    await peer.writer.drain()
        except TimeoutError:
            pass
        (wire,) = server._wires
        assert wire.held and wire.conn.unread < 2**20
        assert total < 2**26
        go.set()
        peer.writer.write(close_frame(1000, key=KEY))
        (frame,) = await peer.frames(1)
        assert frame.opcode == 8
        assert taken >= total - 65536
        await peer.close()


async def test_a_message_larger_than_what_may_wait(place):
    async with place.serve(echo, max_size=2**23):
        peer = await Peer.to(place)
        await peer.websocket()
        body = bytes(2**22)
        peer.send(2, body)
        octets = b""
        async with asyncio.timeout(20):
            while len(octets) < len(body) + 10:
                octets += await peer.reader.read(2**20)
        (frame,) = read_ws_frames(octets)
        assert frame.payload == body
        await peer.close()


async def test_closing_with_much_unread(place):
    async def handler(ws):
        await asyncio.sleep(0.3)
        await ws.close(1000)

    async with place.serve(handler, close_timeout=5):
        peer = await Peer.to(place)
        await peer.websocket()
        for _ in range(100):
            peer.send(2, bytes(65536))
        (frame,) = await peer.frames(1)
        assert frame.opcode == 8
        peer.writer.write(close_frame(1000, key=KEY))
        assert await peer.reader.read() == b""
        await peer.close()


async def test_keepalive_over_http_1_1(place):
    async with place.serve(echo, ping_interval=0.05, ping_timeout=0.1, close_timeout=0.1):
        peer = await Peer.to(place)
        await peer.websocket()
        (ping,) = await peer.frames(1)
        assert ping.opcode == 9
        peer.send(10, ping.payload)
        frames = await peer.frames(2)
        assert [each.opcode for each in frames] == [9, 8]
        assert frames[1].payload[:2] == b"\x03\xf3"
        await peer.close()


async def test_limits_close_slow_handshakes(clear):
    limits = Limits(handshake_timeout_s=0.1, preface_timeout_s=0.1)
    async with clear.serve(echo, limits=limits) as server:
        for octets in (b"", b"P", b"PRI", b"GET / HT", upgrade(host="127.0.0.1")[:-2]):
            peer = await Peer.to(clear)
            peer.writer.write(octets)
            got = await peer.reader.read()
            assert got[:12] == (b"HTTP/1.1 408" if octets[:1] == b"G" else b""), (octets, got)
            await peer.close()
        async with asyncio.timeout(5):
            while server._wires:
                await asyncio.sleep(0.01)


@pytest.mark.skipif(sys.platform == "win32", reason="sockets of this size are not bounded there")
async def test_a_refusal_reaches_a_client_that_is_still_sending(clear):
    async with clear.serve(echo):
        peer = await Peer.to(clear)
        peer.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 2_000_000)
        (got,) = read_answers(await peer.reader.read())
        assert got.status == 431
        await peer.close()


async def test_a_newcomer_that_may_not_come_in_is_told(place):
    async with place.serve(echo, max_connections=1) as server:
        peer = await Peer.to(place)
        await peer.websocket()
        other = await Peer.to(place)
        got = await other.ask(upgrade(host="127.0.0.1"))
        assert got.status == 503 and b"max_connections" in got.body
        assert got.fields["connection"] == "close"
        assert await other.reader.read() == b""
        await other.close()
        assert server.stats()["refused"] == {"max_connections": 1}
        peer.send(1, b"x")
        assert (await peer.frames(1))[0].payload == b"x"
        await peer.close()
        async with asyncio.timeout(5):
            while server._wires:
                await asyncio.sleep(0.01)
        again = await Peer.to(place)
        await again.websocket()
        assert server.stats()["limits"] == {}
        await again.close()
