"""How many connections a Dialer has, how long, and which address of a target it takes."""

import asyncio
import contextlib
import errno
import socket

import pytest

from h2ws_fast import Dialer, Session, StreamReset
from h2ws_fast.aio.client import race
from h2ws_fast.aio.server.places import Places
from h2ws_fast.masque import UdpProxy
from tests.support import frames as f

from .test_connect import local, refusal, resolving, shout, target

row = pytest.mark.row

FULL = (503, "h2ws_fast; error=connection_limit_reached")


async def whole(session, port):
    """A connection whose client ends first: this end of TCP keeps it in TIME-WAIT."""
    tunnel = await session.connect_tcp(f"127.0.0.1:{port}")
    tunnel.send_eof()
    assert await tunnel.recv() == b"BYE"
    assert await tunnel.recv() == b""


async def until(true):
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.005)


# -- how many ------------------------------------------------------------------------------------


@row("SEC-8-4")
async def test_short_connections_one_after_the_other(clear):
    # What is in TIME-WAIT keeps a port, and nobody out.
    dialer = local(max_sockets=2, time_wait_s=60)
    async with target(shout) as port, clear.serve(connect=dialer), Session(clear.http) as session:
        for _ in range(12):
            await whole(session, port)
            await until(lambda: not dialer.sockets)


@row("SEC-8-4")
async def test_time_wait_has_a_mark_of_its_own(clear):
    dialer = local(
        time_wait_s=2, max_time_wait=4, client=lambda request: request.headers.get("x-who")
    )
    async with target(shout) as port, clear.serve(connect=dialer), Session(clear.http) as session:
        for _ in range(2):
            await whole(session, port)
        await until(lambda: not dialer.sockets)
        assert await refusal(session, f"127.0.0.1:{port}") == FULL  # half of it is another's
        other = await session.connect_tcp(f"127.0.0.1:{port}", headers={"x-who": "other"})
        other.abort()
        await asyncio.sleep(2)
        (await session.connect_tcp(f"127.0.0.1:{port}")).abort()


@row("SEC-8-4")
async def test_a_client_has_its_own_cap(clear):
    dialer = local(max_sockets_per_client=1, client=lambda request: request.headers.get("x-who"))
    async with target(shout) as port, clear.serve(connect=dialer), Session(clear.http) as session:
        authority = f"127.0.0.1:{port}"
        tunnels = [
            await session.connect_tcp(authority, headers={"x-who": who}) for who in ("one", "two")
        ]
        with pytest.raises(Exception, match="503"):
            await session.connect_tcp(authority, headers={"x-who": "one"})
        for tunnel in tunnels:
            tunnel.abort()
        await until(lambda: not dialer.sockets)
        (await session.connect_tcp(authority, headers={"x-who": "one"})).abort()


async def test_proxies_may_share_their_places(clear):
    places = Places(2, 2)
    dialer, proxy = local(places=places), UdpProxy(private=True, places=places)
    assert places.enter("another") and places.room("me")
    async with (
        target(shout) as port,
        clear.serve(connect=dialer, tunnels={"connect-udp": proxy}),
        Session(clear.http) as session,
    ):
        path = f"/.well-known/masque/udp/127.0.0.1/{port}/"
        tunnel = await session.connect_tcp(f"127.0.0.1:{port}")
        with pytest.raises(Exception, match="503"):
            await session.tunnel("connect-udp", path)
        tunnel.abort()
        await until(lambda: places.taken == 1)
        udp = await session.tunnel("connect-udp", path)
        assert await refusal(session, f"127.0.0.1:{port}") == FULL
        udp.abort()
        await until(lambda: places.taken == 1)


@row("SEC-9-1")
async def test_a_flood_of_refusals_fills_no_log(clear, caplog):
    caplog.set_level("INFO", "h2ws_fast")
    dialer = Dialer(["a.example:443"])
    async with clear.serve(connect=dialer), Session(clear.http) as session:
        for _ in range(60):
            assert (await refusal(session, "b.example:443"))[0] == 403
    assert dialer.refused == 60
    assert 20 <= caplog.text.count("was refused with 403") <= 40


# -- how long ------------------------------------------------------------------------------------


async def silent(reader, writer):
    await asyncio.get_running_loop().create_future()


@row("SEC-8-4")
async def test_half_closed_ones_end(clear):
    """By the client's side, or the target's, that stays open behind the other's end."""

    async def ends(reader, writer):
        writer.write_eof()
        await reader.read()

    for handler in (silent, ends):
        dialer = local(half_closed_timeout=0.3)
        async with (
            target(handler) as port,
            clear.serve(connect=dialer),
            Session(clear.http) as session,
        ):
            tunnel = await session.connect_tcp(f"127.0.0.1:{port}")
            if handler is silent:
                tunnel.send_eof()
            else:
                assert await tunnel.recv() == b""
            await until(lambda: not dialer.sockets)  # noqa: B023  # awaited here
            with pytest.raises(StreamReset) as caught:
                await tunnel.recv()
                await tunnel.send(b"x")
            assert caught.value.error_code == f.CANCEL


async def test_half_closed_ones_that_are_used_live(clear):
    async def ends(reader, writer):
        writer.write_eof()
        got.append(await reader.read())

    got = []
    dialer = local(half_closed_timeout=2.0)
    async with target(ends) as port, clear.serve(connect=dialer), Session(clear.http) as session:
        tunnel = await session.connect_tcp(f"127.0.0.1:{port}")
        assert await tunnel.recv() == b""
        for _ in range(12):
            await tunnel.send(b"x")
            await asyncio.sleep(0.2)
        tunnel.send_eof()
        await until(lambda: got == [b"x" * 12])


@pytest.mark.parametrize("full", [False, True])
async def test_idle_ones_end(clear, full):
    """Where nothing is said, or where the target reads nothing of what is."""
    dialer = local(idle_timeout=0.4)
    async with target(silent) as port, clear.serve(connect=dialer), Session(clear.http) as session:
        tunnel = await session.connect_tcp(f"127.0.0.1:{port}")

        async def flood():
            with contextlib.suppress(StreamReset):
                while True:
                    await tunnel.send(bytes(65536))

        task = asyncio.ensure_future(flood() if full else asyncio.sleep(0))
        with pytest.raises(StreamReset) as caught:
            await tunnel.recv()
        assert caught.value.error_code == f.CANCEL
        await task
        assert not dialer.sockets


async def test_nobody_is_hurried_by_default(clear):
    assert local().idle_timeout is None
    assert local().half_closed_timeout >= 120


async def test_targets_that_are_gone_are_found_out(clear):
    async with target(silent) as port:

        class Asking:
            authority = f"127.0.0.1:{port}"
            remote_address = None

        with await local().dial(Asking()) as sock:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            if hasattr(socket, "TCP_KEEPIDLE"):
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 300


# -- which address -------------------------------------------------------------------------------


async def test_a_silent_address_does_not_use_up_the_time(clear, monkeypatch):
    connect = race._connect
    tried = []

    async def attempt(loop, to, local):
        tried.append(to[4][0])
        if to[4][0] == "192.0.2.1":
            await asyncio.sleep(60)
        return await connect(loop, to, local)

    monkeypatch.setattr(race, "_connect", attempt)
    dialer = local(resolve=resolving("192.0.2.1", "127.0.0.1"))
    async with target(shout) as port, clear.serve(connect=dialer), Session(clear.http) as session:
        (await session.connect_tcp(f"a.example:{port}")).abort()
    assert tried == ["192.0.2.1", "127.0.0.1"]


async def test_a_few_addresses_are_tried(clear, monkeypatch):
    tried = []

    async def attempt(loop, to, local):
        tried.append(to[4][0])
        raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")

    monkeypatch.setattr(race, "_connect", attempt)
    resolve = resolving(*(f"10.0.0.{number}" for number in range(100)))
    async with clear.serve(connect=local(resolve=resolve)), Session(clear.http) as session:
        assert await refusal(session, "a.example:1") == (502, "h2ws_fast; error=connection_refused")
    assert len(tried) == 4


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        (errno.EMFILE, FULL),
        (errno.ETIMEDOUT, (504, "h2ws_fast; error=connection_timeout")),
        (errno.ENETUNREACH, (502, "h2ws_fast; error=destination_ip_unroutable")),
    ],
)
async def test_why_there_is_no_connection(clear, monkeypatch, number, answer):
    async def attempt(loop, to, local):
        raise OSError(number, "in the kernel's words")

    monkeypatch.setattr(race, "_connect", attempt)
    async with clear.serve(connect=local()), Session(clear.http) as session:
        assert await refusal(session, "127.0.0.1:1") == answer
