"""How streams ended: RFC 9113 section 5.1, "closed".

What a late frame means depends on it, so a bounded number of them is remembered; the numbers that a
peer skipped are remembered as ranges, since those can never be opened.
"""

from collections import deque

# What is remembered of a stream.
UNKNOWN = 0
ENDED = 1  # both sides sent END_STREAM
RESET_BY_PEER = 2
RESET_BY_US = 3
TOLD = 4  # beside one of these: see `tell`

MAX_SKIPS = 64  # ranges; a peer that skips oftener is only judged by the latest


class ClosedStreams:
    """The latest `size` closed streams."""

    __slots__ = ("_how", "_order", "_size", "_skips")

    def __init__(self, size):
        self._size = size
        self._how = None  # made on need: most connections of a server close nothing for long
        self._order = None
        self._skips = None

    def add(self, stream_id, how):
        """A stream ended now, or is known to have ended otherwise."""
        if self._how is None:
            self._how = {}
            self._order = deque()
        before = self._how.get(stream_id)
        if before is None:
            if len(self._order) >= self._size:
                del self._how[self._order.popleft()]
            self._order.append(stream_id)
        else:
            how |= before & TOLD
        self._how[stream_id] = how

    def get(self, stream_id):
        """How a stream ended, or UNKNOWN."""
        return UNKNOWN if self._how is None else self._how.get(stream_id, UNKNOWN) & ~TOLD

    def tell(self, stream_id):
        """An RST_STREAM leaves for what came after the end, which stays as it was."""
        return self.add(stream_id, self.get(stream_id) | TOLD)

    def is_told(self, stream_id):
        """Was there such an RST_STREAM?"""
        return self._how is not None and self._how.get(stream_id, UNKNOWN) & TOLD != 0

    def skip(self, first, last):
        """The peer passed over the numbers from first to last."""
        if self._skips is None:
            self._skips = deque(maxlen=MAX_SKIPS)
        self._skips.append((first, last))

    def is_skipped(self, stream_id):
        """Was this number passed over? RFC 9113 section 5.1.1: it can never be opened."""
        if self._skips is not None:
            for first, last in self._skips:
                if first <= stream_id <= last:
                    return True
        return False
