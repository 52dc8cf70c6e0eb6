"""Streams of octets as asyncio knows them: a reader and a writer, and a transport."""

import asyncio
import random
import ssl

import pytest

from h2ws_fast import InvalidStatus, LocalProtocolError, Session, StreamReset, serve
from tests.support import frames as f
from tests.support.raw import RawClient

from .test_server_streams import ASKED

OCTETS = random.Random(61).randbytes(3_000_000)


def streaming(handler):
    """A handler of tunnels that gets its tunnel as a stream."""

    async def handle(tunnel):
        async with tunnel.stream() as stream:
            await handler(stream)

    return handle


@streaming
async def echo(stream):
    while data := await stream.read(65536):
        stream.write(data)
        await stream.drain()


def port_of(server):
    return server.sockets[0].getsockname()[1]


async def test_reading_and_writing_as_asyncio_does(place):
    async with (
        place.serve(tunnels={"bytestream": echo, "other": echo}),
        Session(place.http, ssl=place.client_ssl) as session,
    ):
        stream = await session.bytestream("/a")
        stream.write(b"one line\ntwo")
        stream.writelines([b" li", bytearray(b"nes"), memoryview(b"\n0123456789;rest\nlast")])
        assert await stream.readline() == b"one line\n"
        assert await stream.readline() == b"two lines\n"
        assert await stream.readexactly(10) == b"0123456789"
        assert await stream.readuntil(b";") == b";"
        assert await stream.readline() == b"rest\n"
        assert not stream.at_eof() and stream.can_write_eof()
        stream.write_eof()
        assert [line async for line in stream] == [b"last"]
        assert stream.at_eof() and await stream.read() == b""
        stream.close()
        await stream.wait_closed()

        async with await session.bytestream("/b", "other", headers={"x-a": "1"}) as stream:
            assert stream.get_extra_info("peername") == stream.tunnel.remote_address
            assert stream.get_extra_info("stream_id") == stream.stream_id == 3
            assert stream.get_extra_info("request").headers["x-a"] == "1"
            assert stream.get_extra_info("ssl_object") is None
            stream.write(b"short")
            stream.write_eof()
            with pytest.raises(asyncio.IncompleteReadError) as caught:
                await stream.readexactly(6)
            assert caught.value.partial == b"short"


async def test_megabytes_both_ways_at_the_readers_pace(place):
    async with (
        place.serve(tunnels={"bytestream": echo}),
        Session(place.http, ssl=place.client_ssl) as session,
        await session.bytestream() as stream,
    ):

        async def write():
            for at in range(0, len(OCTETS), 100_000):
                stream.write(OCTETS[at : at + 100_000])
                await stream.drain()
            stream.write_eof()

        writing = asyncio.create_task(write())
        assert await stream.read() == OCTETS
        await writing


@pytest.mark.row("KIN-4-6")
async def test_who_does_not_read_holds_the_writer_back(clear):
    written = 0

    @streaming
    async def flood(stream):
        nonlocal written
        while written < len(OCTETS):
            stream.write(OCTETS[written : written + 10_000])
            written += 10_000
            await stream.drain()

    async with clear.serve(tunnels={"bytestream": flood}), Session(clear.http) as session:
        stream = await session.bytestream(limit=1000)
        last = -1
        while written != last:  # until it stands still
            last = written
            await asyncio.sleep(0.2)
        # The window, which may have doubled, and what the writer's end holds.
        assert written < 1_000_000
        assert await stream.read() == OCTETS
        stream.close()
        await stream.wait_closed()


@pytest.mark.row("KIN-4-2")
async def test_one_way_only(clear):
    heard = asyncio.get_running_loop().create_future()

    @streaming
    async def tell(stream):
        assert await stream.read() == b""
        stream.write(b"news")

    @streaming
    async def hear(stream):
        stream.write_eof()
        heard.set_result(await stream.read())

    async with (
        clear.serve(tunnels={"tell": tell, "hear": hear}),
        Session(clear.http) as session,
    ):
        async with await session.bytestream(protocol="tell", read_only=True) as stream:
            with pytest.raises(RuntimeError):
                stream.write(b"the wrong way")
            assert await stream.read() == b"news"
        async with await session.bytestream(protocol="hear") as stream:
            assert await stream.read() == b""
            stream.write(b"something")
        assert await heard == b"something"


@pytest.mark.row("KIN-4-2")
async def test_a_reset_is_a_connection_error(clear):
    ended = asyncio.get_running_loop().create_future()

    async def reset(tunnel):
        tunnel.stream().reset(0x1234)

    @streaming
    async def wait(stream):
        try:
            await stream.read()
        except ConnectionResetError as error:
            ended.set_result(error.__cause__.error_code)
            raise

    async with clear.serve(tunnels={"reset": reset, "wait": wait}), Session(clear.http) as session:
        stream = await session.bytestream(protocol="reset")
        with pytest.raises(ConnectionResetError) as caught:
            await stream.read()
        assert isinstance(caught.value.__cause__, StreamReset)
        assert caught.value.__cause__.error_code == 0x1234
        stream.write(b"nobody minds")
        with pytest.raises(ConnectionResetError):
            await stream.drain()
        stream.close()
        with pytest.raises(ConnectionResetError):
            await stream.wait_closed()

        with pytest.raises(KeyError):
            async with await session.bytestream(protocol="wait"):
                raise KeyError
        assert await ended == f.CANCEL


async def test_the_end_of_the_connection_is_one(clear):
    async with clear.serve(tunnels={"bytestream": echo}):
        session = await Session(clear.http)
        stream = await session.bytestream()
        session._wire.abort()
        with pytest.raises(ConnectionResetError):
            await stream.read()
        await session.close()


@pytest.mark.row("KIN-3.1-1", "KIN-3.2-1")
async def test_a_token_that_nobody_agreed_on_is_refused(clear):
    async with clear.serve(tunnels={"bytestream": echo}), Session(clear.http) as session:
        with pytest.raises(InvalidStatus) as caught:
            await session.bytestream(protocol="datagram")
        assert caught.value.response.status == 501
        async with await session.bytestream():
            assert session.connected


async def test_what_is_written_before_closing_arrives(clear):
    got = asyncio.get_running_loop().create_future()

    @streaming
    async def slow(stream):
        await asyncio.sleep(0.05)
        got.set_result(await stream.read())

    async with clear.serve(tunnels={"bytestream": slow}), Session(clear.http) as session:
        stream = await session.bytestream()
        stream.write(OCTETS)  # many windows
        stream.close()
        assert stream.is_closing()
        stream.write(b"too late, and nobody is told, as over TCP")
        await stream.wait_closed()
        assert await got == OCTETS


async def test_a_peer_that_does_not_end_its_side_has_close_timeout(clear):
    async def forever(tunnel):
        await asyncio.sleep(0)
        with pytest.raises(StreamReset):
            while True:
                await tunnel.send(bytes(1000))
                await asyncio.sleep(0.001)

    async with clear.serve(tunnels={"bytestream": forever}):
        async with Session(clear.http, close_timeout=0.2) as session:
            stream = await session.bytestream()
            stream.close()
            await stream.wait_closed()
            while session.stats()["open_streams"]:
                await asyncio.sleep(0.01)
            assert session.connected


async def test_a_handler_that_leaves_its_stream_open_has_it_closed(clear):
    async def leaves(tunnel):
        tunnel.stream().write(b"bye")

    async with clear.serve(tunnels={"bytestream": leaves}), Session(clear.http) as session:
        async with await session.bytestream() as stream:
            assert await stream.read() == b"bye"


async def test_priorities_of_streams(clear):
    asked = []

    @streaming
    async def look(stream):
        asked.append(stream.tunnel.request.headers["priority"])
        stream.prioritize(0)
        await stream.read()
        wire = stream.tunnel._sending.wire
        asked.append(wire.conn.priority(stream.stream_id))

    async with clear.serve(tunnels={"bytestream": look}), Session(clear.http) as session:
        async with await session.bytestream(priority="u=6") as stream:
            wire = stream.tunnel._sending.wire
            assert wire.conn.priority(stream.stream_id) == (6, True)
            stream.prioritize(1, True)
            assert wire.conn.priority(stream.stream_id) == (1, True)
            stream.write_eof()
            await stream.read()
        assert asked == ["u=6", (0, True)]
        stream.prioritize(2)  # it is over: nothing happens


# -- transports ----------------------------------------------------------------------------------


class Recorder(asyncio.Protocol):
    """Keeps what it was told."""

    def __init__(self):
        self.calls = []
        self.octets = b""
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.calls.append("made")
        self.transport = transport

    def data_received(self, data):
        self.octets += data

    def pause_writing(self):
        self.calls.append("pause")

    def resume_writing(self):
        self.calls.append("resume")

    def eof_received(self):
        self.calls.append("eof")
        return False

    def connection_lost(self, exc):
        self.calls.append("lost")
        self.lost.set_result(exc)


class Buffered(asyncio.BufferedProtocol):
    """The same with a buffer of its own, which is small."""

    def __init__(self):
        self.octets = b""
        self.lost = asyncio.get_running_loop().create_future()

    def get_buffer(self, sizehint):
        self.buffer = memoryview(bytearray(1000))
        return self.buffer

    def buffer_updated(self, nbytes):
        self.octets += self.buffer[:nbytes]

    def connection_lost(self, exc):
        self.lost.set_result(exc)


async def test_a_protocol_of_asyncios_on_a_stream(place):
    async with (
        place.serve(tunnels={"bytestream": echo}),
        Session(place.http, ssl=place.client_ssl) as session,
    ):
        transport, protocol = await session.create_connection(Recorder)
        assert transport is protocol.transport and transport.get_protocol() is protocol
        assert transport.is_reading() and not transport.is_closing()
        low, high = transport.get_write_buffer_limits()
        assert 0 < low <= high
        transport.write(OCTETS)
        assert protocol.calls[-1] == "pause"
        assert transport.get_write_buffer_size() > high
        transport.write_eof()
        assert await protocol.lost is None
        assert protocol.octets == OCTETS
        assert protocol.calls == ["made", "pause", "resume", "eof", "lost"]
        assert "closed" in repr(transport)
        transport.close()
        transport.abort()

        transport, protocol = await session.create_connection(Buffered, priority="u=1")
        transport.write(OCTETS[:100_000])
        transport.write_eof()
        assert await protocol.lost is None
        assert protocol.octets == OCTETS[:100_000]


async def test_reading_can_be_paused(clear):
    async with clear.serve(tunnels={"bytestream": echo}), Session(clear.http) as session:
        transport, protocol = await session.create_connection(Recorder)
        transport.pause_reading()
        assert not transport.is_reading()
        transport.write(b"not yet")
        transport.write_eof()
        await asyncio.sleep(0.1)
        assert protocol.octets == b"" and protocol.calls == ["made"]
        transport.resume_reading()
        assert await protocol.lost is None
        assert protocol.octets == b"not yet"


async def test_a_protocol_that_fails_has_its_stream_reset(clear):
    loop = asyncio.get_running_loop()
    reported = []
    handler = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: reported.append(context))

    class Failing(Recorder):
        def data_received(self, data):
            raise KeyError("mine")

    async with clear.serve(tunnels={"bytestream": echo}), Session(clear.http) as session:
        transport, protocol = await session.create_connection(Failing)
        transport.write(b"x")
        assert await protocol.lost is None
        (context,) = reported
        assert isinstance(context["exception"], KeyError) and context["transport"] is transport
        async with await session.bytestream() as stream:
            stream.write(b"others go on\n")
            assert await stream.readline() == b"others go on\n"
    loop.set_exception_handler(handler)


async def test_what_never_came_to_be_leaves_no_stream_open(clear):
    class Failing(Recorder):
        def connection_made(self, transport):
            raise KeyError("mine")

    def no_protocol():
        raise KeyError("mine")

    async with clear.serve(tunnels={"bytestream": echo}), Session(clear.http) as session:
        for limit, wrong in ((0, ValueError), (-1, ValueError), ("1", TypeError)):
            with pytest.raises(wrong, match="limit"):
                await session.bytestream(limit=limit)
        for factory in (no_protocol, Failing):
            with pytest.raises(KeyError):
                await session.create_connection(factory)
        assert session.stats()["open_streams"] == 0


async def test_a_tunnel_has_one_transport(clear):
    async with clear.serve(tunnels={"bytestream": echo}), Session(clear.http) as session:
        tunnel = await session.tunnel("bytestream")
        async with tunnel.stream():
            with pytest.raises(LocalProtocolError):
                tunnel.stream()


# -- TLS inside of a stream ------------------------------------------------------------------------


async def test_tls_of_asyncio_on_a_stream(place, certificate):
    inner = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    inner.load_cert_chain(*certificate)
    outer = ssl.create_default_context(cafile=str(certificate[0]))

    async def secure_echo(tunnel):
        async with await tunnel.stream().start_tls(inner, server_side=True) as stream:
            while data := await stream.read(65536):
                stream.write(data)
                await stream.drain()

    async with (
        place.serve(tunnels={"bytestream": secure_echo}),
        Session(place.http, ssl=place.client_ssl) as session,
    ):
        plain = await session.bytestream()
        stream = await plain.start_tls(outer, server_hostname="127.0.0.1")
        assert stream.get_extra_info("ssl_object").version() == "TLSv1.3"
        assert stream.get_extra_info("peername") == plain.get_extra_info("peername")
        assert not stream.can_write_eof()

        async def write():
            for at in range(0, len(OCTETS), 100_000):
                stream.write(OCTETS[at : at + 100_000])
                await stream.drain()

        writing = asyncio.create_task(write())
        assert await stream.readexactly(len(OCTETS)) == OCTETS
        await writing
        stream.close()
        await stream.wait_closed()

        # A certificate that nobody signed for this name is refused, and nothing else is harmed.
        plain = await session.bytestream()
        with pytest.raises(ssl.SSLError):
            await plain.start_tls(ssl.create_default_context(), server_hostname="127.0.0.1")
        assert session.connected


async def test_octets_and_a_reset_in_one_read():
    handled = asyncio.get_running_loop().create_future()

    async def handler(tunnel):
        stream = tunnel.stream()
        try:
            await stream.read()
        except ConnectionResetError:
            handled.set_result(True)

    async with serve(tunnels={"bytestream": handler}, host="127.0.0.1", port=0) as server:
        peer = await RawClient.connect(port_of(server))
        peer.headers(1, ASKED)
        await peer.expect(f.HEADERS, 1)
        peer.send(f.data(1, b"octets"), f.rst_stream(1))
        assert await handled
        peer.close()


@pytest.mark.parametrize("token", ["websocket", "WebSocket"])
@pytest.mark.parametrize("http", ["h2", "h1"])
async def test_a_websocket_is_no_tunnel(clear, http, token):
    async def echo_messages(ws):
        async for message in ws:
            await ws.send(message)

    async with clear.serve(echo_messages), Session(clear.http, http=http) as session:
        for opening in (
            session.tunnel(token, "/"),
            session.bytestream("/", token),
            session.create_connection(asyncio.Protocol, "/", token),
        ):
            with pytest.raises(ValueError, match=r"use websocket\(\)"):
                await opening
        ws = await session.websocket("/")
        await ws.send("there")
        assert await ws.recv() == "there"
