"""What a transport on a stream owes its protocol, and what a reader on it holds."""

import asyncio
import random
import ssl

import pytest

from h2ws_fast import LocalProtocolError, Session, StreamReset, serve
from h2ws_fast.aio.server import remainder
from tests.support import frames as f
from tests.support.raw import RawClient

from .test_bytestream import Buffered, Recorder, echo, port_of
from .test_server_streams import ASKED

OCTETS = random.Random(62).randbytes(3_000_000)
CHUNK = 260 * 1024  # what one read brings


async def until(condition):
    """Let the loop run until something is so."""
    while not condition():
        await asyncio.sleep(0.005)


def telling(octets, *, end=True):
    """A handler that sends octets and ends its side, and then waits for the end of the other."""

    async def handle(tunnel):
        tunnel.send_nowait(octets)
        if end:
            tunnel.send_eof()
        try:
            while await tunnel.recv():
                pass
        except StreamReset:
            tunnel.abort()

    return handle


# -- what a reader holds ---------------------------------------------------------------------------


@pytest.mark.row("KIN-4-6")
async def test_a_reader_holds_twice_its_limit_and_what_came_last(clear):
    limit = 4096
    async with (
        clear.serve(tunnels={"bytestream": telling(OCTETS)}),
        Session(clear.http) as session,
        await session.bytestream(limit=limit) as stream,
    ):
        got = []
        while data := await stream.read(len(OCTETS)):
            got.append(data)
            await asyncio.sleep(0.005)  # as much comes as may
        assert b"".join(got) == OCTETS
        assert max(map(len, got)) <= 2 * limit + CHUNK


async def test_a_protocol_is_given_no_more_than_a_read_at_a_time(clear):
    class Pausing(Recorder):
        sizes = ()

        def data_received(self, data):
            super().data_received(data)
            self.sizes = (*self.sizes, len(data))
            self.transport.pause_reading()

    async with (
        clear.serve(tunnels={"bytestream": telling(OCTETS)}),
        Session(clear.http) as session,
    ):
        transport, protocol = await session.create_connection(Pausing)
        while len(protocol.octets) < len(OCTETS):
            before = len(protocol.sizes)
            transport.resume_reading()
            await asyncio.sleep(0.002)
            assert len(protocol.sizes) - before <= 1
        assert protocol.octets == OCTETS and max(protocol.sizes) <= CHUNK
        assert protocol.calls == ["made"]  # it is paused: the end waits, too
        transport.resume_reading()
        assert await protocol.lost is None
        assert protocol.calls == ["made", "eof", "lost"]


class Choosy(Buffered):
    """Takes little, and pauses when it is told to."""

    def __init__(self):
        super().__init__()
        self.updates = 0
        self.pausing = True
        self.ended = False

    def connection_made(self, transport):
        self.transport = transport

    def buffer_updated(self, nbytes):
        super().buffer_updated(nbytes)
        self.updates += 1
        if self.pausing:
            self.transport.pause_reading()

    def eof_received(self):
        self.ended = True


async def test_a_buffer_is_not_filled_while_reading_is_paused(clear):
    async with (
        clear.serve(tunnels={"bytestream": telling(OCTETS[:5000])}),
        Session(clear.http) as session,
    ):
        transport, protocol = await session.create_connection(Choosy)
        for count in range(1, 6):
            await until(lambda count=count: protocol.updates == count)
            await asyncio.sleep(0.01)
            assert protocol.updates == count and not protocol.ended
            protocol.pausing = count < 3  # the last two come in a row
            transport.resume_reading()
            if not protocol.pausing:
                break
        assert await protocol.lost is None
        assert protocol.updates == 5 and protocol.ended and protocol.octets == OCTETS[:5000]


async def test_a_buffer_without_room_is_an_error_of_the_protocol(clear):
    loop = asyncio.get_running_loop()
    reported = []
    handler = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))

    class Empty(Buffered):
        def get_buffer(self, sizehint):
            return memoryview(b"")

    async with (
        clear.serve(tunnels={"bytestream": telling(b"octets", end=False)}),
        Session(clear.http) as session,
    ):
        _, protocol = await session.create_connection(Empty)
        assert await protocol.lost is None
    loop.set_exception_handler(handler)
    assert [type(error) for error in reported] == [RuntimeError]


# -- what a writer waits for -----------------------------------------------------------------------


async def test_limits_of_0_do_not_let_a_writer_wait_for_ever(clear):
    async def slow(tunnel):
        size = 0
        async for data in tunnel:
            size += len(data)
            await asyncio.sleep(0)
        await tunnel.send(b"%d" % size)

    async with clear.serve(tunnels={"bytestream": slow}), Session(clear.http) as session:
        for size in (*range(300_000, 500_000, 15_000), 410_000):
            stream = await session.bytestream()
            stream.transport.set_write_buffer_limits(0)
            stream.write(OCTETS[:size])
            async with asyncio.timeout(10):
                await stream.drain()
            stream.write_eof()
            assert await stream.read() == b"%d" % size
            stream.close()
        transport, _ = await session.create_connection(Recorder)
        for high, low in ((0, None), (10**6, 10), (None, 0), (10**6, 10**5)):
            transport.set_write_buffer_limits(high, low)
            lower, higher = transport.get_write_buffer_limits()
            limits = session._limits
            assert limits.write_low <= lower <= higher >= limits.write_high
            assert low is None or lower >= low
        transport.abort()


# -- the ends of a stream ----------------------------------------------------------------------------


@pytest.mark.row("KIN-4-2")
async def test_what_arrived_whole_is_read_whole_though_a_reset_came_behind_it(clear, monkeypatch):
    """As this server does it, where the client leaves its own side open."""
    monkeypatch.setattr(remainder, "PATIENCE_S", 0.05)

    async def leave(tunnel):
        await tunnel.send(OCTETS[:150_000])

    async with clear.serve(tunnels={"bytestream": leave}), Session(clear.http) as session:
        stream = await session.bytestream(limit=1000)
        await until(lambda: stream.tunnel.failed)
        assert not stream.is_closing()
        assert await stream.read() == OCTETS[:150_000]
        assert stream.at_eof()
        stream.write(b"of no use any more")
        with pytest.raises(ConnectionResetError):
            await stream.drain()
        stream.close()
        await stream.wait_closed()


@pytest.mark.parametrize("code", [f.NO_ERROR, f.CANCEL, 0x1234])
@pytest.mark.parametrize("waiting", [0, 500_000])
async def test_a_reset_behind_the_end(code, waiting):
    """The reader has all of it; the writer hears of what was lost."""

    async def handler(tunnel):
        stream = tunnel.stream()
        stream.write(bytes(waiting))
        begun.set_result(stream)
        data = await stream.read()
        stream.close()
        try:
            await stream.wait_closed()
        except ConnectionResetError as error:
            ended.set_result((data, error.__cause__.error_code))
        else:
            ended.set_result((data, None))

    loop = asyncio.get_running_loop()
    begun, ended = loop.create_future(), loop.create_future()
    async with serve(tunnels={"bytestream": handler}, host="127.0.0.1", port=0) as server:
        peer = await RawClient.connect(port_of(server))
        peer.headers(1, ASKED)
        await peer.expect(f.HEADERS, 1)
        await begun
        peer.send(f.data(1, b"octets", end_stream=True), f.rst_stream(1, code))
        known = code if waiting or code == 0x1234 else None
        assert await ended == (b"octets", known)
        peer.close()


async def test_no_error_behind_the_end_wakes_who_sends(clear):
    """NO_ERROR stops the upload of a request; the octets of a tunnel are lost by it."""
    ready = asyncio.get_running_loop().create_future()

    async def stop(tunnel):
        tunnel.send_eof()
        await ready
        wire = tunnel._sending.wire
        wire.conn.reset(tunnel.stream_id, f.NO_ERROR)
        wire.touch()

    async with clear.serve(tunnels={"bytestream": stop}), Session(clear.http) as session:
        tunnel = await session.tunnel("bytestream")
        stream = await session.bytestream()
        sending = asyncio.create_task(tunnel.send(OCTETS))
        assert await tunnel.recv() == b"" == await stream.read()
        stream.write(OCTETS)
        draining = asyncio.create_task(stream.drain())
        await until(lambda: tunnel.waiting and stream.tunnel.waiting)
        ready.set_result(None)
        with pytest.raises(StreamReset):
            await sending
        with pytest.raises(ConnectionResetError):
            await draining
        assert tunnel.failed and stream.is_closing()


async def test_abort_is_one_though_both_sides_have_ended(clear):
    """What waits for the peer's window does not leave, and the peer is told."""
    heard = asyncio.get_running_loop().create_future()
    aborted = asyncio.Event()

    async def hear(tunnel):
        tunnel.send_eof()
        await aborted.wait()
        with pytest.raises(StreamReset) as caught:
            while await tunnel.recv():
                pass
        heard.set_result(caught.value.error_code)
        raise caught.value

    async with clear.serve(tunnels={"bytestream": hear}), Session(clear.http) as session:
        tunnel = await session.tunnel("bytestream")
        transport = tunnel.transport(Recorder())
        transport.write(OCTETS)
        transport.write_eof()
        await until(lambda: tunnel._receiving.finished)
        assert tunnel.waiting
        transport.abort()
        assert not tunnel.waiting
        aborted.set()
        assert await heard == f.CANCEL
        assert await transport.get_protocol().lost is None


async def test_a_reset_of_this_end_is_heard_at_this_end(clear):
    async with clear.serve(tunnels={"bytestream": echo}), Session(clear.http) as session:
        stream = await session.bytestream()
        stream.reset(0x77)
        for call in (stream.read, stream.drain, stream.wait_closed):
            with pytest.raises(ConnectionResetError):
                await call()
        assert session.connected


@pytest.mark.parametrize("early", [b"plain octets", b""])
async def test_tls_does_not_begin_behind_octets_that_nobody_read(clear, early):
    async with (
        clear.serve(tunnels={"bytestream": telling(early, end=not early)}),
        Session(clear.http) as session,
    ):
        stream = await session.bytestream()
        await until(lambda: not stream._reader.untouched)
        with pytest.raises(LocalProtocolError):
            await stream.start_tls(ssl.create_default_context(), server_hostname="a.example")
        stream.reset()
