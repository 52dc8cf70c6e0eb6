"""The chunks of both twins against what was pushed."""

import random
import sys
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import twins
from tests.support.ws_frames import masked

BOTH = twins.both("chunks")  # loaded before hypothesis takes the time


@pytest.fixture(scope="session")
def module(twin):
    return twins.of(twin, "chunks")


def pool_of(module):
    """The type of the pools of the same twin."""
    return twins.beside(module, "buffers").Pool


def pour_all(module, chunks, node, n, step):
    """Pour n octets in steps, as a connection does; return them and the node that is then first."""
    pool = pool_of(module)(1 << 20)
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
def test_a_frame_has_the_shortest_length(module, n, step):
    if step == 1 and n > 200:
        n = 200
    payload = random.Random(n).randbytes(n)
    for mask in (False, True):
        chunks = module.Chunks()
        key = 0x80604020 if mask else 0
        node = chunks.push_frame(0x82, payload, mask, key, module.NONE)
        bit = 0x80 if mask else 0
        if n < 126:
            head = bytes((0x82, bit | n))
        elif n < 65536:
            head = bytes((0x82, bit | 126)) + n.to_bytes(2, "big")
        else:
            head = bytes((0x82, bit | 127)) + n.to_bytes(8, "big")
        expected = head + (key.to_bytes(4, "little") if mask else b"") + masked(payload, key)
        assert chunks.size(node) == chunks.pushed == len(expected)
        poured, left = pour_all(module, chunks, node, len(expected), step)
        assert poured == expected
        assert left == module.NONE


def test_a_masked_frame_may_have_the_key_zero(module):
    chunks = module.Chunks()
    node = chunks.push_frame(0x81, "hi", True, 0, module.NONE)
    assert pour_all(module, chunks, node, 8, 3)[0] == b"\x81\x82\0\0\0\0hi"


def test_text_is_held_as_it_is(module):
    chunks = module.Chunks()
    text = "ascii " * 50
    before = sys.getrefcount(text)
    node = chunks.push(text, module.NONE)
    if twins.is_compiled(module):
        assert sys.getrefcount(text) == before + 1
    assert chunks.size(node) == 300
    assert pour_all(module, chunks, node, 300, 7)[0] == text.encode()
    assert sys.getrefcount(text) == before
    other = chunks.push_frame(0x81, "ä", False, 0, module.NONE)  # not ASCII: encoded
    assert pour_all(module, chunks, other, 4, 9)[0] == b"\x81\x02\xc3\xa4"


def test_a_chunk_is_bytes_or_str():
    module = twins.compiled("chunks")
    chunks = module.Chunks()
    for wrong in (None, 5, bytearray(b"x"), memoryview(b"x")):
        with pytest.raises(TypeError, match="bytes or str"):
            chunks.push(wrong, module.NONE)
        with pytest.raises(TypeError, match="bytes or str"):
            chunks.push_frame(0x82, wrong, False, 0, module.NONE)


def test_empty_chunks_go_with_the_octets_before_them(module):
    chunks = module.Chunks()
    nodes = chain(chunks, (b"ab", b"", b"", b"c"))
    out = pool_of(module)().acquire()
    assert chunks.pour(nodes[0], out, 2) == nodes[3]
    assert chunks.pour(nodes[3], out, 0) == nodes[3]
    assert chunks.pour(nodes[3], out, 1) == module.NONE
    empty = chunks.push(b"", module.NONE)
    assert chunks.size(empty) == 0
    assert chunks.pour(empty, out, 0) == module.NONE
    assert bytes(out.finish()) == b"abc"


def test_no_more_is_poured_than_there_is():
    module = twins.compiled("chunks")
    chunks = module.Chunks()
    out = pool_of(module)().acquire()
    with pytest.raises(ValueError, match="less"):
        chunks.pour(chunks.push(b"abc", module.NONE), out, 4)
    with pytest.raises(ValueError, match="room"):
        chunks.pour(chunks.push(b"abc", module.NONE), out, -1)
    assert bytes(out.finish()) == b"abc"


def test_no_more_is_poured_than_there_is_room_for():
    module = twins.compiled("chunks")
    chunks = module.Chunks()
    out = pool_of(module)(1024).acquire()
    out.put(bytes(1020))
    node = chunks.push(b"12345", module.NONE)
    with pytest.raises(ValueError, match="room"):
        chunks.pour(node, out, 5)
    assert chunks.pour(node, out, 4) == node
    assert chunks.size(node) == 1


def test_dropped_chunks_are_forgotten(module):
    chunks = module.Chunks()
    data = b"x" * 1000
    before = sys.getrefcount(data)
    nodes = chain(chunks, [data] * 100)
    assert sys.getrefcount(data) == before + 100
    chunks.pour(nodes[0], pool_of(module)().acquire(), 2500)
    assert sys.getrefcount(data) == before + 98
    chunks.drop(nodes[2])
    assert sys.getrefcount(data) == before
    chunks.drop(module.NONE)
    held = chunks.push(data, module.NONE)
    assert held != module.NONE
    del chunks
    assert sys.getrefcount(data) == before


def test_chunks_cost_nothing_when_empty():
    module = twins.compiled("chunks")
    chunks = module.Chunks()
    out = pool_of(module)().acquire()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        nodes = [chunks.push(b"x", module.NONE) for _ in range(10_000)]
        held = tracemalloc.get_traced_memory()[0] - before - sys.getsizeof(nodes)
        assert held < 10_000 * 150
        for node in nodes:
            chunks.pour(node, out, 1)
        del nodes, node
        assert tracemalloc.get_traced_memory()[0] - before < 2000
    finally:
        tracemalloc.stop()


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
    for module in BOTH:
        chunks = module.Chunks()
        pool = pool_of(module)()
        chains = [[] for _ in range(4)]  # the nodes of each stream
        models = [b""] * 4
        for verb, stream, value in steps:
            chain = chains[stream]
            if verb in ("push", "frame"):
                behind = chain[-1] if chain else module.NONE
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
                assert node != module.NONE
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
                chunks.drop(chain[0] if chain else module.NONE)
                chains[stream] = []
                models[stream] = b""
        for chain, model in zip(chains, models, strict=True):
            assert sum(chunks.size(node) for node in chain) == len(model)
