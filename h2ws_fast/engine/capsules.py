"""Capsules: what lies in a tunnel whose token is of the Capsule Protocol, RFC 9297 section 3.

    capsule = type (varint), length (varint), value
    DATAGRAM, type 0: its value is one HTTP Datagram

DATA frames and TCP segments cut them anywhere, so the reader is a state and a count of octets that
it still wants. It stores one value that it was asked for and that is within its limit; all others
are skipped as they come, however long they say they are: whoever waited for one that is larger than
the flow-control window would wait for ever.

Where `contexts` are in use an HTTP Datagram begins with a context identifier: RFC 9298 section 4.
Context 0 is a UDP packet; nobody has registered another, and their datagrams are dropped.
"""

from .buffers import Buffer
from .constants import PROTOCOL_ERROR
from .kernels import take

__all__ = [
    "DATAGRAM",
    "MAX_UDP_PAYLOAD",
    "CapsuleReader",
    "capsule",
    "datagram",
    "udp_datagram",
    "varint",
]

DATAGRAM = 0
MAX_UDP_PAYLOAD = 65527  # 65535 without UDP's header: RFC 9298 section 5
MAX_VARINT = 4611686018427387903  # 62 bits: RFC 9000 section 16

# What comes next.
TYPE = 0
LENGTH = 1
CONTEXT = 2
VALUE = 3
SKIPPED = 4
FAILED = 5


class CapsuleReader:
    """Reads the capsules of one direction of a tunnel, in pieces of any size.

    `receive` returns the payloads of DATAGRAM capsules as `bytes`, and capsules whose type is among
    `types` as `(type, value)`. With `contexts` only payloads of context 0 are returned, without the
    identifier. `datagrams` says whether HTTP Datagrams mean anything here: a DATAGRAM is a failure
    where they do not (RFC 9297 section 2). Payloads and values above `max_size` octets are skipped,
    but for a UDP packet (context 0) above 65527, which is a failure: RFC 9298 section 5.

    A peer's fault raises nothing: `failure` says what is wrong then, and the rest is ignored. Whoever
    reads resets the stream with `error_code`, as RFC 9297 section 3.3 has it for malformed messages.
    `unknown`, `dropped` and `oversized` count the capsules that nobody asked for, the datagrams of
    unknown contexts, and what was above `max_size`.
    """

    __slots__ = (
        "_buffer",
        "_contexts",
        "_datagrams",
        "_found",
        "_left",
        "_max_size",
        "_number",
        "_state",
        "_type",
        "_types",
        "_wanted",
        "dropped",
        "failure",
        "oversized",
        "unknown",
    )

    error_code = PROTOCOL_ERROR

    def __init__(self, *, contexts=False, datagrams=True, types=(), max_size=65535):
        for kind in types:
            if not 0 < kind <= MAX_VARINT:
                raise ValueError(f"a capsule's type is from 1 to 2**62 - 1, not {kind!r}")
        if not 0 <= max_size <= 1 << 30:
            raise ValueError(f"max_size is from 0 to 1 GiB, not {max_size!r}")
        self._buffer = None  # of a value that comes in pieces
        self._contexts = contexts
        self._datagrams = datagrams
        self._found = None
        self._left = 0  # octets of the value that have not come
        self._max_size = max_size
        self._number = 0  # the part of a varint that has come
        self._state = TYPE
        self._type = 0
        self._types = frozenset(types) or None
        self._wanted = 0  # octets of the varint that have not come; 0: none of it has
        self.dropped = 0
        self.failure = None
        self.oversized = 0
        self.unknown = 0

    def receive(self, data):
        """Read on in `data`, `bytes`; return the list of what is whole now."""
        found = self._found = []
        self._read(data, 0, len(data))
        self._found = None
        return found

    def finish(self):
        """The peer has ended its side: a failure in the middle of a capsule. Returns `failure`."""
        # RFC 9297 section 3.3: the message is incomplete, and so malformed.
        if self._state != FAILED and (self._state != TYPE or self._wanted):
            self._fail("the end in the middle of a capsule")
        return self.failure

    def _read(self, p, pos, n):
        end = pos + n
        while pos < end:
            state = self._state
            if state <= CONTEXT:
                octet = p[pos]
                pos += 1
                if self._wanted == 0:
                    # RFC 9000 section 16: two bits tell of 1, 2, 4 or 8 octets.
                    self._wanted = 1 << (octet >> 6)
                    self._number = octet & 0x3F
                    if state == CONTEXT and self._wanted > self._left:
                        # RFC 9297 section 3.3: a field that is longer than its capsule.
                        self._fail("a datagram without its context identifier")
                        return 0
                else:
                    self._number = self._number << 8 | octet
                self._wanted -= 1
                if state == CONTEXT:
                    self._left -= 1
                if self._wanted == 0:
                    self._have(state, self._number)
                continue
            if state == FAILED:
                return 0
            size = self._left
            if size > end - pos:
                size = end - pos
            if state == VALUE:
                if size == self._left and self._buffer is None:
                    self._emit(take(p, pos, size))
                else:
                    self._keep(p, pos, size)
            pos += size
            self._left -= size
            if self._left == 0:
                if state == VALUE and self._buffer is not None:
                    self._emit_kept()
                self._state = TYPE
        return 0

    def _have(self, state, number):
        # A varint is whole.
        if state == TYPE:
            self._type = number
            self._state = LENGTH
            return
        if state == LENGTH:
            self._left = number
            if self._type == DATAGRAM:
                if not self._datagrams:
                    self._fail("an HTTP Datagram where none has a meaning")
                    return
                if self._contexts:
                    if number == 0:
                        self._fail("a datagram without its context identifier")
                    else:
                        self._state = CONTEXT
                    return
            elif self._types is None or self._type not in self._types:
                self.unknown += 1
                self._skip()
                return
        elif number:
            self.dropped += 1
            self._skip()
            return
        elif self._left > MAX_UDP_PAYLOAD:
            self._fail("a UDP packet above 65527 octets")
            return
        if self._left > self._max_size:
            self.oversized += 1
            self._skip()
        elif self._left == 0:
            self._state = TYPE
            self._emit(b"")
        else:
            self._state = VALUE

    def _skip(self):
        self._state = TYPE if self._left == 0 else SKIPPED

    def _keep(self, p, pos, n):
        # A part of a value: the octets of a sender that stops here are all that is stored of it.
        buffer = self._buffer
        if buffer is None:
            buffer = self._buffer = Buffer()
            buffer.expect(self._left)
        buffer.append(p, pos, n, 0)

    def _emit_kept(self):
        buffer = self._buffer
        self._buffer = None
        self._emit(buffer.bytes())

    def _emit(self, value):
        if self._type == DATAGRAM:
            self._found.append(value)
        else:
            self._found.append((self._type, value))

    def _fail(self, reason):
        self._state = FAILED
        self._buffer = None
        self.failure = reason


def varint(number):
    """Return a number below 2**62 as RFC 9000 section 16 has it, in the shortest form."""
    if number < 0:
        raise ValueError(f"a varint is not negative: {number}")
    if number < 64:
        return bytes((number,))
    if number < 16384:
        return bytes((0x40 | number >> 8, number & 0xFF))
    if number < 1073741824:
        return (0x80000000 | number).to_bytes(4, "big")
    if number <= MAX_VARINT:
        return (0xC000000000000000 | number).to_bytes(8, "big")
    raise ValueError(f"a varint has 62 bits: {number}")


def capsule(kind, value):
    """Return the capsule of this type around `value`, `bytes`: RFC 9297 section 3.2."""
    return varint(kind) + varint(len(value)) + value


def datagram(payload):
    """Return the DATAGRAM capsule around an HTTP Datagram, `bytes`: RFC 9297 section 3.5."""
    return capsule(DATAGRAM, payload)


def udp_datagram(payload):
    """Return the DATAGRAM capsule around a UDP packet, `bytes`: RFC 9298 section 5.

    Raises ValueError above 65527 octets.
    """
    n = len(payload)
    if n > MAX_UDP_PAYLOAD:
        raise ValueError(f"a UDP packet has at most {MAX_UDP_PAYLOAD} octets, not {n}")
    length = n + 1  # with the context identifier
    if length < 64:
        return bytes((DATAGRAM, length, 0)) + payload
    if length < 16384:
        return bytes((DATAGRAM, 0x40 | length >> 8, length & 0xFF, 0)) + payload
    return bytes((DATAGRAM, 0x80, length >> 16, length >> 8 & 0xFF, length & 0xFF, 0)) + payload
