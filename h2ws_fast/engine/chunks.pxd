cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t

from .buffers cimport OutBuffer
from .kernels cimport octets


cdef struct Chunk:
    PyObject* data  # bytes or ASCII str, owned; NULL: the node is free
    const uint8_t* payload
    Py_ssize_t size
    Py_ssize_t poured  # of head and payload
    unsigned int key  # of the payload's first octet
    unsigned int following  # the next node of the chain, or of the free nodes
    uint8_t head_size
    uint8_t head[14]


@cython.final
cdef class Chunks:
    cdef Chunk* _nodes  # node n is _nodes[n - 1]
    cdef unsigned int _capacity
    cdef unsigned int _used  # nodes that were ever in use since the array was made
    cdef unsigned int _live
    cdef unsigned int _free
    cdef readonly Py_ssize_t pushed

    cdef int _grow(self) except -1
    cdef unsigned int _hold(
        self, object data, octets payload, Py_ssize_t size, unsigned int behind
    ) except 0
    cdef void _release(self, unsigned int node, Chunk* chunk) noexcept
    cpdef unsigned int push(self, object data, unsigned int behind) except 0
    cpdef unsigned int push_frame(
        self, unsigned int first_octet, object data, bint masked, unsigned int key,
        unsigned int behind
    ) except 0
    cpdef Py_ssize_t size(self, unsigned int node) noexcept
    cpdef unsigned int pour(self, unsigned int node, OutBuffer out, Py_ssize_t n) except? 4294967295
    cpdef int drop(self, unsigned int node) except -1
