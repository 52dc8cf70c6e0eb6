"""What a priority is, and how it is read: RFC 9218 section 4, RFC 9651 section 3.2.

A stream's `rank` holds it in one octet: `urgency << 1 | incremental`. The two bits above say which
of the two the application has fixed, so that the peer's later signals no longer change it.
"""

from heapq import heappop, heappush

INCREMENTAL = 0x01
URGENCY = 0x0E
OWN_INCREMENTAL = 0x10  # fixed by the application
OWN_URGENCY = 0x20
DEFAULT_RANK = 3 << 1  # RFC 9218 section 4: u=3, i=?0
MAX_VALUE = 512  # octets of a value that are worth reading: seven say all there is to say

SPACE = 0x20
TAB = 0x09
QUOTE = 0x22
BACKSLASH = 0x5C
COMMA = 0x2C
SEMICOLON = 0x3B
EQUALS = 0x3D
QUESTION = 0x3F
OPENING = 0x28
CLOSING = 0x29

KEY_START = b"abcdefghijklmnopqrstuvwxyz*"
KEY = b"abcdefghijklmnopqrstuvwxyz0123456789_-.*"
DIGITS = b"0123456789"
NUMBER = b"0123456789."
TOKEN_START = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz*"
TOKEN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~:/"
BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="


class Announced:
    """Ranks of streams that are not open yet: what PRIORITY_UPDATE said before they came.

    Streams open in the order of their numbers, so a heap has first what is to go first: what a
    stream costs that opens does not depend on how many others are awaited.
    """

    __slots__ = ("_order", "_ranks")

    def __init__(self):
        self._order = []
        self._ranks = {}

    def __len__(self):
        return len(self._ranks)

    def __contains__(self, stream_id):
        return stream_id in self._ranks

    def put(self, stream_id, rank):
        """Remember the latest."""
        if stream_id not in self._ranks:
            heappush(self._order, stream_id)
        self._ranks[stream_id] = rank

    def take(self, stream_id):
        """A stream opens: return its rank, or -1.

        Those that it passes over are closed now (RFC 9113 section 5.1.1), and forgotten.
        """
        order = self._order
        rank = -1
        while order and order[0] <= stream_id:
            first = heappop(order)
            rank = self._ranks.pop(first)
            if first != stream_id:
                rank = -1
        return rank


class Unreadable(ValueError):
    """Not a Dictionary of RFC 9651."""


class Scanner:
    """A Dictionary, read from the left: RFC 9651 section 4.2. No octet is looked at twice."""

    __slots__ = ("at", "end", "octets")

    def __init__(self, octets):
        self.octets = octets
        self.at = 0
        self.end = len(octets)

    def look(self):
        """The octet that comes next, -1 at the end."""
        return self.octets[self.at] if self.at < self.end else -1

    def take(self, expected):
        """Pass over this octet; it must be there."""
        if self.look() != expected:
            raise Unreadable(f"octet {self.at} should be {expected:#x}")
        self.at += 1

    def skip(self, blanks):
        while self.at < self.end and self.octets[self.at] in blanks:
            self.at += 1

    def span(self, first, others):
        """A word of one octet of `first` and any number of `others`."""
        start = self.at
        if self.at >= self.end or self.octets[self.at] not in first:
            raise Unreadable(f"octet {start} begins nothing")
        self.at += 1
        self.skip(others)
        return self.octets[start : self.at]

    def item(self):
        """A bare item: `int` and `bool` as they are, of anything else None."""
        octet = self.look()
        if octet == QUESTION:
            self.at += 1
            value = self.span(b"01", b"")
            return value == b"1"
        if octet == QUOTE:
            return self.string()
        if octet == 0x3A:  # a colon: octets in base64
            self.at += 1
            self.skip(BASE64)
            self.take(0x3A)
            return None
        if octet == 0x40:  # an at sign: a date
            self.at += 1
            if self.number() is None:
                raise Unreadable("a date is no integer")
            return None
        if octet == 0x2D or 0x30 <= octet <= 0x39:
            return self.number()
        self.span(TOKEN_START, TOKEN)
        return None

    def string(self):
        self.at += 1
        while True:
            octet = self.look()
            self.at += 1
            if octet == QUOTE:
                return None
            if octet == BACKSLASH:
                if self.look() != QUOTE and self.look() != BACKSLASH:
                    raise Unreadable("a backslash before neither quote nor backslash")
                self.at += 1
            elif not 0x20 <= octet < 0x7F:
                raise Unreadable("a string without an end")

    def number(self):
        """An integer as it is, a decimal as None: RFC 9651 section 4.2.4."""
        negative = self.look() == 0x2D
        if negative:
            self.at += 1
        digits = self.span(DIGITS, NUMBER)
        whole, dot, fraction = digits.partition(b".")
        if dot:
            if len(whole) > 12 or not 0 < len(fraction) <= 3 or b"." in fraction:
                raise Unreadable("not a decimal")
            return None
        if len(whole) > 15:
            raise Unreadable("a number that is too long")
        return -int(whole) if negative else int(whole)

    def parameters(self):
        while self.look() == SEMICOLON:
            self.at += 1
            self.skip(b" ")
            self.span(KEY_START, KEY)
            if self.look() == EQUALS:
                self.at += 1
                self.item()

    def inner_list(self):
        self.take(OPENING)
        while True:
            self.skip(b" ")
            if self.look() == CLOSING:
                self.at += 1
                return
            self.item()
            self.parameters()
            if self.look() != SPACE and self.look() != CLOSING:
                raise Unreadable("items of a list that touch")

    def member(self):
        """What stands behind a key."""
        value = None
        if self.look() != EQUALS:
            value = True
        else:
            self.at += 1
            if self.look() == OPENING:
                self.inner_list()
            else:
                value = self.item()
        self.parameters()
        return value


def parse(value):
    """Return the (urgency, incremental) of a Priority Field Value, or None: it does not parse.

    Each is -1 where it is absent, of a wrong type or out of range: RFC 9218 section 4.
    """
    if len(value) > MAX_VALUE:
        return None
    scan = Scanner(value)
    scan.skip(b" ")
    urgency = -1
    incremental = -1
    try:
        while scan.at < scan.end:
            key = scan.span(KEY_START, KEY)
            member = scan.member()
            # The last of several counts (RFC 9651 section 4.2.2), even one that says nothing here.
            if key == b"u":
                # True is an int to Python, not to a reader of fields.
                urgency = member if type(member) is int and 0 <= member <= 7 else -1
            elif key == b"i":
                incremental = int(member) if type(member) is bool else -1
            scan.skip(b" \t")
            if scan.at < scan.end:
                scan.take(COMMA)
                scan.skip(b" \t")
                if scan.at == scan.end:
                    return None  # a comma with nothing behind it
    except Unreadable:
        return None
    return urgency, incremental


# What browsers send; the rest is read octet by octet, in ten microseconds.
USUAL = {
    value: parse(value)
    for urgency in range(8)
    for value in (
        b"u=%d" % urgency,
        b"u=%d, i" % urgency,
        b"u=%d,i" % urgency,
        b"i, u=%d" % urgency,
        b"u=%d, i=?0" % urgency,
        b"i",
    )
}


def read_priority(value, rank=DEFAULT_RANK):
    """Return the rank that a Priority Field Value (`bytes`) makes of `rank`; -1: it does not parse.

    Parameters that say nothing change nothing: "u=9, i" is "i". What the application has fixed
    stays.
    """
    found = USUAL.get(value) or parse(value)
    if found is None:
        return -1
    urgency, incremental = found
    if urgency >= 0 and not rank & OWN_URGENCY:
        rank = rank & ~URGENCY | urgency << 1
    if incremental >= 0 and not rank & OWN_INCREMENTAL:
        rank = rank & ~INCREMENTAL | incremental
    return rank


def replaced(rank, value):
    """Return what a PRIORITY_UPDATE with this value makes of a rank, -1 where it does not parse.

    RFC 9218 section 7: it says all there is to say, so what is absent has its default.
    """
    kept = rank & (OWN_URGENCY | OWN_INCREMENTAL)
    urgency = rank & URGENCY if rank & OWN_URGENCY else DEFAULT_RANK & URGENCY
    incremental = rank & INCREMENTAL if rank & OWN_INCREMENTAL else 0
    return read_priority(value, kept | urgency | incremental)


def chosen(rank, value):
    """Return what the application's own value makes of a rank: what it says is fixed from then on."""
    found = USUAL.get(value) or parse(value)
    if found is not None:
        urgency, incremental = found
        if urgency >= 0:
            rank = rank & ~URGENCY | urgency << 1 | OWN_URGENCY
        if incremental >= 0:
            rank = rank & ~INCREMENTAL | incremental | OWN_INCREMENTAL
    return rank


def priority_value(urgency, incremental):
    """The Priority Field Value of an urgency from 0 to 7, as `bytes`."""
    value = b"u=%d" % urgency
    return value + b", i" if incremental else value


def check_priority(urgency, incremental):
    """Return the two as a rank, or raise ValueError or TypeError."""
    if isinstance(urgency, bool) or not isinstance(urgency, int):
        raise TypeError(f"urgency must be an int from 0 to 7, not {urgency!r}")
    if not 0 <= urgency <= 7:
        raise ValueError(f"urgency must be from 0 (most urgent) to 7, not {urgency}")
    return urgency << 1 | (INCREMENTAL if incremental else 0)
