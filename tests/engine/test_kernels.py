"""The kernels of both twins against plain models, and against each other."""

import gc
import importlib
import random
import sys
import traceback
import tracemalloc
import weakref
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from h2ws_fast import _twins

WIDTHS = ("scalar", "vector", "avx2", "avx512")


def kernels_of(engine):
    return importlib.import_module(".kernels", engine.__name__)


def compiled_kernels():
    try:
        return kernels_of(_twins.load("compiled"))
    except ImportError as error:
        pytest.skip(f"no compiled twin here: {error}")


def both():
    twins = ["pure"]
    if _twins.COMPILED:
        twins.append("compiled")
    return [kernels_of(_twins.load(twin)) for twin in twins]


@pytest.fixture(scope="session")
def kernels(twin):
    return kernels_of(twin)


@pytest.fixture(scope="session", params=("pure", *WIDTHS))
def widths(request):
    """The kernels of the pure twin, then the compiled ones at each width of instructions."""
    if request.param == "pure":
        yield kernels_of(_twins.load("pure"))
        return
    kernels = compiled_kernels()
    wanted = WIDTHS.index(request.param)
    if kernels.choose(wanted) != wanted:
        kernels.choose(len(WIDTHS) - 1)
        pytest.skip(f"this machine has no {request.param}")
    yield kernels
    kernels.choose(len(WIDTHS) - 1)


def masked(data, key):
    """Octet i XOR octet i MOD 4 of the key: RFC 6455 section 5.3, letter by letter."""
    octets = key.to_bytes(4, "little")
    return bytes(octet ^ octets[i % 4] for i, octet in enumerate(data))


# -- loads -----------------------------------------------------------------------------------


def test_numbers_are_read_in_network_order(kernels):
    p = bytes(range(0x80, 0x90))
    assert kernels.u16(p, 1) == 0x8182
    assert kernels.u24(p, 1) == 0x818283
    assert kernels.u32(p, 1) == 0x81828384
    assert kernels.u64(p, 1) == 0x8182838485868788
    assert kernels.take(p, 3, 4) == b"\x83\x84\x85\x86"
    assert kernels.take(p, 3, 0) == b""


def test_address_takes_anything_with_a_buffer(kernels):
    for data in (b"abc", bytearray(b"abc"), memoryview(b"abc")):
        assert kernels.take(kernels.address(data), 1, 2) == b"bc"


# -- masking ---------------------------------------------------------------------------------


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
    for kernels in both():
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
    for kernels in both():
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
    codes = [kernels.huffman_encode(data) for kernels in both()]
    assert all(code == codes[0] for code in codes)
    for kernels in both():
        assert kernels.huffman_size(data) == len(codes[0])
        expected = data if len(data) <= limit else None
        assert kernels.huffman_decode(codes[0], 0, len(codes[0]), limit) == expected


@given(st.binary(max_size=40))
def test_the_twins_agree_on_what_is_no_huffman_code(data):
    found = [kernels.huffman_decode(data, 0, len(data), 100) for kernels in both()]
    assert all(one == found[0] for one in found)


# -- Buffer ----------------------------------------------------------------------------------


def test_buffer_collects(kernels):
    buffer = kernels.Buffer()
    assert buffer.size() == 0
    assert buffer.bytes() == b""
    assert buffer.text() == ""
    buffer.head(0x010203, 0x04, 0x05, 0x7FFFFFFF)
    buffer.put_u16(0x1234)
    buffer.put_u32(0x89ABCDEF)
    buffer.put(b"more")
    buffer.append(b"--" + masked(b"masked", 0xDEADBEEF), 2, 6, 0xDEADBEEF)
    buffer.append(b"plain", 1, 3, 0)
    expected = bytes.fromhex("01020304057fffffff123489abcdef") + b"moremaskedlai"
    assert buffer.size() == len(expected)
    assert buffer.bytes() == expected
    assert buffer.size() == 0
    assert buffer.bytes() == b""
    buffer.put(b"again")
    buffer.clear()
    assert buffer.bytes() == b""
    buffer.put(b"and again")
    assert buffer.bytes() == b"and again"


def test_buffer_hands_over_what_it_holds(kernels):
    buffer = kernels.Buffer()
    for size in (1, 64, 65, 1000, 70000, 200000):
        data = bytes(range(256)) * (size // 256 + 1)
        for step in (1000, 16384):
            buffer.expect(size)
            for at in range(0, size, step):
                buffer.append(data, at, min(step, size - at), 0)
            whole = buffer.bytes()
            assert whole == data[:size]
            buffer.put(b"other")  # must not reach into what was handed over
            assert whole == data[:size]
            assert buffer.bytes() == b"other"


def test_buffer_does_not_believe_an_announced_size():
    buffer = compiled_kernels().Buffer()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        buffer.expect(1 << 40)
        buffer.put(b"one")
        assert tracemalloc.get_traced_memory()[0] - before < 70_000
    finally:
        tracemalloc.stop()


def test_buffer_collects_text(kernels):
    data = "ascii, dann Umlaute: äöü, 日本語".encode()
    key = 0x11223344
    for cut in range(len(data)):
        buffer = kernels.Buffer()
        first = masked(data[:cut], key)
        state = buffer.append_text(first, 0, cut, key, 0)
        assert verdict(state) == (data[cut] & 0xC0 == 0x80)
        rest = masked(data[cut:], key)
        assert buffer.append_text(rest, 0, len(rest), key, state) == 0
        assert buffer.text() == data.decode()
    assert kernels.Buffer().append_text(b"a\xff", 0, 2, 0, 0) == -1


@given(st.lists(st.text(max_size=300), max_size=20), st.booleans(), st.integers(0, 1 << 32))
def test_buffer_hands_over_text(parts, announced, other):
    whole = "".join(parts)
    octets = whole.encode()
    for kernels in both():
        buffer = kernels.Buffer()
        for _ in range(2):
            buffer.expect(len(octets) if announced else other)
            for part in parts:
                assert buffer.append_text(part.encode(), 0, len(part.encode()), 0, 0) == 0
            text = buffer.text()
            assert text == whole and hash(text) == hash(whole) and text.isascii() == whole.isascii()
            assert buffer.size() == 0
            buffer.append_text(b"other", 0, 5, 0, 0)  # must not reach into what was handed over
            buffer.put(b"\xff")
            assert text == whole
            assert buffer.bytes() == b"other\xff"


def test_ascii_text_is_not_copied_once_more():
    buffer = compiled_kernels().Buffer()
    part = b"x" * (1 << 16)
    tracemalloc.start()
    try:
        buffer.expect(1 << 20)
        for _ in range(16):
            buffer.append_text(part, 0, len(part), 0, 0)
        tracemalloc.reset_peak()
        text = buffer.text()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert text == "x" * (1 << 20)
    assert peak < (1 << 20) + 100_000


def test_buffer_believes_more_once_something_came():
    buffer = compiled_kernels().Buffer()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        buffer.expect(1 << 30)
        for _ in range(64):
            buffer.put(bytes(1024))
        assert tracemalloc.get_traced_memory()[0] - before < 17 << 16
    finally:
        tracemalloc.stop()


@given(st.lists(st.binary(max_size=5000), max_size=30))
def test_buffer_grows(parts):
    for kernels in both():
        buffer = kernels.Buffer()
        for part in parts:
            buffer.put(part)
        assert buffer.bytes() == b"".join(parts)


def test_buffer_gives_its_memory_back(kernels):
    buffer = kernels.Buffer()
    part = bytes(1 << 16)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(16):
            buffer.put(part)
        held = tracemalloc.get_traced_memory()[0] - before
        assert 1 << 20 <= held <= 2 << 20
        buffer.clear()
        assert tracemalloc.get_traced_memory()[0] - before < 4096
    finally:
        tracemalloc.stop()


def test_buffer_takes_only_bytes():
    kernels = compiled_kernels()
    for wrong in (None, "text", bytearray(b"x")):
        with pytest.raises(TypeError):
            kernels.Buffer().put(wrong)


# -- OutBuffer and Pool ----------------------------------------------------------------------


def test_out_buffer_of_any_size_leaves_with_its_octets(kernels):
    pool = kernels.Pool()
    for n in (0, 1, 8183, 8184, 60000, 65536 - 9):
        out = pool.acquire()
        assert out.used() == 0
        assert out.room() == 65536
        out.head(n, 0, 1, 3)
        out.put(b"x" * n)
        assert out.used() == 9 + n
        assert out.room() == 65536 - 9 - n
        expected = n.to_bytes(3, "big") + b"\0\1\0\0\0\3" + b"x" * n
        sent = out.finish()
        assert bytes(sent) == expected
        assert b"".join([sent, sent]) == expected * 2
        assert len(sent) == len(expected)
        view = memoryview(sent)
        assert view.readonly
        assert view.nbytes == len(expected)


def test_out_buffer_drains_a_buffer(kernels):
    buffer = kernels.Buffer()
    buffer.put(b"0123456789")
    out = kernels.Pool(1024).acquire()
    out.drain(buffer, 2, 5)
    out.drain(buffer, 0, 0)
    out.drain(buffer, 9, 1)
    assert bytes(out.finish()) == b"234569"
    assert buffer.size() == 10


def test_out_buffer_drains_no_more_than_there_is():
    kernels = compiled_kernels()
    out = kernels.Pool(1024).acquire()
    buffer = kernels.Buffer()
    out.drain(buffer, 0, 0)
    buffer.put(b"abc")
    for at, n in ((0, 4), (3, 1), (4, 0), (-1, 1), (0, -1)):
        with pytest.raises(ValueError, match="less"):
            out.drain(buffer, at, n)
    out.drain(buffer, 0, 3)
    assert bytes(out.finish()) == b"abc"


def test_pool_capacity_is_checked(kernels):
    for wrong in (0, -1, 1023, 1 << 31):
        with pytest.raises(ValueError, match="capacity"):
            kernels.Pool(wrong)
    assert kernels.Pool(2048).acquire().room() == 2048


def test_a_pool_has_one_capacity_for_its_life(kernels):
    pool = kernels.Pool(1024)
    with pytest.raises(TypeError, match="another Pool"):
        pool.__init__(1 << 20)
    assert pool.acquire().room() == 1024


def test_only_a_pool_makes_out_buffers():
    kernels = compiled_kernels()
    out = kernels.OutBuffer()
    assert out.used() == out.room() == len(out) == 0
    with pytest.raises(TypeError, match="acquire"):
        out.finish()
    with pytest.raises(ValueError, match="room"):
        out.put(b"")
    with pytest.raises(ValueError, match="room"):
        out.head(0, 0, 0, 1)
    with pytest.raises(BufferError, match="finish"):
        memoryview(out)
    assert kernels.Pool.__new__(kernels.Pool).acquire().room() == 0


def test_out_buffer_never_writes_past_its_end():
    kernels = compiled_kernels()
    out = kernels.Pool(1024).acquire()
    with pytest.raises(ValueError, match="room"):
        out.put(bytes(1025))
    out.put(bytes(1020))
    with pytest.raises(ValueError, match="room"):
        out.head(0, 0, 0, 0)
    chunks = kernels.Chunks()
    with pytest.raises(ValueError, match="room"):
        chunks.pour(chunks.push(b"12345", kernels.NONE), out, 5)
    with pytest.raises(BufferError, match="finish"):
        memoryview(out)
    out.finish()
    with pytest.raises(ValueError, match="finished"):
        out.finish()
    with pytest.raises(ValueError, match="room"):
        out.put(b"x")


def test_blocks_are_used_again_while_nobody_holds_them():
    kernels = compiled_kernels()
    pool = kernels.Pool()
    big = bytes(20000)

    def fill(pool=pool):
        out = pool.acquire()
        out.put(big)
        return out.finish()

    fill()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(100):
            fill()
        assert tracemalloc.get_traced_memory()[0] - before < 10_000
        held = [fill() for _ in range(20)]
        views = [memoryview(sent) for sent in held]
        assert tracemalloc.get_traced_memory()[0] - before > 19 * 65536
        del held
        assert all(view == big for view in views)  # the exports keep the blocks
        views.clear()
        assert tracemalloc.get_traced_memory()[0] - before < 5 * 65536  # the pool keeps four
        last = fill()
        view = memoryview(last)
        fill.__defaults__ = None
        del pool, last
        assert view == big  # a buffer outlives its pool
        view.release()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 10_000
    finally:
        tracemalloc.stop()


def test_a_pool_costs_nothing_before_its_first_buffer(kernels):
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        pool = kernels.Pool()
        assert tracemalloc.get_traced_memory()[0] - before < 1000
        assert pool.acquire().used() == 0
    finally:
        tracemalloc.stop()


# -- Chunks ----------------------------------------------------------------------------------


def pour_all(kernels, chunks, node, n, step):
    """Pour n octets in steps, as a connection does; return them and the node that is then first."""
    pool = kernels.Pool(1 << 20)
    poured = []
    while n:
        out = pool.acquire()
        part = min(step, n)
        node = chunks.pour(node, out, part)
        poured.append(bytes(out.finish()))
        n -= part
    return b"".join(poured), node


def chain(chunks, octets):
    """Push chunks one behind the other; return their nodes."""
    nodes = [0]
    for data in octets:
        nodes.append(chunks.push(data, nodes[-1]))
    return nodes[1:]


@pytest.mark.row("6455-5.2-3")
@pytest.mark.parametrize("n", (0, 1, 125, 126, 127, 65535, 65536, 70000))
@pytest.mark.parametrize("step", (1, 13, 4099, 1 << 20))
def test_a_frame_has_the_shortest_length(kernels, n, step):
    if step == 1 and n > 200:
        n = 200
    payload = random.Random(n).randbytes(n)
    for mask in (False, True):
        chunks = kernels.Chunks()
        key = 0x80604020 if mask else 0
        node = chunks.push_frame(0x82, payload, mask, key, kernels.NONE)
        bit = 0x80 if mask else 0
        if n < 126:
            head = bytes((0x82, bit | n))
        elif n < 65536:
            head = bytes((0x82, bit | 126)) + n.to_bytes(2, "big")
        else:
            head = bytes((0x82, bit | 127)) + n.to_bytes(8, "big")
        expected = head + (key.to_bytes(4, "little") if mask else b"") + masked(payload, key)
        assert chunks.size(node) == chunks.pushed == len(expected)
        poured, left = pour_all(kernels, chunks, node, len(expected), step)
        assert poured == expected
        assert left == kernels.NONE


def test_a_masked_frame_may_have_the_key_zero(kernels):
    chunks = kernels.Chunks()
    node = chunks.push_frame(0x81, "hi", True, 0, kernels.NONE)
    assert pour_all(kernels, chunks, node, 8, 3)[0] == b"\x81\x82\0\0\0\0hi"


def test_text_is_held_as_it_is(kernels):
    chunks = kernels.Chunks()
    text = "ascii " * 50
    before = sys.getrefcount(text)
    node = chunks.push(text, kernels.NONE)
    if hasattr(kernels, "choose"):
        assert sys.getrefcount(text) == before + 1
    assert chunks.size(node) == 300
    assert pour_all(kernels, chunks, node, 300, 7)[0] == text.encode()
    assert sys.getrefcount(text) == before
    other = chunks.push_frame(0x81, "ä", False, 0, kernels.NONE)  # not ASCII: encoded
    assert pour_all(kernels, chunks, other, 4, 9)[0] == b"\x81\x02\xc3\xa4"


def test_a_chunk_is_bytes_or_str():
    kernels = compiled_kernels()
    chunks = kernels.Chunks()
    for wrong in (None, 5, bytearray(b"x"), memoryview(b"x")):
        with pytest.raises(TypeError, match="bytes or str"):
            chunks.push(wrong, kernels.NONE)
        with pytest.raises(TypeError, match="bytes or str"):
            chunks.push_frame(0x82, wrong, False, 0, kernels.NONE)


def test_empty_chunks_go_with_the_octets_before_them(kernels):
    chunks = kernels.Chunks()
    nodes = chain(chunks, (b"ab", b"", b"", b"c"))
    out = kernels.Pool().acquire()
    assert chunks.pour(nodes[0], out, 2) == nodes[3]
    assert chunks.pour(nodes[3], out, 0) == nodes[3]
    assert chunks.pour(nodes[3], out, 1) == kernels.NONE
    empty = chunks.push(b"", kernels.NONE)
    assert chunks.size(empty) == 0
    assert chunks.pour(empty, out, 0) == kernels.NONE
    assert bytes(out.finish()) == b"abc"


def test_no_more_is_poured_than_there_is():
    kernels = compiled_kernels()
    chunks = kernels.Chunks()
    out = kernels.Pool().acquire()
    with pytest.raises(ValueError, match="less"):
        chunks.pour(chunks.push(b"abc", kernels.NONE), out, 4)
    with pytest.raises(ValueError, match="room"):
        chunks.pour(chunks.push(b"abc", kernels.NONE), out, -1)
    assert bytes(out.finish()) == b"abc"


def test_dropped_chunks_are_forgotten(kernels):
    chunks = kernels.Chunks()
    data = b"x" * 1000
    before = sys.getrefcount(data)
    nodes = chain(chunks, [data] * 100)
    assert sys.getrefcount(data) == before + 100
    chunks.pour(nodes[0], kernels.Pool().acquire(), 2500)
    assert sys.getrefcount(data) == before + 98
    chunks.drop(nodes[2])
    assert sys.getrefcount(data) == before
    chunks.drop(kernels.NONE)
    held = chunks.push(data, kernels.NONE)
    assert held != kernels.NONE
    del chunks
    assert sys.getrefcount(data) == before


def test_chunks_cost_nothing_when_empty():
    kernels = compiled_kernels()
    chunks = kernels.Chunks()
    out = kernels.Pool().acquire()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        nodes = [chunks.push(b"x", kernels.NONE) for _ in range(10_000)]
        held = tracemalloc.get_traced_memory()[0] - before - sys.getsizeof(nodes)
        assert held < 10_000 * 150
        for node in nodes:
            chunks.pour(node, out, 1)
        del nodes, node
        assert tracemalloc.get_traced_memory()[0] - before < 2000
    finally:
        tracemalloc.stop()


def test_what_a_function_raises_comes_back(kernels):
    def fail(argument):
        raise KeyboardInterrupt(argument)

    assert kernels.attempt(len, b"four") == 4
    assert kernels.attempt(lambda argument: argument, None) is None
    assert kernels.attempt(type("Callable", (), {"__call__": lambda self, n: n + 1})(), 1) == 2
    raised = kernels.attempt(fail, "stop")
    assert type(raised) is kernels.Raised
    assert type(raised.error) is KeyboardInterrupt and raised.error.args == ("stop",)
    names = [entry.name for entry in traceback.extract_tb(raised.error.__traceback__)]
    assert names[-1] == "fail"
    assert type(kernels.attempt(None, 1).error) is TypeError
    assert sys.exc_info() == (None, None, None)


chunk_steps = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(0, 3), st.binary(max_size=200)),
        st.tuples(st.just("frame"), st.integers(0, 3), st.text(max_size=150)),
        st.tuples(st.just("pour"), st.integers(0, 3), st.integers(0, 300)),
        st.tuples(st.just("drop"), st.integers(0, 3), st.none()),
    ),
    max_size=60,
)


@given(chunk_steps)
def test_four_streams_share_the_chunks(steps):
    for kernels in both():
        chunks = kernels.Chunks()
        pool = kernels.Pool()
        chains = [[] for _ in range(4)]  # the nodes of each stream
        models = [b""] * 4
        for verb, stream, value in steps:
            chain = chains[stream]
            if verb in ("push", "frame"):
                behind = chain[-1] if chain else kernels.NONE
                if verb == "push":
                    node = chunks.push(value, behind)
                    octets = value
                else:
                    payload = value.encode()
                    head = bytes((0x81, len(payload) | 0x80)) if len(payload) < 126 else None
                    if head is None:
                        head = b"\x81\xfe" + len(payload).to_bytes(2, "big")
                    key = 0x0A0B0C0D
                    node = chunks.push_frame(0x81, value, True, key, behind)
                    octets = head + key.to_bytes(4, "little") + masked(payload, key)
                assert node != kernels.NONE
                assert chunks.size(node) == chunks.pushed == len(octets)
                chain.append(node)
                models[stream] += octets
            elif verb == "pour" and chain:
                n = min(value, len(models[stream]))
                out = pool.acquire()
                first = chunks.pour(chain[0], out, n)
                assert bytes(out.finish()) == models[stream][:n]
                models[stream] = models[stream][n:]
                chains[stream] = chain[chain.index(first) :] if first else []
                if not first:
                    assert models[stream] == b""
            elif verb == "drop":
                chunks.drop(chain[0] if chain else kernels.NONE)
                chains[stream] = []
                models[stream] = b""
        for chain, model in zip(chains, models, strict=True):
            assert sum(chunks.size(node) for node in chain) == len(model)


# -- StreamMap -------------------------------------------------------------------------------

map_steps = st.lists(
    st.tuples(st.sampled_from(("put", "put", "pop", "get")), st.integers(1, 40)), max_size=300
)


@given(map_steps, st.sampled_from((1, 2, 2**20 + 1, 2**26 - 1)))
def test_the_map_is_a_dict(steps, stride):
    for kernels in both():
        streams = kernels.StreamMap()
        model = {}
        for number, (verb, key) in enumerate(steps):
            key = key * stride % 2**31 or 1
            if verb == "put":
                streams.put(key, number)
                model[key] = number
            elif verb == "pop":
                assert streams.pop(key) == model.pop(key, None)
            assert streams.get(key) == model.get(key)
            assert len(streams) == len(model)
        assert streams.values() == [model[key] for key in sorted(model)]
        for key in range(42):
            assert streams.get(key * stride) == model.get(key * stride)


def test_the_map_of_many_streams(kernels):
    streams = kernels.StreamMap()
    for stream_id in range(1, 40_001, 2):
        streams.put(stream_id, stream_id)
    for stream_id in range(1, 40_001, 2):
        assert streams.get(stream_id) == stream_id
        assert streams.get(stream_id + 1) is None
    for stream_id in range(1, 39_001, 2):
        assert streams.pop(stream_id) == stream_id
    assert streams.values() == list(range(39_001, 40_001, 2))
    for stream_id in range(39_001, 40_001, 2):
        assert streams.pop(stream_id) == stream_id
        assert streams.pop(stream_id) is None
    assert len(streams) == 0
    assert streams.values() == []
    assert streams.get(0x7FFFFFFF) is None
    streams.put(0x7FFFFFFF, "last")
    assert streams.get(0x7FFFFFFF) == "last"
    assert streams.get(0) is None
    assert streams.pop(0) is None
    with pytest.raises(ValueError, match="connection"):
        streams.put(0, "zero")


def test_the_map_takes_24_octets_an_entry_and_gives_them_back():
    kernels = compiled_kernels()
    tracemalloc.start()
    try:
        ids = range(1, 200_001, 2)
        before = tracemalloc.get_traced_memory()[0]
        streams = kernels.StreamMap()
        for stream_id in ids:
            streams.put(stream_id, None)
        assert (tracemalloc.get_traced_memory()[0] - before) / len(ids) <= 24
        for stream_id in ids[100:]:
            streams.pop(stream_id)
        assert tracemalloc.get_traced_memory()[0] - before < 16_000
        for stream_id in ids[:100]:
            assert streams.pop(stream_id) is None
        assert tracemalloc.get_traced_memory()[0] - before < 500
    finally:
        tracemalloc.stop()


def test_the_collector_sees_through_the_map(kernels):
    class Stream:
        pass

    streams = kernels.StreamMap()
    stream = Stream()
    stream.map = streams
    streams.put(1, stream)
    gone = weakref.ref(stream)
    del stream, streams
    gc.collect()
    assert gone() is None


# -- hot events ------------------------------------------------------------------------------


def test_hot_events(kernels):
    for make, kind, data in (
        (kernels.text_message, kernels.TextMessage, "text"),
        (kernels.bytes_message, kernels.BytesMessage, b"octets"),
        (kernels.data_event, kernels.Data, b"octets"),
    ):
        event = make(0x7FFFFFFF, data, 1 << 40)
        assert type(event) is kind
        assert (event.stream_id, event.data, event.credit) == (0x7FFFFFFF, data, 1 << 40)
        assert repr(event) == (
            f"{kind.__name__}(stream_id=2147483647, data={data!r}, credit=1099511627776)"
        )
        assert event == kind(0x7FFFFFFF, data, 1 << 40)
        assert event == kind(stream_id=0x7FFFFFFF, data=data, credit=1 << 40)
        assert event != make(1, data, 1 << 40)
        assert event != make(0x7FFFFFFF, data, 1)
        assert event != (0x7FFFFFFF, data, 1 << 40)
    assert kernels.BytesMessage(1, b"", 0) != kernels.Data(1, b"", 0)


def test_the_collector_never_looks_at_hot_events():
    kernels = compiled_kernels()
    for event in (
        kernels.text_message(1, "text", 1),
        kernels.bytes_message(1, b"octets", 1),
        kernels.data_event(1, b"octets", 1),
    ):
        assert not gc.is_tracked(event)
        with pytest.raises(AttributeError):
            event.data = None
