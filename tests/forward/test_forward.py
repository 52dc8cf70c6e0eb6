"""Local ports that lead through a server: TCP, UDP and SOCKS5."""

import asyncio
import contextlib
import random
import socket

import pytest

from h2ws_fast import Dialer
from h2ws_fast.forward import Link, Rule, Socks, TcpForward, UdpForward, Unavailable
from h2ws_fast.forward.listener import Listener
from h2ws_fast.masque import UdpProxy
from tests.aio.test_connect import shout, target
from tests.masque.conftest import endpoint
from tests.masque.conftest import target as udp_target


def at_once():
    """Delays between attempts that cost a test no time."""
    while True:
        yield 0.02


@contextlib.asynccontextmanager
async def server(clear, *, tcp=(), udp=(), **options):
    """A server that leads to these ports of this machine, and to nothing else."""
    dialer = Dialer([f"127.0.0.1:{port}" for port in tcp], ports=None, private=True, time_wait_s=0)
    proxy = UdpProxy([f"127.0.0.1:{port}" for port in udp], private=True)
    async with clear.serve(connect=dialer, tunnels={"connect-udp": proxy}, **options) as it:
        it.dialer, it.proxy = dialer, proxy
        yield it


@contextlib.asynccontextmanager
async def forwarding(link, kind, *arguments, listen=()):
    """A listener; gives it and its port."""
    listener = kind(link, *arguments)
    port = listener.listen(*listen)
    try:
        yield listener, port
    finally:
        await listener.close()


def to(port):
    return Rule("127.0.0.1", 0, "127.0.0.1", port)


LOCAL = ("127.0.0.1", 0)


async def ask(port, data=b"hello"):
    """What a connection says to this, until its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        writer.write_eof()
        return await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def goes_on(reader, writer):
    """A connection to `shout` is open still, and ends in good order."""
    writer.write(b"still")
    assert await reader.readexactly(5) == b"STILL"
    writer.write_eof()
    assert await reader.read() == b"BYE"
    writer.close()


# -- TCP -----------------------------------------------------------------------------------------


async def test_connections_go_to_the_target(clear, within):
    big = random.Random(1).randbytes(300_000)
    async with target(shout) as port, server(clear, tcp=[port]) as there:
        async with Link(clear.http) as link:
            async with forwarding(link, TcpForward, to(port), listen=LOCAL) as (forward, local):
                assert await ask(local) == b"HELLOBYE"
                answers = await asyncio.gather(*(ask(local, big) for _ in range(5)))
                assert answers == [big.upper() + b"BYE"] * 5
                assert there.stats()["connections"] == 1
                counts = forward.counts
                await within(lambda: counts.open == 0)
                assert (counts.opened, counts.failed) == (6, 0)
                assert counts.sent == 5 + 5 * len(big)
                assert counts.received == 8 + 5 * (len(big) + 3)
                assert str(counts).startswith("0 open, 6 in all, 0 failed, ")


async def test_what_is_not_allowed_is_not_reached(clear, within):
    touched = []

    async def handler(reader, writer):
        touched.append(writer)

    async with target(shout) as allowed, target(handler) as other:
        async with server(clear, tcp=[allowed]), Link(clear.http) as link:
            async with forwarding(link, TcpForward, to(other), listen=LOCAL) as (forward, local):
                with pytest.raises(ConnectionError):
                    await ask(local)
                await within(lambda: forward.counts.failed == 1)
            # The same host by another name is another target.
            rule = Rule("127.0.0.1", 0, "localhost", allowed)
            async with forwarding(link, TcpForward, rule, listen=LOCAL) as (forward, local):
                with pytest.raises(ConnectionError):
                    await ask(local)
    assert not touched


async def test_several_connections_take_turns(clear):
    async with target(shout) as port, server(clear, tcp=[port]) as there:
        async with Link(clear.http, connections=3, delays=at_once) as link:
            async with asyncio.timeout(10):
                while link.connected < 3:
                    await asyncio.sleep(0.01)
            used = {await link.session() for _ in range(6)}
            assert len(used) == 3
            async with forwarding(link, TcpForward, to(port), listen=LOCAL) as (_, local):
                assert await asyncio.gather(*(ask(local) for _ in range(9))) == [b"HELLOBYE"] * 9
            assert there.stats()["connections"] == 3


async def test_it_connects_again(clear, within):
    async with target(shout) as port, server(clear, tcp=[port]) as there:
        async with Link(clear.http, delays=at_once) as link:
            async with forwarding(link, TcpForward, to(port), listen=LOCAL) as (_, local):
                assert await ask(local) == b"HELLOBYE"
                for wire in list(there._wires):
                    wire.abort()
                assert await ask(local) == b"HELLOBYE"
                assert link.connects == 2


async def test_a_server_that_leaves_is_left(clear, within):
    # GOAWAY: what is open goes on, what is new goes over another connection.
    async with target(shout) as port, server(clear, tcp=[port]) as there:
        async with Link(clear.http, delays=at_once) as link:
            async with forwarding(link, TcpForward, to(port), listen=LOCAL) as (_, local):
                reader, writer = await asyncio.open_connection("127.0.0.1", local)
                writer.write(b"before")
                assert await reader.readexactly(6) == b"BEFORE"
                for wire in list(there._wires):
                    wire.leave()
                await within(lambda: link.connects == 2)
                assert await ask(local) == b"HELLOBYE"
                await goes_on(reader, writer)


async def test_without_a_server_there_is_patience(clear, within):
    async with target(shout) as port:
        async with server(clear, tcp=[port]):
            link = Link(clear.http, patience=0.2, delays=at_once)
            await link.__aenter__()
        try:
            await within(lambda: link.connected == 0)
            with pytest.raises(Unavailable):
                await link.session()
            async with forwarding(link, TcpForward, to(port), listen=LOCAL) as (forward, local):
                with pytest.raises(ConnectionError):
                    await ask(local)
                await within(lambda: forward.counts.failed == 1)
            assert link.failures
        finally:
            await link.close()


async def test_no_server_at_all():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        link = Link(f"http://127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(OSError):
            await link.__aenter__()


async def test_a_port_has_so_many_connections(clear, within):
    async with target(shout) as port, server(clear, tcp=[port]), Link(clear.http) as link:
        forward = TcpForward(link, to(port), max_connections=1)
        local = forward.listen(*LOCAL)
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", local)
            await within(lambda: forward.counts.open == 1)
            with pytest.raises(ConnectionError):
                await ask(local)
            counts = forward.counts
            assert (counts.turned_away, counts.failed, counts.open) == (1, 1, 1)
            await goes_on(reader, writer)
            await within(lambda: counts.open == 0)
            assert await ask(local) == b"HELLOBYE"
        finally:
            await forward.close()


@pytest.mark.parametrize("kind", [TcpForward, Socks])
async def test_a_client_that_never_ends_its_side(clear, within, kind):
    async def ends(reader, writer):
        writer.write_eof()
        await reader.read()

    async with target(ends) as port, server(clear, tcp=[port]), Link(clear.http) as link:
        arguments = [to(port)] if kind is TcpForward else []
        forward = kind(link, *arguments, half_closed_timeout=0.3)
        local = forward.listen(*LOCAL)
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", local)
            if kind is Socks:
                writer.write(GREETING + connect_to("127.0.0.1", port))
                assert len(await reader.readexactly(12)) == 12
            assert await reader.read() == b""
            await within(lambda: forward.counts.opened == 1 and forward.counts.open == 0)
            writer.close()
        finally:
            await forward.close()


async def test_a_client_that_comes_while_it_closes():
    """Its task is cancelled before it begins."""

    class Closing(Listener):
        async def _forward(self, sock):
            raise AssertionError("it has begun")

        def _spawn(self, coroutine):
            task = super()._spawn(coroutine)
            if self._accepting:
                task.cancel()
            return task

    listener = Closing()
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.listen(*LOCAL))
    assert await reader.read() == b""
    writer.close()
    await listener.close()


async def test_clients_that_are_gone_are_found_out():
    """A connection that says nothing is asked by TCP whether it is there."""

    class Asked(Listener):
        async def _forward(self, sock):
            asked.append(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    asked = []
    listener = Asked()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.listen(*LOCAL))
        assert await reader.read() == b""
        writer.close()
    finally:
        await listener.close()
    assert asked and asked[0]


# -- UDP -----------------------------------------------------------------------------------------


async def packet(sock):
    async with asyncio.timeout(10):
        while True:
            try:
                return sock.recv(65536)
            except BlockingIOError:
                await asyncio.sleep(0.002)


async def test_packets_go_to_the_target(clear, within):
    async with (
        udp_target(lambda data: data.upper()) as it,
        server(clear, udp=[it.port]),
        Link(clear.http) as link,
        forwarding(link, UdpForward, to(it.port)) as (forward, local),
    ):
        with endpoint() as one, endpoint() as other:
            for sock, data in ((one, b"one"), (other, b"other"), (one, b""), (one, bytes(1400))):
                sock.sendto(data, ("127.0.0.1", local))
                assert await packet(sock) == data.upper()
        counts = forward.counts
        assert (counts.opened, counts.open, counts.failed) == (2, 2, 0)
        assert counts.sent == counts.received == 8 + 1400
        assert len(it.senders) == 2


async def test_packets_to_what_is_not_allowed(clear, within):
    async with udp_target() as it, udp_target() as other, server(clear, udp=[other.port]):
        async with Link(clear.http) as link:
            async with forwarding(link, UdpForward, to(it.port)) as (forward, local):
                with endpoint() as sock:
                    sock.sendto(b"x", ("127.0.0.1", local))
                    await within(lambda: forward.counts.failed == 1)
        assert not it.got


async def test_silent_senders_are_forgotten(clear, within):
    async with udp_target() as it, server(clear, udp=[it.port]) as there, Link(clear.http) as link:
        forward = UdpForward(link, to(it.port), idle_timeout=0.8, max_flows=2)
        local = forward.listen()
        try:
            with endpoint() as sock:
                sock.sendto(b"x", ("127.0.0.1", local))
                assert await packet(sock) == b"x"
                await within(lambda: forward.counts.open == 0)
                await within(lambda: there.proxy.stats()["sockets"] == 0)
                sock.sendto(b"again", ("127.0.0.1", local))
                assert await packet(sock) == b"again"
                assert forward.counts.opened == 2
        finally:
            await forward.close()


async def test_packets_that_come_while_it_closes(clear):
    """They open no tunnel that nobody would end."""
    async with udp_target() as it, server(clear, udp=[it.port]), Link(clear.http) as link:
        forward = UdpForward(link, to(it.port))
        local = forward.listen()
        with endpoint() as sock, endpoint() as other:
            sock.sendto(b"x", ("127.0.0.1", local))
            assert await packet(sock) == b"x"
            other.sendto(b"late", ("127.0.0.1", local))
            await forward.close()
        assert len(forward.flows) == 0
        assert (forward.counts.opened, forward.counts.open) == (1, 0)


# -- SOCKS5 --------------------------------------------------------------------------------------

GREETING = b"\x05\x01\x00"


def connect_to(host, port, command=1):
    try:
        address = b"\x01" + socket.inet_aton(host)
    except OSError:
        address = bytes((3, len(host))) + host.encode()
    return bytes((5, command, 0)) + address + port.to_bytes(2, "big")


@contextlib.asynccontextmanager
async def socks(clear, **allowed):
    async with server(clear, **allowed), Link(clear.http) as link:
        async with forwarding(link, Socks, listen=LOCAL) as (it, local):
            reader, writer = await asyncio.open_connection("127.0.0.1", local)
            try:
                yield it, reader, writer
            finally:
                writer.close()


async def test_socks(clear):
    async with target(shout) as port, socks(clear, tcp=[port]) as (it, reader, writer):
        request = GREETING + connect_to("127.0.0.1", port)
        for octet in request:
            writer.write(bytes((octet,)))
        assert await reader.readexactly(2) == b"\x05\x00"
        assert await reader.readexactly(10) == b"\x05\x00\x00\x01" + bytes(6)
        writer.write(b"hello")
        writer.write_eof()
        assert await reader.read() == b"HELLOBYE"
        assert it.counts.opened == 1


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (connect_to("127.0.0.1", 1), b"\x05\x02"),  # not allowed
        (connect_to("other.example", 443), b"\x05\x02"),
        (connect_to("a b", 443), b"\x05\x01"),
        (connect_to("127.0.0.1", 80, command=2), b"\x05\x07"),  # BIND
        (b"\x05\x01\x00\x02", b"\x05\x08"),
    ],
)
async def test_socks_refuses(clear, request_, answer):
    async with target(shout) as port, socks(clear, tcp=[port]) as (_, reader, writer):
        writer.write(GREETING + request_)
        assert await reader.readexactly(2) == b"\x05\x00"
        assert (await reader.readexactly(10))[:2] == answer


async def test_socks_wants_no_password(clear):
    async with socks(clear, tcp=[1]) as (_, reader, writer):
        writer.write(b"\x05\x01\x02")
        assert await reader.read() == b"\x05\xff"


async def test_another_version_of_socks(clear, within):
    async with socks(clear, tcp=[1]) as (it, reader, writer):
        writer.write(b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00")
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        await within(lambda: it.counts.failed == 1)
