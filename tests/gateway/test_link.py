"""A tunnel's connection to a backend over HTTP/1.1, between a transport and a sink made here."""

import asyncio
import contextlib

from h2ws_fast.aio.hub import running_hub
from h2ws_fast.engine import Limits
from h2ws_fast.engine.octets import Octets
from h2ws_fast.gateway.links import H1Link, H1Links


class Transport(asyncio.Transport):
    """Notes what it is told; `fails`: raises it at a write."""

    def __init__(self):
        super().__init__()
        self.told = []
        self.fails = None

    def set_write_buffer_limits(self, high=None, low=None):
        """No limits."""

    def is_closing(self):
        return ("abort",) in self.told

    def write(self, data):
        if self.fails is not None:
            raise self.fails
        self.told.append(("write", bytes(data)))

    def abort(self):
        self.told.append(("abort",))

    def pause_reading(self):
        self.told.append(("pause",))

    def resume_reading(self):
        self.told.append(("resume",))

    def can_write_eof(self):
        return True

    def write_eof(self):
        if self.fails is not None:
            raise self.fails
        self.told.append(("eof",))


@contextlib.asynccontextmanager
async def connected():
    """A link that has become a tunnel."""
    limits = Limits(write_high=100, write_low=10)
    link = H1Link(H1Links(None, 1), running_hub(), limits)
    link.connection_made(Transport())
    link.become(Octets(limits))
    yield link
    link.connection_lost(None)


async def later(link):
    """What the transport was told by the end of a turn of the loop."""
    link.touch()
    await asyncio.sleep(0)
    told = list(link.transport.told)
    link.transport.told.clear()
    return told


async def test_octets_pass_both_ways():
    async with connected() as link:
        heard = []
        link.conn.attach(1, heard.append)
        link.data_received(b"abc")
        assert [event.data for event in heard] == [b"abc"]
        link.conn.send_data(1, b"d")
        assert await later(link) == [("write", b"d")]
        link.conn.send_data(1, b"e")
        link.conn.send_data(1, b"f")
        told = await later(link)
        assert b"".join(data for _, data in told) == b"ef"


async def test_too_much_that_nobody_took_stops_reading_until_it_is_taken():
    async with connected() as link:
        link.conn.attach(1, lambda event: None)
        link.data_received(bytes(100))
        assert link.transport.told == []
        link.data_received(b"x")
        assert link.transport.told == [("pause",)]
        link.transport.told.clear()
        link.conn.consumed(1, 1)
        link.conn.send_data(1, b"y")
        assert await later(link) == [("write", b"y"), ("resume",)]


async def test_what_a_transport_does_not_take_waits_in_order():
    async with connected() as link:
        link.pause_writing()
        link.conn.send_data(1, b"a")
        assert await later(link) == []
        link.conn.send_data(1, b"b")
        assert await later(link) == [] and link.conn.waiting(1) == 2
        assert link.conn.next_timeout() is not None
        link.resume_writing()
        told = await later(link)
        assert b"".join(data for _, data in told) == b"ab" and link.conn.waiting(1) == 0


async def test_the_end_of_a_side_follows_its_last_octets():
    async with connected() as link:
        link.conn.send_data(1, b"bye", True)
        assert await later(link) == [("write", b"bye"), ("eof",)]


async def test_a_transport_that_fails_is_given_up(caplog):
    async with connected() as link:
        link.transport.fails = OSError("broken")
        link.conn.send_data(1, b"x")
        assert await later(link) == [("abort",)]
        link.conn.send_data(1, b"y")
        assert await later(link) == [] and not caplog.records


async def test_a_transport_that_fails_to_end_is_given_up(caplog):
    """The peer has reset it, and the loop has not looked yet."""
    async with connected() as link:
        link.transport.fails = OSError("not connected")
        link.conn.send_data(1, b"", True)
        assert await later(link) == [("abort",)] and not caplog.records
