"""The streams of a connection, by their ids.

Whoever changes this changes `stream_map.pyx`; `tests/engine/test_stream_map.py` feeds both.
"""

from .kernels import whole

MAX_STREAM_ID = 0x7FFFFFFF


def numbers(stream_ids):
    """The ids of an iterable, four octets each, for `u32`: nobody can change them meanwhile, and none
    is an object. Raises ValueError for a number that no stream can have."""
    found = []
    for each in list(stream_ids):
        stream_id = whole(each)
        if not 0 < stream_id <= MAX_STREAM_ID:
            raise ValueError(f"{stream_id} is no number of a stream: those are 1 to 2^31 - 1")
        found.append(stream_id.to_bytes(4, "big"))
    return b"".join(found)


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
