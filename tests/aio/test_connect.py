"""Classic CONNECT: TCP connections that a server dials for its clients."""

import asyncio
import contextlib
import socket
import struct

import pytest

from h2ws_fast import Dialer, InvalidStatus, Response, Session, StreamReset
from h2ws_fast.aio.server.addresses import is_own, is_public
from tests.support import frames as f
from tests.support.raw import RawClient

row = pytest.mark.row

ENDS = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError)


@contextlib.asynccontextmanager
async def target(handler):
    """A TCP server; gives its port. `handler(reader, writer)` is a coroutine function."""
    tasks = set()

    async def handle(reader, writer):
        tasks.add(asyncio.current_task())
        # One that ended cancelled would be reported by the streams of CPython 3.11.
        with contextlib.suppress(*ENDS):
            try:
                await handler(reader, writer)
            finally:
                writer.close()
                # Nobody else asks the stream how it ended: a reset would be reported, too.
                await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def shout(reader, writer):
    """Answers in capitals, and says goodbye once the other side has ended."""
    while data := await reader.read(65536):
        writer.write(data.upper())
        await writer.drain()
    writer.write(b"BYE")
    await writer.drain()


def local(**options):
    """A Dialer that may dial this machine, on any port."""
    return Dialer(**{"private": True, "ports": None, "time_wait_s": 0.0, **options})


def resolving(*addresses):
    """A resolver that answers with these, whatever it is asked, and counts how often."""

    async def resolve(host, port):
        resolve.asked += 1
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port),
            )
            for address in addresses
        ]

    resolve.asked = 0
    return resolve


async def refusal(session, authority):
    """The (status, proxy-status) that a CONNECT is refused with."""
    with pytest.raises(InvalidStatus) as caught:
        await session.connect_tcp(authority)
    response = caught.value.response
    return response.status, response.headers.get("proxy-status")


@row("9113-8.5-3", "9113-8.5-4")
async def test_octets_both_ways_and_both_ends(place):
    async with (
        target(shout) as port,
        place.serve(connect=local()),
        Session(place.http, ssl=place.client_ssl) as session,
    ):
        tunnel = await session.connect_tcp(f"127.0.0.1:{port}")
        assert tunnel.response.status == 200
        assert "content-length" not in tunnel.response.headers
        await tunnel.send(b"hello")
        assert await tunnel.recv() == b"HELLO"
        tunnel.send_eof()  # FIN: the target sees the end, and still answers
        assert b"".join([piece async for piece in tunnel]) == b"BYE"


@row("9113-8.5-4")
async def test_the_targets_end_leaves_the_other_way_open(clear):
    heard = asyncio.get_running_loop().create_future()

    async def ends_first(reader, writer):
        writer.write(b"all I have to say")
        writer.write_eof()
        heard.set_result(await reader.read())

    async with (
        target(ends_first) as port,
        clear.serve(connect=local()),
        Session(clear.http) as session,
    ):
        tunnel = await session.connect_tcp(f"127.0.0.1:{port}")
        assert b"".join([piece async for piece in tunnel]) == b"all I have to say"
        await tunnel.send(b"still ")
        await tunnel.send(b"here")
        tunnel.send_eof()
        assert await heard == b"still here"


@row("9113-8.5-4")
async def test_a_client_that_ended_before_the_answer(clear):
    async with target(shout) as port, clear.serve(connect=local()):
        raw = await RawClient.connect(clear.port)
        fields = [(":method", "CONNECT"), (":authority", f"127.0.0.1:{port}")]
        raw.headers(1, fields, end_stream=True)
        assert (await raw.expect(f.HEADERS, 1)).get(":status") == "200"
        data = await raw.expect(f.DATA, 1)
        assert data.payload == b"BYE"
        if not data.end_stream:
            assert (await raw.expect(f.DATA, 1)).end_stream
        raw.close()


@row("9113-8.5-3")
async def test_nothing_is_answered_before_tcp_is_there(clear):
    gate = asyncio.get_running_loop().create_future()

    async def resolve(host, port):
        await gate
        return await resolving("127.0.0.1")(host, port)

    async with (
        target(shout) as port,
        clear.serve(connect=local(resolve=resolve)),
        Session(clear.http) as session,
    ):
        opening = asyncio.create_task(session.connect_tcp(f"some.example:{port}"))
        await asyncio.sleep(0.1)
        assert not opening.done()
        gate.set_result(None)
        tunnel = await opening
        await tunnel.send(b"x")
        assert await tunnel.recv() == b"X"
        tunnel.abort()


@row("9113-8.5-3")
async def test_failures_have_their_status(clear):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens
        port = closed.getsockname()[1]

        async def fails(host, port):
            if host == "slow.example":
                await asyncio.sleep(10)
            raise socket.gaierror("no such name")

        async with (
            clear.serve(connect=local(resolve=fails, dial_timeout=0.2)),
            Session(clear.http) as session,
        ):
            assert await refusal(session, "a.example:80") == (502, "h2ws_fast; error=dns_error")
            assert (await refusal(session, "slow.example:80"))[0] == 504
        async with clear.serve(connect=local()), Session(clear.http) as session:
            assert await refusal(session, f"127.0.0.1:{port}") == (
                502,
                "h2ws_fast; error=connection_refused",
            )


@row("9113-8.5-3", "SEC-8-4")
async def test_a_dial_has_only_so_long(clear):
    # A listener whose queue is full answers no SYN: the dial hangs.
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        dialer = local(dial_timeout=0.3)
        async with clear.serve(connect=dialer), Session(clear.http) as session:
            assert await refusal(session, f"127.0.0.1:{port}") == (
                504,
                "h2ws_fast; error=connection_timeout",
            )
        assert dialer.sockets == 0


@row("9113-10.5.2-1")
async def test_it_is_off_by_default(clear):
    async def on_request(request):
        return Response(200)

    for options in ({}, {"on_request": on_request}):
        async with clear.serve(**options), Session(clear.http) as session:
            assert (await refusal(session, "example.com:443"))[0] == 501


@row("9113-10.5.2-1", "SEC-8-4")
async def test_sockets_are_capped(clear):
    dialer = local(max_sockets=2)
    async with (
        target(shout) as port,
        clear.serve(connect=dialer),
        Session(clear.http) as session,
        Session(clear.http) as other,
    ):
        first = await session.connect_tcp(f"127.0.0.1:{port}")
        second = await other.connect_tcp(f"127.0.0.1:{port}")
        assert await refusal(session, f"127.0.0.1:{port}") == (
            503,
            "h2ws_fast; error=connection_limit_reached",
        )
        first.abort()
        async with asyncio.timeout(5):
            while dialer.sockets > 1:
                await asyncio.sleep(0.01)
        third = await session.connect_tcp(f"127.0.0.1:{port}")
        for tunnel in (second, third):
            tunnel.abort()


@row("9113-8.5-5")
async def test_a_tcp_reset_is_a_connect_error(clear):
    async def resets(reader, writer):
        await reader.read(1)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with (
        target(resets) as port,
        clear.serve(connect=local()),
        Session(clear.http) as session,
    ):
        tunnel = await session.connect_tcp(f"127.0.0.1:{port}")
        await tunnel.send(b"x")
        with pytest.raises(StreamReset) as caught:
            await tunnel.recv()
        assert caught.value.error_code == f.CONNECT_ERROR


@row("9113-8.5-5")
@pytest.mark.parametrize("how", ["stream", "half closed stream", "connection", "server"])
async def test_a_broken_stream_is_a_tcp_reset(clear, how):
    ended = asyncio.get_running_loop().create_future()

    async def waits(reader, writer):
        writer.write(b"here")
        try:
            while await reader.read(100):
                pass
            await asyncio.sleep(0.05)
            # After a FIN the reset shows when something is written.
            for _ in range(100):
                writer.write(b"anybody?")
                await writer.drain()
                await asyncio.sleep(0.01)
            ended.set_result("went on")
        except ConnectionResetError:
            ended.set_result("reset")
        except BrokenPipeError:
            ended.set_result("reset")

    async with target(waits) as port:
        async with clear.serve(connect=local(), close_timeout=0.2) as server:
            async with Session(clear.http, close_timeout=0.2) as session:
                tunnel = await session.connect_tcp(f"127.0.0.1:{port}")
                assert await tunnel.recv() == b"here"
                if how == "connection":
                    session._wire.abort()
                elif how == "server":
                    server.close()
                else:
                    if how.startswith("half"):
                        tunnel.send_eof()
                        await asyncio.sleep(0.02)
                    tunnel.abort()
                assert await ended == "reset"


async def test_a_client_that_leaves_while_we_dial(clear):
    async def resolve(host, port):
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    cancelled = asyncio.Event()
    dialer = local(resolve=resolve)
    async with clear.serve(connect=dialer), Session(clear.http) as session:
        with pytest.raises(TimeoutError):
            await session.connect_tcp("a.example:443", open_timeout=0.1)
        await cancelled.wait()
        async with asyncio.timeout(5):
            while dialer.sockets:
                await asyncio.sleep(0.01)


class Silent:
    """A tunnel whose client says nothing."""

    def __init__(self, port):
        self.request = Request(port)

    async def recv(self):
        await asyncio.get_running_loop().create_future()

    def abort(self, code):
        pass


class Request:
    remote_address = ("192.0.2.1", 1)

    def __init__(self, port):
        self.authority = f"127.0.0.1:{port}"


@pytest.mark.parametrize("steps", range(5))
async def test_who_is_cancelled_twice_leaves_no_socket(steps):
    """By the end of its stream, and by that of the server while it is about to go."""
    ended = asyncio.Event()

    async def handler(reader, writer):
        with pytest.raises(ConnectionResetError):
            await reader.read()
        ended.set()

    async with target(handler) as port:
        answered = asyncio.Event()
        dialer = local()
        task = asyncio.create_task(dialer.serve(Silent(port), lambda response: answered.set()))
        await answered.wait()
        await asyncio.sleep(0.01)
        task.cancel()
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(5):
            await ended.wait()
        assert dialer.sockets == 0


async def test_a_slow_target_holds_its_client_back_and_nobody_else(clear):
    go_on = asyncio.Event()
    counted = 0

    async def slow(reader, writer):
        nonlocal counted
        await go_on.wait()
        while data := await reader.read(1 << 20):
            counted += len(data)

    async with (
        target(slow) as port,
        target(shout) as other,
        clear.serve(connect=local()) as server,
        Session(clear.http) as session,
    ):
        tunnel = await session.connect_tcp(f"127.0.0.1:{port}")
        sent = 0

        async def flood():
            nonlocal sent
            for _ in range(512):
                await tunnel.send(bytes(65536))
                sent += 65536
            tunnel.send_eof()

        task = asyncio.create_task(flood())
        await asyncio.sleep(0.5)
        assert not task.done()  # 32 MiB do not fit into sockets and windows
        (wire,) = server._wires
        assert wire.conn.stats()["octets_buffered"] <= 4 << 20
        beside = await session.connect_tcp(f"127.0.0.1:{other}")
        await beside.send(b"x")
        assert await beside.recv() == b"X"
        beside.abort()
        go_on.set()
        await task
        assert await tunnel.recv() == b""
        assert counted == sent == 32 << 20


async def test_a_slow_client_holds_its_target_back(clear):
    written = 0

    async def floods(reader, writer):
        nonlocal written
        for _ in range(512):
            writer.write(bytes(65536))
            await writer.drain()
            written += 65536

    async with (
        target(floods) as port,
        clear.serve(connect=local()) as server,
        Session(clear.http) as session,
    ):
        tunnel = await session.connect_tcp(f"127.0.0.1:{port}")
        await asyncio.sleep(0.5)
        assert written < 32 << 20
        (wire,) = server._wires
        assert wire.conn.stats()["octets_queued"] < 1 << 20
        assert sum([len(piece) async for piece in tunnel]) == 32 << 20


# -- who may be dialled --------------------------------------------------------------------------

PRIVATE = """
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 127.0.0.1 127.255.255.254 169.254.169.254
168.63.129.16 ::ffff:168.63.129.16 64:ff9b::a83f:8110
172.16.0.1 172.31.255.255 192.0.0.8 192.0.2.1 192.168.1.1 198.18.0.1 198.51.100.7 203.0.113.9
224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
:: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:0:7f00:1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe
64:ff9b:1::1 100::1 2001::1 2001:db8::1 2002:7f00:1::1 2002:a00:1::1 2002:c0a8:101:: 3fff::1
fc00::1 fd12:3456::1 fe80::1 fe80::1%eth0 fec0::1 ff02::1 5f00::1
""".split()  # fmt: skip
PUBLIC = """
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 172.15.0.1 172.32.0.1 192.167.1.1
223.255.255.255 2606:4700::1111 2a00:1450::1 ::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::1
""".split()  # fmt: skip


@row("SEC-8-1")
@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses(address):
    assert not is_public(address)


@row("SEC-8-1")
@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address):
    assert is_public(address)


@row("SEC-8-1")
@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1"]
)
def test_own_addresses(address):
    assert is_own(address)


def test_addresses_of_others():
    for address in ("192.0.2.1", "::ffff:192.0.2.1", "64:ff9b::c000:201", "2001:db8::1"):
        assert not is_own(address)


@row("SEC-8-1", "9113-8.5-3")
@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "localhost", "[::1]", "[::ffff:127.0.0.1]"],
)
async def test_this_machine_is_not_dialled(clear, host):
    touched = []

    async def handler(reader, writer):
        touched.append(writer)

    async with (
        target(handler) as port,
        clear.serve(connect=Dialer(ports=None)),
        Session(clear.http) as session,
    ):
        status, why = await refusal(session, f"{host}:{port}")
        # Some resolvers do not take all of these for addresses.
        assert (status, why) in [
            (403, "h2ws_fast; error=destination_ip_prohibited"),
            (502, "h2ws_fast; error=dns_error"),
        ]
        if host[0] in "1[l":
            assert status == 403 or host == "127.1"
    assert not touched


@row("SEC-8-1")
async def test_what_is_checked_is_what_is_dialled(clear):
    # Rebinding: a resolver that answers with a public address first and a private one later.
    answers = ["192.0.2.1", "127.0.0.1"]

    async def rebinding(host, port):
        return await resolving(answers.pop(0))(host, port)

    async with (
        clear.serve(connect=Dialer(ports=None, resolve=rebinding)),
        Session(clear.http) as session,
    ):
        assert (await refusal(session, "evil.example:80"))[0] == 403
        assert answers == ["127.0.0.1"]  # asked once

    # Of several addresses only those that are allowed are dialled.
    mixed = resolving("10.0.0.1", "::1", "169.254.169.254")
    async with (
        clear.serve(connect=Dialer(ports=None, resolve=mixed)),
        Session(clear.http) as session,
    ):
        assert (await refusal(session, "evil.example:80"))[0] == 403
    assert mixed.asked == 1


async def test_a_resolver_that_meets_the_reset_of_another_stream(clear, caplog):
    async def over_a_session(host, port):
        raise StreamReset(f.CANCEL, "of another stream")

    async with (
        clear.serve(connect=Dialer(resolve=over_a_session)),
        Session(clear.http) as session,
    ):
        with pytest.raises(StreamReset) as caught:
            await session.connect_tcp("example.org:443", open_timeout=5)
        assert caught.value.error_code == f.INTERNAL_ERROR
    assert "of another stream" in caplog.text


@row("SEC-8-2")
async def test_ports_are_allowed_one_by_one(clear):
    resolve = resolving("127.0.0.1")
    async with clear.serve(connect=Dialer(resolve=resolve)), Session(clear.http) as session:
        for port in (25, 80, 6379, 65535):
            assert await refusal(session, f"a.example:{port}") == (
                403,
                "h2ws_fast; error=http_request_denied",
            )
        assert resolve.asked == 0
        assert await refusal(session, "a.example:443") == (
            403,
            "h2ws_fast; error=destination_ip_prohibited",
        )


@row("9113-8.5-3")
async def test_targets_by_a_list_or_a_function(clear):
    async with target(shout) as port:
        async with (
            clear.serve(connect=local(allow=[f"127.0.0.1:{port}", "b.example"])),
            Session(clear.http) as session,
        ):
            (await session.connect_tcp(f"127.0.0.1:{port}")).abort()
            assert (await refusal(session, f"localhost:{port}"))[0] == 403
            assert (await refusal(session, f"a.example:{port}"))[0] == 403
            assert (await refusal(session, f"127.0.0.1:{port + 1}"))[0] == 403

        async def allow(request, host, port):
            asked.append((host, port))
            return request.headers.get("proxy-authorization") == "Basic eA=="

        asked = []
        async with clear.serve(connect=local(allow=allow)), Session(clear.http) as session:
            assert (await refusal(session, f"127.0.0.1:{port}"))[0] == 403
            tunnel = await session.connect_tcp(
                f"127.0.0.1:{port}", headers={"proxy-authorization": "Basic eA=="}
            )
            tunnel.abort()
            assert asked == [("127.0.0.1", port)] * 2


async def test_process_request_comes_first(clear):
    async def process(tunnel, request):
        if "proxy-authorization" not in request.headers:
            return Response(407, {"proxy-authenticate": "Basic"})
        return None

    async with (
        target(shout) as port,
        clear.serve(connect=local(), process_request=process),
        Session(clear.http) as session,
    ):
        assert (await refusal(session, f"127.0.0.1:{port}"))[0] == 407
        tunnel = await session.connect_tcp(
            f"127.0.0.1:{port}", headers={"proxy-authorization": "Basic eA=="}
        )
        await tunnel.send(b"x")
        assert await tunnel.recv() == b"X"
        tunnel.abort()


def test_what_a_dialer_is_told():
    with pytest.raises(TypeError):
        Dialer("example.com:443")
