"""Ports of the server that lead to targets of the client: `-R`, over streams that the server opens."""

import asyncio
import contextlib
import random
import socket
import struct

import pytest

from h2ws_fast import InvalidStatus, Session, StreamReset
from h2ws_fast.engine import Settings
from h2ws_fast.forward import Link, Ports, Remotes, Rule
from h2ws_fast.forward.lease import ACCEPTED, LISTEN, LISTENING_ON, Lease
from tests.aio.test_connect import shout, target
from tests.forward.test_forward import ask, at_once, goes_on
from tests.support.programs import free_port

BOTH_WAYS = Settings(enable_bidirectional_connect=True)
NAME = "0123456789abcdef"


def rule(port, at=0, host="127.0.0.1"):
    return Rule("127.0.0.1", at, host, port)


@contextlib.asynccontextmanager
async def serving(clear, allow=("0",), **options):
    """A server on which clients may have these ports listened on."""
    ports = Ports(allow, **options)
    async with clear.serve(tunnels={LISTEN: ports}, settings=BOTH_WAYS, close_timeout=1) as there:
        there.ports = ports
        yield there


@contextlib.asynccontextmanager
async def remote(clear, *rules, connections=1, **options):
    """A link and what it has listened on: gives the Remotes, whose ports are there."""
    remotes = Remotes(rules, delays=at_once, **options)
    link = Link(clear.http, tunnels=remotes.tunnels, connections=connections, delays=at_once)
    async with link:
        await remotes.listen(link)
        remotes.link = link
        yield remotes


def port_of(remotes, number=0):
    host, _, port = remotes.all[number].listening_on.rpartition(":")
    assert host == "127.0.0.1"
    return int(port)


def listens(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


# -- what passes -----------------------------------------------------------------------------------


async def test_connections_there_come_here(clear, within):
    big = random.Random(3).randbytes(300_000)
    async with target(shout) as port, serving(clear) as there, remote(clear, rule(port)) as remotes:
        local = port_of(remotes)
        assert await ask(local) == b"HELLOBYE"
        answers = await asyncio.gather(*(ask(local, big) for _ in range(5)))
        assert answers == [big.upper() + b"BYE"] * 5
        counts = remotes.all[0].counts
        await within(lambda: counts.open == 0 and there.ports.stats()["connections"] == 0)
        assert (counts.opened, counts.failed) == (6, 0)
        assert counts.received == 5 + 5 * len(big)
        assert counts.sent == 8 + 5 * (len(big) + 3)
        assert there.ports.stats() == {
            "listeners": 1,
            "clients": 1,
            "connections": 0,
            "granted": 1,
            "refused": 0,
            "accepted": 6,
            "failed": 0,
            "turned_away": 0,
            "to_clients": counts.received,
            "from_clients": counts.sent,
        }


async def test_each_direction_ends_apart(clear):
    async def goodbye(reader, writer):
        writer.write(b"first")
        writer.write_eof()
        assert await reader.read() == b"and then I speak"
        heard.set_result(True)

    heard = asyncio.get_running_loop().create_future()
    async with target(goodbye) as port, serving(clear), remote(clear, rule(port)) as remotes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(remotes))
        assert await reader.read() == b"first"
        writer.write(b"and then I speak")
        writer.write_eof()
        async with asyncio.timeout(10):
            assert await heard
        writer.close()


async def test_a_target_whose_peer_never_ends_its_side(clear, within):
    """A server that waits for ever does not make this end wait for ever."""

    async def ends(reader, writer):
        writer.write_eof()
        await reader.read()

    async with target(ends) as port, serving(clear, half_closed_timeout=None):
        async with remote(clear, rule(port), half_closed_timeout=0.3) as remotes:
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(remotes))
            assert await reader.read() == b""
            counts = remotes.all[0].counts
            await within(lambda: counts.opened == 1 and counts.open == 0)
            writer.close()


async def test_resets_pass_both_ways(clear):
    seen = asyncio.get_running_loop().create_future()

    async def resets(reader, writer):
        data = await reader.readexactly(1)
        if data == b"!":  # this end resets
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            return
        writer.write(data)
        try:
            await reader.read()
        except ConnectionError as error:
            seen.set_result(type(error))

    async with target(resets) as port, serving(clear), remote(clear, rule(port)) as remotes:
        with pytest.raises(ConnectionError):
            await ask(port_of(remotes), b"!")
        sock = socket.create_connection(("127.0.0.1", port_of(remotes)))
        sock.sendall(b"?")
        sock.setblocking(False)
        assert await asyncio.get_running_loop().sock_recv(sock, 1) == b"?"
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        async with asyncio.timeout(10):
            assert await seen is ConnectionResetError


async def test_a_target_that_is_not_there(clear, within):
    async with serving(clear) as there, remote(clear, rule(free_port())) as remotes:
        with pytest.raises(ConnectionError):
            await ask(port_of(remotes))
        assert remotes.all[0].counts.failed == 1
        assert listens(port_of(remotes))
        await within(lambda: there.ports.stats()["connections"] == 0)


async def test_several_rules_and_several_connections(clear, within):
    async def whisper(reader, writer):
        writer.write((await reader.read()).lower())

    async with target(shout) as one, target(whisper) as other, serving(clear) as there:
        async with remote(clear, rule(one), rule(other), connections=3) as remotes:
            await within(lambda: there.ports.stats()["granted"] == 6)
            assert there.ports.stats()["listeners"] == 2
            for _ in range(3):
                assert await ask(port_of(remotes, 0)) == b"HELLOBYE"
                assert await ask(port_of(remotes, 1), b"HELLO") == b"hello"
            # In turn: each connection has two leases, and one of three that are open.
            kept = [await asyncio.open_connection("127.0.0.1", port_of(remotes)) for _ in range(3)]
            await within(lambda: there.ports.stats()["connections"] == 3)
            assert [wire.conn.stats()["open_streams"] for wire in there._wires] == [3, 3, 3]
            for reader, writer in kept:
                await goes_on(reader, writer)


# -- what does not listen --------------------------------------------------------------------------


async def test_nothing_listens_that_was_not_allowed(clear):
    free, other = free_port(), free_port()
    async with target(shout) as port, serving(clear, [str(free)]) as there:
        for wanted in (
            rule(port, other),
            rule(port, 0),
            Rule("0.0.0.0", free, "127.0.0.1", port),
            Rule("127.0.0.2", free, "127.0.0.1", port),
            Rule("::1", free, "127.0.0.1", port),
        ):
            with pytest.raises(ConnectionError, match="does not allow it"):
                async with remote(clear, wanted):
                    pass
        stats = there.ports.stats()
        assert (stats["listeners"], stats["granted"], stats["refused"]) == (0, 0, 5)
        assert not listens(free) and not listens(other)
        async with remote(clear, rule(port, free)) as remotes:
            assert port_of(remotes) == free
            assert await ask(free) == b"HELLOBYE"


async def test_a_server_without_ports_does_not_listen(clear):
    async with clear.serve(settings=BOTH_WAYS, tunnels={"other": shout}):
        with pytest.raises(ConnectionError, match="does not listen for clients"):
            async with remote(clear, rule(1)):
                pass


async def test_a_port_in_use(clear):
    async with target(shout) as port, serving(clear, ["0-65535"]) as there:
        with pytest.raises(ConnectionError, match="in use"):
            async with remote(clear, rule(port, port)):
                pass
        async with remote(clear, rule(port)) as remotes:
            # Of another client, which has another name.
            with pytest.raises(ConnectionError, match="in use"):
                async with remote(clear, rule(port, port_of(remotes))):
                    pass
            assert there.ports.stats()["listeners"] == 1
            assert await ask(port_of(remotes)) == b"HELLOBYE"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/listen",
        f"/listen/127.0.0.1/0/{NAME}",
        "/listen/127.0.0.1/0/short/0",
        f"/listen/localhost/0/{NAME}/0",
        f"/listen/127.0.0.1/65536/{NAME}/0",
        f"/listen/127.1/0/{NAME}/0",
        f"/listen/fe80%3A%3A1%25lo/0/{NAME}/0",
        f"/listen/127.0.0.1/0/{NAME}/0?",
        f"/listen/%2E%2E/0/{NAME}/0",
    ],
)
async def test_what_is_no_lease(clear, path):
    async with serving(clear, ["0-65535"]) as there:
        async with Session(clear.http, tunnels={ACCEPTED: shout}) as session:
            with pytest.raises(InvalidStatus) as refused:
                await session.tunnel(LISTEN, path)
        assert refused.value.response.status == 400
        assert there.ports.stats()["listeners"] == 0


async def test_a_client_that_takes_no_streams(clear):
    async with serving(clear), Session(clear.http) as session:
        with pytest.raises(InvalidStatus) as refused:
            await session.tunnel(LISTEN, Lease("127.0.0.1", 0, NAME, 0).path)
        assert refused.value.response.status == 400


async def test_a_server_opens_only_what_was_asked_for(clear):
    """A stream by another path reaches no target of the client's."""
    touched = []

    async def handler(reader, writer):
        touched.append(writer)

    came = asyncio.get_running_loop().create_future()

    async def on_session(session):
        came.set_result(session)
        await asyncio.get_running_loop().create_future()

    async with target(handler) as port, clear.serve(on_session=on_session, settings=BOTH_WAYS):
        remotes = Remotes([rule(port)])
        async with Link(clear.http, tunnels=remotes.tunnels):
            session = await came
            for path in ("/", f"/127.0.0.1:{port}", Lease("127.0.0.1", 0, NAME, 0).path):
                tunnel = await session.tunnel(ACCEPTED, path)
                with pytest.raises(StreamReset):
                    await tunnel.recv()
    assert not touched


# -- limits ----------------------------------------------------------------------------------------


async def test_limits_of_listeners(clear):
    limits = {"max_listeners_per_client": 2, "client": lambda r: r.headers.get("who")}
    async with serving(clear, max_listeners=3, **limits) as there:

        async def lease(session, name, who):
            path = Lease("127.0.0.1", 0, name * 16, 0).path
            return await session.tunnel(LISTEN, path, headers=[("who", who)])

        async with Session(clear.http, tunnels={ACCEPTED: shout}) as session:
            first = await lease(session, "a", "me")
            await lease(session, "b", "me")
            for name, who in (("c", "me"), ("d", "me")):
                with pytest.raises(InvalidStatus) as refused:
                    await lease(session, name, who)
                assert refused.value.response.status == 503
            await lease(session, "c", "you")
            with pytest.raises(InvalidStatus):
                await lease(session, "d", "you")  # more than all may have
            assert there.ports.stats()["clients"] == 2
            await first.close()
            assert await first.recv() == b""
            await lease(session, "d", "me")
            assert there.ports.stats()["listeners"] == 3


async def test_a_limit_of_connections(clear, within):
    async with target(shout) as port, serving(clear, max_connections=2) as there:
        async with remote(clear, rule(port)) as remotes:
            kept = [await asyncio.open_connection("127.0.0.1", port_of(remotes)) for _ in range(2)]
            await within(lambda: there.ports.stats()["connections"] == 2)
            with pytest.raises(ConnectionError):
                await ask(port_of(remotes))
            assert there.ports.stats()["turned_away"] == 1
            for reader, writer in kept:
                await goes_on(reader, writer)
            await within(lambda: there.ports.stats()["connections"] == 0)
            assert await ask(port_of(remotes)) == b"HELLOBYE"


async def test_a_side_that_never_ends(clear, within):
    """It does not keep its place among the port's connections."""

    async def ends(reader, writer):
        writer.write_eof()
        await reader.read()

    async with target(ends) as port, serving(clear, half_closed_timeout=0.3) as there:
        async with remote(clear, rule(port)) as remotes:
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(remotes))
            assert await reader.read() == b""
            await within(lambda: there.ports.stats()["connections"] == 0)
            # The client counts it as a failure, too: its target was not at its end.
            await within(lambda: remotes.all[0].counts.failed == 1)
            writer.close()


async def test_a_client_whose_streams_are_all_taken(clear, within):
    """Beyond the client's own limit connections are reset; those that there are go on."""
    async with target(shout) as port, serving(clear) as there:
        remotes = Remotes([rule(port)], delays=at_once)
        few = Settings(enable_bidirectional_connect=True, max_concurrent_streams=1)
        async with Link(clear.http, tunnels=remotes.tunnels, settings=few) as link:
            await remotes.listen(link)
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(remotes))
            await within(lambda: there.ports.stats()["connections"] == 1)
            with pytest.raises(ConnectionError):
                await ask(port_of(remotes))
            assert there.ports.stats()["failed"] == 1
            await goes_on(reader, writer)


# -- ends ------------------------------------------------------------------------------------------


async def test_a_port_is_gone_with_its_client(clear, within):
    async with target(shout) as port, serving(clear) as there:
        async with remote(clear, rule(port)) as remotes:
            local = port_of(remotes)
            assert listens(local)
        await within(lambda: there.ports.stats()["listeners"] == 0 and not listens(local))
        assert there.ports.stats()["clients"] == 0


async def test_it_listens_again_when_the_connection_is_made_again(clear, within):
    at = free_port()
    async with target(shout) as port, serving(clear, [str(at)]) as there:
        async with remote(clear, rule(port, at)) as remotes:
            assert await ask(at) == b"HELLOBYE"
            for number in (2, 3):
                for wire in list(there._wires):
                    wire.abort()
                await within(lambda n=number: there.ports.stats()["granted"] >= n)
                await within(lambda: remotes.all[0].listening_on == f"127.0.0.1:{at}")
                assert await ask(at) == b"HELLOBYE"
            assert there.ports.stats()["listeners"] == 1


async def test_a_client_that_comes_again_does_not_wait_for_its_old_connection(clear, within):
    """The server has not noticed yet that the first is gone: the same name takes its place."""
    at = free_port()
    path = Lease("127.0.0.1", at, NAME, 0).path
    async with target(shout) as port, serving(clear, [str(at)]) as there:
        remotes = Remotes([rule(port, at)], delays=at_once)
        remotes.all[0].name = NAME
        remotes._of = {NAME: remotes.all[0]}
        async with Session(clear.http, tunnels={ACCEPTED: asyncio.sleep}) as stale:
            lease = await stale.tunnel(LISTEN, path)
            assert lease.response.headers[LISTENING_ON] == f"127.0.0.1:{at}"
            async with Link(clear.http, tunnels=remotes.tunnels) as link:
                await remotes.listen(link)
                with pytest.raises(StreamReset):
                    await lease.recv()
                assert await asyncio.gather(*(ask(at) for _ in range(4))) == [b"HELLOBYE"] * 4
                assert there.ports.stats()["listeners"] == 1
        await within(lambda: not listens(at))


async def test_one_of_several_connections_is_lost(clear, within):
    async with target(shout) as port, serving(clear) as there:
        async with remote(clear, rule(port), connections=2) as remotes:
            local = port_of(remotes)
            await within(lambda: there.ports.stats()["granted"] == 2)
            next(iter(there._wires)).abort()
            # Listening went on: it is the same port, though any free one was asked for.
            await within(lambda: there.ports.stats()["granted"] == 3)
            assert await asyncio.gather(*(ask(local) for _ in range(4))) == [b"HELLOBYE"] * 4


async def test_a_server_that_leaves_listens_no_more(clear, within):
    """GOAWAY: what is open goes on, and the lease is taken to another connection."""
    async with target(shout) as port, serving(clear) as there:
        async with remote(clear, rule(port)) as remotes:
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(remotes))
            writer.write(b"before")
            assert await reader.readexactly(6) == b"BEFORE"
            for wire in list(there._wires):
                wire.leave()
            await within(lambda: there.ports.stats()["granted"] == 2)
            await within(lambda: remotes.all[0].listening_on is not None)
            assert await ask(port_of(remotes)) == b"HELLOBYE"
            await goes_on(reader, writer)


async def test_a_lease_that_the_server_ends_is_asked_for_again(clear, within):
    async with target(shout) as port, serving(clear) as there:
        async with remote(clear, rule(port)) as remotes:
            (held,) = next(iter(there.ports._ports.values())).holders.values()
            held.tunnel.abort()
            await within(lambda: there.ports.stats()["granted"] == 2)
            await within(lambda: remotes.all[0].listening_on is not None)
            assert await ask(port_of(remotes)) == b"HELLOBYE"


def test_ports_are_named():
    with pytest.raises(TypeError):
        Ports("8080")
    with pytest.raises(ValueError):
        Ports(["localhost:80"])
