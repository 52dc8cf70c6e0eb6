"""Octets of a stream that its layer has not looked at yet, in the order in which they came."""

PIECE = 4096  # below, what comes is joined to what came before: each object has its price


class Backlog:
    """What is kept back on one stream.

    `counted` of its octets count as buffered. `ended`: the peer's end stands behind them.
    """

    __slots__ = ("at", "counted", "ended", "pieces", "reading")

    def add(self, data):
        """Octets came behind the others."""
        pieces = self.pieces
        at = len(pieces) - 1
        if at >= 0:
            last = pieces[at]
            if len(last) + len(data) <= PIECE:
                pieces[at] = last + data
                return 0
        pieces.append(data)
        return 0

    def read_to(self, pos):
        """Of the first piece nothing is looked at from `pos` on."""
        if pos < self.at:
            self.at = pos
        return 0


def new_backlog():
    """Make one that holds nothing."""
    backlog = Backlog.__new__(Backlog)
    backlog.pieces = []
    backlog.at = 0
    backlog.counted = 0
    backlog.ended = False
    backlog.reading = False
    return backlog
