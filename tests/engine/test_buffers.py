"""The buffers of both twins: what they hand over, and whose memory it is."""

import gc
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import twins
from tests.support.ws_frames import masked

BOTH = twins.both("buffers")  # loaded before hypothesis takes the time


@pytest.fixture(scope="session")
def buffers(twin):
    return twins.of(twin, "buffers")


def test_buffer_collects(buffers):
    buffer = buffers.Buffer()
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


def test_buffer_hands_over_what_it_holds(buffers):
    buffer = buffers.Buffer()
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
    buffer = twins.compiled("buffers").Buffer()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        buffer.expect(1 << 40)
        buffer.put(b"one")
        assert tracemalloc.get_traced_memory()[0] - before < 70_000
    finally:
        tracemalloc.stop()


def test_buffer_collects_text(buffers):
    data = "ascii, dann Umlaute: äöü, 日本語".encode()
    key = 0x11223344
    for cut in range(len(data)):
        buffer = buffers.Buffer()
        first = masked(data[:cut], key)
        state = buffer.append_text(first, 0, cut, key, 0)
        assert (state > 0) == (data[cut] & 0xC0 == 0x80)
        rest = masked(data[cut:], key)
        assert buffer.append_text(rest, 0, len(rest), key, state) == 0
        assert buffer.text() == data.decode()
    assert buffers.Buffer().append_text(b"a\xff", 0, 2, 0, 0) == -1


@given(st.lists(st.text(max_size=300), max_size=20), st.booleans(), st.integers(0, 1 << 32))
def test_buffer_hands_over_text(parts, announced, other):
    whole = "".join(parts)
    octets = whole.encode()
    for buffers in BOTH:
        buffer = buffers.Buffer()
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
    buffer = twins.compiled("buffers").Buffer()
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
    buffer = twins.compiled("buffers").Buffer()
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
    for buffers in BOTH:
        buffer = buffers.Buffer()
        for part in parts:
            buffer.put(part)
        assert buffer.bytes() == b"".join(parts)


def test_buffer_gives_its_memory_back(buffers):
    buffer = buffers.Buffer()
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
    buffers = twins.compiled("buffers")
    for wrong in (None, "text", bytearray(b"x")):
        with pytest.raises(TypeError):
            buffers.Buffer().put(wrong)


# -- OutBuffer and Pool ----------------------------------------------------------------------


def test_out_buffer_of_any_size_leaves_with_its_octets(buffers):
    pool = buffers.Pool()
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


def test_out_buffer_drains_a_buffer(buffers):
    buffer = buffers.Buffer()
    buffer.put(b"0123456789")
    out = buffers.Pool(1024).acquire()
    out.drain(buffer, 2, 5)
    out.drain(buffer, 0, 0)
    out.drain(buffer, 9, 1)
    assert bytes(out.finish()) == b"234569"
    assert buffer.size() == 10


def test_out_buffer_drains_no_more_than_there_is():
    buffers = twins.compiled("buffers")
    out = buffers.Pool(1024).acquire()
    buffer = buffers.Buffer()
    out.drain(buffer, 0, 0)
    buffer.put(b"abc")
    for at, n in ((0, 4), (3, 1), (4, 0), (-1, 1), (0, -1)):
        with pytest.raises(ValueError, match="less"):
            out.drain(buffer, at, n)
    out.drain(buffer, 0, 3)
    assert bytes(out.finish()) == b"abc"


def test_pool_capacity_is_checked(buffers):
    for wrong in (0, -1, 1023, 1 << 31):
        with pytest.raises(ValueError, match="capacity"):
            buffers.Pool(wrong)
    assert buffers.Pool(2048).acquire().room() == 2048


def test_a_pool_has_one_capacity_for_its_life(buffers):
    pool = buffers.Pool(1024)
    with pytest.raises(TypeError, match="another Pool"):
        pool.__init__(1 << 20)
    assert pool.acquire().room() == 1024


def test_only_a_pool_makes_out_buffers():
    buffers = twins.compiled("buffers")
    out = buffers.OutBuffer()
    assert out.used() == out.room() == len(out) == 0
    with pytest.raises(TypeError, match="acquire"):
        out.finish()
    with pytest.raises(ValueError, match="room"):
        out.put(b"")
    with pytest.raises(ValueError, match="room"):
        out.head(0, 0, 0, 1)
    with pytest.raises(BufferError, match="finish"):
        memoryview(out)
    assert buffers.Pool.__new__(buffers.Pool).acquire().room() == 0


def test_out_buffer_never_writes_past_its_end():
    buffers = twins.compiled("buffers")
    out = buffers.Pool(1024).acquire()
    with pytest.raises(ValueError, match="room"):
        out.put(bytes(1025))
    out.put(bytes(1020))
    with pytest.raises(ValueError, match="room"):
        out.head(0, 0, 0, 0)
    with pytest.raises(BufferError, match="finish"):
        memoryview(out)
    out.finish()
    with pytest.raises(ValueError, match="finished"):
        out.finish()
    with pytest.raises(ValueError, match="room"):
        out.put(b"x")


def test_blocks_are_used_again_while_nobody_holds_them():
    buffers = twins.compiled("buffers")
    pool = buffers.Pool()
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


def test_a_large_buffer_leaves_as_bytes(buffers):
    pool = buffers.Pool(1024)
    for n in (0, 1, 8183, 8184, 300_000):
        out = pool.large(9 + n)
        assert out.room() == 9 + n
        out.head(n, 0, 1, 3)
        out.put(b"x" * n)
        assert out.room() == 0
        sent = out.finish()
        assert type(sent) is bytes
        assert sent == n.to_bytes(3, "big") + b"\0\1\0\0\0\3" + b"x" * n
    for n in (0, 1, 20_000):
        out = pool.large(300_000)
        out.put(b"y" * n)
        assert out.finish() == b"y" * n


def test_a_large_buffer_never_writes_past_its_end():
    out = twins.compiled("buffers").Pool().large(70_000)
    with pytest.raises(ValueError, match="room"):
        out.put(bytes(70_001))
    out.put(bytes(70_000))
    with pytest.raises(ValueError, match="room"):
        out.head(0, 0, 0, 0)
    out.finish()
    with pytest.raises(ValueError, match="room"):
        out.put(b"x")


def test_a_large_buffer_keeps_what_was_put_into_it_alone():
    pool = twins.compiled("buffers").Pool()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        out = pool.large(1 << 20)
        out.put(bytes(100))
        few = out.finish()
        out = pool.large(1 << 20)
        out.put(bytes(20_000))
        more = out.finish()
        assert tracemalloc.get_traced_memory()[0] - before < 30_000
        assert len(few) + len(more) == 20_100
        out = pool.large(1 << 20)
        del out, few, more
        assert tracemalloc.get_traced_memory()[0] - before < 10_000
    finally:
        tracemalloc.stop()


def test_a_pool_costs_nothing_before_its_first_buffer(buffers):
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        pool = buffers.Pool()
        assert tracemalloc.get_traced_memory()[0] - before < 1000
        assert pool.acquire().used() == 0
    finally:
        tracemalloc.stop()
