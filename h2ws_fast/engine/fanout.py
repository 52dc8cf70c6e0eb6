"""Messages to many, written where they leave.

A message that goes to a hundred streams of one connection is framed once. While nothing else waits
on the connection the frame is copied, behind each stream's DATA head, straight into the buffers
that `data_to_send` returns next, and does not stand in the outbox: a quarter of the work. Whatever
the windows, or `AHEAD`, do not allow takes the usual way.

Nothing overtakes these octets any more, so there may be only as many as one pull takes.
"""

from .constants import DATA, FIN, LOCAL, OVER, STALLED
from .control import Control

AHEAD = 262144  # octets that may be written ahead
LONGEST = 4096  # octets of a message: beyond that the copy costs more than the way
FEWEST = 4  # recipients for which it pays


class Ahead:
    """Whole frames that leave before anything else does."""

    __slots__ = ("buffers", "octets", "out")


class Fanout(Control):
    """What of a connection sends one message to many streams."""

    __slots__ = ("_pool", "ahead")

    def write_ahead(self, streams, opcode, data):
        """Send a message on streams, as far as that can be done here; return the others."""
        frame = self._framed_once(opcode, data, len(streams))
        if frame is None:
            return streams
        outbox = self.outbox
        ahead = self.ahead
        if ahead is None:
            ahead = Ahead.__new__(Ahead)
            ahead.buffers = []
            ahead.octets = 0
            ahead.out = None
            self.ahead = ahead
        out = ahead.out
        room = 0 if out is None else out.room()
        n = len(frame)
        size = n + 9
        sent = 0
        others = []
        for stream in streams:
            if (
                stream is None
                or stream.queued
                or stream.flags & (OVER | LOCAL)
                or n > outbox.window
                or n > outbox.initial + stream.extra
                or not stream.layer.is_plain()
            ):
                others.append(stream)
                continue
            if room < size:
                if ahead.octets + (sent + 1) * size > AHEAD:
                    others.append(stream)
                    continue
                if out is not None:
                    ahead.buffers.append(out.finish())
                out = self._pool.acquire()
                ahead.out = out
                room = out.room()
            out.frame(DATA, stream.id, frame)
            room -= size
            stream.extra -= n
            stream.flags &= ~STALLED
            outbox.window -= n
            sent += 1
        ahead.octets += sent * size
        outbox.queued += sent * size
        outbox.data_frames += sent
        self.messages_sent += sent
        if ahead.octets == 0:
            self.ahead = None
        return others

    def _framed_once(self, opcode, data, recipients):
        # The frame of a message, or None where all of it must take the usual way.
        outbox = self.outbox
        size = len(data)
        if (
            self.client
            or recipients < FEWEST
            or size > LONGEST
            or size + 13 > self._pool._capacity
            or outbox.control.size()
            or outbox.queued != (0 if self.ahead is None else self.ahead.octets)
        ):
            return None
        if type(data) is not bytes:
            data = data.encode()
        if size < 126:
            return bytes((opcode | FIN, size)) + data
        return bytes((opcode | FIN, 126, size >> 8, size & 0xFF)) + data

    def take_ahead(self, buffers, most):
        """Move at most so many octets of what was written ahead into the list; return how many."""
        ahead = self.ahead
        if ahead.out is not None:
            ahead.buffers.append(ahead.out.finish())
            ahead.out = None
        taken = 0
        while ahead.buffers and taken < most:
            first = ahead.buffers[0]
            n = len(first)
            if n > most - taken:
                # As much as is asked: less would say that there is no more.
                n = most - taken
                octets = memoryview(first)
                buffers.append(octets[:n])
                ahead.buffers[0] = octets[n:]
            else:
                buffers.append(first)
                del ahead.buffers[0]
            taken += n
        ahead.octets -= taken
        self.outbox.queued -= taken
        if ahead.octets == 0:
            self.ahead = None
        return taken

    def may_leave(self):
        """Is there anything that `data_to_send` would return?"""
        return self.ahead is not None or self.outbox.waiting()
