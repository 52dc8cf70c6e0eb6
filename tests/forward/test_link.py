"""How often the connections to a server are made, and what the listeners tell."""

import asyncio
import contextlib
import itertools
import logging
import socket
import struct

import pytest

from h2ws_fast import Session, StreamReset
from h2ws_fast.engine import Limits
from h2ws_fast.errors import ConnectionTerminated
from h2ws_fast.forward import Link, Socks, TcpForward, UdpForward, Unavailable
from h2ws_fast.forward import link as links
from tests.aio.test_connect import shout, target
from tests.masque.conftest import endpoint
from tests.support import frames as f
from tests.support.peer import OK
from tests.support.raw import RawServer

from .test_forward import LOCAL, ask, at_once, forwarding, server, to


class Delays:
    """What a Link asks how long it is to wait: nothing, and then for ever. `asked` counts."""

    def __init__(self, quick):
        self.quick = quick
        self.asked = 0

    def __call__(self):
        for delay in itertools.chain([0.0] * self.quick, itertools.repeat(1000.0)):
            self.asked += 1
            yield delay


@contextlib.asynccontextmanager
async def counting(serve):
    """A server of TCP: its port, and a list of who came."""
    came = []

    async def handler(reader, writer):
        came.append(writer)
        await serve(reader, writer)
        writer.close()

    it = await asyncio.start_server(handler, "127.0.0.1", 0)
    try:
        yield it.sockets[0].getsockname()[1], came
    finally:
        it.close()


async def closes(reader, writer):
    await reader.read(10)


@pytest.mark.parametrize("connections", [1, 3])
async def test_a_server_that_takes_connections_and_ends_them(within, connections):
    delays = Delays(quick=4)
    async with counting(closes) as (port, came):
        url = f"http://127.0.0.1:{port}"
        async with Link(url, connections=connections, delays=delays) as link:
            # The first, one at once, four after delays of none: then it waits.
            await within(lambda: delays.asked == 5 * connections)
            await asyncio.sleep(0.2)
            assert len(came) <= 6 * connections
            assert link.connected == 0


async def test_a_server_that_says_goaway_at_once(within):
    async def script(peer):
        seen.append(peer)
        peer.send(f.goaway(0, 0))
        await peer.until_eof()

    seen = []
    delays = Delays(quick=2)
    async with RawServer(script) as it:
        async with Link(f"http://127.0.0.1:{it.port}", delays=delays):
            await within(lambda: delays.asked == 3)
            await asyncio.sleep(0.2)
            assert len(seen) <= 4


async def test_what_lasted_begins_anew(clear, within, monkeypatch):
    monkeypatch.setattr(links, "STABLE_S", 0.0)
    delays = Delays(quick=0)
    async with target(shout) as port, server(clear, tcp=[port]) as there:
        async with Link(clear.http, delays=delays) as link:
            for number in range(2, 5):
                for wire in list(there._wires):
                    wire.abort()
                await within(lambda: link.connects == number)  # noqa: B023  # awaited here
                async with forwarding(link, TcpForward, to(port), listen=LOCAL) as (_, local):
                    assert await ask(local) == b"HELLOBYE"
    assert delays.asked == 0


@pytest.fixture
def lines(caplog):
    """The warnings of forward."""
    caplog.set_level(logging.WARNING, "h2ws_fast.forward")
    return lambda: [each.getMessage() for each in caplog.records]


# -- connections that nobody uses ----------------------------------------------------------------

SHORT = Limits(first_request_timeout_s=0.5, idle_timeout_s=0.5)


async def test_one_that_nobody_uses_is_made_again_when_it_is_asked_for(
    clear, within, lines, monkeypatch
):
    monkeypatch.setattr(links, "STABLE_S", 0.0)
    async with target(shout) as port, server(clear, tcp=[port], limits=SHORT) as there:
        async with Link(clear.http, connections=2, delays=at_once) as link:
            async with forwarding(link, TcpForward, to(port), listen=LOCAL) as (_, local):
                for made in (2, 4):
                    await within(lambda: link.connects == made)  # noqa: B023  # awaited here
                    await within(lambda: not link.connected and not there.stats()["connections"])
                    assert link.connects == made
                    assert await ask(local) == b"HELLOBYE"
                await within(lambda: link.connects == 6)
    assert not lines()


async def test_with_an_attendant_it_is_made_again_at_once(clear, within, monkeypatch):
    monkeypatch.setattr(links, "STABLE_S", 0.0)
    seen = []

    async def attendant(number, session):
        seen.append(session)

    async with server(clear, limits=SHORT), Link(clear.http, delays=at_once) as link:
        await within(lambda: not link.connected)
        link.attend(attendant)
        await within(lambda: len(seen) == 3)


# -- what the server has not processed -----------------------------------------------------------


def refuses(peer, stream_id):
    peer.send(f.rst_stream(stream_id, f.REFUSED_STREAM))


def leaves(peer, stream_id):
    peer.send(f.goaway(0, 0))


def resets(peer, stream_id):
    peer.send(f.rst_stream(stream_id, f.INTERNAL_ERROR))


@contextlib.asynccontextmanager
async def answering(how, times, **arguments):
    """A link to a server that does something else to the first streams than to open them."""
    asked = []

    async def script(peer):
        while (frame := await peer.frame()) is not None:
            if frame.kind == f.HEADERS:
                asked.append(frame)
                if len(asked) <= times:
                    how(peer, frame.stream_id)
                else:
                    peer.headers(frame.stream_id, OK)

    async with RawServer(script, (f.ENABLE_CONNECT_PROTOCOL, 1)) as it:
        async with Link(f"http://127.0.0.1:{it.port}", delays=at_once, **arguments) as link:
            yield link, asked


@pytest.mark.parametrize("way", ["tcp", "stream"])
@pytest.mark.parametrize(("how", "times"), [(refuses, 2), (leaves, 1), (leaves, 2)])
async def test_what_was_not_processed_is_asked_for_again(how, times, way):
    """RFC 9113 section 8.7."""
    async with answering(how, times) as (link, asked):
        if way == "tcp":
            tunnel = await link.connect_tcp("127.0.0.1:1")
        else:
            tunnel = await link.tunnel("bytestream", "/a")
        assert len(asked) == times + 1
        assert link.connects == (1 if how is refuses else times + 1)
        tunnel.abort()


async def test_packets_that_were_not_processed_are_asked_for_again(within):
    async with answering(refuses, 1) as (link, asked):
        async with forwarding(link, UdpForward, to(1)) as (forward, local):
            with endpoint() as sock:
                sock.sendto(b"x", ("127.0.0.1", local))
                await within(lambda: forward.counts.open == 1)
        assert len(asked) == 2 and not forward.counts.failed


async def test_what_may_have_been_processed_is_not_asked_for_again():
    async with answering(resets, 1) as (link, asked):
        with pytest.raises(StreamReset):
            await link.connect_tcp("127.0.0.1:1")
        assert len(asked) == 1


async def test_a_server_that_refuses_for_ever():
    async with answering(refuses, 1000, patience=1.5) as (link, asked):
        with pytest.raises(StreamReset):
            await link.connect_tcp("127.0.0.1:1")
        assert 2 <= len(asked) <= 4  # at once, after 0.1, 0.3 and 0.7 s


# -- what is told --------------------------------------------------------------------------------


async def failing(port):
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await reader.readexactly(1)
        finally:
            writer.close()


async def test_who_failed_and_why(clear, within, lines):
    async with server(clear, tcp=[1]), Link(clear.http) as link:
        async with forwarding(link, TcpForward, to(2), listen=LOCAL) as (forward, local):
            await failing(local)
            await within(lambda: forward.counts.failed == 1)
        (line,) = lines()
        assert line.startswith("TCP to 127.0.0.1:2: ") and "403" in line


async def test_a_flood_of_failures_fills_no_log(clear, within, lines):
    async with server(clear, tcp=[1]), Link(clear.http) as link:
        async with forwarding(link, TcpForward, to(2), listen=LOCAL) as (forward, local):
            for _ in range(60):
                await failing(local)
            await within(lambda: forward.counts.failed == 60)
        assert 20 <= len(lines()) < 60
        already = len(lines())
        async with forwarding(link, UdpForward, to(2)) as (packets, local):
            with contextlib.ExitStack() as stack:
                for number in range(1, 61):
                    stack.enter_context(endpoint()).sendto(b"x", ("127.0.0.1", local))
                    await within(lambda: packets.counts.failed == number)  # noqa: B023  # the same
        assert 20 <= len(lines()) - already < 60


async def test_an_error_without_words_has_a_name(clear, within, lines, monkeypatch):
    async with server(clear, tcp=[1]), Link(clear.http) as link:

        async def never(self, *arguments, **options):
            raise TimeoutError

        monkeypatch.setattr(Session, "connect_tcp", never)
        async with forwarding(link, TcpForward, to(2), listen=LOCAL) as (forward, local):
            await failing(local)
            await within(lambda: forward.counts.failed == 1)
        async with forwarding(link, Socks, listen=LOCAL) as (forward, local):
            reader, writer = await asyncio.open_connection("127.0.0.1", local)
            writer.write(b"\x05\x01\x00\x05\x01\x00\x01\x7f\0\0\1\0\2")
            assert (await reader.readexactly(12))[3] != 0
            await within(lambda: forward.counts.failed == 1)
            writer.close()
    assert lines() == ["TCP to 127.0.0.1:2: TimeoutError", "SOCKS5: to 127.0.0.1:2: TimeoutError"]


async def test_a_tunnel_that_was_reset_has_failed(clear, within, lines):
    async def resets(reader, writer):
        await reader.read(1)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with target(resets) as port, server(clear, tcp=[port]), Link(clear.http) as link:
        async with forwarding(link, TcpForward, to(port), listen=LOCAL) as (forward, local):
            with contextlib.suppress(ConnectionError):
                await ask(local, bytes(100_000))
            await within(lambda: forward.counts.failed == 1)
            assert forward.counts.open == 0
    assert lines()[0].startswith(f"TCP to 127.0.0.1:{port}: ")


async def test_what_is_open_is_told_too(clear, within):
    async with target(shout) as port, server(clear, tcp=[port]), Link(clear.http) as link:
        async with forwarding(link, TcpForward, to(port), listen=LOCAL) as (forward, local):
            reader, writer = await asyncio.open_connection("127.0.0.1", local)
            writer.write(b"12345")
            assert await reader.readexactly(5) == b"12345"
            words = "1 open, 1 in all, 0 failed, 5 octets sent, 5 received"
            await within(lambda: str(forward.counts) == words)
            writer.close()
            words = "0 open, 1 in all, 0 failed, 5 octets sent, 8 received"
            await within(lambda: str(forward.counts) == words or forward.counts.failed)


async def test_a_link_that_never_was(within):
    async with counting(closes) as (port, _):
        link = Link(f"http://127.0.0.1:{port}", patience=0.1, delays=Delays(quick=0))
        async with link:
            # Once more at once, and then not for long.
            await within(lambda: link.connects == 2 and not link.connected)
            with pytest.raises(Unavailable):
                await link.session()


async def test_what_was_asked_over_http_1_1_is_asked_once():
    """A server of HTTP/2 without extended CONNECT: the Upgrade has left when it hangs up on it."""
    asked = []

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"PRI "):
            writer.write(f.settings() + f.settings_ack())
            await reader.read()
        else:
            asked.append(head)

    async with counting(serve) as (port, _):
        async with Link(f"http://127.0.0.1:{port}", http="auto", delays=at_once) as link:
            with pytest.raises(ConnectionTerminated):
                await link.tunnel("bytestream", "/")
            assert len(asked) == 1 and link.connected


async def asked_fields(headers):
    """What a link with these says of who asks, by CONNECT and by a stream."""
    async with answering(resets, 0) as (link, asked):
        link.headers = headers
        for tunnel in (await link.connect_tcp("127.0.0.1:1"), await link.tunnel("t", "/")):
            tunnel.abort()
        return [
            sorted((name, value) for name, value in frame.fields if b"authorization" in name)
            for frame in asked
        ]


async def test_who_asks_is_said_as_a_proxy_reads_it():
    said = (b"authorization", b"a")
    assert await asked_fields([("Authorization", "a")]) == [
        [said, (b"proxy-authorization", b"a")],
        [said],
    ]


async def test_what_is_said_to_a_proxy_is_said_once():
    fields = [("authorization", "a"), ("Proxy-Authorization", "b")]
    said = [(b"authorization", b"a"), (b"proxy-authorization", b"b")]
    assert await asked_fields(fields) == [said, said]
