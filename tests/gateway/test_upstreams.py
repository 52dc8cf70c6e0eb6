"""Which backend gets a request: routes, turns, health; and what is told of it all."""

import asyncio
import contextlib
import logging
import socket
import threading

import pytest

from h2ws_fast import ConnectionClosedError, Response, Session, connect, serve
from h2ws_fast.gateway import Backend, Forwarding, Route, Routes, Table, Token, Upstream, gateway
from h2ws_fast.gateway.access import Access
from tests.gateway.conftest import in_front_of
from tests.support import frames as f
from tests.support.backend import RawBackend
from tests.support.programs import free_port
from tests.support.raw import RawClient, RawServer, opens_all

TABLE = Table()


def named(name):
    """A backend's script: it says its name, and echoes in tunnels."""

    async def script(visit):
        while True:
            await visit.head()
            visit.say("HTTP/1.1 200 OK", f"Content-Length: {len(name)}", body=name.encode())

    return RawBackend(script)


def to(server, **options):
    return Backend(f"http://127.0.0.1:{server.port}", http="h1", **options)


async def ask(session, path="/", host=None):
    fields = {} if host is None else {"host": host}
    response = await session.request("GET", path, headers=fields)
    return response.status, (await response.read()).decode()


# -- routes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("authority", "path", "found"),
    [
        ("example.org", "/", "any"),
        ("example.org:8443", "/chat", "chat"),
        ("EXAMPLE.org", "/chat/7", "chat"),
        ("example.org", "/chat?x", "chat"),
        ("example.org", "/chatter", "any"),
        ("example.org", "/chat/admin", "admin"),
        ("a.example.org", "/", "below"),
        ("b.a.example.org:1", "/chat", "below"),
        ("other", "/chat", "any"),
        ("example.org:", "/chat", "chat"),
        ("example.org.", "/chat", "chat"),
        ("example.org.:8443", "/chat", "chat"),
        ("a.example.org.", "/", "below"),
        ("[::1]:80", "/six", "six"),
        ("[::1]:", "/six", "six"),
        ("[::1]", "/six", "six"),
        ("", "/", "any"),
    ],
)
def test_the_most_exact_route_takes_a_request(authority, path, found):
    ends = {
        name: Upstream([Backend("http://127.0.0.1:1")], table=TABLE)
        for name in ("any", "chat", "admin", "below", "six")
    }
    routes = Routes(
        [
            Route(ends["any"]),
            Route(ends["chat"], "/chat", "Example.org"),
            Route(ends["admin"], "/chat/admin", "example.org"),
            Route(ends["below"], "/", "*.example.org"),
            Route(ends["six"], "/six/", "[::1]"),
        ]
    )
    assert routes.find(authority, path) is ends[found]
    assert set(routes.upstreams) == set(ends.values())


def test_no_route():
    upstream = Upstream([Backend("http://127.0.0.1:1")], table=TABLE)
    routes = Routes([Route(upstream, "/a", "example.org")])
    assert routes.find("example.org", "/") is None
    assert routes.find("other", "/a") is None


@pytest.mark.row("GW-tun-9")
async def test_what_no_route_takes_is_a_404():
    async with named("a") as a:
        routes = Routes([Route(Upstream([to(a)], table=TABLE), "/a")])
        async with gateway(routes, "127.0.0.1", 0, close_timeout=0.2) as gate:
            port = gate.sockets[0].getsockname()[1]
            async with Session(f"http://127.0.0.1:{port}") as session:
                assert await ask(session, "/a") == (200, "a")
                assert await ask(session, "/b") == (404, "")


# -- backends ----------------------------------------------------------------------------------


async def test_backends_take_turns():
    async with named("a") as a, named("b") as b:
        async with (
            in_front_of(to(a), to(b)) as gate,
            Session(f"http://127.0.0.1:{gate.port}") as session,
        ):
            got = [(await ask(session))[1] for _ in range(4)]
            assert sorted(got) == ["a", "a", "b", "b"] and got[0] != got[1]


async def test_the_least_laden_backend_is_asked():
    hold = asyncio.Event()

    async def busy(visit):
        await visit.head()
        await hold.wait()
        visit.say("HTTP/1.1 200 OK", "Content-Length: 4", body=b"busy")
        await visit.rest()

    async with RawBackend(busy) as a, named("b") as b:
        async with (
            in_front_of(to(a), to(b), balance="least") as gate,
            Session(f"http://127.0.0.1:{gate.port}") as session,
        ):
            first = asyncio.create_task(ask(session))
            while not a.octets:
                await asyncio.sleep(0.005)
            assert [(await ask(session))[1] for _ in range(3)] == ["b", "b", "b"]
            hold.set()
            assert await first == (200, "busy")


async def test_a_backend_that_cannot_be_reached_is_passed_over():
    async with named("b") as b:
        dead = Backend(f"http://127.0.0.1:{free_port()}", http="h1")
        async with (
            in_front_of(dead, to(b)) as gate,
            Session(f"http://127.0.0.1:{gate.port}") as session,
        ):
            for _ in range(6):
                assert await ask(session) == (200, "b")
            assert dead.failures == 1


@contextlib.contextmanager
def hanging_up(asked):
    """The port of a backend that ends each connection at once: often before its request is there."""

    def run():
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                asked.append(sock.fileno())
                sock.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("http", ["h1", "auto", "h2"])
async def test_a_backend_that_hangs_up_at_once_leaves_the_request_to_the_next(http):
    """Nothing came of it, and it may be sent twice."""
    asked = []
    with hanging_up(asked) as port:
        bad = Backend(f"http://127.0.0.1:{port}", http=http)
        async with named("b") as b:
            async with (
                in_front_of(bad, to(b)) as gate,
                Session(f"http://127.0.0.1:{gate.port}") as session,
            ):
                for _ in range(12):
                    assert await ask(session) == (200, "b")
                assert 1 <= bad.failures + bad.stats()["unanswered"] <= 3
                now = asyncio.get_running_loop().time()
                assert asked and not bad.is_up(min(now, bad.down_until - 0.01))
                assert bad.stats()["h1_connections"] == bad.under_way == 0


@pytest.mark.parametrize(("method", "visits"), [("GET", 3), ("POST", 1)])
async def test_what_three_hung_up_on_or_may_be_sent_once_is_a_502(method, visits):
    """Each of them is asked once, whoever else asks meanwhile."""

    async def script(visit):
        await visit.head()

    async with contextlib.AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(RawBackend(script)) for _ in range(4)]
        there = [to(each) for each in servers]
        gate = await stack.enter_async_context(in_front_of(*there))
        session = await stack.enter_async_context(Session(f"http://127.0.0.1:{gate.port}"))
        assert (await session.request(method, "/")).status == 502
        assert sorted(len(each.visits) for each in servers) == [0] * (4 - visits) + [1] * visits
        assert sum(each.stats()["unanswered"] for each in there) == visits


async def test_one_backend_alone_is_not_asked_again():
    async def hangs_up(visit):
        await visit.head()

    async with RawBackend(hangs_up) as one:
        async with (
            in_front_of(to(one)) as gate,
            Session(f"http://127.0.0.1:{gate.port}") as session,
        ):
            assert (await ask(session))[0] == 502
        assert len(one.visits) == 1


async def test_where_none_is_up_the_first_to_recover_is_tried():
    port = free_port()
    backend = Backend(f"http://127.0.0.1:{port}", http="h1")
    async with (
        in_front_of(backend) as gate,
        Session(f"http://127.0.0.1:{gate.port}") as session,
    ):
        for times in (1, 2, 3):
            assert (await ask(session))[0] == 502
            assert backend.failures == times
        async with serve(None, "127.0.0.1", port, http="h1"):
            assert (await ask(session))[0] == 404
            assert backend.failures == 0 and backend.is_up(0)


async def test_what_fails_together_is_one_failure():
    """Eight requests that are on the way when a backend goes away do not bar it for half a minute."""
    asked, held = [], asyncio.Event()

    async def script(visit):
        asked.append(visit)
        await held.wait()
        visit.cut()

    async with RawBackend(script) as server:
        there = Backend(f"http://127.0.0.1:{server.port}", http="h2")
        async with in_front_of(there) as gate:
            clients = [await RawClient.connect(gate.port) for _ in range(8)]
            for client in clients:
                client.ask_for_websocket(1)
            while there.stats()["h2"]["waiting"] < 8:
                await asyncio.sleep(0.005)
            held.set()
            for client in clients:
                assert (await client.expect(f.HEADERS)).get(":status") == "502"
                client.close()
            assert there.failures == 1
            now = asyncio.get_running_loop().time()
            assert there.down_until - now <= 0.5


async def test_a_backend_that_hung_up_once_is_asked_for_http_2_again():
    """Who is only starting speaks HTTP/2 a moment later: "auto" has learned nothing yet."""

    async def script(peer):
        while (frame := await peer.frame()) is not None:
            if frame.kind == f.HEADERS:
                peer.headers(frame.stream_id, [(":status", "204")], True)

    class Starting(RawServer):
        async def serve(self, reader, writer):
            self.visits += 1
            if self.visits == 1:
                writer.close()
            elif self.visits == 2:
                # What comes when HTTP/1.1 is tried is nothing that it can read.
                await reader.read(1)
                writer.close()
            else:
                await super().serve(reader, writer)

    server = Starting(script)
    server.visits = 0
    async with server:
        there = Backend(f"http://127.0.0.1:{server.port}", http="auto")
        async with (
            in_front_of(there) as gate,
            Session(f"http://127.0.0.1:{gate.port}") as session,
        ):
            assert (await ask(session))[0] == 502
            assert (await ask(session))[0] == 204
            assert gate.stats()["backends"][there.address]["h2"]["connections"] == 1


async def test_a_backend_that_answered_over_http_1_1_is_asked_for_http_2_once():
    async with named("a") as a:
        there = Backend(f"http://127.0.0.1:{a.port}", http="auto")
        async with (
            in_front_of(there) as gate,
            Session(f"http://127.0.0.1:{gate.port}") as session,
        ):
            for _ in range(3):
                assert await ask(session) == (200, "a")
        assert a.octets.count(b"PRI * HTTP/2.0") == 1


async def test_killing_a_backend_leaves_the_others_untouched():
    """Tunnels of the one that dies are reset; those of the other go on."""

    async def echo(ws):
        async for message in ws:
            await ws.send(message)

    async def tunnel(visit):
        await visit.switch()
        await visit.read(1)
        visit.cut()

    async with RawBackend(tunnel) as dies, serve(echo, "127.0.0.1", 0, origins=None) as lives:
        port = lives.sockets[0].getsockname()[1]
        there = Backend(f"http://127.0.0.1:{port}", http="h1")
        async with in_front_of(to(dies), there) as gate:
            async with Session(f"http://127.0.0.1:{gate.port}") as session:
                first = await session.websocket("/", open_timeout=5)
                second = await session.websocket("/", open_timeout=5)
                await first.send("x")
                with pytest.raises(ConnectionClosedError):
                    await first.recv()
                assert first.close_code == 1006
                for turn in range(3):
                    await second.send(str(turn))
                    assert await second.recv() == str(turn)
                await second.close()


# -- what it tells -----------------------------------------------------------------------------


async def test_stats_and_the_access_log(caplog):
    caplog.set_level(logging.INFO, "h2ws_fast.gateway.access")

    async def echo(ws):
        async for message in ws:
            await ws.send(message)

    async with serve(echo, "127.0.0.1", 0, origins=None) as server:
        port = server.sockets[0].getsockname()[1]
        there = Backend(f"http://127.0.0.1:{port}", http="auto")
        async with in_front_of(there, access_log=True) as gate:
            async with connect(f"ws://127.0.0.1:{gate.port}/chat") as ws:
                await ws.send("x")
                assert await ws.recv() == "x"
                stats = gate.stats()
                assert (stats["requests"], stats["tunnels"], stats["plain"]) == (1, 1, 0)
                assert stats["backends"][there.address]["load"] == 1
            async with Session(f"http://127.0.0.1:{gate.port}") as session:
                assert (await ask(session, "/page"))[0] == 404
            assert gate.stats()["plain"] == 1
            while gate.stats()["backends"][there.address]["load"]:
                await asyncio.sleep(0.005)
    lines = [record.getMessage() for record in caplog.records if "access" in record.name]
    assert any(line.startswith('127.0.0.1 "CONNECT /chat HTTP/2" 200 ') for line in lines), lines
    assert any(line.startswith('127.0.0.1 "GET /page HTTP/2" 404 ') for line in lines), lines


async def test_what_several_routes_have_of_one_backend_is_added_up():
    async with named("a") as a:
        routes = Routes(
            [Route(Upstream([to(a)], table=TABLE), path) for path in ("/one", "/two", "/none")]
        )
        async with gateway(routes, "127.0.0.1", 0, close_timeout=0.2) as gate:
            port = gate.sockets[0].getsockname()[1]
            async with Session(f"http://127.0.0.1:{port}") as session:
                for path in ("/one", "/two", "/two"):
                    assert await ask(session, path) == (200, "a")
            told = gate.stats()["backends"][f"http://127.0.0.1:{a.port}"]
            assert (told["served"], told["h1_connections"]) == (3, 2)
            assert told["h2"]["refused"] == {"max_waiting": 0}


async def test_a_request_that_is_reset_as_it_comes_has_its_line(caplog):
    caplog.set_level(logging.INFO, "h2ws_fast.gateway.access")
    async with named("a") as a:
        for aware in (False, True):
            async with in_front_of(to(a), aware=aware, access_log=True) as gate:
                client = await RawClient.connect(gate.port)
                client.ask_for_websocket(1, "/gone")
                client.send(f.rst_stream(1, 8), f.ping(b"12345678"))
                await client.expect(f.PING)
                client.close()
        lines = [record.getMessage() for record in caplog.records if "access" in record.name]
        assert len(lines) == 2
        for line in lines:
            assert line.startswith('127.0.0.1 "CONNECT /gone HTTP/2" 499 0 0 '), line


async def test_new_routes_leave_tunnels_where_they_are():
    async def echo(name, ws):
        async for message in ws:
            await ws.send(name + message)

    async def a(ws):
        await echo("a", ws)

    async def b(ws):
        await echo("b", ws)

    async with serve(a, "127.0.0.1", 0, origins=None) as one:
        async with serve(b, "127.0.0.1", 0, origins=None) as two:
            there = [
                Backend(f"http://127.0.0.1:{each.sockets[0].getsockname()[1]}", http="h2")
                for each in (one, two)
            ]
            async with (
                in_front_of(there[0]) as gate,
                connect(f"ws://127.0.0.1:{gate.port}/") as first,
            ):
                await first.send("1")
                assert await first.recv() == "a1"
                gate.reroute(Routes([Route(Upstream(there[1:], table=TABLE))]))
                async with connect(f"ws://127.0.0.1:{gate.port}/") as second:
                    await second.send("2")
                    assert await second.recv() == "b2"
                    await first.send("3")
                    assert await first.recv() == "a3"
                    told = gate.stats()["backends"]
                    assert [told[each.address]["load"] for each in there] == [1, 1]
                await first.close()
                while there[0].busy:
                    await asyncio.sleep(0.005)
                assert list(gate.stats()["backends"]) == [there[1].address]


@pytest.mark.parametrize("http", ["h1", "h2"])
async def test_a_backend_that_is_left_ends_its_connections(http):
    """What is under way when the routes change ends there, and the connection with it."""
    going, answer = asyncio.Event(), asyncio.Event()

    async def late(request):
        going.set()
        await answer.wait()
        return Response(200, {}, b"late")

    async with serve(on_request=late, host="127.0.0.1", port=0) as server:
        port = server.sockets[0].getsockname()[1]
        there = Backend(f"http://127.0.0.1:{port}", http=http)
        async with (
            in_front_of(there) as gate,
            Session(f"http://127.0.0.1:{gate.port}") as session,
        ):
            task = asyncio.create_task(ask(session))
            await going.wait()
            gate.reroute(Routes([Route(Upstream([Backend("http://127.0.0.1:1")], table=TABLE))]))
            assert there.busy
            answer.set()
            assert await task == (200, "late")
            async with asyncio.timeout(10):
                while server.stats()["connections"]:
                    await asyncio.sleep(0.005)
            assert not there.busy


async def test_a_backend_that_routes_lead_to_again_keeps_connections():
    async def script(visit):
        while True:
            await visit.head()
            visit.say("HTTP/1.1 200 OK", "Content-Length: 2", body=b"ok")

    async with RawBackend(script) as server:
        there = Backend(f"http://127.0.0.1:{server.port}", http="h1")
        async with (
            in_front_of(there) as gate,
            Session(f"http://127.0.0.1:{gate.port}") as session,
        ):
            first = gate.routes
            gate.reroute(Routes([Route(Upstream([Backend("http://127.0.0.1:1")], table=TABLE))]))
            gate.reroute(first)
            for _ in range(3):
                assert await ask(session) == (200, "ok")
    assert len(server.visits) == 1


async def test_a_backend_whose_streams_are_in_use_is_busy_not_down():
    async with RawServer(opens_all, (8, 1), (3, 1)) as server:
        there = Backend(
            f"http://127.0.0.1:{server.port}", http="h2", connections=1, connect_timeout=1
        )
        async with in_front_of(there) as gate:
            client = await RawClient.connect(gate.port)
            assert (await client.websocket(1)).get(":status") == "200"
            assert (await client.websocket(3)).get(":status") == "503"
            assert gate.stats()["backends"][there.address]["failures"] == 0
            client.close()


async def test_closing_lets_tunnels_end(door):
    """GOAWAY, and `close_timeout` for what is open: then everything goes."""

    async def echo(ws):
        async for message in ws:
            await ws.send(message)

    async with serve(echo, "127.0.0.1", 0, origins=None) as server:
        port = server.sockets[0].getsockname()[1]
        async with door(port, http="h1", close_timeout=5) as gate:
            async with connect(f"ws://127.0.0.1:{gate.port}/") as ws:
                await ws.send("1")
                assert await ws.recv() == "1"
                gate.close()
                await ws.send("2")
                assert await ws.recv() == "2"
            await gate.wait_closed()


@pytest.mark.parametrize("http", ["h1", "h2"])
async def test_over_tls_on_both_sides(caplog, server_tls, client_tls, http):
    async def echo(ws):
        async for message in ws:
            await ws.send(message)

    async with serve(echo, "127.0.0.1", 0, ssl=server_tls, origins=None) as server:
        port = server.sockets[0].getsockname()[1]
        there = Backend(f"https://127.0.0.1:{port}", http=http, ssl=client_tls)
        async with in_front_of(there, tls=server_tls) as gate:
            for front in ("h1", "h2"):
                uri = f"wss://127.0.0.1:{gate.port}/"
                async with connect(uri, ssl=client_tls, http=front) as ws:
                    await ws.send("x" * 100_000)
                    assert await ws.recv() == "x" * 100_000
                    # TLS cannot end one side alone here: closing must not wait for what never comes.
                    async with asyncio.timeout(5):
                        await ws.close()
            async with asyncio.timeout(10):
                while gate.stats()["connections"] or there.load:
                    await asyncio.sleep(0.005)
    assert not caplog.records  # asyncio warns of who would have it otherwise


@pytest.mark.parametrize(
    "address", ["10.1.2.3", "::ffff:10.1.2.3", "::FFFF:10.1.2.3", "fd00::1%eth0", "fd00::1"]
)
def test_networks_hold_addresses_however_they_are_written(address):
    assert Forwarding(trusted=["10.0.0.0/8", "fd00::/8"]).trusts(address)
    assert not Forwarding(trusted=["11.0.0.0/8"]).trusts(address)


def test_a_path_makes_up_no_line_of_the_access_log():
    told = str(Access("a", "GET", '/" 200 1 2\n\\', "1.1", 404))
    assert told == 'a "GET /\\" 200 1 2\\n\\\\ HTTP/1.1" 404 0 0 0.000 - - -'


# -- arguments ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: Backend("http://a/path"),
        lambda: Backend("ftp://a"),
        lambda: Backend("http://user:pw@a"),
        lambda: Backend("http://a", http="h3"),
        lambda: Upstream([], table=TABLE),
        lambda: Upstream([Backend("http://a")], balance="most", table=TABLE),
        lambda: Forwarding("x-real-ip"),
        lambda: Forwarding(trusted=["example.org"]),
        lambda: Table(["a b"]),
        lambda: Routes([Route(Upstream([Backend("http://a")], table=TABLE), "chat")]),
        lambda: Routes([Route(Upstream([Backend("http://a")], table=TABLE), "/", "")]),
        lambda: Routes([Route(Upstream([Backend("http://a")], table=TABLE), "/", "a.org:80")]),
        lambda: Routes([Route(Upstream([Backend("http://a")], table=TABLE), "/", "::1")]),
        *(
            lambda host=host: Routes(
                [Route(Upstream([Backend("http://a")], table=TABLE), "/", host)]
            )
            for host in ("*", "*.", "*.*", "a.*", "*a", "b\xfccher.org", "a b")
        ),
        *(
            lambda path=path: Routes([Route(Upstream([Backend("http://a")], table=TABLE), path)])
            for path in ("/a?b", "/a#b", "/b\xfccher", "/a b")
        ),
    ],
    ids=range(24),
)
def test_what_makes_no_sense_is_refused(make):
    with pytest.raises(ValueError):
        make()


def test_the_table():
    table = Table(["WebSocket", "Foo/1"])
    assert "websocket" in table and table["websocket"].needs_key
    assert "foo/1" in table and table["foo/1"] == Token()
    assert "foo" not in table and not Table({})
    assert "foo" in Table({}, others=True) and "h2c" not in Table({}, others=True)
    with pytest.raises(TypeError):
        Table("websocket")
