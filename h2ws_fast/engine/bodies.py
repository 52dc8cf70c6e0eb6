"""Bodies of requests and responses that wait to leave: RFC 9218 section 10.

One queue for each urgency, and a bit for each queue that holds anything. The most urgent queue is
served: one stream after the other, in the order in which they were opened; those that are
incremental give way to the next after each turn.

A body without an end would starve the others, so one turn in SPARED goes to somebody else: to each
urgency in turn, and there to the one who has waited longest.
"""

from collections import OrderedDict

SPARED = 16  # the others' share of the turns is one in so many


class Bodies:
    """The streams whose bodies wait, by urgency."""

    __slots__ = ("chosen", "mask", "queues", "spared", "turn")

    def __init__(self):
        self.queues = [None, None, None, None, None, None, None, None]
        self.mask = 0
        self.turn = 0
        self.spared = 0  # the urgency that had a turn to spare last
        self.chosen = None  # whose turn it is, until somebody comes or goes

    def put(self, stream):
        """A stream has something to send."""
        urgency = stream.rank >> 1 & 7
        queue = self.queues[urgency]
        if queue is None:
            queue = self.queues[urgency] = OrderedDict()
        first = not stream.rank & 1 and len(queue) > 0 and stream.id < next(iter(queue))
        queue[stream.id] = stream
        if first:
            # It had nothing to send for a while, and comes back before those opened later.
            queue.move_to_end(stream.id, False)
        self.mask |= 1 << urgency
        self.chosen = None

    def remove(self, stream):
        """A stream has nothing to send any more. Its rank is still that of `put`."""
        urgency = stream.rank >> 1 & 7
        queue = self.queues[urgency]
        del queue[stream.id]
        if len(queue) == 0:
            self.mask &= ~(1 << urgency)
        self.chosen = None

    def urgency(self):
        """The most urgent of those that wait; call it while there are any."""
        urgency = 0
        while not self.mask >> urgency & 1:
            urgency += 1
        return urgency

    def choose(self):
        """The stream whose turn it is; call it while `mask` is not 0."""
        if self.chosen is None:
            urgency = self.urgency()
            if self.turn == SPARED - 1:
                self.chosen = self._spare(urgency)
            else:
                self.chosen = next(iter(self.queues[urgency].values()))
        return self.chosen

    def _spare(self, urgent):
        at = (self.spared + 1) & 7
        while not self.mask >> at & 1:
            at = (at + 1) & 7
        self.spared = at
        streams = iter(self.queues[at].values())
        stream = next(streams)
        # The first of the most urgent has all the other turns.
        return next(streams, stream) if at == urgent and not stream.rank & 1 else stream

    def served(self, stream):
        """A stream had its turn, and has more to send."""
        spared = self.turn == SPARED - 1
        self.turn = (self.turn + 1) & (SPARED - 1)
        if spared or stream.rank & 1:
            queue = self.queues[stream.rank >> 1 & 7]
            if len(queue) > 1:
                queue.move_to_end(stream.id)
                self.chosen = None
        if spared or self.turn == SPARED - 1:
            self.chosen = None
        return 0

    def streams(self):
        """All of them, as a list."""
        return [stream for queue in self.queues if queue for stream in queue.values()]
