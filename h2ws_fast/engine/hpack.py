"""Header compression both ways: RFC 7541.

A block from a browser that comes a second time is nearly all indexed fields. So the decoder's
table keeps ready-made fields, checked for validity when they came as literals; the encoder finds a
field by one look into a dict. Tables are made at the first insertion: most connections of a
WebSocket server answer `:status 200` and never need one.

A field is a tuple `(name, value)` of `bytes`. A tuple of another type says something more:
`Sensitive` must stay a never-indexed literal on every hop, `_Faulty` (only in a decoder's table)
breaks RFC 9113 section 8.2.1.
"""

from ..errors import H2WSError
from .constants import COMPRESSION_ERROR, ENHANCE_YOUR_CALM
from .fields import Sensitive, name_fault, value_fault
from .hpack_table import DynamicTable
from .kernels import huffman_decode, huffman_encode, huffman_size, take
from .static_table import KNOWN_FIELDS, KNOWN_NAMES, STATIC_INDEX, STATIC_OCTETS, STATIC_TABLE

__all__ = [
    "CompressionError",
    "Decoder",
    "Encoder",
    "HeaderListTooLarge",
    "Sensitive",
]

COOKIE = KNOWN_NAMES[b"cookie"]
INITIAL_TABLE_SIZE = 4096  # RFC 9113 section 6.5.2
STATIC_ENTRIES = 61
NO_UPDATE = -1

# Integers: RFC 7541 section 5.1 demands a limit. The largest number anyone may need is a table
# size, a setting of 32 bits; six octets after the prefix hold it and some leading zeros.
MAX_INTEGER = 0xFFFFFFFF
MAX_INTEGER_SHIFT = 35  # of the sixth octet

# The last block is remembered with its fields as long as the table stays as it is: browsers and
# pollers send the very same octets again. 0.1 us instead of 0.9; nothing for the first request of
# a connection, which fills the table, nor for a block that came once only: an idle connection keeps
# no fields of it. What is remembered is bounded by the block's size.
MAX_REMEMBERED = 512


class CompressionError(H2WSError):
    """The peer's header block cannot be decoded: a connection error."""

    error_code = COMPRESSION_ERROR


class HeaderListTooLarge(H2WSError):
    """A header list beyond twice the limit: decoding it stopped, the connection must end."""

    error_code = ENHANCE_YOUR_CALM


class _Faulty(tuple):
    """A field that is not valid in HTTP, in a decoder's table."""

    __slots__ = ()


# -- decoding ----------------------------------------------------------------------------------


class Decoder:
    """The receiving end of one connection's header compression.

    `max_list_size` and `max_fields` bound what one block may become (RFC 9113 section 6.5.2 counts
    32 octets with each field): 64 KiB as most servers, against bombs such as CVE-2016-6581.
    `max_table_size` is the table's limit before any SETTINGS are acknowledged.

    After each `decode`, `list_size` counts the list (RFC 9113 section 6.5.2), `malformed` says what breaks RFC 9113 section 8.2.1, or is None, and
    `too_large` that fields beyond the limits were left out: answer 431.
    """

    __slots__ = (
        "list_size",
        "malformed",
        "max_list_size",
        "too_large",
        "_table",
        "_table_size",
        "_limit",
        "_offered",
        "_demanded",
        "_max_fields",
        "_count",
        "_pos",
        "_changed",
        "_block",
        "_block_size",
        "_fields",
    )

    def __init__(self, max_list_size=65536, max_fields=128, max_table_size=INITIAL_TABLE_SIZE):
        self.malformed = None
        self.too_large = False
        self._table = None
        self._table_size = max_table_size  # the maximum that the peer's encoder chose
        self._limit = max_table_size  # the setting that the peer acknowledged
        self._offered = max_table_size  # the largest setting on its way
        self._demanded = NO_UPDATE  # the next block must begin with an update to at most this
        self.max_list_size = max_list_size
        self._max_fields = max_fields
        self.list_size = 0
        self._count = 0
        self._pos = 0
        self._changed = False  # the table, by the block that is being decoded
        self._block = None  # the last block, if it changed nothing, and its fields
        self._block_size = 0
        self._fields = None

    def offer_max_table_size(self, max_table_size):
        """SETTINGS with this SETTINGS_HEADER_TABLE_SIZE leave: a larger table is fine from now."""
        self._offered = max(self._offered, max_table_size)

    def set_max_table_size(self, max_table_size):
        """The peer acknowledged SETTINGS with this SETTINGS_HEADER_TABLE_SIZE: it is in force.

        RFC 9113 section 4.3.1: "An endpoint MUST treat a field block that follows an
        acknowledgment of the reduction to the maximum dynamic table size as a connection error
        [...] of type COMPRESSION_ERROR if it does not start with a conformant Dynamic Table Size
        Update instruction."
        """
        self._limit = max_table_size
        self._offered = max_table_size
        if self._table_size > max_table_size and (
            self._demanded == NO_UPDATE or max_table_size < self._demanded
        ):
            self._demanded = max_table_size

    def set_max_list_size(self, max_list_size):
        """What one block may become from now on."""
        self.max_list_size = max_list_size
        # What is remembered was measured by the number before.
        self._block = None
        self._fields = None

    def decode(self, p, pos, n):
        """Return the fields of one whole block of n octets at `pos`.

        Never-indexed literals come as `Sensitive`. Raises `CompressionError`, or
        `HeaderListTooLarge` beyond twice a limit; either ends the connection.
        """
        self.malformed = None
        self.too_large = False
        block = None
        if n <= MAX_REMEMBERED:
            block = take(p, pos, n)
            if self._fields is not None and block == self._block and self._demanded == NO_UPDATE:
                self.list_size = self._block_size
                return self._fields.copy()
        fields = []
        crumbs = 0
        end = pos + n
        self._changed = False
        self.list_size = 0
        self._count = 0
        self._pos = pos
        if self._demanded != NO_UPDATE or (n > 0 and p[pos] & 0xE0 == 0x20):
            self._size_updates(p, end)
        while self._pos < end:
            octet = p[self._pos]
            if octet & 0x80:
                field = self._indexed(p, end, 0x7F)
                name = field[0]
                value = field[1]
                if type(field) is not tuple:
                    self._check(name, value)
            elif octet & 0xE0 == 0x20:
                raise CompressionError("a table size update after a field: RFC 7541 section 4.2")
            else:
                field = self._literal(p, end)
                name = field[0]
                value = field[1]
            self.list_size += len(name) + len(value) + 32
            if name is COOKIE:
                # RFC 9113 section 8.2.3: browsers cut a cookie into many lines, which are one
                # field in the end. Their octets are bounded as all others.
                crumbs += 1
                if crumbs == 1:
                    self._count += 1
            else:
                self._count += 1
            if self.list_size <= self.max_list_size and self._count <= self._max_fields:
                fields.append(field)
            else:
                self._overflow()
        if self._changed or self.too_large or self.malformed is not None:
            self._block = None
            self._fields = None
        elif block is not None:
            if self._block is not None and block == self._block:
                self._fields = fields
                self._block_size = self.list_size
                return fields.copy()
            self._block = block
            self._fields = None
        return fields

    def _overflow(self):
        """Beyond a limit decoding goes on for the table's sake; beyond twice the limit it ends."""
        self.too_large = True
        if self.list_size > 2 * self.max_list_size or self._count > 2 * self._max_fields:
            raise HeaderListTooLarge("header list beyond twice the limit")

    def _check(self, name, value):
        """Note what is wrong with a field."""
        if self.malformed is None:
            self.malformed = name_fault(name) or value_fault(value)

    def _size_updates(self, p, end):
        """Read the updates that a block may begin with: RFC 7541 section 4.2."""
        updates = 0
        self._changed = True
        while self._pos < end and p[self._pos] & 0xE0 == 0x20:
            updates += 1
            # "... resulting in at most two dynamic table size updates.": smallest and final.
            if updates > 2:
                raise CompressionError("more than two table size updates in a block")
            size = self._integer(p, end, 0x1F)
            if size > self._limit and size > self._offered:
                raise CompressionError(f"table size update to {size}, allowed are {self._limit}")
            if self._demanded != NO_UPDATE and size <= self._demanded:
                self._demanded = NO_UPDATE
            self._table_size = size
            if self._table is not None:
                self._table.resize(size)
        if self._demanded != NO_UPDATE:
            raise CompressionError("the block does not begin with the table size update we await")

    def _integer(self, p, end, prefix):
        """Read an integer: RFC 7541 section 5.1. `prefix` is the mask of its first octet."""
        value = p[self._pos] & prefix
        self._pos += 1
        if value < prefix:
            return value
        shift = 0
        while True:
            if self._pos >= end:
                raise CompressionError("the block ends within an integer")
            octet = p[self._pos]
            self._pos += 1
            value += (octet & 0x7F) << shift
            if octet < 0x80:
                break
            shift += 7
            if shift > MAX_INTEGER_SHIFT:
                raise CompressionError("an integer of too many octets")
        if value > MAX_INTEGER:
            raise CompressionError("an integer beyond 32 bits")
        return value

    def _indexed(self, p, end, prefix):
        """Read an index and return what stands there in the tables."""
        index = p[self._pos] & prefix
        if index < prefix:
            self._pos += 1
        else:
            index = self._integer(p, end, prefix)
        if index <= STATIC_ENTRIES:
            if index == 0:
                raise CompressionError("index 0")
            return STATIC_TABLE[index]
        field = None
        if self._table is not None:
            field = self._table.get(index - STATIC_ENTRIES - 1)
        if field is None:
            raise CompressionError(f"index {index} is beyond the tables")
        return field

    def _literal(self, p, end):
        """Read a literal field: RFC 7541 section 6.2. Insert it where it says so."""
        octet = p[self._pos]
        prefix = 0x0F
        if octet & 0x40:
            prefix = 0x3F
        if octet & prefix:
            field = self._indexed(p, end, prefix)
            name = field[0]
            fault = None
            if type(field) is not tuple:
                fault = name_fault(name)
        else:
            self._pos += 1
            name = self._string(p, end)
            known = KNOWN_NAMES.get(name)
            if known is not None:
                name = known
                fault = None
            else:
                fault = name_fault(name)
        value = self._string(p, end)
        if fault is None:
            fault = value_fault(value)
        if fault is not None and self.malformed is None:
            self.malformed = fault
        field = (name, value)
        if octet & 0x40:
            self._changed = True
            if fault is not None:
                field = _Faulty(field)
            else:
                field = KNOWN_FIELDS.get(field, field)
            if self._table is None:
                self._table = DynamicTable(self._table_size, False)
            self._table.insert(field)
        elif octet & 0x10:
            field = Sensitive(field)
        return field

    def _string(self, p, end):
        """Read a string: RFC 7541 section 5.2."""
        if self._pos >= end:
            raise CompressionError("the block ends before a string")
        huffman = p[self._pos] & 0x80
        n = self._integer(p, end, 0x7F)
        if n > end - self._pos:
            raise CompressionError("the block ends within a string")
        pos = self._pos
        self._pos = pos + n
        # What no list within twice the limit can hold is not decoded: a block of Huffman codes
        # grows to 1.6 times its size.
        room = 2 * self.max_list_size - self.list_size
        if huffman:
            # The longest code has 30 bits, the shortest 5.
            if n > 4 * room + 4:
                raise HeaderListTooLarge("a string beyond twice the limit of the header list")
            data = huffman_decode(p, pos, n, room)
            if data is None:
                if n * 8 > 5 * room and huffman_decode(p, pos, n, 2 * n) is not None:
                    raise HeaderListTooLarge("a string beyond twice the limit of the header list")
                raise CompressionError("a string is not Huffman code")
            return data
        if n > room:
            raise HeaderListTooLarge("a string beyond twice the limit of the header list")
        return take(p, pos, n)


# -- encoding ----------------------------------------------------------------------------------

# What an encoder does with a name; a name that is not here is indexed: it will come again.
INDEXED = 0
NEVER_INDEXED = 1
SHORT_SECRET = 2  # never indexed when short, else like any other
NOT_INDEXED = 3

# RFC 7541 section 7.1.3: "... short or low-entropy values are more readily recovered by an
# adversary" who watches sizes (CRIME). nghttp2 draws the line for cookies at the same length.
SHORT_SECRET_SIZE = 20

POLICY = {
    b"authorization": NEVER_INDEXED,
    b"proxy-authorization": NEVER_INDEXED,
    b"cookie": SHORT_SECRET,
    b"set-cookie": SHORT_SECRET,
    # What differs each time would only push out what does not.
    b":path": NOT_INDEXED,
    b"age": NOT_INDEXED,
    b"content-length": NOT_INDEXED,
    b"content-range": NOT_INDEXED,
    b"date": NOT_INDEXED,
    b"etag": NOT_INDEXED,
    b"expires": NOT_INDEXED,
    b"if-modified-since": NOT_INDEXED,
    b"if-none-match": NOT_INDEXED,
    b"if-range": NOT_INDEXED,
    b"last-modified": NOT_INDEXED,
    b"location": NOT_INDEXED,
    b"range": NOT_INDEXED,
    b"referer": NOT_INDEXED,
    b"sec-websocket-accept": NOT_INDEXED,
    b"sec-websocket-key": NOT_INDEXED,
    b"traceparent": NOT_INDEXED,
    b"x-request-id": NOT_INDEXED,
}


class Encoder:
    """The sending end of one connection's header compression.

    `max_table_size` bounds the table whatever the peer offers (RFC 7541 section 7.3). The names in
    `sensitive_names` are never indexed, as `authorization` is: give `b"sec-websocket-protocol"`
    where that carries tokens.

    As long as `changes` stays as it is, the same fields make the same block.
    """

    __slots__ = (
        "changes",
        "_table",
        "_table_size",
        "_setting",
        "_cap",
        "_smallest",
        "_sensitive_names",
    )

    def __init__(self, max_table_size=INITIAL_TABLE_SIZE, sensitive_names=()):
        self.changes = 0
        self._table = None
        self._table_size = INITIAL_TABLE_SIZE
        self._setting = INITIAL_TABLE_SIZE
        self._cap = max_table_size
        self._smallest = NO_UPDATE  # the next block begins with this size, then the final one
        self._sensitive_names = frozenset(sensitive_names) if sensitive_names else None
        if max_table_size < INITIAL_TABLE_SIZE:
            self._resize(max_table_size)

    def set_max_table_size(self, max_table_size):
        """The peer's SETTINGS_HEADER_TABLE_SIZE changed; the next block says what became of it.

        A larger setting is answered by an update as well, even where the cap leaves the size as
        it was: whether the peer's table grew by itself is not to be guessed.
        """
        if max_table_size == self._setting:
            return
        self._setting = max_table_size
        self._resize(min(max_table_size, self._cap))

    def _resize(self, size):
        self.changes += 1
        if self._smallest == NO_UPDATE or size < self._smallest:
            self._smallest = size
        self._table_size = size
        if self._table is not None:
            self._table.resize(size)

    def encode(self, fields):
        """Return the block for a list of `(name, value)` tuples of `bytes` (see `headers.prepare`).

        The block must be sent, and in this order: the peer's table follows it. On an error nothing
        changed.
        """
        if self._smallest == NO_UPDATE and len(fields) == 1 and type(fields[0]) is tuple:
            octet = STATIC_OCTETS.get(fields[0])
            if octet is not None:
                return octet
        for field in fields:
            if (
                not isinstance(field, tuple)
                or len(field) != 2
                or type(field[0]) is not bytes
                or type(field[1]) is not bytes
            ):
                raise TypeError(f"a field must be a tuple (name, value) of bytes, not {field!r}")
        # From here on nothing fails: the table may change.
        out = bytearray()
        if self._smallest != NO_UPDATE:
            if self._smallest < self._table_size:
                _write_integer(out, 0x20, 0x1F, self._smallest)
            _write_integer(out, 0x20, 0x1F, self._table_size)
            self._smallest = NO_UPDATE
            self.changes += 1
        for field in fields:
            self._write_field(out, field)
        return bytes(out)

    def _write_field(self, out, field):
        policy = NEVER_INDEXED
        name = field[0]
        value = field[1]
        index = 0
        if type(field) is tuple:
            found = STATIC_INDEX.get(field)
            if found is not None:
                out.append(0x80 | found)
                return
            if self._table is not None:
                index = self._table.find(field)
                if index >= 0:
                    _write_integer(out, 0x80, 0x7F, index + STATIC_ENTRIES + 1)
                    return
            policy = self._policy(name, value)
        found = STATIC_INDEX.get(name)
        if found is not None:
            index = found
        else:
            index = 0
            if self._table is not None:
                index = self._table.find(name) + STATIC_ENTRIES + 1
                if index == STATIC_ENTRIES:
                    index = 0
        if policy == NEVER_INDEXED:
            _write_integer(out, 0x10, 0x0F, index)
        elif policy == NOT_INDEXED:
            _write_integer(out, 0x00, 0x0F, index)
        else:
            _write_integer(out, 0x40, 0x3F, index)
        if index == 0:
            _write_string(out, name)
        _write_string(out, value)
        if policy == INDEXED:
            if self._table is None:
                self._table = DynamicTable(self._table_size, True)
            self._table.insert(field)
            self.changes += 1

    def _policy(self, name, value):
        """Return what to do with a field that is in no table."""
        found = POLICY.get(name)
        if self._sensitive_names is not None and name in self._sensitive_names:
            return NEVER_INDEXED
        policy = INDEXED
        if found is not None:
            policy = found
        if policy == SHORT_SECRET:
            if len(value) < SHORT_SECRET_SIZE:
                return NEVER_INDEXED
            policy = INDEXED
            if name == b"set-cookie":
                policy = NOT_INDEXED
        # One large field would push out all others for the sake of one that may not come again.
        if policy == INDEXED and 2 * (len(name) + len(value) + 32) > self._table_size:
            policy = NOT_INDEXED
        return policy


def _write_integer(out, flags, prefix, value):
    """Append an integer: RFC 7541 section 5.1."""
    if value < prefix:
        out.append(flags | value)
        return
    out.append(flags | prefix)
    value -= prefix
    while value >= 0x80:
        out.append(0x80 | value & 0x7F)
        value >>= 7
    out.append(value)


def _write_string(out, data):
    """Append a string, as Huffman code where that is shorter: RFC 7541 section 5.2."""
    n = huffman_size(data)
    if n < len(data):
        _write_integer(out, 0x80, 0x7F, n)
        out += huffman_encode(data)
    else:
        _write_integer(out, 0x00, 0x7F, len(data))
        out += data
