"""Messages to many, written where they leave.

A message that goes to a hundred streams of one connection is framed once. While nothing else waits
on the connection the frame is copied, behind each stream's DATA head, straight into the buffers
that `data_to_send` returns next, and does not stand in the outbox: a quarter of the work. Whatever
the windows, or `AHEAD`, do not allow takes the usual way.

Nothing overtakes these octets any more, so there may be only as many as one pull takes, or what one
call brings: other messages would be behind those of that call anyway, and a control frame waits for
two mebibytes at the most. Of 1000 recipients each costs 15 ns so, of 100 some 20 with what the
call itself takes, and 60 on the usual way.

They have left as far as their streams know: no window, no reset and no `waiting` looks at them any
more. Only what ends the connection drops them.
"""

from .buffers import Buffer
from .constants import DATA, DEAD, FIN, LOCAL, OVER, STALLED
from .control import Control
from .kernels import address, u32

AHEAD = 262144  # octets that may be written ahead ...
ONE_CALL = 2097152  # ... where nothing is yet
LONGEST = 4096  # octets of a message: beyond that the copy costs more than the way
FEWEST = 4  # recipients for which it pays


class Ahead:
    """Whole frames that leave before anything else does: `out`, and those that were full before."""

    __slots__ = ("buffers", "octets", "out")

    def follow(self, out, pool):
        """Put a full buffer behind the others, and return the next."""
        if out is not None:
            if self.buffers is None:
                self.buffers = []
            self.buffers.append(out.finish())
        self.out = None if pool is None else pool.acquire()
        return self.out


def new_ahead():
    ahead = Ahead.__new__(Ahead)
    ahead.buffers = None
    ahead.octets = 0
    ahead.out = None
    return ahead


class Fanout(Control):
    """What of a connection sends one message to many streams."""

    __slots__ = ("_pool", "ahead")

    def write_ahead(self, stream_ids, opcode, data):
        """Send a message on streams, as far as that can be done here.

        `stream_ids` are as `numbers` makes them. Return the streams that are left, None among them
        where there is none of that number; or None where nothing is left.
        """
        ids = address(stream_ids)
        end = len(stream_ids)
        streams = self.streams
        outbox = self.outbox
        others = None
        frame = self._framed_once(opcode, data, end >> 2)
        if frame is None:
            others = []
            for at in range(0, end, 4):
                others.append(streams.get(u32(ids, at)))
            return others
        ahead = self.ahead
        out = None
        n = len(frame)
        size = n + 9
        head = n << 8 | DATA
        unfit = OVER | LOCAL
        least = n - outbox.initial  # of a stream's `extra`
        fits = 0  # frames for which the buffer has room
        sent = 0
        allowed = 0
        if outbox.window > 0:
            allowed = outbox.window // n
        octets = 0
        most = ONE_CALL
        if ahead is not None:
            out = ahead.out
            octets = ahead.octets
            most = AHEAD
            if out is not None:
                fits = out.room() // size
        for at in range(0, end, 4):
            stream = streams.get(u32(ids, at))
            if (
                stream is None
                or stream.queued
                or stream.flags & unfit
                or stream.extra < least
                or sent == allowed
                or not stream.layer.is_plain()
                or (fits == 0 and octets + (sent + 1) * size > most)
            ):
                if others is None:
                    others = []
                others.append(stream)
                continue
            if fits == 0:
                if ahead is None:
                    ahead = new_ahead()
                    self.ahead = ahead
                out = ahead.follow(out, self._pool)
                fits = out.room() // size
            out.frame(head, stream.id, frame)
            fits -= 1
            stream.extra -= n
            stream.flags &= ~STALLED
            sent += 1
        if sent:
            ahead.octets = octets + sent * size
            outbox.window -= sent * n
            outbox.queued += sent * size
            outbox.data_frames += sent
            self.messages_sent += sent
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
            or self.phase
            == DEAD  # a sink hears its last event, and others are still to hear theirs
            or outbox.queued != (0 if self.ahead is None else self.ahead.octets)
        ):
            return None
        if type(data) is not bytes:
            data = data.encode()
        frame = Buffer()
        frame.expect(size + (2 if size < 126 else 4))  # more would be given back, by a copy
        if size < 126:
            frame.put_u16((opcode | FIN) << 8 | size)
        else:
            frame.put_u32((opcode | FIN) << 24 | 126 << 16 | size)
        frame.put(data)
        return frame.bytes()

    def take_ahead(self, buffers, most):
        """Move at most so many octets of what was written ahead into the list; return how many."""
        ahead = self.ahead
        taken = ahead.octets
        if ahead.buffers is None and taken <= most:
            buffers.append(ahead.out.finish())
            self.ahead = None
            self.outbox.queued -= taken
            return taken
        ahead.follow(ahead.out, None)
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

    def drop_ahead(self):
        """Forget what was written ahead, but for the rest of a frame that has left in part."""
        ahead = self.ahead
        if ahead is None:
            return 0
        self.outbox.queued -= ahead.octets
        self.ahead = None
        if ahead.buffers is None or type(ahead.buffers[0]) is not memoryview:
            return 0
        left = ahead.buffers[0]
        frames = memoryview(left.obj)  # all of the buffer: it began with a frame
        gone = len(frames) - len(left)
        end = 0
        while end < gone:
            end += 9 + int.from_bytes(frames[end : end + 3], "big")
        if end > gone:
            # Without it GOAWAY would be taken for octets of its payload.
            ahead.buffers = [left[: end - gone]]
            ahead.octets = end - gone
            ahead.out = None
            self.outbox.queued += ahead.octets
            self.ahead = ahead
        return 0

    def may_leave(self):
        """Is there anything that `data_to_send` would return?"""
        return self.ahead is not None or self.outbox.waiting()
