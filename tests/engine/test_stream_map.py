"""The map of streams of both twins against a dict."""

import gc
import struct
import tracemalloc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import twins

BOTH = twins.both("stream_map")  # loaded before hypothesis takes the time


@pytest.fixture(scope="session")
def stream_map(twin):
    return twins.of(twin, "stream_map")


map_steps = st.lists(
    st.tuples(st.sampled_from(("put", "put", "pop", "get")), st.integers(1, 40)), max_size=300
)


@given(map_steps, st.sampled_from((1, 2, 2**20 + 1, 2**26 - 1)))
def test_the_map_is_a_dict(steps, stride):
    for stream_map in BOTH:
        streams = stream_map.StreamMap()
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


def test_the_map_of_many_streams(stream_map):
    streams = stream_map.StreamMap()
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


class Number:
    def __init__(self, number):
        self.number = number

    def __index__(self):
        return self.number


def test_numbers_of_streams(stream_map):
    def numbers(ids):
        return [number for (number,) in struct.iter_unpack(">I", stream_map.numbers(ids))]

    ids = [1, 3, 2**31 - 1]
    assert numbers(ids) == numbers(tuple(ids)) == numbers(iter(ids)) == ids
    assert numbers([Number(5), True, 7]) == [5, 1, 7]
    assert numbers([]) == []
    for wrong in (0, -1, 2**31, 2**32 + 1, Number(0), Number(2**31), False):
        with pytest.raises(ValueError, match="is no number of a stream"):
            stream_map.numbers([1, wrong])
    for wrong in ("1", 1.5, None):
        with pytest.raises(TypeError):
            stream_map.numbers([1, wrong])

    class Emptying:
        def __index__(self):
            ids.clear()
            return 1

    ids = [1, Emptying(), 3, 5]
    assert numbers(ids) == [1, 1, 3, 5]
    assert ids == []


def held():
    """Octets allocated by lines of this file: a worker of pytest-xdist hears from its master too."""
    mine = tracemalloc.Filter(True, __file__)
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([mine]).traces)


def test_the_map_takes_24_octets_an_entry_and_gives_them_back():
    stream_map = twins.compiled("stream_map")
    tracemalloc.start()
    try:
        ids = range(1, 200_001, 2)
        before = held()
        streams = stream_map.StreamMap()
        for stream_id in ids:
            streams.put(stream_id, None)
        assert (held() - before) / len(ids) <= 24
        for stream_id in ids[100:]:
            streams.pop(stream_id)
        assert held() - before < 16_000
        for stream_id in ids[:100]:
            assert streams.pop(stream_id) is None
        assert held() - before < 500
    finally:
        tracemalloc.stop()


def test_the_collector_sees_through_the_map(stream_map):
    class Stream:
        pass

    streams = stream_map.StreamMap()
    stream = Stream()
    stream.map = streams
    streams.put(1, stream)
    gone = weakref.ref(stream)
    del stream, streams
    gc.collect()
    assert gone() is None
