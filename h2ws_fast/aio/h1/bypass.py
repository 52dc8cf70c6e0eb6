"""Tunnels over plain TCP read and write past their transport, on its descriptor.

What a transport does for each read and each write takes as much as all that a proxy does for the
message between: with uvloop 2300 of 5900 instructions there and back, where this takes 500. The
transport still opens, closes, ends and waits; it has been told not to read.

Order is kept since nothing is written here while the transport holds octets. It gets what the system
does not take; and all of it where that failed, so that it finds the error by itself. What there is
to read other than octets, an end or an error, is left for it to find as well.

A descriptor's number may be somebody else's as soon as it is closed. A transport does that after
`connection_lost`, or in silence where connecting was given up: until that cannot be any more it is
asked for the number each time, and says -1 then. Later it is left alone: its objects are in no cache
by then, and to ask them took a tenth of the time of a message.
"""

import contextlib
import contextvars
import logging
import select

from ..descriptor import Poll, receive, send

logger = logging.getLogger("h2ws_fast.aio")

# Both loops' transports of a plain socket. Whatever else there is keeps its own way.
PLAIN = {
    ("uvloop.loop", "TCPTransport"),
    ("uvloop.loop", "UnixTransport"),
    ("asyncio.selector_events", "_SelectorSocketTransport"),
}
HAS_EPOLL = hasattr(select, "epoll")
# Where few have something, others will once those are read. The loop's round and the write that
# follows are for all of them: of 100 tunnels 10 go together so, and 6 without.
ROUNDS = 4
FEW = 32
# Turns of the loop until whoever connects has gone on, or has given up: it is told within one turn
# of the transport, and goes on in the next.
TURNS = 2


class Bypass:
    """What a Wire reads and writes past its transport, which is told to read no more."""

    __slots__ = ("fd", "fileno", "reads", "sure", "transport", "waiting", "wire")

    def __init__(self, wire, reads, sock):
        self.wire = wire
        self.reads = reads
        self.transport = wire.transport
        self.fileno = sock.fileno
        self.waiting = self.transport.get_write_buffer_size
        self.fd = sock.fileno()
        self.sure = False  # is it open for as long as the Wire is not lost?
        self._turn(TURNS)

    def _turn(self, left):
        if left:
            self.wire.hub.loop.call_soon(self._turn, left - 1)
        else:
            self.sure = self.fileno() == self.fd

    def _open(self):
        # Is it still the transport's?
        if self.sure:
            return not self.wire.lost
        return self.fileno() == self.fd

    def _holds(self):
        # Does the transport hold octets that the system did not take?
        if self.waiting():
            return True
        self.wire.handed = False
        return False

    def write(self, data):
        """As the transport's `write`."""
        sent = 0
        if self._open() and not (self.wire.handed and self._holds()):
            sent = send(self.fd, data)
            if sent == len(data):
                return
        self.wire.handed = True
        self.transport.write(data[sent:] if sent else data)

    def pause(self):
        """Read no more for now."""
        if self.reads is None:
            self.transport.pause_reading()
        else:
            self.reads.remove(self)

    def resume(self):
        """Read again."""
        if self.reads is None or not self.reads.add(self):
            self.leave()
            self.transport.resume_reading()

    def leave(self):
        """The descriptor is read here no more: it is about to be closed, or left to the transport."""
        reads = self.reads
        if reads is not None:
            self.reads = None
            reads.forget(self)

    def receive(self, plain):
        """There is something on the descriptor: octets alone where it is `plain`."""
        wire = self.wire
        if wire.closing or not self._open():
            self.leave()
            return
        data = b""
        room = wire.hub.buffer
        if plain:
            try:
                data = receive(self.fd, room)
            except OSError as error:
                # To whoever reads next it would be a good end.
                logger.debug("reading failed: %s", error)
                wire.abort()
                return
        if data:
            if len(data) == len(room):
                self.reads.poll.again(self.fd)
            wire._receive(data, 0.0)
        elif data is not None:
            self.hand_back()

    def hand_back(self):
        """Let the transport read from here on."""
        self.leave()
        self.transport.resume_reading()


class Reads:
    """The descriptors that are read past their transports, all those of a Hub."""

    __slots__ = ("by_number", "hub", "poll", "users")

    def __init__(self, hub):
        self.hub = hub
        self.users = 0
        self.poll = None  # while there are any
        self.by_number = []  # those of them that are read now, and None for other descriptors

    @property
    def bypasses(self):
        """Those that are read now, by descriptor."""
        return {each.fd: each for each in self.by_number if each is not None}

    def _reads(self, bypass):
        fd = bypass.fd
        return fd < len(self.by_number) and self.by_number[fd] is bypass

    def add(self, bypass):
        """Watch its descriptor. False: the system refuses, or the loop."""
        if self._reads(bypass):
            return True
        try:
            if self.poll is None:
                self.poll = self._new_poll()
            self.poll.add(bypass.fd)
        except (OSError, RuntimeError) as error:
            # uvloop refuses a number for good that somebody closed before removing its reader.
            logger.debug("a descriptor cannot be watched: %s", error)
            return False
        room = bypass.fd + 1 - len(self.by_number)
        if room > 0:
            self.by_number.extend([None] * room)
        self.by_number[bypass.fd] = bypass
        return True

    def _new_poll(self):
        poll = Poll()
        try:
            # In no context: whoever comes first would be kept by it.
            contextvars.Context().run(self.hub.loop.add_reader, poll, self.run)
        except BaseException:
            poll.close()
            raise
        return poll

    def remove(self, bypass):
        """Watch its descriptor no more."""
        if not self._reads(bypass):
            return  # somebody else has the number
        self.by_number[bypass.fd] = None
        with contextlib.suppress(OSError):  # it was closed behind our back
            self.poll.remove(bypass.fd)

    def forget(self, bypass):
        """It leaves, and with the last of them the Poll ends."""
        self.remove(bypass)
        self.users -= 1
        poll = self.poll
        if poll is not None and not self.users:
            self.poll = None
            self.by_number = []
            with contextlib.suppress(RuntimeError):  # a number that the loop refuses by now
                self.hub.loop.remove_reader(poll)
            poll.close()

    def run(self):
        """There is something on some of them: read it, and then write what that left behind."""
        if self.poll is None:
            return
        hub = self.hub
        hub.scheduled = True  # in this very call
        try:
            self._read()
        except OSError as error:
            logger.warning("descriptors cannot be watched any more: %s", error)
            for each in list(self.bypasses.values()):
                each.hand_back()
        finally:
            hub.flush()

    def _read(self):
        poll = self.poll
        rounds = ROUNDS
        done = 0
        while rounds and done < FEW and self.poll is poll:
            found = poll.ask()
            if not found:
                break
            for index in range(found):
                fd = poll.which(index)
                if fd < len(self.by_number):
                    bypass = self.by_number[fd]
                    if bypass is not None:
                        self._receive(bypass, poll.plain(index))
            done += found
            rounds -= 1

    def _receive(self, bypass, plain):
        try:
            bypass.receive(plain)
        except Exception as error:
            self.hub.loop.call_exception_handler(
                {"message": "what was read could not be handled", "exception": error}
            )
            bypass.wire.abort()


def bypass(wire, held):
    """Read and write past the transport of this Wire from here on; None where it has to be used.

    `held`: the transport has been told to read no more already, and nothing is read before `resume`.
    """
    transport = wire.transport
    kind = type(transport)
    if (kind.__module__, kind.__name__) not in PLAIN or not HAS_EPOLL or transport.is_closing():
        return None
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return None
    hub = wire.hub
    if hub.reads is None:
        hub.reads = Reads(hub)
    made = Bypass(wire, hub.reads, sock)
    made.reads.users += 1
    if not held:
        if not made.reads.add(made):
            made.leave()
            return None
        transport.pause_reading()
    return made
