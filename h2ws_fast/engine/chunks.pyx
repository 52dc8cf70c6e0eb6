"""What waits, compiled: the names and results of `chunks.py`, and its contracts."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from .buffers cimport OutBuffer
from .kernels cimport copy, octets, rotate, write_u32


cdef extern from "Python.h":
    int PyUnicode_CheckExact(object text)
    int PyUnicode_IS_COMPACT_ASCII(object text)
    void* PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    void Py_XDECREF(PyObject* o)


NONE = 0


cdef uint8_t write_frame_head(
    uint8_t* head, unsigned int first_octet, Py_ssize_t n, bint masked, unsigned int key
) noexcept:
    """Write the head of a WebSocket frame; return its size."""
    cdef uint8_t bit = 0x80 if masked else 0
    cdef uint8_t size
    head[0] = <uint8_t>first_octet
    if n < 126:
        head[1] = <uint8_t>(bit | n)
        size = 2
    elif n < 65536:
        head[1] = bit | 126
        head[2] = <uint8_t>(n >> 8)
        head[3] = <uint8_t>n
        size = 4
    else:
        head[1] = bit | 127
        write_u32(head + 2, <unsigned int>(<unsigned long long>n >> 32))
        write_u32(head + 6, <unsigned int>n)
        size = 10
    if masked:
        head[size] = <uint8_t>key
        head[size + 1] = <uint8_t>(key >> 8)
        head[size + 2] = <uint8_t>(key >> 16)
        head[size + 3] = <uint8_t>(key >> 24)
        size += 4
    return size


cdef class Chunks:
    """The octets that wait on a connection's streams, as chains of nodes in one array.

    The array is made with the first node and freed with the last.
    """

    def __dealloc__(self):
        cdef unsigned int i
        for i in range(self._used):
            Py_XDECREF(self._nodes[i].data)
        PyMem_Free(self._nodes)

    cdef int _grow(self) except -1:
        # Steep at first: a read full of echoes begins at nothing, each time.
        cdef unsigned int capacity = self._capacity * (4 if self._capacity < 1024 else 2) or 8
        cdef Chunk* nodes = <Chunk*>PyMem_Realloc(self._nodes, capacity * sizeof(Chunk))
        if nodes == NULL:
            raise MemoryError
        self._nodes = nodes
        self._capacity = capacity
        return 0

    cdef inline unsigned int _hold(
        self, object data, octets payload, Py_ssize_t size, unsigned int behind
    ) except 0:
        """Return a node that holds all of `data`, without a head."""
        cdef Chunk* chunk
        cdef unsigned int node = self._free
        if node:
            chunk = &self._nodes[node - 1]
            self._free = chunk.following
        else:
            if self._used == self._capacity:
                self._grow()
            chunk = &self._nodes[self._used]
            self._used += 1
            node = self._used
        self._live += 1
        Py_INCREF(data)
        chunk.data = <PyObject*>data
        chunk.payload = payload
        chunk.size = size
        chunk.poured = 0
        chunk.key = 0
        chunk.following = 0
        chunk.head_size = 0
        self.pushed = size
        if behind:
            self._nodes[behind - 1].following = node
        return node

    cdef inline void _release(self, unsigned int node, Chunk* chunk) noexcept:
        cdef PyObject* data = chunk.data
        chunk.data = NULL
        chunk.following = self._free
        self._free = node
        self._live -= 1
        if self._live == 0:
            PyMem_Free(self._nodes)
            self._nodes = NULL
            self._capacity = self._used = self._free = 0
        Py_XDECREF(data)

    cpdef unsigned int push(self, object data, unsigned int behind) except 0:
        if PyBytes_CheckExact(data):
            return self._hold(
                data, <octets>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), behind
            )
        if not PyUnicode_CheckExact(data):
            raise TypeError(f"bytes or str, not {type(data).__name__}")
        if not PyUnicode_IS_COMPACT_ASCII(data):
            return self.push((<str>data).encode(), behind)
        return self._hold(data, <octets>PyUnicode_DATA(data), PyUnicode_GET_LENGTH(data), behind)

    cpdef unsigned int push_frame(
        self,
        unsigned int first_octet,
        object data,
        bint masked,
        unsigned int key,
        unsigned int behind,
    ) except 0:
        cdef unsigned int node
        cdef Chunk* chunk
        if PyBytes_CheckExact(data) and PyBytes_GET_SIZE(data) < 126 and not masked:
            # By far the most: in one step.
            node = self._hold(
                data, <octets>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), behind
            )
            chunk = &self._nodes[node - 1]
            chunk.head[0] = <uint8_t>first_octet
            chunk.head[1] = <uint8_t>PyBytes_GET_SIZE(data)
            chunk.head_size = 2
            self.pushed += 2
            return node
        node = self.push(data, behind)
        chunk = &self._nodes[node - 1]
        chunk.head_size = write_frame_head(chunk.head, first_octet, chunk.size, masked, key)
        if masked:
            chunk.key = key
        self.pushed += chunk.head_size
        return node

    cpdef Py_ssize_t size(self, unsigned int node) noexcept:
        cdef Chunk* chunk = &self._nodes[node - 1]
        return chunk.head_size + chunk.size - chunk.poured

    cpdef unsigned int pour(
        self, unsigned int node, OutBuffer out, Py_ssize_t n
    ) except? 4294967295:
        cdef uint8_t* to = out._extend(n)
        cdef Chunk* chunk
        cdef Py_ssize_t size
        cdef Py_ssize_t part
        cdef Py_ssize_t at
        cdef unsigned int following
        while node:
            chunk = &self._nodes[node - 1]
            size = chunk.head_size + chunk.size
            if chunk.poured == 0 and chunk.head_size == 2 and size <= n:
                # A whole small message of a server: no call for two octets.
                memcpy(to, chunk.head, 2)
                memcpy(to + 2, chunk.payload, size - 2)
                to += size
                n -= size
            else:
                at = chunk.poured
                if at < chunk.head_size:
                    part = chunk.head_size - at
                    if part > n:
                        part = n
                    memcpy(to, chunk.head + at, part)
                    at += part
                    to += part
                    n -= part
                at -= chunk.head_size  # below 0 where n is 0
                part = chunk.size - at
                if part > n:
                    part = n
                if part:
                    copy(to, chunk.payload + at, part, rotate(chunk.key, at))
                    at += part
                    to += part
                    n -= part
                at += chunk.head_size
                if at != size:
                    chunk.poured = at
                    return node
            following = chunk.following
            self._release(node, chunk)
            node = following
        if n:
            out._used -= n
            raise ValueError("the chain holds less")
        return 0

    cpdef int drop(self, unsigned int node) except -1:
        cdef unsigned int following
        while node:
            following = self._nodes[node - 1].following
            self._release(node, &self._nodes[node - 1])
            node = following
        return 0
