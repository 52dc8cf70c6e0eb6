"""The streams of a connection, by their ids.

Whoever changes this changes `stream_map.pyx`; `tests/engine/test_stream_map.py` feeds both.
"""

from .kernels import whole

MAX_STREAM_ID = 0x7FFFFFFF


def numbers(stream_ids):
    """The ids of an iterable in a list, itself where it is one of `int`. Raises ValueError for a
    number that no stream can have."""
    if type(stream_ids) is not list:
        stream_ids = list(stream_ids)
    plain = True
    for stream_id in stream_ids:
        if type(stream_id) is not int:
            plain = False
        elif not 0 < stream_id <= MAX_STREAM_ID:
            raise ValueError(_none(whole(stream_id)))
    return stream_ids if plain else _as_numbers(stream_ids)


def _as_numbers(stream_ids):
    found = []
    for each in stream_ids:
        stream_id = whole(each)
        if not 0 < stream_id <= MAX_STREAM_ID:
            raise ValueError(_none(stream_id))
        found.append(stream_id)
    return found


def _none(stream_id):
    return f"{stream_id} is no number of a stream: those are 1 to 2^31 - 1"


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
