"""What reads a byte stream, beside asyncio's own reader, which is given the same pieces."""

import asyncio
import contextlib
import random

import pytest

from h2ws_fast import Session, serve
from h2ws_fast.engine.events import Data, Ended
from tests.support import frames as f
from tests.support.raw import RawClient

from .test_bytestream import Recorder, port_of
from .test_server_streams import ASKED
from .test_stream_transport import until

LIMIT = 2**16


@contextlib.asynccontextmanager
async def opened(place, limit=LIMIT):
    """A stream on which nobody sends: the test says what arrives (`arrive`)."""

    async def silent(tunnel):
        await tunnel.recv()

    async with place.serve(tunnels={"bytestream": silent}), Session(place.http) as session:
        stream = await session.bytestream(limit=limit)
        try:
            yield stream
        finally:
            stream.reset()


def arrive(stream, *pieces, end=False):
    """As if the peer had sent these pieces, each in a read of its own."""
    for piece in pieces:
        stream.tunnel.feed(Data(stream.stream_id, piece, 0))
    if end:
        stream.tunnel.feed(Ended(stream.stream_id))


async def turns(count=3):
    for _ in range(count):
        await asyncio.sleep(0)


async def told(call):
    """What a call returns, or the kind of error and what it says."""
    try:
        return await call
    except asyncio.IncompleteReadError as error:
        return type(error), error.partial, error.expected
    except asyncio.LimitOverrunError as error:
        return type(error), error.consumed
    except ValueError as error:
        return type(error)


@pytest.mark.parametrize("seed", range(12))
async def test_it_reads_as_asyncio_does_however_octets_are_split(clear, seed):
    rng = random.Random(seed)
    octets = bytes(rng.choice(b"abc\n;--") for _ in range(600))
    theirs = asyncio.StreamReader(LIMIT)
    async with opened(clear) as ours:
        most = rng.choice((1, 1, 3, 50))

        async def feed():
            at = 0
            while at < len(octets):
                size = rng.randint(1, most)
                theirs.feed_data(octets[at : at + size])
                arrive(ours, octets[at : at + size])
                at += size
                await turns(rng.choice((0, 1, 4)))
            theirs.feed_eof()
            arrive(ours, end=True)

        async def both(name, *arguments):
            calls = getattr(theirs, name)(*arguments), getattr(ours, name)(*arguments)
            expected, got = await asyncio.gather(*map(told, calls))
            assert got == expected, (name, arguments)

        feeding = asyncio.create_task(feed())
        while not theirs.at_eof():
            verb = rng.randrange(5)
            if verb == 0:
                await both("readline")
            elif verb == 1:
                await both("readuntil", rng.choice((b";", b"--", b"\n;", b"c-a")))
            elif verb == 2:
                await both("readexactly", rng.randint(0, 40))
            elif verb == 3:
                data = await ours.read(rng.randint(1, 40))
                assert data == await theirs.readexactly(len(data))
                assert data or theirs.at_eof()
            else:
                await both("read", 0)
        assert ours.at_eof() and await ours.read() == b"" == await ours.read(5)
        await both("readexactly", 1)
        await both("readuntil", b"x")
        await both("readline")
        await feeding


async def test_a_piece_that_fits_is_handed_on_as_it_came(clear):
    async with opened(clear) as stream:
        pieces = [random.Random(n).randbytes(LIMIT) for n in range(3)]
        arrive(stream, *pieces)
        assert await stream.read(LIMIT) is pieces[0]
        assert await stream.read(10 * LIMIT) is pieces[1]
        assert await stream.readexactly(LIMIT) is pieces[2]
        arrive(stream, b"one", b"two", b"three")
        assert await stream.read(100) == b"onetwothree"
        arrive(stream, b"0123456789", b"abc")
        assert [await stream.read(4) for _ in range(2)] == [b"0123", b"4567"]
        assert await stream.readexactly(4) == b"89ab"
        assert not stream.at_eof()
        arrive(stream, b"de", end=True)
        assert await stream.read() == b"cde"
        assert stream.at_eof()


async def test_of_several_separators_the_one_that_ends_first_counts(clear):
    async with opened(clear) as stream:
        arrive(stream, b"one\r", b"\ntwo;three-", b"-four")
        assert await stream.readuntil((b"\r\n", b";")) == b"one\r\n"
        assert await stream.readuntil((b"\r\n", b"--", b";")) == b"two;"
        assert await stream.readuntil((b"three--", b"-")) == b"three-"
        for wrong in ((), b"", (b"a", b"")):
            with pytest.raises(ValueError):
                await stream.readuntil(wrong)
        with pytest.raises(ValueError):
            await stream.readexactly(-1)
        assert await stream.readexactly(5) == b"-four"


@pytest.mark.parametrize(
    ("name", "argument"), [("read", 9), ("readexactly", 9), ("readuntil", b";"), ("readline", None)]
)
async def test_a_read_that_is_cancelled_loses_nothing(clear, name, argument):
    async with opened(clear) as stream:
        arguments = () if argument is None else (argument,)
        for early in (b"", b"ear", b"ly"):
            arrive(stream, early) if early and name != "read" else None
            waiting = asyncio.create_task(getattr(stream, name)(*arguments))
            await turns()
            with pytest.raises(RuntimeError):  # one at a time
                await stream.readexactly(100)
            if early == b"ly":
                arrive(stream, b"here")  # it is woken, and cancelled before it looks
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        arrive(stream, b";\nrest", end=True)
        assert await stream.read() == (b"" if name == "read" else b"early") + b"here;\nrest"


async def test_lines_have_a_limit(clear):
    with pytest.raises(ValueError):
        async with opened(clear, limit=0):
            pass
    async with opened(clear, limit=10) as stream:
        arrive(stream, b"0123456789\n", b"0123456789a\nnext\n", b"0123456789", b"abc", b"def\nlast")
        assert await stream.readline() == b"0123456789\n"
        for _ in range(2):  # what is too long waits still
            with pytest.raises(asyncio.LimitOverrunError) as caught:
                await stream.readuntil()
            assert caught.value.consumed == 11
        with pytest.raises(ValueError):
            await stream.readline()  # which drops it
        assert await stream.readline() == b"next\n"
        with pytest.raises(asyncio.LimitOverrunError) as caught:
            await stream.readuntil()  # before its end was seen
        assert caught.value.consumed == 13
        with pytest.raises(ValueError):
            await stream.readline()
        assert await stream.readline() == b"def\n"
        with pytest.raises(asyncio.IncompleteReadError) as error:
            arrive(stream, end=True)
            await stream.readuntil()
        assert error.value.partial == b"last"


async def test_what_is_below_the_limit_is_credited_as_it_comes_the_rest_when_it_is_read():
    loop = asyncio.get_running_loop()
    begun, ended = loop.create_future(), loop.create_future()

    async def handler(tunnel):
        begun.set_result(tunnel.stream(limit=10_000))
        await ended

    async with serve(tunnels={"bytestream": handler}, host="127.0.0.1", port=0) as server:
        peer = await RawClient.connect(port_of(server))
        peer.headers(1, ASKED)
        await peer.expect(f.HEADERS, 1)
        stream = await begun
        receiving = stream.tunnel._receiving
        conn = receiving.wire.conn
        came = 0
        # The first is small: it is credited when it is read, too.
        pieces = (400, 400), (5000, 400), (12_000, 400), (4500, 4900), (5000, 9900)
        for size, uncredited in pieces:
            peer.send(f.data(1, bytes(size)))
            came += size
            await until(lambda: receiving.held == came)  # noqa: B023  # it is done with at once
            assert conn.octets_held == uncredited
        # Of a piece that is taken apart the rest counts still.
        assert await stream.readexactly(500) == bytes(500)
        assert receiving.held == came - 500 and conn.octets_held == 9500
        assert await stream.readexactly(16_900) == bytes(16_900)
        assert receiving.held == conn.octets_held == 9500
        assert await stream.readexactly(5000) == bytes(5000)
        assert receiving.held == 4500 and conn.octets_held == 0
        assert await stream.readexactly(4500) == bytes(4500)
        assert receiving.held == conn.octets_held == 0
        ended.set_result(None)
        peer.close()


@pytest.mark.parametrize("verb", ["close", "abort"])
async def test_what_had_come_before_this_end_closed_is_read_then_the_end(clear, verb):
    async with opened(clear) as stream:
        arrive(stream, b"some ", b"octets")
        assert await stream.readexactly(2) == b"so"
        getattr(stream.transport, verb)()
        assert await stream.read(3) == b"me "
        assert await stream.read() == b"octets"
        assert await stream.read(1) == b""
        await turns()
        assert stream.at_eof()
        await stream.wait_closed()


@pytest.mark.parametrize("verb", ["close", "abort"])
async def test_who_waits_when_this_end_closes_is_told_of_the_end(clear, verb):
    async with opened(clear) as stream:
        waiting = asyncio.create_task(stream.readline())
        await turns()
        getattr(stream.transport, verb)()
        assert await waiting == b""


async def test_another_protocol_gets_what_nobody_read(clear):
    async with opened(clear) as stream:
        arrive(stream, b"read;", b"not yet")
        assert await stream.readuntil(b";") == b"read;"
        protocol = Recorder()
        stream.transport.set_protocol(protocol)
        arrive(stream, b", and more", end=True)
        await until(lambda: "eof" in protocol.calls)
        assert protocol.octets == b"not yet, and more"
