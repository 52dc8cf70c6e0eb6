"""The kernels without a compiler: the same names and results as `kernels.pyx` over `csrc/`.

Shared source treats an `octets` value as opaque: it reads `p[i]` and hands `(p, pos, n)` to a
kernel. Here `octets` is a `bytes` object; compiled it is `const unsigned char *`.

Whoever changes a function here changes `kernels.pyx`; `tests/engine/test_kernels.py` feeds both.
"""

from .huffman import CODES, EOS

NONE = 0  # no node: the end of a chain in `Chunks`


def address(data):
    """Return the `octets` of a bytes-like object; the caller keeps `data` alive meanwhile."""
    return data if type(data) is bytes else bytes(data)


def u16(p, pos):
    return p[pos] << 8 | p[pos + 1]


def u24(p, pos):
    return p[pos] << 16 | p[pos + 1] << 8 | p[pos + 2]


def u32(p, pos):
    return int.from_bytes(p[pos : pos + 4], "big")


def u64(p, pos):
    return int.from_bytes(p[pos : pos + 8], "big")


def take(p, pos, n):
    """Copy n octets out as `bytes`."""
    return p[pos : pos + n]


# -- masking: RFC 6455 section 5.3 -----------------------------------------------------------


def mask_key(p, pos):
    """Load a masking key: the octet at `pos` lies lowest, whatever the machine."""
    return int.from_bytes(p[pos : pos + 4], "little")


def rotate(key, n):
    """Return the key as seen n octets further on (n >= 0)."""
    shift = (n & 3) * 8
    return (key >> shift | key << (32 - shift)) & 0xFFFFFFFF


def unmask(p, pos, n, key):
    """Copy n octets out as `bytes`, each XORed with its octet of the key (0: a plain copy)."""
    data = p[pos : pos + n]
    if not key or not n:
        return data
    pattern = key.to_bytes(4, "little") * (n + 3 >> 2)
    # Two big integers: 30 times faster than a loop over octets.
    mixed = int.from_bytes(data, "little") ^ int.from_bytes(pattern[:n], "little")
    return mixed.to_bytes(n, "little")


# -- UTF-8: RFC 3629 -------------------------------------------------------------------------


def unmask_text(p, pos, n, key):
    """Unmask n octets and return them as `str`, or None where they are not UTF-8."""
    try:
        return unmask(p, pos, n, key).decode()
    except UnicodeDecodeError:
        return None


def encoded(text):
    """Return what `Chunks` can hold by reference: ASCII `str` as it is, other `str` as UTF-8."""
    return text if text.isascii() else text.encode()


def utf8_check(p, pos, n, state):
    """Validate n octets that continue a text; return the new state, or -1.

    A state of 0 lies between two characters: only there may a text end. Any other state is
    opaque; -1 says that no continuation can make the text valid any more.
    """
    # A state holds the octets of the unfinished character: count << 24 | octets, as they came.
    count = state >> 24
    held = (state & 0xFFFFFF).to_bytes(3, "big")[3 - count :] if count else b""
    data = held + p[pos : pos + n]
    try:
        data.decode()
        return 0
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data":
            return -1
        rest = data[error.start :]
        return len(rest) << 24 | int.from_bytes(rest, "big")


# -- allowed octets --------------------------------------------------------------------------


def made_of(data, table):
    """Whether `bytes` are one or more octets that a table of 256 octets maps to themselves."""
    return len(data) > 0 and data.translate(table) == data


# -- Huffman code: RFC 7541 section 5.2 ------------------------------------------------------

_BITS = [format(code, f"0{length}b") for code, length in CODES[:EOS]]
_LENGTHS = [length for _, length in CODES]
# Every prefix of a code is a state, 0 the empty one. _STATES[state][four bits] is None where EOS
# would be, or (next state, the octets that are complete).
_STATES = []


def huffman_size(data):
    """How many octets `huffman_encode` would return."""
    return sum([_LENGTHS[octet] for octet in data]) + 7 >> 3


def huffman_encode(data):
    bits = "".join([_BITS[octet] for octet in data])
    if not bits:
        return b""
    bits += "1" * (-len(bits) & 7)  # "the most significant bits of the code" of EOS
    return int(bits, 2).to_bytes(len(bits) >> 3, "big")


def huffman_decode(p, pos, n, limit):
    """Decode n octets; return `bytes`, or None.

    None: the result is longer than `limit`, EOS is in it, or the padding is not up to 7 ones.
    """
    states = _STATES or _make_states()
    state = 0
    decoded = bytearray()
    for octet in p[pos : pos + n]:
        step = states[state][octet >> 4]
        if step is None:
            return None
        decoded += step[1]
        step = states[step[0]][octet & 15]
        if step is None:
            return None
        decoded += step[1]
        state = step[0]
    if len(decoded) > limit or state not in _ACCEPTED:
        return None
    return bytes(decoded)


_ACCEPTED = set()  # the states that are padding: up to 7 ones


def _make_states():
    """Fill the table when the first string is decoded."""
    codes = {format(code, f"0{length}b"): symbol for symbol, (code, length) in enumerate(CODES)}
    numbers = {"": 0}
    for bits in codes:
        for end in range(1, len(bits)):
            numbers.setdefault(bits[:end], len(numbers))
    made = []
    for prefix in numbers:
        row = []
        for nibble in range(16):
            bits = prefix
            octets = b""
            for bit in format(nibble, "04b"):
                bits += bit
                if bits in codes:
                    if codes[bits] == EOS:
                        break
                    octets += bytes((codes[bits],))
                    bits = ""
            row.append((numbers[bits], octets) if bits in numbers else None)
        made.append(row)
    _ACCEPTED.update(numbers["1" * length] for length in range(8))
    _STATES.extend(made)
    return _STATES


# -- buffers ---------------------------------------------------------------------------------


class Buffer:
    """Growing octets: control frames waiting to leave, or a message that is still arriving."""

    __slots__ = ("_data",)

    def __init__(self):
        self._data = bytearray()

    def size(self):
        """Octets held."""
        return len(self._data)

    def head(self, length, kind, flags, stream_id):
        """Append a frame head: RFC 9113 section 4.1."""
        self._data += (length << 48 | kind << 40 | flags << 32 | stream_id).to_bytes(9, "big")

    def put_u16(self, value):
        self._data += value.to_bytes(2, "big")

    def put_u32(self, value):
        self._data += value.to_bytes(4, "big")

    def put(self, data):
        """Append a `bytes` object."""
        self._data += data

    def append(self, p, pos, n, key):
        """Append n octets, unmasked by `key` (0: as they are)."""
        self._data += unmask(p, pos, n, key)

    def append_text(self, p, pos, n, key, state):
        """Append n octets as `append` does, and return `utf8_check` of them from `state`."""
        data = unmask(p, pos, n, key)
        self._data += data
        return utf8_check(data, 0, n, state)

    def expect(self, n):
        """Expect to hold n octets in the end: a hint, of which little is believed at once."""

    def bytes(self):
        """Hand over the octets as `bytes`: the buffer is empty then."""
        data = bytes(self._data)
        self._data.clear()
        return data

    def text(self):
        """Hand over the octets, known to be UTF-8, as `str`: the buffer is empty then."""
        text = self._data.decode()
        self._data.clear()
        return text

    def clear(self):
        self._data.clear()


class OutBuffer:
    """Octets on their way to the transport, of a fixed capacity, from a `Pool`."""

    __slots__ = ("_data", "_capacity")

    def __init__(self, capacity):
        self._data = bytearray()
        self._capacity = capacity

    def used(self):
        return len(self._data)

    def room(self):
        return self._capacity - len(self._data)

    def head(self, length, kind, flags, stream_id):
        """Append a frame head; the caller has checked room() >= 9."""
        self._data += (length << 48 | kind << 40 | flags << 32 | stream_id).to_bytes(9, "big")

    def put(self, data):
        """Append `bytes`; the caller has checked room()."""
        self._data += data

    def drain(self, buffer, at, n):
        """Append n octets of a `Buffer`, from its octet `at`; the caller has checked room()."""
        self._data += buffer._data[at : at + n]

    def finish(self):
        """Return what the transport gets: an object with the buffer protocol. Ends this buffer."""
        return bytes(self._data)


class Pool:
    """Output buffers to use again. One for each event loop, or for each connection without one."""

    __slots__ = ("_capacity",)

    def __init__(self, capacity=65536):
        if hasattr(self, "_capacity"):
            raise TypeError("a Pool has one capacity for its life: make another Pool")
        if not 1024 <= capacity <= 1 << 30:
            raise ValueError("the capacity of a pool's buffers is from 1 KiB to 1 GiB")
        self._capacity = capacity

    def acquire(self):
        """Return an empty OutBuffer."""
        return OutBuffer(self._capacity)


class Raised:
    """What a function called by `attempt` raised, in the place of its result."""

    __slots__ = ("error",)

    def __init__(self, error):
        self.error = error


def attempt(function, argument):
    """Call a function with one argument; return what it returned, or `Raised` with its error."""
    try:
        return function(argument)
    except BaseException as error:
        return Raised(error)


class Chunks:
    """The octets that wait on a connection's streams, as chains of nodes.

    A stream keeps the first and the last node of its chain. A node refers to the user's `bytes`
    or ASCII `str` (nothing is copied until `pour`), with the head of its WebSocket frame before it.
    """

    __slots__ = ("_free", "_nodes", "pushed")

    def __init__(self):
        self._nodes = [None]  # node 0 is NONE
        self._free = []
        self.pushed = 0  # octets of the node that came last

    def push(self, data, behind):
        """Hold `bytes` or ASCII `str` as they are, in the chain that ends with the node `behind`
        (NONE: in a chain of its own); return the node, of `pushed` octets."""
        return self._new(data if type(data) is bytes else data.encode(), behind)

    def push_frame(self, first_octet, data, masked, key, behind):
        """Hold one WebSocket frame (RFC 6455 section 5.2), shortest length, as `push` does.

        first_octet is FIN, RSV and opcode; data is `bytes` or ASCII `str`; where `masked` is true
        the frame carries `key` and its payload is masked by it.
        """
        if type(data) is not bytes:
            data = data.encode()
        n = len(data)
        bit = 0x80 if masked else 0
        if n < 126:
            head = bytes((first_octet, bit | n))
        elif n < 65536:
            head = bytes((first_octet, bit | 126)) + n.to_bytes(2, "big")
        else:
            head = bytes((first_octet, bit | 127)) + n.to_bytes(8, "big")
        if masked:
            head += key.to_bytes(4, "little")
            data = unmask(data, 0, n, key)
        return self._new(head + data, behind)

    def _new(self, data, behind):
        node = [NONE, data, 0]
        if self._free:
            index = self._free.pop()
            self._nodes[index] = node
        else:
            index = len(self._nodes)
            self._nodes.append(node)
        self.pushed = len(data)
        if behind:
            self._nodes[behind][0] = index
        return index

    def size(self, node):
        """Octets of this node that were not poured yet."""
        data = self._nodes[node]
        return len(data[1]) - data[2]

    def pour(self, node, out, n):
        """Move n octets of the chain that starts at `node` into an OutBuffer with room for them.

        Return the node that is now first, NONE where the chain ended. The chain holds at least n.
        """
        nodes = self._nodes
        while n:
            entry = nodes[node]
            data = entry[1]
            at = entry[2]
            left = len(data) - at
            if left > n:
                out.put(data[at : at + n])
                entry[2] = at + n
                return node
            out.put(data[at:] if at else data)
            n -= left
            nodes[node] = None
            self._free.append(node)
            node = entry[0]
        while node and self.size(node) == 0:  # an empty chunk right behind goes as well
            entry = nodes[node]
            nodes[node] = None
            self._free.append(node)
            node = entry[0]
        return node

    def drop(self, node):
        """Forget the chain that starts at `node`."""
        while node:
            entry = self._nodes[node]
            self._nodes[node] = None
            self._free.append(node)
            node = entry[0]


class StreamMap:
    """stream id -> object."""

    __slots__ = ("_map",)

    def __init__(self):
        self._map = {}

    def __len__(self):
        return len(self._map)

    def get(self, stream_id):
        """The object, or None."""
        return self._map.get(stream_id)

    def put(self, stream_id, stream):
        """Add or replace. The id is not 0."""
        if not stream_id:
            raise ValueError("stream 0 is the connection")
        self._map[stream_id] = stream

    def pop(self, stream_id):
        """Remove and return the object, or None."""
        return self._map.pop(stream_id, None)

    def values(self):
        """A new list of the objects, in the order of their ids."""
        return [self._map[stream_id] for stream_id in sorted(self._map)]


# -- the events of the hot path --------------------------------------------------------------


class TextMessage:
    """A WebSocket text message arrived: `data` is `str`.

    When the application has taken it, `Connection.consumed(stream_id, credit)` lets the peer send
    as much again (not needed with `auto_credit=True`).
    """

    __slots__ = ("stream_id", "data", "credit")

    def __init__(self, stream_id=0, data="", credit=0):
        self.stream_id = stream_id
        self.data = data
        self.credit = credit

    def __eq__(self, other):
        return type(other) is TextMessage and _fields(self) == _fields(other)

    __hash__ = None

    def __repr__(self):
        return f"TextMessage(stream_id={self.stream_id}, data={self.data!r}, credit={self.credit})"


class BytesMessage:
    """A WebSocket binary message arrived: `data` is `bytes`. See `TextMessage` for `credit`."""

    __slots__ = ("stream_id", "data", "credit")

    def __init__(self, stream_id=0, data=b"", credit=0):
        self.stream_id = stream_id
        self.data = data
        self.credit = credit

    def __eq__(self, other):
        return type(other) is BytesMessage and _fields(self) == _fields(other)

    __hash__ = None

    def __repr__(self):
        return f"BytesMessage(stream_id={self.stream_id}, data={self.data!r}, credit={self.credit})"


class Data:
    """Octets of a body or tunnel arrived: `data` is `bytes`. See `TextMessage` for `credit`."""

    __slots__ = ("stream_id", "data", "credit")

    def __init__(self, stream_id=0, data=b"", credit=0):
        self.stream_id = stream_id
        self.data = data
        self.credit = credit

    def __eq__(self, other):
        return type(other) is Data and _fields(self) == _fields(other)

    __hash__ = None

    def __repr__(self):
        return f"Data(stream_id={self.stream_id}, data={self.data!r}, credit={self.credit})"


def _fields(event):
    return event.stream_id, event.data, event.credit


def text_message(stream_id, data, credit):
    event = TextMessage.__new__(TextMessage)
    event.stream_id = stream_id
    event.data = data
    event.credit = credit
    return event


def bytes_message(stream_id, data, credit):
    event = BytesMessage.__new__(BytesMessage)
    event.stream_id = stream_id
    event.data = data
    event.credit = credit
    return event


def data_event(stream_id, data, credit):
    event = Data.__new__(Data)
    event.stream_id = stream_id
    event.data = data
    event.credit = credit
    return event
