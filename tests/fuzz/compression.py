"""Header compression against the `hpack` package: what it reads, what it writes."""

import importlib

import hpack
from hpack.exceptions import HPACKError

from .choices import Choices
from .octets import MARK

SIZES = (0, 1, 31, 32, 64, 100, 128, 1000, 4096, 5000, 65536)
NAMES = (b"x-a", b"x-b", b":path", b"cookie", b"authorization", b"accept", b":status", b"via", b"a")
VALUES = (b"", b"/", b"200", b"v", b"\xff\x00" * 3, b"gzip, deflate", b"z" * 70, b"%" * 300)
# Where this decoder is stricter than the other, which RFC 7541 allows or demands.
STRICTER = ("integer", "more than two", "after a field", "begin with")


def ours(twin):
    return importlib.import_module(".hpack", twin.__name__)


def theirs(size):
    decoder = hpack.Decoder(max_header_list_size=2**30)
    decoder.max_allowed_table_size = size
    return decoder


def plain(fields):
    return [(bytes(name), bytes(value)) for name, value in fields]


def decoder(twin, data):
    """Blocks that anybody may have written; the other decoder agrees with what comes of them."""
    if not data:
        return []
    module = ours(twin)
    size = SIZES[data[0] % len(SIZES)]
    list_size = 100 if data[0] & 64 else 65536
    mine = module.Decoder(list_size, 20 if data[0] & 128 else 5000, size)
    other = theirs(size)
    other.header_table_size = size
    seen = []
    for block in data[1:].split(MARK):
        try:
            expected = plain(other.decode(block, raw=True))
            fault = None
        except HPACKError as error:
            expected, fault = None, repr(error)
        try:
            fields = mine.decode(block, 0, len(block))
        except module.CompressionError as error:
            seen.append(str(error))
            assert expected is None or any(word in str(error) for word in STRICTER), error
            break
        except module.HeaderListTooLarge as error:
            seen.append(str(error))
            break
        seen.append((fields, mine.malformed, mine.too_large))
        assert expected is not None, f"accepted, but: {fault}"
        if mine.too_large:
            assert plain(fields) == expected[: len(fields)] or len(fields) < len(expected)
        else:
            assert plain(fields) == expected
            again = encoded_again(module, fields)
            assert plain(again) == expected
    return seen


def encoded_again(module, fields):
    """What a fresh encoder and a fresh decoder of ours make of fields."""
    block = module.Encoder().encode(fields)
    return module.Decoder(2**30, 2**30).decode(block, 0, len(block))


def round_trip(twin, data):
    """Lists of fields both ways between the two implementations, with tables of any size."""
    rng = Choices(data)
    module = ours(twin)
    start = rng.choice(SIZES)
    mine_out, other_in = module.Encoder(rng.choice((4096, start))), theirs(65536)
    other_out, mine_in = hpack.Encoder(), module.Decoder(2**20, 10**6)
    seen = []
    while not rng.over:
        how = rng.randrange(8)
        if how == 0:
            size = rng.choice(SIZES)
            mine_out.set_max_table_size(size)
            other_in.max_allowed_table_size = size
        elif how == 1:
            size = rng.choice(SIZES)
            mine_in.offer_max_table_size(size)
            mine_in.set_max_table_size(size)
            other_out.header_table_size = size
        fields = []
        for _ in range(rng.randrange(6)):
            name = rng.choice(NAMES)
            value = rng.choice(VALUES)
            if rng.random() < 0.3:
                value = rng.randbytes(rng.randrange(40))
            fields.append((name, value))
        block = mine_out.encode(fields)
        seen.append(block)
        assert plain(other_in.decode(block, raw=True)) == fields
        never = hpack.NeverIndexedHeaderTuple(b"x-secret", rng.choice(VALUES))
        block = other_out.encode([*fields, never], huffman=rng.random() < 0.7)
        read = mine_in.decode(block, 0, len(block))
        assert plain(read) == [*fields, tuple(never)]
        assert type(read[-1]) is module.Sensitive
        seen.append((mine_in.malformed, mine_in.too_large))
    return seen
