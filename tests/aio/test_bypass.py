"""Tunnels over plain TCP, which read and write on the transport's descriptor: at the sockets."""

import asyncio
import contextlib
import os
import random
import select
import socket
import struct

import pytest

from h2ws_fast import Response, serve
from h2ws_fast.aio.answering import Answering
from h2ws_fast.aio.h1.pace import ReadingWire
from h2ws_fast.aio.hub import running_hub
from h2ws_fast.engine import Limits
from h2ws_fast.engine.events import Ended, Reset, Terminated
from h2ws_fast.engine.octets import Octets
from h2ws_fast.engine.sink import Sink
from tests.support import twins

resource = pytest.importorskip("resource")
pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="there is no epoll here")

RESET = struct.pack("ii", 1, 0)


class End(ReadingWire, asyncio.Protocol):
    """One end of a connection that is a tunnel from its beginning; `came` is what it was sent."""

    def __init__(self, hub, credits=True, limits=None):
        limits = Limits() if limits is None else limits
        conn = Octets(limits)
        super().__init__(hub, conn, limits.write_high)
        self.watched = True
        self.credits = credits
        self.came = b""
        self.events = []
        self.gone = hub.loop.create_future()
        conn.attach(1, self.take)

    def switch(self):
        self.become(self.conn)

    def take(self, event):
        if hasattr(event, "data"):
            self.came += event.data
            if self.credits:
                self.conn.consumed(1, event.credit)
        else:
            self.events.append(type(event))

    def _event(self, event):
        assert type(event) is Terminated
        self.over = True

    def _lost(self, exc):
        self.gone.set_result(None)

    def say(self, octets):
        self.conn.send_data(1, octets)
        self.touch()


@contextlib.asynccontextmanager
async def ends(*, made=End, buffer=None, **options):
    """An End and the socket at its other end, with small buffers where asked."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        near = socket.socket()
        if buffer is not None:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        near.connect(listener.getsockname())
        near.setblocking(False)
        peer, _ = listener.accept()
    peer.setblocking(False)
    _, end = await loop.create_connection(lambda: made(running_hub(), **options), sock=near)
    end.switch()
    try:
        yield end, peer
    finally:
        peer.close()
        end.abort()
        await end.gone
        assert end.hub.reads.poll is None and not end.hub.reads.bypasses


def held_by(transport):
    return transport.get_write_buffer_size() > 0


async def until(condition):
    async with asyncio.timeout(25):
        while not condition():
            await asyncio.sleep(0.001)


async def test_the_transport_neither_reads_nor_writes():
    loop = asyncio.get_running_loop()
    async with ends() as (end, peer):
        assert end.bypass.fd in end.hub.reads.bypasses and not end.transport.is_reading()
        await loop.sock_sendall(peer, b"there")
        await until(lambda: end.came == b"there")
        end.say(b"back")
        assert await loop.sock_recv(peer, 100) == b"back"
        assert not end.transport.is_reading()


@pytest.mark.parametrize("seed", range(4))
async def test_order_is_kept_however_much_the_system_takes(seed):
    """Some of it by one way and some by the other: a partial write, and one that waits behind it."""
    loop = asyncio.get_running_loop()
    rng = random.Random(seed)
    sent = [rng.randbytes(rng.choice((1, 100, 5000, 60_000))) for _ in range(120)]
    whole = b"".join(sent)
    waited = set()

    async with ends(buffer=16384) as (end, peer):

        async def write():
            for piece in sent:
                waited.add(held_by(end.transport))
                end.say(piece)
                if rng.random() < 0.7:
                    await asyncio.sleep(0)
                if rng.random() < 0.3:
                    await until(lambda: not end.conn.waiting(1) and not held_by(end.transport))

        async def read():
            came = b""
            while len(came) < len(whole):
                came += await loop.sock_recv(peer, rng.choice((1, 1000, 200_000)))
                if rng.random() < 0.1:
                    await asyncio.sleep(0.002)
            return came

        back = rng.randbytes(300_000)
        came, _, _ = await asyncio.gather(read(), write(), loop.sock_sendall(peer, back))
        assert came == whole
        await until(lambda: len(end.came) == len(back))
        assert end.came == back
    assert waited == {False, True}


@pytest.mark.parametrize("octets", [b"", b"last words"])
async def test_an_end_is_no_reset_and_the_other_side_goes_on(octets):
    loop = asyncio.get_running_loop()
    async with ends() as (end, peer):
        await loop.sock_sendall(peer, octets)
        peer.shutdown(socket.SHUT_WR)
        await until(lambda: Ended in end.events)
        assert end.came == octets and end.events == [Ended]
        end.say(b"still here")
        assert await loop.sock_recv(peer, 100) == b"still here"
        end.conn.send_data(1, b"", True)
        end.touch()
        assert await loop.sock_recv(peer, 100) == b""
        await end.gone
        assert not end.conn.broken


async def test_this_side_may_end_first():
    loop = asyncio.get_running_loop()
    async with ends() as (end, peer):
        end.conn.send_data(1, b"bye", True)
        end.touch()
        assert await loop.sock_recv(peer, 100) == b"bye"
        assert await loop.sock_recv(peer, 100) == b""
        await loop.sock_sendall(peer, b"answer")
        await until(lambda: end.came == b"answer")
        peer.close()
        await end.gone
        assert end.events == [Ended] and not end.conn.broken


@pytest.mark.parametrize("speaks", [False, True])
async def test_a_reset_is_no_end(speaks):
    async with ends() as (end, peer):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        peer.close()
        if speaks:  # into the broken connection: EPIPE or ECONNRESET, whichever way finds it
            with contextlib.suppress(OSError):
                end.say(b"x")
        await end.gone
        assert end.events == [Reset] and end.conn.broken


async def test_a_reset_between_the_question_and_the_read_is_no_end():
    """The system has said that there are octets: then the read itself finds the error."""
    async with ends() as (end, peer):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        peer.close()
        end.bypass.receive(True)
        await end.gone
        assert end.events == [Reset] and end.conn.broken


async def test_who_does_not_take_is_not_read():
    loop = asyncio.get_running_loop()
    octets = random.Random(7).randbytes(24_000_000)  # more than the kernel keeps
    limits = Limits(write_high=100_000, write_low=50_000)
    async with ends(credits=False, limits=limits) as (end, peer):
        task = asyncio.ensure_future(loop.sock_sendall(peer, octets))
        await until(lambda: end.held)
        assert not end.hub.reads.bypasses and not end.transport.is_reading()
        held = len(end.came)
        await asyncio.sleep(0.01)
        assert len(end.came) == held < 100_000 + 262_144 + 1
        assert not task.done()
        end.credits = True
        end.conn.consumed(1, held)
        end.settle(None)
        await task
        await until(lambda: len(end.came) == len(octets))
        assert end.came == octets


async def test_a_number_that_somebody_else_has_got_is_not_written_to():
    async with ends() as (end, _):
        passed = end.bypass
        end.abort()
        await end.gone
        await until(lambda: not is_open(passed.fd))
        theirs, others = take(passed.fd)
        with theirs, others:
            with contextlib.suppress(RuntimeError):  # uvloop's transport says that it is closed
                passed.write(b"not for you")
            with pytest.raises(BlockingIOError):
                others.recv(100)


async def test_a_transport_that_closes_in_silence_is_left_alone():
    """uvloop does so where connecting is cancelled once it has come true."""
    loop = asyncio.get_running_loop()
    made, accepted, numbers = [], [], []

    class Cancelled(End):
        def _opened(self):
            made.append(self)
            accepted.append(listener.accept()[0])  # now: or it may get the number
            self.switch()
            numbers.append(self.bypass.fd)
            task.cancel()
            return True

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        task = asyncio.ensure_future(
            loop.create_connection(lambda: Cancelled(running_hub()), "127.0.0.1", port)
        )
        with pytest.raises(asyncio.CancelledError):
            await task
        (end,), (peer,), (fd,) = made, accepted, numbers
        with peer:
            await until(lambda: not is_open(fd))
            theirs, others = take(fd)
            with theirs, others:
                if not end.lost:
                    end.say(b"not for you")
                others.send(b"nor for us")
                for _ in range(5):
                    await asyncio.sleep(0)
                with pytest.raises(BlockingIOError):
                    others.recv(100)
                assert theirs.recv(100) == b"nor for us"
            end.forsake()
            await end.gone
    assert not end.hub.reads.bypasses and end.hub.reads.poll is None and end.came == b""


@pytest.mark.parametrize("who", ["system", "loop"])
async def test_where_something_refuses_the_transport_goes_on(who):
    loop = asyncio.get_running_loop()

    class Poor(End):
        def switch(self):
            with no_descriptors() if who == "system" else no_readers(loop):
                super().switch()

    async with ends(made=Poor) as (end, peer):
        assert end.bypass is None and end.transport.is_reading()
        await loop.sock_sendall(peer, b"there")
        await until(lambda: end.came == b"there")
        end.say(b"back")
        assert await loop.sock_recv(peer, 100) == b"back"


@contextlib.contextmanager
def no_readers(loop):
    def refuse(*arguments):
        raise RuntimeError("the handler is closed")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "add_reader", refuse)
        yield


@contextlib.contextmanager
def no_descriptors():
    free = os.dup(0)
    os.close(free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_receiver_that_fails_ends_its_own_connection_and_no_other():
    loop = asyncio.get_running_loop()
    told = []

    class Failing(Sink):
        def _data(self, data, credit):
            raise ZeroDivisionError

        def _event(self, event):
            pass

    async with ends() as (end, peer), ends() as (other, its):
        end.conn.attach(1, Failing())
        loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
        peer.send(b"x")
        its.send(b"y")
        await end.gone
        await until(lambda: other.came == b"y")
        assert [type(error) for error in told] == [ZeroDivisionError]


def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def take(fd):
    """A pair of sockets, of which the first has this number."""
    one, other = socket.socketpair()
    if fd not in (one.fileno(), other.fileno()):
        os.dup2(one.fileno(), fd)
        one.close()
        one = socket.socket(fileno=fd)
    elif fd == other.fileno():
        one, other = other, one
    one.setblocking(False)
    other.setblocking(False)
    return one, other


# -- descriptors, of both twins ------------------------------------------------------------------


@pytest.fixture(params=range(2), ids=["pure", "compiled"])
def descriptor(request):
    found = twins.both(".aio.descriptor")
    if request.param >= len(found):
        pytest.skip("no compiled twin here")
    return found[request.param]


@pytest.fixture
def pair():
    ours, peer = socket.socketpair()
    with ours, peer:
        ours.setblocking(False)
        peer.setblocking(False)
        yield ours, peer


def test_a_descriptor_takes_what_fits(descriptor, pair):
    ours, peer = pair
    octets = random.Random(1).randbytes(10_000_000)
    sent = descriptor.send(ours.fileno(), octets)
    assert 0 < sent < len(octets)
    assert descriptor.send(ours.fileno(), octets[sent:]) == 0
    came = b""
    room = memoryview(bytearray(70_000))
    while piece := descriptor.receive(peer.fileno(), room):
        assert len(piece) <= 70_000
        came += piece
    assert piece is None and came == octets[:sent]


def test_a_descriptor_tells_an_end_from_nothing_yet(descriptor, pair):
    ours, peer = pair
    room = memoryview(bytearray(10))
    assert descriptor.receive(ours.fileno(), room) is None
    peer.close()
    assert descriptor.receive(ours.fileno(), room) == b""
    assert descriptor.send(ours.fileno(), b"x") == 0


def test_news_are_told_once_and_again_where_asked(descriptor, pair):
    ours, peer = pair
    fd = ours.fileno()
    poll = descriptor.Poll()
    poll.add(fd)
    assert poll.fileno() >= 0 and poll.ask() == 0
    peer.send(b"abc")
    assert (poll.ask(), poll.which(0), poll.plain(0)) == (1, fd, True)
    with pytest.raises(IndexError):
        poll.which(1)
    assert poll.ask() == 0
    poll.again(fd)
    assert (poll.ask(), poll.plain(0)) == (1, True)
    peer.send(b"d")
    peer.close()
    assert (poll.ask(), poll.which(0), poll.plain(0)) == (1, fd, False)
    poll.again(fd)
    poll.remove(fd)
    assert poll.ask() == 0
    for refused in (poll.remove, poll.again):
        with pytest.raises(FileNotFoundError):
            refused(fd)
    poll.close()
    poll.close()


def test_a_descriptor_that_is_none_is_an_error(descriptor, pair):
    ours, _ = pair
    fd = ours.detach()
    os.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        descriptor.receive(fd, memoryview(bytearray(10)))
    assert descriptor.send(fd, b"x") == 0


async def test_a_poll_that_fails_leaves_all_to_the_transports():
    loop = asyncio.get_running_loop()
    async with ends() as (end, peer):
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, end.hub.reads.poll.fileno())  # no epoll any more
        os.close(nothing)
        end.hub.reads.run()
        assert end.transport.is_reading() and not end.hub.scheduled
        await loop.sock_sendall(peer, b"there")
        await until(lambda: end.came == b"there")
        end.say(b"back")
        assert await loop.sock_recv(peer, 100) == b"back"


class Late(Answering):
    """Says when it answers, and when it reads."""

    over_http1 = True

    def __init__(self):
        self.answers, self.reads = asyncio.Event(), asyncio.Event()
        self.tunnel = None
        self.came = bytearray()

    async def serve(self, tunnel, answer):
        self.tunnel = tunnel
        await self.answers.wait()
        answer(Response(200))
        await self.reads.wait()
        async for data in tunnel:
            self.came += data
        tunnel.close_nowait()


async def test_a_tunnel_that_is_held_back_as_it_opens_is_not_read():
    """More came behind the request than waits for an answer."""
    late = Late()
    octets = random.Random(5).randbytes(3_000_000)
    async with serve(host="127.0.0.1", port=0, tunnels={"t": late}) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: t\r\n\r\n")
        writer.write(octets[:200_000])
        await until(lambda: late.tunnel and late.tunnel._sending.wire.held)
        late.answers.set()
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        writer.write(octets[200_000:])
        writer.write_eof()
        await asyncio.sleep(0.1)
        assert late.tunnel._sending.wire.bypass is not None
        assert late.tunnel._receiving.held < 1_000_000
        late.reads.set()
        await until(lambda: len(late.came) == len(octets))
        assert late.came == octets
        assert await reader.read() == b""
        writer.close()
