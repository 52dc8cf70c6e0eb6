"""Nothing is reached beyond what was allowed: tried by every way there is, in every disguise.

A server of the loop's own listens on all addresses of this machine; whoever is led to it is noted.
"""

import asyncio
import contextlib
import socket

import pytest

from h2ws_fast import Dialer, InvalidStatus, Session
from h2ws_fast.aio.server import addresses
from h2ws_fast.forward import Link, Rule, Socks, TcpForward, UdpForward
from h2ws_fast.masque import UdpProxy, connect_udp
from tests.support import frames as f
from tests.support.programs import bind_packets
from tests.support.raw import RawServer

from .test_forward import LOCAL, forwarding

row = pytest.mark.row


def own():
    """An address of this machine's network, where it has one, as IPv4."""
    found = addresses.source_towards(addresses.parsed("192.0.2.1"))
    return "127.0.0.1" if found is None else str(found)


def disguised(address):
    """An IPv4 address as resolvers and IPv6 write it."""
    number = int.from_bytes(socket.inet_aton(address), "big")
    one, two, three, four = socket.inet_aton(address)
    carried = f"{number >> 16:x}:{number & 0xFFFF:x}"
    return [
        address,
        str(number),
        hex(number),
        f"0{number:o}",
        f"{one}.{number & 0xFFFFFF}",
        f"{one}.{two}.{number & 0xFFFF}",
        f"0x{one:x}.0x{two:x}.0x{three:x}.0x{four:x}",
        f"::ffff:{address}",
        f"0:0:0:0:0:ffff:{carried}",
        f"::{address}",
        f"64:ff9b::{carried}",
        f"2002:{carried}::1",
        f"2002:{carried}:0:1:2:3:4",
    ]


ASIDE = (f.WINDOW_UPDATE, f.SETTINGS, f.PING, f.RST_STREAM, f.DATA)
HERE = [
    *disguised("127.0.0.1"),
    *disguised(own()),
    *("127.1", "0", "0.0.0.0", "localhost", "LOCALHOST", "localhost.", "::", "::1", "0::0:1"),
]


class Touched(asyncio.DatagramProtocol):
    """Who came, over TCP and UDP, on one port."""

    def __init__(self):
        self.by = []

    def datagram_received(self, data, address):
        self.by.append(("udp", data))

    async def accepted(self, reader, writer):
        self.by.append(("tcp", None))
        writer.close()


@contextlib.asynccontextmanager
async def everywhere():
    """A TCP and a UDP server on all addresses: (touched, port)."""
    loop = asyncio.get_running_loop()
    it = Touched()
    listener, packets = bind_packets(lambda: socket.create_server(("0.0.0.0", 0)))
    server = await asyncio.start_server(it.accepted, sock=listener)
    transport, _ = await loop.create_datagram_endpoint(lambda: it, sock=packets)
    try:
        yield it, listener.getsockname()[1]
    finally:
        transport.close()
        server.close()


async def by_connect(link, host, port):
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    with pytest.raises(InvalidStatus) as caught:
        await link.connect_tcp(authority)
    return caught.value.response.status


async def by_connect_udp(link, host, port):
    with pytest.raises(InvalidStatus) as caught:
        udp = await connect_udp(await link.session(), host, port)
        await udp.send(b"here")
    return caught.value.response.status


async def reset(port, says=b""):
    """A local connection that is reset, or ended, without an octet but those of SOCKS."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(says)
        with contextlib.suppress(ConnectionError):
            return await reader.read()
        return b""
    finally:
        writer.close()


async def by_forward(link, host, port):
    async with forwarding(link, TcpForward, Rule(*LOCAL, host, port), listen=LOCAL) as (it, local):
        assert await reset(local) == b""
        assert (it.counts.opened, it.counts.failed) == (0, 1)


async def by_socks(link, host, port):
    """As an address where SOCKS has a form for it, and as a name."""
    forms = [b"\x03" + bytes([len(host)]) + host.encode()]
    for family, kind in ((socket.AF_INET, b"\x01"), (socket.AF_INET6, b"\x04")):
        with contextlib.suppress(OSError):
            forms.append(kind + socket.inet_pton(family, host))
    async with forwarding(link, Socks, listen=LOCAL) as (it, local):
        for form in forms:
            said = await reset(local, b"\x05\x01\x00\x05\x01\x00" + form + port.to_bytes(2, "big"))
            assert said[3:4] != b"\x00"  # SUCCEEDED; a reset may swallow what says why not
        assert it.counts.opened == 0


async def by_udp_forward(link, host, port):
    async with forwarding(link, UdpForward, Rule(*LOCAL, host, port)) as (it, local):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"here", ("127.0.0.1", local))
            async with asyncio.timeout(10):
                while not it.counts.failed:
                    await asyncio.sleep(0.002)
        assert it.counts.opened == 0


@row("SEC-8-1", "9298-7-1")
@pytest.mark.parametrize("way", [by_connect, by_connect_udp, by_forward, by_socks, by_udp_forward])
async def test_this_machine_is_reached_by_no_way_and_in_no_disguise(clear, way):
    proxies = {"connect": Dialer(ports=None), "tunnels": {"connect-udp": UdpProxy()}}
    async with everywhere() as (touched, port), clear.serve(**proxies), Link(clear.http) as link:
        for host in HERE:
            assert await way(link, host, port) in (None, 403, 502), host
        await asyncio.sleep(0.05)
    assert not touched.by


@row("SEC-8-1", "9298-7-1")
async def test_a_name_that_means_something_else_the_next_time(clear):
    """What was checked is what is dialled: nobody asks a resolver a second time."""

    def changing(kind):
        answers = ["8.8.8.8", "127.0.0.1"]

        async def resolve(host, port):
            asked.append(host)
            return [(socket.AF_INET, kind, 0, "", (answers.pop(0), port))]

        return resolve

    async def attempt(loop, to, local):
        dialled.append(to[4])
        raise ConnectionRefusedError(111, "refused")

    asked, dialled = [], []
    async with everywhere() as (touched, port):
        patch = pytest.MonkeyPatch()
        patch.setattr("h2ws_fast.aio.client.race._connect", attempt)
        with contextlib.closing(contextlib.ExitStack()) as stack:
            stack.callback(patch.undo)
            udp = UdpProxy(resolve=changing(socket.SOCK_DGRAM))
            tcp = Dialer(ports=None, resolve=changing(socket.SOCK_STREAM))
            async with (
                clear.serve(connect=tcp, tunnels={"connect-udp": udp}),
                Session(clear.http) as session,
            ):
                with pytest.raises(InvalidStatus):
                    await session.connect_tcp(f"changes.example:{port}")
                assert (asked, dialled) == (["changes.example"], [("8.8.8.8", port)])
                # UDP: the socket leads to the one, or nowhere.
                with contextlib.suppress(InvalidStatus):
                    packets = await connect_udp(session, "changes.example", port)
                    await packets.send(b"here")
                    packets.abort()
                assert asked == ["changes.example"] * 2
        await asyncio.sleep(0.05)
    assert not touched.by


@row("SEC-8-1")
@pytest.mark.parametrize("status", ["301", "302", "307", "308", "101", "204"])
async def test_a_server_sends_nobody_elsewhere(status):
    """No redirect of a tunnel is followed, and no other answer opens one."""
    async with everywhere() as (touched, port):

        async def script(peer):
            for stream_id in (1, 3):
                await peer.expect(f.HEADERS, stream_id, skip=ASIDE)
                fields = [(":status", status), ("location", f"http://127.0.0.1:{port}/")]
                peer.headers(stream_id, fields, end_stream=True)
            await peer.until_eof()

        async with RawServer(script, (f.ENABLE_CONNECT_PROTOCOL, 1)) as server:
            async with Session(f"http://127.0.0.1:{server.port}") as session:
                for opening in (
                    session.connect_tcp("a.example:443"),
                    connect_udp(session, "a.example", 53),
                ):
                    with contextlib.suppress(Exception):
                        tunnel = await opening
                        assert await tunnel.recv() == b""  # at the most an end
        await asyncio.sleep(0.05)
    assert not touched.by
