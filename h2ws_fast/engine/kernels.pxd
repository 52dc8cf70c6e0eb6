# What compiled modules see of the kernels. The contract of each name stands in `kernels.py`.
#
# Every function is `cpdef`, so that shared source may say `from .kernels import u16` and its
# `.pxd` `from .kernels cimport u16`. Nothing here needs a header of `csrc/`: other packages may
# cimport this file from an installed wheel.

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t

ctypedef const unsigned char* octets


cpdef octets address(object data) except NULL
cpdef bytes take(octets p, Py_ssize_t pos, Py_ssize_t n)


# Compilers turn these into one load and one byte swap, but only where the indices are constant:
# u32 is then 2 instructions of 10.
cpdef inline unsigned int u16(octets p, Py_ssize_t pos) noexcept nogil:
    cdef octets at = p + pos
    return <unsigned int>at[0] << 8 | at[1]


cpdef inline unsigned int u24(octets p, Py_ssize_t pos) noexcept nogil:
    cdef octets at = p + pos
    return <unsigned int>at[0] << 16 | <unsigned int>at[1] << 8 | at[2]


cpdef inline unsigned int u32(octets p, Py_ssize_t pos) noexcept nogil:
    cdef octets at = p + pos
    return (
        <unsigned int>at[0] << 24
        | <unsigned int>at[1] << 16
        | <unsigned int>at[2] << 8
        | at[3]
    )


cpdef inline unsigned long long u64(octets p, Py_ssize_t pos) noexcept nogil:
    return <unsigned long long>u32(p, pos) << 32 | u32(p, pos + 4)


cpdef inline unsigned int mask_key(octets p, Py_ssize_t pos) noexcept nogil:
    cdef octets at = p + pos
    return (
        at[0]
        | <unsigned int>at[1] << 8
        | <unsigned int>at[2] << 16
        | <unsigned int>at[3] << 24
    )


cpdef inline unsigned int rotate(unsigned int key, Py_ssize_t n) noexcept nogil:
    return key >> (8 * (n & 3)) | key << (-8 * (n & 3) & 31)


cpdef bytes unmask(octets p, Py_ssize_t pos, Py_ssize_t n, unsigned int key)
cpdef str unmask_text(octets p, Py_ssize_t pos, Py_ssize_t n, unsigned int key)
cpdef object encoded(str text)
cpdef int utf8_check(octets p, Py_ssize_t pos, Py_ssize_t n, int state) noexcept

cpdef bint made_of(bytes data, bytes table) except -1

cpdef Py_ssize_t huffman_size(bytes data) except -1
cpdef bytes huffman_encode(bytes data)
cpdef bytes huffman_decode(octets p, Py_ssize_t pos, Py_ssize_t n, Py_ssize_t limit)


@cython.final
cdef class Buffer:
    cdef PyObject* _object
    cdef Py_ssize_t _size
    cdef Py_ssize_t _capacity
    cdef Py_ssize_t _expected
    cdef bint _ascii  # they lie in an ASCII str

    cdef uint8_t* _extend(self, Py_ssize_t n) except NULL
    cdef uint8_t* _octets(self) noexcept
    cdef int _leave_ascii(self) except -1
    cpdef Py_ssize_t size(self) noexcept
    cpdef int expect(self, Py_ssize_t n) except -1
    cpdef int head(
        self, unsigned int length, unsigned int kind, unsigned int flags, unsigned int stream_id
    ) except -1
    cpdef int put_u16(self, unsigned int value) except -1
    cpdef int put_u32(self, unsigned int value) except -1
    cpdef int put(self, bytes data) except -1
    cpdef int append(self, octets p, Py_ssize_t pos, Py_ssize_t n, unsigned int key) except -1
    cpdef int append_text(
        self, octets p, Py_ssize_t pos, Py_ssize_t n, unsigned int key, int state
    ) except -2
    cpdef object bytes(self)
    cpdef object text(self)
    cpdef int clear(self) except -1


cdef enum:
    KEPT_BLOCKS = 4


@cython.final
cdef class Pool:
    cdef readonly Py_ssize_t _capacity
    cdef int _kept
    cdef uint8_t* _blocks[KEPT_BLOCKS]

    cpdef OutBuffer acquire(self)
    cdef uint8_t* _take(self) except NULL
    cdef void _give(self, uint8_t* block) noexcept


@cython.final
cdef class OutBuffer:
    cdef Pool _pool
    cdef uint8_t* _block
    cdef Py_ssize_t _used
    cdef Py_ssize_t _capacity
    cdef bint _finished

    cdef uint8_t* _extend(self, Py_ssize_t n) except NULL
    cpdef Py_ssize_t used(self) noexcept
    cpdef Py_ssize_t room(self) noexcept
    cpdef int head(
        self, unsigned int length, unsigned int kind, unsigned int flags, unsigned int stream_id
    ) except -1
    cpdef int put(self, bytes data) except -1
    cpdef int drain(self, Buffer buffer, Py_ssize_t at, Py_ssize_t n) except -1
    cpdef object finish(self)


@cython.final
cdef class Raised:
    cdef readonly object error


cpdef object attempt(object function, object argument)


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


@cython.final
cdef class StreamMap:
    cdef uint32_t* _ids
    cdef list _streams  # as long as the table; None where an id is free
    cdef uint32_t _capacity
    cdef uint32_t _count

    cdef int _resize(self, uint32_t capacity) except -1
    cpdef object get(self, unsigned int stream_id)
    cpdef int put(self, unsigned int stream_id, object stream) except -1
    cpdef object pop(self, unsigned int stream_id)
    cpdef list values(self)


@cython.final
cdef class TextMessage:
    cdef readonly unsigned int stream_id
    cdef readonly str data
    cdef readonly Py_ssize_t credit


@cython.final
cdef class BytesMessage:
    cdef readonly unsigned int stream_id
    cdef readonly bytes data
    cdef readonly Py_ssize_t credit


@cython.final
cdef class Data:
    cdef readonly unsigned int stream_id
    cdef readonly bytes data
    cdef readonly Py_ssize_t credit


cpdef TextMessage text_message(unsigned int stream_id, str data, Py_ssize_t credit)
cpdef BytesMessage bytes_message(unsigned int stream_id, bytes data, Py_ssize_t credit)
cpdef Data data_event(unsigned int stream_id, bytes data, Py_ssize_t credit)
