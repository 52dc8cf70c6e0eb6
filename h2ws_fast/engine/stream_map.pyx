"""The map of streams, compiled: the names and results of `stream_map.py`, and its contracts."""

from operator import index

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.long cimport PyLong_CheckExact
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memset

from .kernels cimport write_u32


cdef extern from "h2ws.h":
    uint32_t h2ws_map_find(const uint32_t* ids, uint32_t capacity, uint32_t id) noexcept
    uint32_t h2ws_map_shift(const uint32_t* ids, uint32_t capacity, uint32_t hole) noexcept


MAX_STREAM_ID = 0x7FFFFFFF


cpdef bytes numbers(object stream_ids):
    cdef list ids = stream_ids if type(stream_ids) is list else list(stream_ids)
    cdef Py_ssize_t n = PyList_GET_SIZE(ids)
    cdef Py_ssize_t at
    cdef long long number
    cdef bytes found = PyBytes_FromStringAndSize(NULL, 4 * n)
    cdef uint8_t* to = <uint8_t*>PyBytes_AS_STRING(found)
    for at in range(n):
        if not PyLong_CheckExact(<object>PyList_GET_ITEM(ids, at)):
            # What it does when it is asked for its number may change the list.
            return numbers([index(each) for each in list(ids)])
        number = <object>PyList_GET_ITEM(ids, at)
        if not 0 < number <= MAX_STREAM_ID:
            raise ValueError(f"{number} is no number of a stream: those are 1 to 2^31 - 1")
        write_u32(to + 4 * at, <unsigned int>number)
    return found


cdef class StreamMap:
    """stream id -> object: an open-addressing table of ids, and a list of the objects beside it.

    The list is what the garbage collector sees. An id and its object take 12 octets divided by
    the load, which is between a half and 0.8 while the map grows.
    """

    def __dealloc__(self):
        PyMem_Free(self._ids)

    cdef int _resize(self, uint32_t capacity) except -1:
        cdef uint32_t* ids
        cdef uint32_t* old_ids = self._ids
        cdef list streams
        cdef list old_streams = self._streams
        cdef uint32_t i
        cdef uint32_t place
        streams = [None] * capacity
        ids = <uint32_t*>PyMem_Malloc(capacity * sizeof(uint32_t))
        if ids == NULL:
            raise MemoryError
        memset(ids, 0, capacity * sizeof(uint32_t))
        for i in range(self._capacity):
            if old_ids[i]:
                place = h2ws_map_find(ids, capacity, old_ids[i])
                ids[place] = old_ids[i]
                streams[place] = old_streams[i]
        self._ids = ids
        self._streams = streams
        self._capacity = capacity
        PyMem_Free(old_ids)
        return 0

    def __len__(self):
        return self._count

    cpdef object get(self, unsigned int stream_id):
        if self._count == 0:
            return None
        # A free place holds None, so that what was not found needs no second look.
        return <object>PyList_GET_ITEM(
            self._streams, h2ws_map_find(self._ids, self._capacity, stream_id)
        )

    cpdef int put(self, unsigned int stream_id, object stream) except -1:
        cdef uint32_t place
        if stream_id == 0:
            raise ValueError("stream 0 is the connection")
        if self._count >= self._capacity // 5 * 4:
            # Half as much again: from 0.8 the load falls to 0.53. Over many connections there is
            # one WebSocket each.
            self._resize(self._capacity + self._capacity // 2 + 10 if self._capacity else 5)
        place = h2ws_map_find(self._ids, self._capacity, stream_id)
        if self._ids[place] == 0:
            self._ids[place] = stream_id
            self._count += 1
        self._streams[place] = stream
        return 0

    cpdef object pop(self, unsigned int stream_id):
        cdef uint32_t hole
        cdef uint32_t place
        cdef object stream
        if self._count == 0 or stream_id == 0:
            return None
        hole = h2ws_map_find(self._ids, self._capacity, stream_id)
        if self._ids[hole] == 0:
            return None
        stream = self._streams[hole]
        self._count -= 1
        if self._count == 0:
            PyMem_Free(self._ids)
            self._ids = NULL
            self._streams = None
            self._capacity = 0
            return stream
        while True:
            place = h2ws_map_shift(self._ids, self._capacity, hole)
            if place == self._capacity:
                break
            self._ids[hole] = self._ids[place]
            self._streams[hole] = self._streams[place]
            hole = place
        self._ids[hole] = 0
        self._streams[hole] = None
        if self._capacity > 64 and self._count < self._capacity // 5:
            self._resize(self._capacity // 2)
        return stream

    cpdef list values(self):
        cdef uint32_t i
        cdef list found = []
        for i in range(self._capacity):
            if self._ids[i]:
                found.append(self._ids[i])
        # Both twins in one order. Rare: the end of a connection, GOAWAY, a changed window.
        found.sort()
        return [self.get(stream_id) for stream_id in found]
