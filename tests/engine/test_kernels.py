"""The kernels of both twins against plain models, and against each other."""

import array
import random
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from h2ws_fast import _twins
from tests.support import frames as f
from tests.support import twins
from tests.support.ws_frames import masked

BOTH = twins.both("kernels")  # loaded before hypothesis takes the time

WIDTHS = ("scalar", "vector", "avx2", "avx512")


@pytest.fixture(scope="session")
def kernels(twin):
    return twins.of(twin, "kernels")


@pytest.fixture(scope="session", params=("pure", *WIDTHS))
def widths(request):
    """The kernels of the pure twin, then the compiled ones at each width of instructions."""
    if request.param == "pure":
        yield twins.of(_twins.load("pure"), "kernels")
        return
    kernels = twins.compiled("kernels")
    wanted = WIDTHS.index(request.param)
    if kernels.choose(wanted) != wanted:
        kernels.choose(len(WIDTHS) - 1)
        pytest.skip(f"this machine has no {request.param}")
    yield kernels
    kernels.choose(len(WIDTHS) - 1)


# -- loads -----------------------------------------------------------------------------------


def test_numbers_are_read_in_network_order(kernels):
    p = bytes(range(0x80, 0x90))
    assert kernels.u16(p, 1) == 0x8182
    assert kernels.u24(p, 1) == 0x818283
    assert kernels.u32(p, 1) == 0x81828384
    assert kernels.u64(p, 1) == 0x8182838485868788
    assert kernels.take(p, 3, 4) == b"\x83\x84\x85\x86"
    assert kernels.take(p, 3, 0) == b""


def test_payloads_of_frames_come_out_as_one(kernels):
    frames = [f.data(1, bytes([size % 251]) * size) for size in (1, 0, 300, 70000)]
    p = b"before" + b"".join(frames) + b"behind"
    end = len(p) - len(b"behind")
    joined = b"".join(frame[9:] for frame in frames)
    assert kernels.payloads(p, len(b"before"), end, 0) == joined
    assert kernels.payloads(p, end, end, 0) == b""
    # The first without its head and in part, the last cut.
    begin = len(b"before")
    assert kernels.payloads(p, begin - 2, end, 2) == b"re" + joined
    for cut in (1, 300, 69_999, 70_000):
        assert kernels.payloads(p, begin, end - cut, 0) == joined[: len(joined) - cut]
    assert kernels.payloads(p, end - 500, end, 500) == joined[-500:]


@pytest.mark.parametrize("n", [0, 1, -1, 2**63 - 1, -(2**63), True])
def test_whole_numbers(kernels, n):
    assert kernels.whole(n) == n


@pytest.mark.parametrize("n", [1.0, 1.5, float("nan"), "1", b"1", None, [1]])
def test_what_is_no_whole_number(kernels, n):
    with pytest.raises(TypeError):
        kernels.whole(n)


@pytest.mark.parametrize("n", [2**63, 2**64, -(2**63) - 1, 10**30])
def test_whole_numbers_of_more_than_64_bits(kernels, n):
    with pytest.raises(ValueError, match="a number is out of range"):
        kernels.whole(n)


def test_address_takes_anything_with_a_buffer(kernels):
    for data in (b"abc", bytearray(b"abc"), memoryview(b"abc")):
        assert kernels.take(kernels.address(data), 1, 2) == b"bc"


# -- masking ---------------------------------------------------------------------------------


def test_flat_holds_octets_in_one_row(kernels):
    assert kernels.flat(data := b"abc") is data
    numbers = array.array("H", [1, 2, 3])
    for data in (
        b"",
        bytearray(b"abc"),
        memoryview(bytearray(b"abcdef"))[1:3],
        memoryview(b"abc")[1:1],
        array.array("b", b"abc"),
        numbers,
        memoryview(bytes(range(6))).cast("B", (2, 3)),
    ):
        row, octets = kernels.flat(data), memoryview(data).tobytes()
        assert len(row) == len(octets)
        assert kernels.take(kernels.address(row), 0, len(row)) == octets


def test_what_flat_holds_is_neither_moved_nor_freed(kernels):
    data = bytearray(b"abc")
    view = memoryview(data)
    row = kernels.flat(view)
    view.release()
    with pytest.raises(BufferError):
        data.clear()
    assert kernels.take(kernels.address(row), 0, 3) == b"abc"
    del row
    data.clear()


def test_flat_refuses_what_is_none(kernels):
    released = memoryview(b"abc")
    released.release()
    with pytest.raises(ValueError):
        kernels.flat(released)
    for data in (memoryview(b"abcdef")[::2], memoryview(b"abcdef")[::-1]):
        with pytest.raises(ValueError, match="data must be contiguous"):
            kernels.flat(data)
    for data in ("abc", None, 3, [1]):
        with pytest.raises(TypeError, match="bytes-like"):
            kernels.flat(data)


@pytest.mark.row("6455-x-3")
def test_unmask_at_every_length_and_alignment(widths):
    source = random.Random(6455).randbytes(4096 + 4)
    key = 0xA1B2C3D4
    expected = [masked(source[pos:], key) for pos in range(4)]
    for pos, n in product(range(4), range(4097)):
        assert widths.unmask(source, pos, n, key) == expected[pos][:n], (pos, n)


@pytest.mark.row("6455-x-3")
def test_unmask_text_at_every_length_and_alignment(widths):
    text = bytes(random.Random(5).choices(range(128), k=4096 + 4))
    key = 0x01020304
    sources = [masked(text[pos:], key) for pos in range(4)]
    for pos, n in product(range(4), range(4097)):
        assert widths.unmask_text(b"xyz!"[:pos] + sources[pos][:n], pos, n, key) == text[
            pos : pos + n
        ].decode("ascii"), (pos, n)


@pytest.mark.row("6455-5.7-1")
def test_unmask_the_hello_of_the_rfc(kernels):
    frame = bytes.fromhex("818537fa213d7f9f4d5158")
    key = kernels.mask_key(frame, 2)
    assert kernels.unmask(frame, 6, 5, key) == b"Hello"
    assert kernels.unmask_text(frame, 6, 5, key) == "Hello"


@given(st.binary(max_size=300), st.integers(0, 2**32 - 1), st.integers(0, 300))
def test_a_rotated_key_continues_the_mask(data, key, cut):
    for kernels in BOTH:
        whole = kernels.unmask(data, 0, len(data), key)
        cut = min(cut, len(data))
        first = kernels.unmask(data, 0, cut, key)
        rest = kernels.unmask(data, cut, len(data) - cut, kernels.rotate(key, cut))
        assert first + rest == whole == masked(data, key)


def test_key_zero_copies(kernels):
    data = b"as it is" * 100
    assert kernels.unmask(data, 2, 700, 0) == data[2:702]
    assert kernels.unmask_text(data, 2, 700, 0) == data[2:702].decode()
    assert kernels.rotate(0, 3) == 0


# -- UTF-8 -----------------------------------------------------------------------------------

INVALID = [
    bytes.fromhex(text)
    for text in (
        "80 bf ff fe f5808080 f8808080 c080 c1bf c2 c220 c2c2 "  # no lead, overlong, cut short
        "e08080 e09fbf e0a0 e0a020 eda080 edbfbf ef20bf efbf "  # overlong, surrogates
        "f0808080 f08fbfbf f0908080c0 f48fbf f4908080 f5bfbfbf f0908020"  # overlong, too high
    ).split()
]
VALID = ["\0", "\x7f", "\x80", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\ufeff", "\ufffe", "\uffff"]
VALID += ["\U00010000", "\U0003ffff", "\U000fffff", "\U0010ffff", "κόσμε", "日本語", "😀é"]


def verdict(state):
    """What a state promises: between characters, within one, or invalid."""
    return state if state <= 0 else 1


@pytest.mark.row("6455-8.1-3")
@pytest.mark.parametrize("before", (0, 1, 15, 16, 31, 32, 33, 64, 100))
def test_utf8_table(widths, before):
    for text in VALID:
        data = b"a" * before + text.encode() + b"z" * 40
        assert widths.utf8_check(data, 0, len(data), 0) == 0, text
        assert widths.unmask_text(data, 0, len(data), 0) == data.decode()
        assert widths.unmask_text(masked(data, 77), 0, len(data), 77) == data.decode()
    for octets in INVALID:
        for after in (b"", b"z" * 40):
            data = b"a" * before + octets + after
            assert widths.unmask_text(masked(data, 99), 0, len(data), 99) is None, octets
            # Cut short it may go on; anything else is invalid at once.
            state = widths.utf8_check(data, 0, len(data), 0)
            assert state != 0, octets
            if after:
                assert state == -1, octets


@pytest.mark.row("6455-8.1-1")
def test_utf8_split_at_every_octet(widths):
    text = "".join(VALID) * 3
    data = text.encode()
    for cut in range(len(data) + 1):
        state = widths.utf8_check(data, 0, cut, 0)
        inside = cut < len(data) and data[cut] & 0xC0 == 0x80
        assert verdict(state) == inside, cut
        assert widths.utf8_check(data, cut, len(data) - cut, state) == 0
    state = 0
    for i in range(len(data)):
        state = widths.utf8_check(data, i, 1, state)
        assert state >= 0
    assert state == 0


@pytest.mark.row("6455-8.1-2")
def test_utf8_fails_at_the_first_impossible_octet(widths):
    data = bytes.fromhex("cebae1bdb9cf83cebcceb5f4908080656469746564")
    for end in range(1, len(data) + 1):
        expected = -1 if end >= 13 else 0
        assert (widths.utf8_check(data, 0, end, 0) == -1) == (expected == -1), end


def every_three_octets():
    """The boundaries of each octet's classes: RFC 3629 section 4."""
    edges = (0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1)
    edges += (0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF)
    return product(edges, repeat=3)


@pytest.mark.row("6455-8.1-3")
def test_utf8_on_the_edges_of_every_class(widths):
    for octets in every_three_octets():
        for tail in (b"", b"\x80", b"\xbf", b"A" * 16):
            data = bytes(octets) + tail
            try:
                expected = data.decode()
            except UnicodeDecodeError as error:
                expected = None
                unfinished = error.reason == "unexpected end of data"
            state = widths.utf8_check(data, 0, len(data), 0)
            assert widths.unmask_text(data, 0, len(data), 0) == expected
            if expected is None:
                assert verdict(state) == (1 if unfinished else -1), data.hex()
            else:
                assert state == 0, data.hex()


pieces = st.lists(st.one_of(st.text(max_size=40).map(str.encode), st.binary(max_size=6)))


@given(pieces, st.lists(st.integers(1, 70), min_size=1))
def test_the_twins_agree_on_utf8_at_any_split(parts, cuts):
    data = b"".join(parts)
    verdicts = []
    for kernels in BOTH:
        state = pos = turn = 0
        seen = []
        while pos < len(data) and state >= 0:
            n = min(cuts[turn % len(cuts)], len(data) - pos)
            state = kernels.utf8_check(data, pos, n, state)
            seen.append(verdict(state))
            pos += n
            turn += 1
        verdicts.append(seen)
    assert all(seen == verdicts[0] for seen in verdicts)


# -- allowed octets --------------------------------------------------------------------------


@given(data=st.binary(max_size=80), allowed=st.binary(max_size=200))
def test_made_of(kernels, data, allowed):
    table = bytes(octet if octet in allowed else octet ^ 0x80 for octet in range(256))
    assert kernels.made_of(data, table) == (data != b"" and set(data) <= set(allowed))
    assert kernels.made_of(allowed, table) == (allowed != b"")


# -- Huffman ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, code",
    [
        # RFC 7541 appendix C.4 and C.6
        (b"www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"),
        (b"no-cache", "a8eb10649cbf"),
        (b"custom-key", "25a849e95ba97d7f"),
        (b"custom-value", "25a849e95bb8e8b4bf"),
        (b"302", "6402"),
        (b"private", "aec3771a4b"),
        (b"Mon, 21 Oct 2013 20:13:21 GMT", "d07abe941054d444a8200595040b8166e082a62d1bff"),
        (b"https://www.example.com", "9d29ad171863c78f0b97c8e9ae82ae43d3"),
        (b"", ""),
    ],
)
def test_huffman_vectors(kernels, text, code):
    code = bytes.fromhex(code)
    assert kernels.huffman_encode(text) == code
    assert kernels.huffman_size(text) == len(code)
    assert kernels.huffman_decode(b"?" + code + b"?", 1, len(code), 1000) == text


@pytest.mark.parametrize(
    "code",
    [
        "ffffffff",  # EOS
        "1fffffffff",  # a symbol, then EOS
        "ff",  # padding longer than 7 bits
        "1cff" + "ff" * 2,
        "18",  # padding of zeros
        "1e",  # padding that ends in a zero
        "fffffe",  # half a symbol
    ],
)
def test_huffman_refuses(kernels, code):
    code = bytes.fromhex(code)
    assert kernels.huffman_decode(code, 0, len(code), 1000) is None


def test_huffman_of_every_octet_and_pair(kernels):
    for first in range(256):
        data = b"".join(bytes((first, second)) for second in range(256))
        code = kernels.huffman_encode(data)
        assert kernels.huffman_decode(code, 0, len(code), len(data)) == data


@given(st.binary(max_size=1500), st.integers(0, 1500))
def test_the_twins_agree_on_huffman(data, limit):
    codes = [kernels.huffman_encode(data) for kernels in BOTH]
    assert all(code == codes[0] for code in codes)
    for kernels in BOTH:
        assert kernels.huffman_size(data) == len(codes[0])
        expected = data if len(data) <= limit else None
        assert kernels.huffman_decode(codes[0], 0, len(codes[0]), limit) == expected


@given(st.binary(max_size=40))
def test_the_twins_agree_on_what_is_no_huffman_code(data):
    found = [kernels.huffman_decode(data, 0, len(data), 100) for kernels in BOTH]
    assert all(one == found[0] for one in found)
