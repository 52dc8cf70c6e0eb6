"""UDP through a server: RFC 9298, both ends and each of them before octets."""

import asyncio
import contextlib
import random
import socket

import pytest

from h2ws_fast import InvalidStatus, Session, StreamClosed, StreamReset, basic_auth
from h2ws_fast.engine import Settings
from h2ws_fast.engine.capsules import capsule, datagram, udp_datagram, varint
from h2ws_fast.masque import BadTarget, UdpProxy, connect_udp, create_datagram_endpoint
from h2ws_fast.masque.proxy import prepare
from h2ws_fast.masque.template import DEFAULT_PATH
from tests.support import frames as f
from tests.support.raw import RawClient, RawServer

from .conftest import PATH, endpoint, led, local, target

row = pytest.mark.row


def asking(port, host="127.0.0.1", path=None):
    return [
        (":method", "CONNECT"),
        (":protocol", "connect-udp"),
        (":scheme", "http"),
        (":authority", "127.0.0.1"),
        (":path", path or PATH.format(host, port)),
        ("capsule-protocol", "?1"),
    ]


async def refusal(session, host, port, **options):
    """The (status, proxy-status) that a request is refused with."""
    with pytest.raises(InvalidStatus) as caught:
        await connect_udp(session, host, port, **options)
    response = caught.value.response
    assert "capsule-protocol" not in response.headers  # RFC 9297 section 3.4
    return response.status, response.headers.get("proxy-status")


@contextlib.asynccontextmanager
async def raw_tunnel(place, proxy, port, *pairs):
    """A client made of octets whose stream 1 was answered 200."""
    async with place.serve(tunnels={"connect-udp": proxy}):
        raw = await RawClient.connect(place.port, *pairs)
        raw.headers(1, asking(port))
        assert (await raw.expect(f.HEADERS, 1)).get(":status") == "200"
        try:
            yield raw
        finally:
            raw.close()


# -- both ends -----------------------------------------------------------------------------------


@row("9298-2-2", "9298-3.1-2", "9298-5-1", "9297-3.4-2")
async def test_packets_both_ways(place):
    async with target() as it, led(place, local(), it.port) as udp:
        # The answer came before any packet did.
        assert not it.got
        assert udp.response.status == 200
        assert udp.response.headers["capsule-protocol"] == "?1"
        for packet in (b"x", b"", random.Random(1).randbytes(1200), bytes(65507)):
            await udp.send(packet)
            assert await udp.recv() == packet
        assert it.got == [b"x", b"", random.Random(1).randbytes(1200), bytes(65507)]
        assert (udp.sent, udp.received, udp.dropped) == (4, 4, 0)
        assert repr(udp) == f"<UdpTunnel to 127.0.0.1 port {it.port}>"


@row("9298-x-1", "9297-3.2-1")
async def test_boundaries_are_kept(clear):
    rng = random.Random(9298)
    packets = [
        rng.randbytes(rng.choice((0, 1, 62, 63, 64, 500, 1200, 1472))) for _ in range(10_000)
    ]
    async with target() as it, led(clear, local(), it.port) as udp:
        for begin in range(0, len(packets), 50):
            batch = packets[begin : begin + 50]
            for packet in batch:
                await udp.send(packet)
            for packet in batch:
                assert await udp.recv() == packet
        assert it.got == packets
        assert len(it.senders) == 1


async def test_an_iteration_ends_with_the_tunnel(clear, within):
    proxy = local(idle_timeout=0.8)
    async with target(lambda data: [data, data.upper()]) as it, led(clear, proxy, it.port) as udp:
        await udp.send(b"one")
        assert [packet async for packet in udp] == [b"one", b"ONE"]
        with pytest.raises(StreamClosed):
            await udp.recv()
        await within(lambda: proxy.stats()["sockets"] == 0)


@row("9298-3.1-4")
async def test_the_socket_ends_with_the_stream(clear, within):
    proxy = local()
    async with (
        target() as it,
        clear.serve(tunnels={"connect-udp": proxy}),
        Session(clear.http) as session,
    ):
        tunnels = [await connect_udp(session, "127.0.0.1", it.port) for _ in range(3)]
        assert proxy.stats()["sockets"] == 3
        await tunnels[0].close()
        with pytest.raises(StreamClosed):
            await tunnels[0].recv()
        tunnels[1].abort()
        await within(lambda: proxy.stats()["sockets"] == 1)
        async with tunnels[2] as last:
            await last.send(b"still")
            assert await last.recv() == b"still"
        await within(lambda: proxy.stats()["sockets"] == 0)
        assert proxy.stats()["clients"] == 0
        with pytest.raises(StreamReset):
            await tunnels[0].send(b"late")


@row("9298-3.1-4")
async def test_an_unreachable_target_ends_the_stream(clear, within):
    closed = endpoint()
    port = closed.getsockname()[1]
    closed.close()
    proxy = local()
    async with led(clear, proxy, port) as udp:
        await udp.send(b"anybody?")
        with pytest.raises(StreamReset) as caught:
            await udp.recv()
        assert caught.value.error_code == f.CONNECT_ERROR
        await within(lambda: proxy.stats()["sockets"] == 0)


@row("9298-3.1-4")
async def test_idle_tunnels_end(clear, within):
    proxy = local(idle_timeout=0.8)
    async with target() as it, led(clear, proxy, it.port) as udp:
        for _ in range(5):  # each of them begins the time anew
            await asyncio.sleep(0.2)
            await udp.send(b"x")
            assert await udp.recv() == b"x"
        with pytest.raises(StreamClosed):
            await udp.recv()
        await within(lambda: proxy.stats()["sockets"] == 0)
    assert UdpProxy().idle_timeout >= 120


@row("9298-3.1-3")
async def test_packets_of_others_are_dropped(clear):
    async with target() as it, led(clear, local(), it.port) as udp:
        await udp.send(b"hello")
        assert await udp.recv() == b"hello"
        (address,) = it.senders
        with endpoint() as other:
            other.sendto(b"spoofed", address)
        await udp.send(b"again")
        assert await udp.recv() == b"again"


@row("9298-3.1-5")
async def test_a_packet_that_is_too_large_is_dropped(clear):
    proxy = local()
    async with target() as it, led(clear, proxy, it.port) as udp:
        await udp.send(bytes(65527))  # IPv4 takes 20 less
        await udp.send(b"next")
        assert await udp.recv() == b"next"
        assert proxy.stats()["too_large"] == 1
        with pytest.raises(ValueError):
            await udp.send(bytes(65528))


@row("9298-3.1-5", "9298-6.2-1")
@pytest.mark.skipif(not hasattr(socket, "SO_BINDTODEVICE"), reason="Linux only")
@pytest.mark.parametrize(
    ("family", "mtu", "tos"),
    [
        (socket.AF_INET, (socket.IPPROTO_IP, 10), (socket.IPPROTO_IP, socket.IP_TOS)),
        (socket.AF_INET6, (socket.IPPROTO_IPV6, 23), (socket.IPPROTO_IPV6, socket.IPV6_TCLASS)),
    ],
)
def test_no_fragments_and_no_ecn(family, mtu, tos):
    try:
        sock = socket.socket(family, socket.SOCK_DGRAM)
    except OSError:
        pytest.skip("no IPv6 here")
    with sock:
        sock.setsockopt(*tos, 3)  # as if somebody had marked it
        prepare(sock)
        assert sock.getsockopt(*mtu) == 2  # IP_PMTUDISC_DO
        assert sock.getsockopt(*tos) == 0  # Not-ECT


# -- the proxy before octets ---------------------------------------------------------------------


@row("9298-3.4-1", "9298-5-1", "9297-3.2-1")
async def test_the_proxy_at_the_octets(clear):
    async with target() as it, raw_tunnel(clear, local(), it.port) as raw:
        assert raw.frames[-1].get("capsule-protocol") == "?1"
        octets = bytes.fromhex("00060068656c6c6f")
        for octet in octets:
            raw.send(f.data(1, bytes((octet,))))
        assert (await raw.expect(f.DATA, 1)).payload == octets
        raw.send(f.data(1, bytes.fromhex("000100")))
        assert (await raw.expect(f.DATA, 1)).payload == bytes.fromhex("000100")
        raw.send(f.data(1, b"", f.END_STREAM))
        assert (await raw.expect(f.DATA, 1)).end_stream
        assert it.got == [b"hello", b""]


@row("9298-4-1", "9297-3.2-2", "9297-3.2-3")
async def test_the_proxy_drops_what_it_does_not_know(clear):
    async with target() as it, raw_tunnel(clear, local(), it.port) as raw:
        raw.send(f.data(1, datagram(b"\x02even") + datagram(b"\x03odd") + capsule(0x17, b"grease")))
        raw.send(f.data(1, udp_datagram(b"known")))
        assert (await raw.expect(f.DATA, 1)).payload == udp_datagram(b"known")
        assert it.got == [b"known"]


@row("9297-3.3-1", "9297-3.3-2", "9298-5-3")
@pytest.mark.parametrize(
    ("octets", "end"),
    [
        (b"\x00\x00", False),
        (b"\x00\x01\x40", False),
        (b"\x00" + varint(65529) + b"\x00", False),
        (b"\x00\x05\x00he", True),
        (b"\x00", True),
        (b"\x17\x80", True),
    ],
)
async def test_the_proxy_ends_what_is_malformed(clear, within, octets, end):
    proxy = local()
    async with target() as it, raw_tunnel(clear, proxy, it.port) as raw:
        raw.send(f.data(1, udp_datagram(b"before") + octets, f.END_STREAM if end else 0))
        reset = await raw.expect(f.RST_STREAM, 1, skip=(f.DATA, f.WINDOW_UPDATE, f.SETTINGS))
        assert reset.error_code == f.PROTOCOL_ERROR
        await within(lambda: proxy.stats()["sockets"] == 0)
        await it.until(1)
        raw.send(f.ping(b"still on"))  # the connection lives
        assert (await raw.expect(f.PING)).payload == b"still on"


@row("9297-3.2-7", "9297-3.2-2")
async def test_capsules_larger_than_the_window(clear):
    settings = Settings(initial_window_size=65535)
    async with (
        target() as it,
        clear.serve(tunnels={"connect-udp": local()}, settings=settings),
        Session(clear.http) as session,
    ):
        udp = await connect_udp(session, "127.0.0.1", it.port)
        for kind in (0x29, 0):
            # Of context 4, where it is a datagram.
            await udp.tunnel.send(varint(kind) + varint(2**20) + b"\x04")
            for _ in range(16):
                await udp.tunnel.send(bytes(65536 - (_ == 15)))
        await udp.send(b"behind")
        assert await udp.recv() == b"behind"
        assert it.got == [b"behind"]


@row("9298-5-4")
async def test_packets_before_the_answer(clear):
    gate = asyncio.get_running_loop().create_future()

    async def resolve(host, port):
        await gate
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", port))]

    async with target() as it, clear.serve(tunnels={"connect-udp": local(resolve=resolve)}):
        raw = await RawClient.connect(clear.port)
        raw.headers(1, asking(it.port, "early.example"))
        raw.send(f.data(1, udp_datagram(b"early")))
        raw.send(f.ping(b"too soon"))
        assert (await raw.expect(f.PING)).payload == b"too soon"
        assert not it.got
        gate.set_result(None)
        assert (await raw.expect(f.HEADERS, 1)).get(":status") == "200"
        assert (await raw.expect(f.DATA, 1)).payload == udp_datagram(b"early")
        raw.close()


@row("9298-6-1")
async def test_a_client_that_does_not_read(clear, within):
    # Its window stays as it was: what it does not let through is dropped, and the newest at that.
    proxy = local(max_waiting=20_000)
    flood = [bytes(1000)] * 60  # as many as a socket of ordinary size holds
    async with (
        target(lambda data: flood) as it,
        raw_tunnel(clear, proxy, it.port, (f.INITIAL_WINDOW_SIZE, 5000)) as raw,
    ):
        raw.send(f.data(1, udp_datagram(b"go")))
        await within(lambda: sum(map(proxy.stats().get, ("to_clients", "client_slow"))) == 60)
        stats = proxy.stats()
        assert stats["to_clients"] <= 26
        assert stats["client_slow"] > 30
        # Once it reads again packets come again, none of them cut.
        raw.send(f.window_update(1, 1 << 20))
        octets = b""
        while len(octets) < stats["to_clients"] * 1004:
            octets += (await raw.expect(f.DATA, 1)).content
        assert octets == udp_datagram(bytes(1000)) * (len(octets) // 1004)


# -- the client before octets --------------------------------------------------------------------


@row("9298-3.4-1", "9297-3.4-2", "9298-2-2")
async def test_the_client_at_the_octets():
    seen = []

    async def script(peer):
        request = await peer.expect(f.HEADERS, 1)
        seen.extend(request.fields)
        peer.headers(1, [(":status", "200")])  # capsule-protocol is not needed
        seen.append((await peer.expect(f.DATA, 1)).payload)
        peer.send(*(f.data(1, bytes((octet,))) for octet in udp_datagram(b"from there") * 2))
        assert (await peer.expect(f.DATA, 1)).end_stream
        peer.send(f.data(1, b"", f.END_STREAM))
        await peer.until_eof()

    async with RawServer(script, (f.ENABLE_CONNECT_PROTOCOL, 1)) as server:
        async with Session(f"http://127.0.0.1:{server.port}") as session:
            async with await connect_udp(
                session, "2001:db8::42", 443, headers={"x-who": "me"}
            ) as udp:
                await udp.send(b"hello")
                assert [await udp.recv(), await udp.recv()] == [b"from there"] * 2
    assert seen[:5] == [
        (b":method", b"CONNECT"),
        (b":protocol", b"connect-udp"),
        (b":scheme", b"http"),
        (b":authority", f"127.0.0.1:{server.port}".encode()),
        (b":path", b"/.well-known/masque/udp/2001%3Adb8%3A%3A42/443/"),
    ]
    assert (b"capsule-protocol", b"?1") in seen
    assert (b"x-who", b"me") in seen
    assert seen[-1] == bytes.fromhex("00060068656c6c6f")


@row("9297-3.3-1", "9297-3.3-2", "9298-5-3", "9298-4-1")
@pytest.mark.parametrize(
    ("octets", "end"),
    [(b"\x00\x00", False), (b"\x00" + varint(65529) + b"\x00", False), (b"\x00\x05\x00he", True)],
)
async def test_the_client_ends_what_is_malformed(octets, end):
    resets = []

    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        peer.headers(1, [(":status", "200"), ("capsule-protocol", "?1")])
        before = datagram(b"\x05unknown") + udp_datagram(b"good")
        peer.send(f.data(1, before + octets, f.END_STREAM if end else 0))
        resets.append((await peer.expect(f.RST_STREAM, 1)).error_code)
        await peer.until_eof()

    async with RawServer(script, (f.ENABLE_CONNECT_PROTOCOL, 1)) as server:
        async with Session(f"http://127.0.0.1:{server.port}") as session:
            udp = await connect_udp(session, "192.0.2.1", 53)
            assert await udp.recv() == b"good"
            with pytest.raises(StreamReset) as caught:
                await udp.recv()
            if end:
                assert caught.value.error_code == f.PROTOCOL_ERROR
    assert resets == [f.PROTOCOL_ERROR]


@row("9298-3.5-1", "9297-3.2-5")
async def test_the_client_takes_no_status_without_capsules():
    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        peer.headers(1, [(":status", "204")])
        assert (await peer.expect(f.RST_STREAM, 1)).error_code == f.PROTOCOL_ERROR
        await peer.until_eof()

    async with RawServer(script, (f.ENABLE_CONNECT_PROTOCOL, 1)) as server:
        async with Session(f"http://127.0.0.1:{server.port}") as session:
            with pytest.raises(StreamReset):
                await connect_udp(session, "192.0.2.1", 53)


@row("9298-2-1", "9298-3-1")
async def test_the_client_asks_for_nothing_wrong():
    async def script(peer):
        assert all(frame.kind != f.HEADERS for frame in await peer.until_eof())

    async with RawServer(script, (f.ENABLE_CONNECT_PROTOCOL, 1)) as server:
        async with Session(f"http://127.0.0.1:{server.port}") as session:
            for template in (
                "/no/variables",
                "https://127.0.0.1/{target_host}/{target_port}",  # another origin
                f"http://127.0.0.1:{server.port}/{{+target_host}}/{{target_port}}",
            ):
                with pytest.raises(ValueError):
                    await connect_udp(session, "192.0.2.1", 53, template=template)
            for host, port in (("", 53), ("fe80::1%1", 53), ("a", 0), ("a", 65536)):
                with pytest.raises(BadTarget):
                    await connect_udp(session, host, port)


@row("9298-2-1")
async def test_a_template_may_write_the_port_of_its_scheme(clear):
    async with target() as it, clear.serve(tunnels={"connect-udp": local()}):
        async with Session("http://proxy.example", host="127.0.0.1", port=clear.port) as session:
            for origin in (
                "http://proxy.example",
                "http://proxy.example:80",
                "http://PROXY.example",
            ):
                template = origin + DEFAULT_PATH
                async with await connect_udp(
                    session, "127.0.0.1", it.port, template=template
                ) as udp:
                    await udp.send(b"x")
                    assert await udp.recv() == b"x"
            for origin in (
                "http://proxy.example:443",
                "https://proxy.example:80",
                "http://me@proxy.example",
                "ws://proxy.example",
                "ftp://proxy.example",
                "http://proxy.example:x",
            ):
                with pytest.raises(ValueError):
                    await connect_udp(session, "a", 53, template=origin + DEFAULT_PATH)


async def test_send_nowait_drops(clear, within):
    # A peer whose window stays closed: what waits is bounded.
    async def script(peer):
        await peer.expect(f.HEADERS, 1)
        peer.headers(1, [(":status", "200")])
        await peer.until_eof()

    pairs = ((f.ENABLE_CONNECT_PROTOCOL, 1), (f.INITIAL_WINDOW_SIZE, 0))
    async with RawServer(script, *pairs) as server:
        async with Session(f"http://127.0.0.1:{server.port}") as session:
            udp = await connect_udp(session, "192.0.2.1", 53, max_waiting=5000)
            assert [udp.send_nowait(bytes(996)) for _ in range(7)] == [True] * 5 + [False] * 2
            assert (udp.sent, udp.dropped, udp.tunnel.waiting) == (5, 2, 5000)
            udp.abort()


# -- who may be reached --------------------------------------------------------------------------


def resolving(*addresses):
    async def resolve(host, port):
        resolve.asked += 1
        return [
            (socket.AF_INET6 if ":" in a else socket.AF_INET, socket.SOCK_DGRAM, 17, "", (a, port))
            for a in addresses
        ]

    resolve.asked = 0
    return resolve


@row("SEC-8-1", "9298-7-1")
@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "0x7f000001", "localhost", "::1", "::ffff:127.0.0.1", "0.0.0.0"]
)
async def test_this_machine_is_not_reached(clear, host):
    async with (
        target() as it,
        clear.serve(tunnels={"connect-udp": UdpProxy()}),
        Session(clear.http) as session,
    ):
        status, why = await refusal(session, host, it.port)
        assert (status, why) in [
            (403, "h2ws_fast; error=destination_ip_prohibited"),
            (502, "h2ws_fast; error=dns_error"),  # some resolvers take it for a name
        ]
        assert not it.got


@row("SEC-8-1", "9298-7-1")
@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "169.254.169.254",
        "224.0.0.251",
        "255.255.255.255",
        "fe80::1",
        "ff02::1",
        "fd00::1",
    ],
)
async def test_what_is_checked_is_what_is_reached(clear, address):
    resolve = resolving(address)
    proxy = UdpProxy(resolve=resolve)
    async with clear.serve(tunnels={"connect-udp": proxy}), Session(clear.http) as session:
        assert await refusal(session, "evil.example", 53) == (
            403,
            "h2ws_fast; error=destination_ip_prohibited",
        )
    assert resolve.asked == 1
    assert proxy.stats()["refused"] == 1


@row("9298-7-1", "SEC-8-2")
async def test_targets_by_lists_and_functions(clear):
    async with target() as it, target() as other:

        async def allow(request, host, port):
            return request.headers.get("x-key") == "good"

        for proxy in (local(allow=[f"127.0.0.1:{it.port}"]), local(ports=[it.port])):
            async with clear.serve(tunnels={"connect-udp": proxy}), Session(clear.http) as session:
                (await connect_udp(session, "127.0.0.1", it.port)).abort()
                denied = (403, "h2ws_fast; error=http_request_denied")
                assert await refusal(session, "127.0.0.1", other.port) == denied
        async with (
            clear.serve(tunnels={"connect-udp": local(allow=allow)}),
            Session(clear.http) as session,
        ):
            assert (await refusal(session, "127.0.0.1", it.port))[0] == 403
            udp = await connect_udp(session, "127.0.0.1", it.port, headers={"x-key": "good"})
            udp.abort()
        assert not other.got


@row("SEC-8-3", "9298-7-1")
async def test_a_password_comes_first(clear):
    check = basic_auth(credentials=("me", "secret"))
    async with (
        target() as it,
        clear.serve(tunnels={"connect-udp": local()}, process_request=check),
        Session(clear.http) as session,
        Session(f"http://me:secret@127.0.0.1:{clear.port}") as known,
    ):
        assert (await refusal(session, "127.0.0.1", it.port))[0] == 401
        async with await connect_udp(known, "127.0.0.1", it.port) as udp:
            await udp.send(b"x")
            assert await udp.recv() == b"x"


@row("SEC-8-3", "SEC-8-4")
async def test_sockets_are_capped(clear, within):
    full = (503, "h2ws_fast; error=connection_limit_reached")
    for proxy in (local(max_sockets=2), local(max_sockets_per_client=2)):
        async with (
            target() as it,
            clear.serve(tunnels={"connect-udp": proxy}),
            Session(clear.http) as session,
            Session(clear.http) as other,
        ):
            first = await connect_udp(session, "127.0.0.1", it.port)
            second = await connect_udp(other, "127.0.0.1", it.port)
            assert await refusal(session, "127.0.0.1", it.port) == full
            first.abort()
            await within(lambda: proxy.stats()["sockets"] == 1)  # noqa: B023  # awaited here
            third = await connect_udp(session, "127.0.0.1", it.port)
            second.abort(), third.abort()
            assert (proxy.stats()["opened"], proxy.stats()["refused"]) == (3, 1)


@row("SEC-8-3")
async def test_a_client_has_its_own_cap(clear):
    proxy = local(max_sockets_per_client=1, client=lambda request: request.headers.get("x-who"))
    async with (
        target() as it,
        clear.serve(tunnels={"connect-udp": proxy}),
        Session(clear.http) as session,
    ):
        for who in ("one", "two"):
            await connect_udp(session, "127.0.0.1", it.port, headers={"x-who": who})
        status, _ = await refusal(session, "127.0.0.1", it.port, headers={"x-who": "one"})
        assert status == 503
        assert proxy.stats()["clients"] == 2


@row("SEC-8-3")
async def test_a_client_sends_at_a_rate(clear, within):
    # Some sixty packets of a thousand octets at once, as large as the largest; then ten a second.
    proxy = local(rate=10_000)
    async with target(lambda data: None) as it, led(clear, proxy, it.port) as udp:
        sent = 120
        for _ in range(sent):
            await udp.send(bytes(1000))
        await within(lambda: proxy.stats()["over_rate"] + proxy.stats()["to_targets"] == sent)
        assert proxy.stats()["over_rate"] > 20
        await it.until(proxy.stats()["to_targets"])
        await asyncio.sleep(0.3)
        before = len(it.got)
        await udp.send(b"some time later")
        await it.until(before + 1)


@row("9298-3.1-1")
async def test_names_are_resolved_first(clear):
    async def fails(host, port):
        if host == "slow.example":
            await asyncio.sleep(10)
        if host == "late.example":
            raise TimeoutError
        if host == "none.example":
            return []
        raise socket.gaierror("no such name")

    proxy = local(resolve=fails, dial_timeout=0.2)
    async with clear.serve(tunnels={"connect-udp": proxy}), Session(clear.http) as session:
        assert await refusal(session, "a.example", 53) == (502, "h2ws_fast; error=dns_error")
        assert await refusal(session, "none.example", 53) == (502, "h2ws_fast; error=dns_error")
        assert await refusal(session, "slow.example", 53) == (504, "h2ws_fast; error=dns_timeout")
        assert await refusal(session, "late.example", 53) == (504, "h2ws_fast; error=dns_timeout")


@row("9298-3-1", "9297-3.4-3")
async def test_what_is_no_target_is_refused(clear):
    wrong = {
        "/.well-known/masque/udp/a.example/0/": "400",
        "/.well-known/masque/udp/a.example/65536/": "400",
        "/.well-known/masque/udp/a.example/abc/": "400",
        "/.well-known/masque/udp/fe80::1%25eth0/53/": "400",
        "/.well-known/masque/udp//53/": "400",
        "/elsewhere": "404",
    }
    async with clear.serve(tunnels={"connect-udp": local()}):
        raw = await RawClient.connect(clear.port)
        for number, (path, status) in enumerate(wrong.items()):
            stream_id = 2 * number + 1
            raw.headers(stream_id, asking(0, path=path))
            answer = await raw.expect(f.HEADERS, stream_id)
            assert answer.get(":status") == status, path
            assert answer.get("capsule-protocol") is None
        raw.close()


async def test_another_path(clear):
    proxy = local(template="/udp{?target_host,target_port}")
    async with (
        target() as it,
        clear.serve(tunnels={"connect-udp": proxy}),
        Session(clear.http) as session,
    ):
        template = clear.http + "/udp{?target_host,target_port}"
        async with await connect_udp(session, "127.0.0.1", it.port, template=template) as udp:
            await udp.send(b"x")
            assert await udp.recv() == b"x"
        assert (await refusal(session, "127.0.0.1", it.port))[0] == 404


# -- asyncio's own form --------------------------------------------------------------------------


class Client(asyncio.DatagramProtocol):
    def __init__(self):
        self.got = asyncio.Queue()
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        transport.sendto(b"at once")

    def datagram_received(self, data, address):
        self.got.put_nowait((data, address))
        if data == b"fail":
            raise ZeroDivisionError("in the application")

    def connection_lost(self, exc):
        self.lost.set_result(exc)


async def test_a_protocol_of_asyncio(place):
    async with (
        target() as it,
        place.serve(tunnels={"connect-udp": local()}),
        Session(place.http, ssl=place.client_ssl) as session,
    ):
        address = ("127.0.0.1", it.port)
        transport, client = await create_datagram_endpoint(session, Client, *address)
        assert client.transport is transport
        assert await client.got.get() == (b"at once", address)
        assert transport.get_extra_info("peername") == address
        transport.sendto(b"", address)
        assert await client.got.get() == (b"", address)
        with pytest.raises(ValueError):
            transport.sendto(b"x", ("127.0.0.1", 1))
        reported = []
        loop = asyncio.get_running_loop()
        handler = loop.get_exception_handler()
        loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))
        transport.sendto(b"fail")
        transport.sendto(b"goes on")
        assert [(await client.got.get())[0] for _ in range(2)] == [b"fail", b"goes on"]
        loop.set_exception_handler(handler)
        assert [type(error) for error in reported] == [ZeroDivisionError]
        assert not transport.is_closing()
        transport.close()
        transport.close()
        assert transport.is_closing()
        transport.sendto(b"dropped")
        assert await client.lost is None
        await transport.wait_closed()


async def test_a_protocol_whose_target_fails(clear):
    closed = endpoint()
    port = closed.getsockname()[1]
    closed.close()
    async with clear.serve(tunnels={"connect-udp": local()}), Session(clear.http) as session:
        transport, client = await create_datagram_endpoint(session, Client, "127.0.0.1", port)
        error = await client.lost
        assert isinstance(error, StreamReset)
        assert error.error_code == f.CONNECT_ERROR
        assert transport.is_closing()
