"""Octets on their way: collected in a `Buffer`, leaving in an `OutBuffer`.

Whoever changes this changes `buffers.pyx`; `tests/engine/test_buffers.py` feeds both.
"""

from .kernels import unmask, utf8_check


class Buffer:
    """Growing octets: control frames waiting to leave, or a message that is still arriving."""

    __slots__ = ("_data",)

    def __init__(self):
        self._data = bytearray()

    def size(self):
        """Octets held."""
        return len(self._data)

    def head(self, length, kind, flags, stream_id):
        """Append a frame head: RFC 9113 section 4.1."""
        self._data += (length << 48 | kind << 40 | flags << 32 | stream_id).to_bytes(9, "big")

    def put_u16(self, value):
        self._data += value.to_bytes(2, "big")

    def put_u32(self, value):
        self._data += value.to_bytes(4, "big")

    def put(self, data):
        """Append a `bytes` object."""
        self._data += data

    def append(self, p, pos, n, key):
        """Append n octets, unmasked by `key` (0: as they are)."""
        self._data += unmask(p, pos, n, key)

    def append_text(self, p, pos, n, key, state):
        """Append n octets as `append` does, and return `utf8_check` of them from `state`."""
        data = unmask(p, pos, n, key)
        self._data += data
        return utf8_check(data, 0, n, state)

    def expect(self, n):
        """Expect to hold n octets in the end: a hint, of which little is believed at once."""

    def bytes(self):
        """Hand over the octets as `bytes`: the buffer is empty then."""
        data = bytes(self._data)
        self._data.clear()
        return data

    def text(self):
        """Hand over the octets, known to be UTF-8, as `str`: the buffer is empty then."""
        text = self._data.decode()
        self._data.clear()
        return text

    def clear(self):
        self._data.clear()


class OutBuffer:
    """Octets on their way to the transport, of a fixed capacity, from a `Pool`."""

    __slots__ = ("_data", "_capacity")

    def __init__(self, capacity):
        self._data = bytearray()
        self._capacity = capacity

    def used(self):
        return len(self._data)

    def room(self):
        return self._capacity - len(self._data)

    def head(self, length, kind, flags, stream_id):
        """Append a frame head; the caller has checked room() >= 9."""
        self._data += (length << 48 | kind << 40 | flags << 32 | stream_id).to_bytes(9, "big")

    def put(self, data):
        """Append `bytes`; the caller has checked room()."""
        self._data += data

    def frame(self, head, stream_id, data):
        """Append a frame without flags whose payload is `data`, `bytes`, and whose head begins with
        `head`: len(data) << 8 | kind; the caller has checked room() >= 9 + len(data)."""
        self._data += (head << 40 | stream_id).to_bytes(9, "big") + data

    def drain(self, buffer, at, n):
        """Append n octets of a `Buffer`, from its octet `at`; the caller has checked room()."""
        self._data += buffer._data[at : at + n]

    def finish(self):
        """Return what the transport gets: an object with the buffer protocol. Ends this buffer."""
        return bytes(self._data)


class Pool:
    """Output buffers to use again. One for each event loop, or for each connection without one."""

    __slots__ = ("_capacity",)

    def __init__(self, capacity=65536):
        if hasattr(self, "_capacity"):
            raise TypeError("a Pool has one capacity for its life: make another Pool")
        if not 1024 <= capacity <= 1 << 30:
            raise ValueError("the capacity of a pool's buffers is from 1 KiB to 1 GiB")
        self._capacity = capacity

    def acquire(self):
        """Return an empty OutBuffer."""
        return OutBuffer(self._capacity)

    def large(self, n):
        """Return an empty OutBuffer for n octets, which leaves as `bytes`.

        Many octets as one piece: each piece costs uvloop 2000 instructions, if it is not `bytes`.
        """
        return OutBuffer(n)
