"""Header compression, both twins: RFC 7541.

The other side is the `hpack` package and recorded blocks of other implementations.
"""

import gc
import json
import os
import sys
from importlib import import_module
from pathlib import Path

import hpack as reference
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from h2ws_fast import _twins

VECTORS = os.environ.get("H2WS_FAST_VECTORS")


@pytest.fixture(scope="session")
def hpack(twin):
    return import_module(f"{twin.__name__}.hpack")


def decode(decoder, block):
    return decoder.decode(block, 0, len(block))


def unhex(text):
    return bytes.fromhex(text)


def fields_of(text):
    """`name: value` lines as fields."""
    fields = []
    for line in text.strip().splitlines():
        name, _, value = line.strip().partition(": ")
        fields.append((name.encode(), value.encode()))
    return fields


# -- RFC 7541 appendix C ------------------------------------------------------------------------

REQUESTS = [
    """:method: GET
    :scheme: http
    :path: /
    :authority: www.example.com""",
    """:method: GET
    :scheme: http
    :path: /
    :authority: www.example.com
    cache-control: no-cache""",
    """:method: GET
    :scheme: https
    :path: /index.html
    :authority: www.example.com
    custom-key: custom-value""",
]
RESPONSES = [
    """:status: 302
    cache-control: private
    date: Mon, 21 Oct 2013 20:13:21 GMT
    location: https://www.example.com""",
    """:status: 307
    cache-control: private
    date: Mon, 21 Oct 2013 20:13:21 GMT
    location: https://www.example.com""",
    """:status: 200
    cache-control: private
    date: Mon, 21 Oct 2013 20:13:22 GMT
    location: https://www.example.com
    content-encoding: gzip
    set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1""",
]
C3 = [
    "828684410f7777772e6578616d706c652e636f6d",
    "828684be58086e6f2d6361636865",
    "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
]
C4 = [
    "828684418cf1e3c2e5f23a6ba0ab90f4ff",
    "828684be5886a8eb10649cbf",
    "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
]
C5 = [
    (
        "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54"
        "6e1768747470733a2f2f7777772e6578616d706c652e636f6d"
    ),
    "4803333037c1c0bf",
    (
        "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f"
        "3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076"
        "657273696f6e3d31"
    ),
]
C6 = [
    (
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f"
        "0b97c8e9ae82ae43d3"
    ),
    "4883640effc1c0bf",
    (
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335df"
        "dfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007"
    ),
]
SEQUENCES = {
    "C.3": (4096, C3, REQUESTS),
    "C.4": (4096, C4, REQUESTS),
    "C.5": (256, C5, RESPONSES),
    "C.6": (256, C6, RESPONSES),
}
SINGLES = {
    "C.2.1": ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", "custom-key: custom-header"),
    "C.2.2": ("040c2f73616d706c652f70617468", ":path: /sample/path"),
    "C.2.3": ("100870617373776f726406736563726574", "password: secret"),
    "C.2.4": ("82", ":method: GET"),
}


@pytest.mark.row("7541-C-1")
@pytest.mark.parametrize("name", SEQUENCES)
def test_appendix_c_sequences_decode(hpack, name):
    size, blocks, lists = SEQUENCES[name]
    decoder = hpack.Decoder(max_table_size=size)
    for block, text in zip(blocks, lists, strict=True):
        assert decode(decoder, unhex(block)) == fields_of(text)
        assert decoder.malformed is None and not decoder.too_large


@pytest.mark.row("7541-C-1")
def test_appendix_c4_is_what_the_encoder_writes(hpack):
    encoder = hpack.Encoder()
    for block, text in zip(C4, REQUESTS, strict=True):
        assert encoder.encode(fields_of(text)).hex() == block


@pytest.mark.row("7541-C-1")
@pytest.mark.parametrize("lists", [REQUESTS, RESPONSES], ids=["requests", "responses"])
def test_appendix_c_lists_survive_the_round_trip_with_a_small_table(hpack, lists):
    encoder, decoder, other = hpack.Encoder(256), hpack.Decoder(), reference.Decoder()
    for text in lists * 2:
        block = encoder.encode(fields_of(text))
        assert decode(decoder, block) == fields_of(text)
        assert [tuple(field) for field in other.decode(block, raw=True)] == fields_of(text)


@pytest.mark.row("7541-C-1")
@pytest.mark.parametrize("name", SINGLES)
def test_appendix_c2_decodes(hpack, name):
    block, text = SINGLES[name]
    fields = decode(hpack.Decoder(), unhex(block))
    assert fields == fields_of(text)
    assert isinstance(fields[0], hpack.Sensitive) == (name == "C.2.3")


@pytest.mark.row("7541-6.2.1-1")
@pytest.mark.row("7541-6.2.2-1")
@pytest.mark.row("7541-6.2.3-1")
@pytest.mark.parametrize("name, inserted", [("C.2.1", True), ("C.2.2", False), ("C.2.3", False)])
def test_only_the_literal_with_incremental_indexing_is_inserted(hpack, name, inserted):
    decoder = hpack.Decoder()
    block, text = SINGLES[name]
    decode(decoder, unhex(block))
    if inserted:
        assert decode(decoder, b"\xbe") == fields_of(text)
    else:
        with pytest.raises(hpack.CompressionError):
            decode(decoder, b"\xbe")


ALL_BLOCKS = [block for block, _ in SINGLES.values()] + [C3[0], C4[0], C5[0], C6[0]]


@pytest.mark.row("7541-5.1-3")
@pytest.mark.parametrize("block", ALL_BLOCKS)
def test_a_block_cut_within_a_field_is_an_error(hpack, block):
    data = unhex(block)
    whole = decode(hpack.Decoder(), data)
    cut_between = 0
    for n in range(len(data)):
        try:
            fields = decode(hpack.Decoder(), data[:n])
        except hpack.CompressionError:
            continue
        cut_between += 1
        assert fields == whole[: len(fields)] and len(fields) < len(whole)
    assert cut_between == len(whole)  # before each field, and nowhere else


def test_the_block_may_stand_anywhere_in_its_buffer(hpack):
    data = unhex(C4[0])
    assert hpack.Decoder().decode(b"\x80\x80" + data + b"\x80", 2, len(data)) == fields_of(
        REQUESTS[0]
    )


# -- tables -------------------------------------------------------------------------------------


@pytest.mark.row("7541-2.3.1-1")
def test_static_table(hpack):
    static = list(reference.table.HeaderTable.STATIC_TABLE)
    assert decode(hpack.Decoder(), bytes(range(0x81, 0x81 + 61))) == static


@pytest.mark.row("7541-2.3.1-1")
def test_the_dynamic_table_begins_at_62_with_the_newest(hpack):
    decoder = hpack.Decoder()
    decode(decoder, b"\x40\x01a\x011\x40\x01b\x012")
    assert decode(decoder, b"\xbe\xbf") == [(b"b", b"2"), (b"a", b"1")]


@pytest.mark.row("7541-2.3.3-1")
@pytest.mark.parametrize("block", ["be", "ff00", "ffffffff0f", "7e0161", "7f000161", "0f2f0161"])
def test_index_beyond_the_tables(hpack, block):
    with pytest.raises(hpack.CompressionError) as error:
        decode(hpack.Decoder(), unhex(block))
    assert error.value.error_code == 0x9


@pytest.mark.row("7541-2.3.3-1")
def test_index_one_beyond_the_dynamic_table(hpack):
    decoder = hpack.Decoder()
    assert decode(decoder, b"\x40\x01a\x011\xbe") == [(b"a", b"1")] * 2
    with pytest.raises(hpack.CompressionError):
        decode(decoder, b"\xbf")


@pytest.mark.row("7541-6.1-1")
def test_index_zero(hpack):
    with pytest.raises(hpack.CompressionError):
        decode(hpack.Decoder(), b"\x80")


@pytest.mark.row("7541-4.1-1")
@pytest.mark.parametrize(
    "value", [b"\x0cno-cacheabcd", b"\x86" + bytes.fromhex("a8eb10649cbf")], ids=["raw", "huffman"]
)
def test_an_entry_costs_its_decoded_octets_and_32(hpack, value):
    octets = 12 if value[0] == 12 else len(b"no-cache")
    size = 32 + 1 + octets
    decoder = hpack.Decoder(max_table_size=2 * size)
    decode(decoder, b"\x40\x01a" + value + b"\x40\x01b" + value)
    assert decode(decoder, b"\xbf")[0][0] == b"a"
    decoder = hpack.Decoder(max_table_size=2 * size - 1)
    decode(decoder, b"\x40\x01a" + value + b"\x40\x01b" + value)
    assert decode(decoder, b"\xbe")[0][0] == b"b"
    with pytest.raises(hpack.CompressionError):
        decode(decoder, b"\xbf")


@pytest.mark.row("7541-4.3-1")
def test_a_size_update_evicts(hpack):
    decoder = hpack.Decoder()
    decode(decoder, b"\x40\x01a\x011\x40\x01b\x012")  # 34 octets each
    assert decode(decoder, b"\x3f\x15\xbe") == [(b"b", b"2")]  # 52: one has room
    with pytest.raises(hpack.CompressionError):
        decode(decoder, b"\xbf")


@pytest.mark.row("7541-4.3-1")
def test_a_size_update_to_zero_clears_the_table(hpack):
    decoder = hpack.Decoder()
    decode(decoder, b"\x40\x01a\x011")
    assert decode(decoder, b"\x20") == []
    with pytest.raises(hpack.CompressionError):
        decode(decoder, b"\xbe")


@pytest.mark.row("7541-4.4-1")
def test_an_entry_larger_than_the_table_empties_it(hpack):
    decoder = hpack.Decoder(max_table_size=40)
    decode(decoder, b"\x40\x01a\x011")
    large = b"\x40\x01b\x08" + b"x" * 8
    assert decode(decoder, large) == [(b"b", b"x" * 8)]
    with pytest.raises(hpack.CompressionError):
        decode(decoder, b"\xbe")


@pytest.mark.row("7541-4.4-1")
def test_the_name_of_an_entry_may_come_from_the_one_it_evicts(hpack):
    decoder = hpack.Decoder(max_table_size=40)
    decode(decoder, b"\x40\x03abc\x011")
    assert decode(decoder, b"\x7e\x012") == [(b"abc", b"2")]
    assert decode(decoder, b"\xbe") == [(b"abc", b"2")]
    with pytest.raises(hpack.CompressionError):
        decode(decoder, b"\xbf")


def test_a_table_that_turns_over_for_long(hpack):
    encoder, decoder = hpack.Encoder(512), hpack.Decoder()
    other = reference.Decoder()
    for number in range(500):
        fields = [(b"x-%d" % (number % 7), b"%d" % number), (b"x-%d" % (number % 3), b"same")]
        block = encoder.encode(fields)
        assert decode(decoder, block) == fields
        assert [tuple(field) for field in other.decode(block, raw=True)] == fields


# -- size updates -------------------------------------------------------------------------------


@pytest.mark.row("7541-4.2-1")
def test_size_update_beyond_the_setting(hpack):
    assert decode(hpack.Decoder(), unhex("3fe11f")) == []  # 4096
    with pytest.raises(hpack.CompressionError) as error:
        decode(hpack.Decoder(), unhex("3fe21f"))  # 4097
    assert error.value.error_code == 0x9


@pytest.mark.row("7541-4.2-1")
def test_size_update_follows_the_acknowledged_setting(hpack):
    decoder = hpack.Decoder()
    decoder.set_max_table_size(8192)
    assert decode(decoder, unhex("3fe13f")) == []  # 8192
    with pytest.raises(hpack.CompressionError):
        decode(decoder, unhex("3fe23f"))


@pytest.mark.row("7541-4.2-2")
@pytest.mark.parametrize("block", ["8220", "823f00", "040161" + "20"])
def test_size_update_after_a_field(hpack, block):
    with pytest.raises(hpack.CompressionError):
        decode(hpack.Decoder(), unhex(block))


@pytest.mark.row("7541-4.2-3")
def test_encoder_writes_the_smallest_and_the_final_size(hpack):
    encoder = hpack.Encoder()
    encoder.set_max_table_size(0)
    encoder.set_max_table_size(4096)
    assert encoder.encode([(b":status", b"200")]).hex() == "203fe11f88"
    assert encoder.encode([(b":status", b"200")]).hex() == "88"


@pytest.mark.row("7541-4.2-3")
def test_encoder_writes_one_update_for_one_change(hpack):
    encoder = hpack.Encoder()
    encoder.set_max_table_size(100)
    assert encoder.encode([(b":status", b"200")]).hex() == "3f4588"
    encoder.set_max_table_size(100)
    assert encoder.encode([(b":status", b"200")]).hex() == "88"


@pytest.mark.row("7541-4.2-3")
def test_decoder_accepts_two_updates(hpack):
    decoder = hpack.Decoder()
    decode(decoder, b"\x40\x01a\x011")
    assert decode(decoder, unhex("203fe11f82")) == [(b":method", b"GET")]
    with pytest.raises(hpack.CompressionError):
        decode(decoder, b"\xbe")


@pytest.mark.row("7541-4.2-4")
@pytest.mark.parametrize("block", ["82", "3f4682", ""])
def test_the_block_after_an_acknowledged_reduction_begins_with_an_update(hpack, block):
    decoder = hpack.Decoder()
    decoder.set_max_table_size(100)
    with pytest.raises(hpack.CompressionError):
        decode(decoder, unhex(block))


@pytest.mark.row("7541-4.2-4")
def test_a_conformant_update_ends_the_demand(hpack):
    decoder = hpack.Decoder()
    decoder.set_max_table_size(100)
    assert decode(decoder, unhex("3f4582")) == [(b":method", b"GET")]
    assert decode(decoder, unhex("82")) == [(b":method", b"GET")]


@pytest.mark.row("7541-4.2-4")
def test_no_update_is_demanded_where_the_table_is_small_already(hpack):
    decoder = hpack.Decoder()
    decode(decoder, unhex("3f11"))  # the encoder chose 48 of its own accord
    decoder.set_max_table_size(100)
    assert decode(decoder, unhex("82")) == [(b":method", b"GET")]


@pytest.mark.row("7541-4.2-4")
def test_after_two_changes_the_smaller_one_must_be_heard_of(hpack):
    for block, fine in (("3fe11f82", False), ("203fe11f82", True)):
        decoder = hpack.Decoder()
        decoder.set_max_table_size(0)
        decoder.set_max_table_size(4096)
        if fine:
            assert decode(decoder, unhex(block)) == [(b":method", b"GET")]
        else:
            with pytest.raises(hpack.CompressionError):
                decode(decoder, unhex(block))


@pytest.mark.row("7541-4.2-5")
def test_three_updates(hpack):
    with pytest.raises(hpack.CompressionError):
        decode(hpack.Decoder(), unhex("20202082"))


@pytest.mark.row("7541-4.2-4")
def test_an_update_after_a_field_is_no_literal(hpack):
    # Its octets would also do as a literal.
    assert decode(hpack.Decoder(), unhex("820001610162")) == [(b":method", b"GET"), (b"a", b"b")]
    with pytest.raises(hpack.CompressionError, match="after a field"):
        decode(hpack.Decoder(), unhex("822001610162"))


@pytest.mark.row("7541-4.2-6")
def test_before_the_acknowledgment_both_sizes_are_tolerated(hpack):
    larger = hpack.Decoder()
    larger.offer_max_table_size(8192)
    assert decode(larger, unhex("82")) == [(b":method", b"GET")]
    assert decode(larger, unhex("3fe13f82")) == [(b":method", b"GET")]
    smaller = hpack.Decoder()
    smaller.offer_max_table_size(100)
    assert decode(smaller, unhex("3fe11f82")) == [(b":method", b"GET")]
    smaller.set_max_table_size(100)
    with pytest.raises(hpack.CompressionError):
        decode(smaller, unhex("82"))


# -- integers and strings -----------------------------------------------------------------------


@pytest.mark.row("7541-5.1-1")
@pytest.mark.parametrize("first, prefix", [(0x80, 7), (0x40, 6), (0x20, 5), (0x00, 4), (0x10, 4)])
@pytest.mark.parametrize("value", [0, 1, 10, 14, 15, 16, 30, 31, 62, 63, 127, 128, 1337, 16511])
def test_integers_are_read_as_the_reference_writes_them(hpack, first, prefix, value):
    data = bytes(reference.hpack.encode_integer(value, prefix))
    head = bytes([first | data[0]]) + data[1:]
    # An index or a size is not to be seen from outside, so ask for what it means.
    if first == 0x20:
        decoder = hpack.Decoder(max_table_size=value)
        assert decode(decoder, head) == []
        if value:
            with pytest.raises(hpack.CompressionError):
                decode(hpack.Decoder(max_table_size=value - 1), head)
        return
    static = [None, *reference.table.HeaderTable.STATIC_TABLE]
    block = head if first == 0x80 else head + b"\x01v"
    decoder = hpack.Decoder(max_table_size=1 << 20)
    insertions = 1400
    decode_many(decoder, insertions)
    if first != 0x80 and value == 0:
        block = head + b"\x01n\x01v"
        assert decode(decoder, block) == [(b"n", b"v")]
    elif value == 0 or value > 61 + insertions:
        with pytest.raises(hpack.CompressionError):
            decode(decoder, block)
    else:
        number = insertions - (value - 62) - 1
        expected = static[value] if value <= 61 else (b"n", b"%d" % number)
        field = decode(decoder, block)[0]
        assert field[0] == expected[0]
        assert field[1] == (expected[1] if first == 0x80 else b"v")


def decode_many(decoder, count):
    """Insert (n, 0), (n, 1) and so on."""
    for number in range(count):
        value = b"%d" % number
        decode(decoder, b"\x40\x01n" + bytes([len(value)]) + value)


@pytest.mark.row("7541-5.1-1")
@pytest.mark.parametrize("value", [1, 42, 126, 127, 128, 300, 1337, 16510, 16511])
def test_lengths_are_written_as_the_reference_reads_them(hpack, value):
    fields = [(b"x", b"\x80" * value)]  # longer as Huffman code, so it stays as it is
    block = hpack.Encoder().encode(fields)
    assert block.endswith(bytes(reference.hpack.encode_integer(value, 7)) + b"\x80" * value)
    decoder = reference.Decoder(max_header_list_size=1 << 20)
    assert [tuple(field) for field in decoder.decode(block, raw=True)] == fields


@pytest.mark.row("7541-5.1-1")
@pytest.mark.parametrize("size, update", [(10, "2a"), (1337, "3f9a0a"), (0, "20")])
def test_the_examples_of_appendix_c1(hpack, size, update):
    encoder = hpack.Encoder()
    encoder.set_max_table_size(size)
    assert encoder.encode([]).hex() == update
    assert decode(hpack.Decoder(max_table_size=size), unhex(update)) == []


@pytest.mark.row("7541-5.1-2")
@pytest.mark.parametrize(
    "integer",
    [
        "ffffffffffffffffff7f",  # beyond 64 bits
        "ff808080808080",  # the seventh octet, still more to come
        "ff80808080808000",  # padding alone
        "ff80818080808001",
        "ff81ffffff0f",  # 2^32
        "ff80ffffffff0f",
    ],
)
def test_integers_beyond_the_limit(hpack, integer):
    with pytest.raises(hpack.CompressionError):
        decode(hpack.Decoder(), unhex(integer))
    with pytest.raises(hpack.CompressionError):  # as the length of a value
        decode(hpack.Decoder(), b"\x00\x01a\x7f" + unhex(integer)[1:] + b"x" * 300)


@pytest.mark.row("7541-5.1-2")
@pytest.mark.parametrize("octets, match", [(5, "32 bits"), (6, "octets"), (4, "within an integer")])
def test_what_an_integer_is_refused_for(hpack, octets, match):
    # As a table size, of which any number of 32 bits would do here.
    block = b"\x3f" + b"\xff" * octets + (b"" if octets == 4 else b"\x7f")
    with pytest.raises(hpack.CompressionError, match=match):
        decode(hpack.Decoder(max_table_size=0xFFFFFFFF), block)


@pytest.mark.row("7541-5.1-2")
def test_padding_within_six_octets_is_tolerated(hpack):
    block = b"\x00\x01a\x7f\x81\x80\x80\x80\x80\x00" + b"x" * 128
    assert decode(hpack.Decoder(), block) == [(b"a", b"x" * 128)]


@pytest.mark.row("7541-5.1-2")
def test_a_table_size_of_32_bits(hpack):
    decoder = hpack.Decoder(max_table_size=0xFFFFFFFF)
    assert decode(decoder, unhex("3fe0ffffff0f")) == []
    with pytest.raises(hpack.CompressionError):
        decode(decoder, unhex("3fe1ffffff0f"))


def huffman(text):
    return reference.huffman.HuffmanEncoder(
        reference.huffman_constants.REQUEST_CODES,
        reference.huffman_constants.REQUEST_CODES_LENGTH,
    ).encode(text)


@pytest.mark.row("7541-5.2-1")
@pytest.mark.parametrize(
    "code",
    [
        "ff",  # eight bits of padding
        "1fff",  # `a` and eleven bits
        "18",  # `a` and zeros
        "1e",  # `a`, ones, a zero
        "07ffff",
    ],
)
def test_huffman_padding(hpack, code):
    data = unhex(code)
    with pytest.raises(hpack.CompressionError):
        decode(hpack.Decoder(), b"\x00\x01a" + bytes([0x80 | len(data)]) + data)
    assert decode(hpack.Decoder(), b"\x00\x01a\x81\x1f") == [(b"a", b"a")]


@pytest.mark.row("7541-5.2-2")
@pytest.mark.parametrize("code", ["ffffffff", "fffffffc", "1fffffffff", "1ffffffff7"])
def test_huffman_eos(hpack, code):
    data = unhex(code)
    with pytest.raises(hpack.CompressionError):
        decode(hpack.Decoder(), b"\x00\x01a" + bytes([0x80 | len(data)]) + data)


@pytest.mark.row("7541-5.2-3")
@pytest.mark.parametrize("first", [0x40, 0x00, 0x10])
@pytest.mark.parametrize("coded_name", [False, True])
@pytest.mark.parametrize("coded_value", [False, True])
@pytest.mark.parametrize("value", [b"", b"0", b"www.example.com", bytes(range(0x80, 0x100))])
def test_literals(hpack, first, coded_name, coded_value, value):
    def string(data, coded):
        code = huffman(data) if coded else data
        head = bytearray(reference.hpack.encode_integer(len(code), 7))
        head[0] |= 0x80 if coded else 0
        return bytes(head) + code

    block = bytes([first]) + string(b"x-name", coded_name) + string(value, coded_value)
    assert decode(hpack.Decoder(), block) == [(b"x-name", value)]


@pytest.mark.row("7541-5.2-4")
def test_a_huge_huffman_string_stops_early(hpack):
    decoder = hpack.Decoder(max_list_size=1000)
    code = huffman(b"0" * 100_000)
    head = bytearray(reference.hpack.encode_integer(len(code), 7))
    head[0] |= 0x80
    with pytest.raises(hpack.HeaderListTooLarge) as error:
        decode(decoder, b"\x00\x01a" + bytes(head) + code)
    assert error.value.error_code == 0xB


@pytest.mark.row("7541-5.2-4")
@pytest.mark.parametrize("n", [1300, 2100])
def test_a_string_beyond_the_limit_that_is_no_huffman_code_either(hpack, n):
    decoder = hpack.Decoder(max_list_size=1000)
    head = bytearray(reference.hpack.encode_integer(n, 7))
    head[0] |= 0x80
    with pytest.raises(hpack.CompressionError):
        decode(decoder, b"\x00\x01a" + bytes(head) + b"\x00" * (n - 1) + b"\xf0")


# -- limits -------------------------------------------------------------------------------------


@pytest.mark.row("7541-x-2")
@pytest.mark.row("SEC-3-1")
def test_a_bomb_of_indexed_fields_stops_at_twice_the_limit(hpack):
    decoder = hpack.Decoder(max_list_size=65536)
    value = b"x" * 4000
    decode(decoder, b"\x40\x01a\x7f" + reference.hpack.encode_integer(4000, 7)[1:] + value)
    with pytest.raises(hpack.HeaderListTooLarge) as error:
        decode(decoder, b"\xbe" * 16384)
    assert error.value.error_code == 0xB


@pytest.mark.row("SEC-3-1")
@pytest.mark.row("9113-10.5.1-1")
def test_between_the_limit_and_its_double_decoding_goes_on_for_the_table(hpack):
    decoder = hpack.Decoder(max_list_size=100)
    block = b"\x40\x01a\x14" + b"x" * 20 + b"\x40\x01b\x14" + b"y" * 20
    fields = decode(decoder, block)
    assert fields == [(b"a", b"x" * 20)]  # 53, the second would make 106
    assert decoder.too_large
    assert decode(decoder, b"\xbe") == [(b"b", b"y" * 20)]  # it is in the table
    assert not decoder.too_large


@pytest.mark.row("SEC-3-1")
def test_the_exact_limits(hpack):
    block = b"\x00\x01a\x0a" + b"x" * 10  # counts 43
    for limit, large in ((43, False), (42, True), (22, True)):
        decoder = hpack.Decoder(max_list_size=limit)
        assert len(decode(decoder, block)) == (0 if large else 1)
        assert decoder.too_large == large
    with pytest.raises(hpack.HeaderListTooLarge):
        decode(hpack.Decoder(max_list_size=21), block)


@pytest.mark.row("SEC-3-1")
@pytest.mark.parametrize(
    "string",
    [
        pytest.param(b"\x7f\xe9\x06" + b"x" * 1000, id="plain"),
        pytest.param(b"\xff\xe9\x06" + huffman(b"a" * 1600), id="huffman"),
        pytest.param(b"\xd0" + huffman(b"a" * 128), id="huffman-that-grows"),
    ],
)
def test_a_string_that_no_list_could_hold_is_not_made(hpack, string):
    decoder = hpack.Decoder(max_list_size=50)
    with pytest.raises(hpack.HeaderListTooLarge, match="a string beyond twice the limit"):
        decode(decoder, b"\x00\x01a" + string)


@pytest.mark.row("SEC-3-1")
@pytest.mark.parametrize("count, large", [(128, False), (129, True), (256, True)])
def test_number_of_fields(hpack, count, large):
    decoder = hpack.Decoder(max_fields=128)
    assert len(decode(decoder, b"\x82" * count)) == min(count, 128)
    assert decoder.too_large == large


@pytest.mark.row("SEC-3-1")
@pytest.mark.row("SEC-1-10")
@pytest.mark.parametrize("field", [b"\x82", b"\x00\x00\x00"])
def test_number_of_fields_beyond_twice_the_limit(hpack, field):
    with pytest.raises(hpack.HeaderListTooLarge):
        decode(hpack.Decoder(max_fields=128), field * 257)


@pytest.mark.row("SEC-1-10")
def test_empty_names_are_malformed(hpack):
    decoder = hpack.Decoder()
    decode(decoder, b"\x00\x00\x01v")
    assert decoder.malformed == "empty field name"


@pytest.mark.row("SEC-3-2")
@pytest.mark.row("7541-7.3-1")
def test_the_table_stays_within_the_cap_whatever_the_peer_offers(hpack):
    encoder, other = hpack.Encoder(), reference.Decoder()
    before = sys.getsizeof(encoder)
    encoder.set_max_table_size(0xFFFFFFFF)
    assert sys.getsizeof(encoder) == before
    other.max_allowed_table_size = 0xFFFFFFFF
    first = encoder.encode([(b":status", b"200")])
    assert first.hex() == "3fe11f88"  # the peer hears that 4096 it is
    other.decode(first)
    for number in range(200):
        other.decode(encoder.encode([(b"x-%d" % number, b"y" * 100)]))
        assert other.header_table._current_size <= 4096
    assert other.header_table_size == 4096


@pytest.mark.row("7541-7.3-1")
def test_a_larger_cap_is_used_as_far_as_the_peer_allows(hpack):
    encoder = hpack.Encoder(65536)
    encoder.set_max_table_size(10000)
    assert encoder.encode([]).hex() == "3f" + bytes([0xF1, 0x4D]).hex()
    encoder.set_max_table_size(1 << 20)
    assert encoder.encode([]).hex() == "3fe1ff03"
    small = hpack.Encoder(0)
    assert small.encode([(b":status", b"200")]).hex() == "2088"
    assert small.encode([(b"a", b"b")]).hex()[:2] == "00"


def test_a_decoder_costs_little(hpack):
    """20 000 connections in a process: what an idle one has must be next to nothing."""
    decoder = hpack.Decoder()
    assert sys.getsizeof(decoder) <= 200
    assert not [thing for thing in gc.get_referents(decoder) if isinstance(thing, list | dict)]


# -- encoding -----------------------------------------------------------------------------------


def patterns(block):
    """How each field of a block is represented: RFC 7541 section 6."""
    found = []
    decoder = reference.Decoder()
    data = bytes(block)
    while data:
        first = data[0]
        if first & 0x80:
            kind, take = "indexed", decoder._decode_indexed
        elif first & 0x40:
            kind, take = "inserted", decoder._decode_literal_index
        else:
            kind, take = "never" if first & 0x10 else "literal", decoder._decode_literal_no_index
        data = data[take(data)[1] :]
        found.append(kind)
    return found


@pytest.mark.row("7541-7.1.3-1")
@pytest.mark.row("SEC-9-2")
@pytest.mark.parametrize(
    "name, value, pattern",
    [
        (b"authorization", b"Basic " + b"x" * 100, "never"),
        (b"proxy-authorization", b"Basic " + b"x" * 100, "never"),
        (b"cookie", b"a=1", "never"),
        (b"cookie", b"a=" + b"x" * 40, "inserted"),
        (b"set-cookie", b"a=1", "never"),
        (b"set-cookie", b"a=" + b"x" * 40, "literal"),
        (b"user-agent", b"a", "inserted"),
        (b":path", b"/chat/1", "literal"),
        (b"content-length", b"17", "literal"),
        (b"date", b"Mon, 21 Oct 2013 20:13:21 GMT", "literal"),
        (b"x-large", b"x" * 2100, "literal"),
        (b":status", b"200", "indexed"),
        (b":status", b"403", "inserted"),
        (b"accept-encoding", b"gzip, deflate", "indexed"),
    ],
)
def test_what_is_indexed(hpack, name, value, pattern):
    assert patterns(hpack.Encoder().encode([(name, value), (b":status", b"200")])) == [
        pattern,
        "indexed",
    ]


@pytest.mark.row("7541-7.1.3-1")
def test_sensitive_names_are_an_option(hpack):
    encoder = hpack.Encoder(sensitive_names=[b"sec-websocket-protocol"])
    field = (b"sec-websocket-protocol", b"chat, token.abcdef")
    assert patterns(encoder.encode([field])) == ["never"]
    assert patterns(hpack.Encoder().encode([field])) == ["inserted"]


@pytest.mark.row("7541-6.2.3-1")
@pytest.mark.parametrize(
    "field", [(b"x-secret", b"1"), (b":status", b"200"), (b"user-agent", b"a"), (b"x", b"")]
)
def test_what_came_never_indexed_leaves_never_indexed(hpack, field):
    fields = decode(hpack.Decoder(), literal(*field, first=0x10))
    assert fields == [field] and type(fields[0]) is hpack.Sensitive
    encoder = hpack.Encoder()
    for _ in range(2):
        assert patterns(encoder.encode(fields)) == ["never"]
    assert decode(hpack.Decoder(), encoder.encode(fields)) == fields


@pytest.mark.row("7541-x-1")
@pytest.mark.parametrize(
    "bad", [("x", b"y"), (b"x", "y"), (b"x", None), (b"x",), [b"x", b"y"], None, b"xy", 5]
)
def test_a_failing_list_changes_nothing(hpack, bad):
    encoder, other = hpack.Encoder(), reference.Decoder()
    encoder.set_max_table_size(100)
    encoder.set_max_table_size(2000)
    with pytest.raises(TypeError):
        encoder.encode([(b"a", b"1"), bad, (b"b", b"2")])
    with pytest.raises(TypeError):
        encoder.encode([bad])
    for _ in range(2):
        fields = [(b"a", b"1"), (b"c", b"3")]
        assert [tuple(f) for f in other.decode(encoder.encode(fields), raw=True)] == fields


def test_a_field_seen_before_is_one_octet(hpack):
    encoder = hpack.Encoder()
    fields = [(b"x-%d" % number, b"value") for number in range(10)]
    assert len(encoder.encode(fields)) > 60
    assert encoder.encode(fields).hex() == "c7c6c5c4c3c2c1c0bfbe"


# -- validity, checked where literals are decoded: RFC 9113 section 8.2.1 ------------------------

TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"


def literal(name, value, first=0x40):
    return b"".join(
        (
            bytes([first]),
            bytes(reference.hpack.encode_integer(len(name), 7)),
            name,
            bytes(reference.hpack.encode_integer(len(value), 7)),
            value,
        )
    )


@pytest.mark.row("9113-8.2.1-1")
def test_every_octet_in_a_name(hpack):
    for octet in range(256):
        for name in (bytes([octet]) + b"a", b"a" + bytes([octet]), b"a" + bytes([octet]) + b"a"):
            decoder = hpack.Decoder()
            decode(decoder, literal(name, b"v"))
            pseudo = octet == 0x3A and name[0] == 0x3A
            assert (decoder.malformed is None) == (octet in TOKEN or pseudo), name


@pytest.mark.row("9113-8.2.1-1")
@pytest.mark.parametrize("name", [b"", b":", b"::a", b":a:", b": a", b"Origin", b":Path"])
def test_names_that_are_none(hpack, name):
    decoder = hpack.Decoder()
    decode(decoder, literal(name, b"v"))
    assert decoder.malformed


@pytest.mark.row("9113-8.2.1-2")
@pytest.mark.row("9113-8.2.1-3")
@pytest.mark.row("9113-8.2.1-4")
def test_every_octet_in_a_value(hpack):
    for octet in range(256):
        raw = bytes([octet])
        control = (octet < 0x20 and octet != 0x09) or octet == 0x7F
        for value in (raw, raw + b"ab", b"ab" + raw, b"a" + raw + b"b"):
            edge = (octet in b" \t" and value[0] != 0x61) or value[-1:] in (b" ", b"\t")
            decoder = hpack.Decoder()
            assert decode(decoder, literal(b"x", value)) == [(b"x", value)]
            assert (decoder.malformed is not None) == (control or edge), value


@pytest.mark.row("9113-8.2.1-3")
def test_an_empty_value_is_legal(hpack):
    decoder = hpack.Decoder()
    decode(decoder, literal(b"x", b""))
    assert decoder.malformed is None


@pytest.mark.row("9113-8.2.1-1")
@pytest.mark.row("9113-8.2.1-2")
@pytest.mark.parametrize("name, value", [(b"X", b"v"), (b"x", b"a\nb"), (b"x", b" v")])
def test_what_is_malformed_stays_so_in_the_table(hpack, name, value):
    decoder = hpack.Decoder()
    decode(decoder, literal(name, value))
    assert decode(decoder, b"\x82") and decoder.malformed is None
    decode(decoder, b"\xbe")
    assert decoder.malformed
    if name == b"X":  # its name alone breaks what refers to it, its value does not
        decode(decoder, b"\x7e\x01v")
        assert decoder.malformed
    else:
        decode(decoder, b"\x7e\x01v")
        assert decoder.malformed is None


def test_a_malformed_field_keeps_the_tables_in_step(hpack):
    decoder = hpack.Decoder()
    decode(decoder, literal(b"X", b"\r\n") + literal(b"good", b"1"))
    assert decoder.malformed
    assert decode(decoder, b"\xbe") == [(b"good", b"1")]
    assert decoder.malformed is None


# -- against others -----------------------------------------------------------------------------


def stories():
    if not VECTORS:
        return []
    return sorted(Path(VECTORS, "hpack").glob("*/story_*.json"))


@pytest.mark.row("7541-C-1")
@pytest.mark.skipif(
    not VECTORS, reason="H2WS_FAST_VECTORS does not name the folder of recorded blocks"
)
def test_recorded_blocks_of_other_encoders(hpack):
    paths = stories()
    assert paths, "no hpack/*/story_*.json in H2WS_FAST_VECTORS"
    blocks = 0
    for path in paths:
        decoder, encoder, again = hpack.Decoder(), hpack.Encoder(), hpack.Decoder()
        other = reference.Decoder()
        for case in json.loads(path.read_text())["cases"]:
            if "header_table_size" in case:
                decoder.set_max_table_size(case["header_table_size"])
            fields = [
                (name.encode(), value.encode())
                for header in case["headers"]
                for name, value in header.items()
            ]
            assert decode(decoder, unhex(case["wire"])) == fields, (path, case["seqno"])
            block = encoder.encode(fields)
            assert decode(again, block) == fields
            assert [tuple(field) for field in other.decode(block, raw=True)] == fields
            blocks += 1
    assert blocks > 1000


NAMES = st.sampled_from(
    [b":path", b":status", b"cookie", b"authorization", b"a", b"b", b"c", b"x-long-name" * 4]
) | st.text("abcdef-", min_size=1, max_size=8).map(str.encode)
VALUES = (
    st.sampled_from([b"", b"200", b"GET", b"gzip, deflate", b"v" * 60, b"w" * 300])
    | st.binary(max_size=12)
    | st.text("0123456789abc", max_size=40).map(str.encode)
)
LISTS = st.lists(st.tuples(NAMES, VALUES), max_size=12)
SIZES = st.none() | st.sampled_from([0, 31, 32, 64, 200, 1000, 4096, 8192, 0xFFFFFFFF])


@given(steps=st.lists(st.tuples(SIZES, SIZES, LISTS), max_size=12))
def test_what_we_encode_others_decode(hpack, steps):
    encoder = hpack.Encoder()
    decoder, other = hpack.Decoder(), reference.Decoder()
    for first, second, fields in steps:
        for size in (first, second):
            if size is not None:
                encoder.set_max_table_size(size)
                decoder.set_max_table_size(size)
                other.max_allowed_table_size = size
        block = encoder.encode(fields)
        assert decode(decoder, block) == fields
        assert [tuple(field) for field in other.decode(block, raw=True)] == fields


@given(
    steps=st.lists(st.tuples(st.none() | st.integers(0, 4096), st.booleans(), LISTS), max_size=12)
)
def test_what_others_encode_we_decode(hpack, steps):
    other, decoder = reference.Encoder(), hpack.Decoder()
    for size, coded, fields in steps:
        if size is not None:
            other.header_table_size = size
        block = other.encode(fields, huffman=coded)
        assert decode(decoder, block) == fields


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(range(4)), st.none() | st.integers(0, 300)), max_size=30
    )
)
def test_blocks_that_come_again(hpack, steps):
    """The same octets mean the same only as long as the table is the same."""
    blocks = [b"\x82\xbe", b"\x40\x01a\x011", b"\x00\x01b\x012", b"\x40\x01c\x012\xbe\xbf"]
    decoder, other = hpack.Decoder(), reference.Decoder()
    for choice, size in steps:
        block = blocks[choice]
        if size is not None:
            block = bytes([0x20 | min(size, 31)])
            if size >= 31:
                block = reference.hpack.encode_integer(size, 5)
                block[0] |= 0x20
            block = bytes(block) + blocks[choice]
        try:
            expected = [tuple(field) for field in other.decode(block, raw=True)]
        except reference.HPACKError:
            with pytest.raises(hpack.CompressionError):
                decode(decoder, block)
            return
        fields = decode(decoder, block)
        assert fields == expected
        fields.append("the caller owns the list")


def test_a_block_that_comes_again_is_checked_again(hpack):
    decoder = hpack.Decoder(max_fields=2)
    for _ in range(3):
        decode(decoder, b"\x00\x01A\x011")
        assert decoder.malformed
        decode(decoder, b"\x82")
        assert decoder.malformed is None
        assert len(decode(decoder, b"\x82" * 3)) == 2
        assert decoder.too_large
    decode(decoder, b"\x82")
    decoder.set_max_table_size(100)
    with pytest.raises(hpack.CompressionError):
        decode(decoder, b"\x82")


@settings(max_examples=300)
@given(blocks=st.lists(st.binary(max_size=60), max_size=4))
def test_any_octets_end_in_fields_or_in_a_listed_error(hpack, blocks):
    decoder, other = hpack.Decoder(), reference.Decoder()
    for block in blocks:
        try:
            fields = decode(decoder, block)
        except (hpack.CompressionError, hpack.HeaderListTooLarge):
            return
        for field in fields:
            assert type(field[0]) is bytes and type(field[1]) is bytes
        # Where we accept, so does the reference, and it reads the same.
        assert [tuple(field) for field in other.decode(block, raw=True)] == fields


@settings(max_examples=300)
@given(blocks=st.lists(st.binary(max_size=60), max_size=4))
def test_both_twins_agree_on_any_octets(blocks):
    try:
        twins = [
            import_module(f"{_twins.load(name).__name__}.hpack") for name in ("compiled", "pure")
        ]
    except ImportError as error:
        pytest.skip(str(error))
    decoders = [module.Decoder(max_list_size=200, max_fields=6) for module in twins]
    for block in blocks:
        results = []
        for module, decoder in zip(twins, decoders, strict=True):
            try:
                fields = decode(decoder, block)
                sensitive = [type(field) is module.Sensitive for field in fields]
                results.append((fields, sensitive, decoder.malformed, decoder.too_large))
            except (module.CompressionError, module.HeaderListTooLarge) as error:
                results.append((type(error).__name__, str(error)))
        assert results[0] == results[1]
        if isinstance(results[0][0], str):
            return
