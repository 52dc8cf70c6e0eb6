cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from .kernels cimport octets, write_u32


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
    cpdef OutBuffer large(self, Py_ssize_t n)
    cdef uint8_t* _take(self) except NULL
    cdef void _give(self, uint8_t* block) noexcept


@cython.final
cdef class OutBuffer:
    cdef Pool _pool
    cdef uint8_t* _block
    cdef PyObject* _bytes  # in which the block lies, where it is none of the pool's
    cdef Py_ssize_t _used
    cdef Py_ssize_t _capacity
    cdef bint _finished

    cdef int _let_go(self) noexcept

    cdef inline uint8_t* _extend(self, Py_ssize_t n) except NULL:
        # Room for `n` octets more: here, so that Chunks pours without a call.
        cdef uint8_t* to = self._block + self._used
        if n < 0 or n > self._capacity - self._used or self._finished or self._block == NULL:
            raise ValueError("no room in this OutBuffer: check room() first")
        self._used += n
        return to

    cdef inline int frame(self, unsigned int head, unsigned int stream_id, bytes data) except -1:
        # Here, so that a message to many costs no call for each of them.
        cdef Py_ssize_t n = PyBytes_GET_SIZE(data)
        cdef uint8_t* to = self._extend(9 + n)
        write_u32(to, head)
        to[4] = 0
        write_u32(to + 5, stream_id)
        memcpy(to + 9, PyBytes_AS_STRING(data), n)
        return 0

    cpdef Py_ssize_t used(self) noexcept
    cpdef Py_ssize_t room(self) noexcept
    cpdef int head(
        self, unsigned int length, unsigned int kind, unsigned int flags, unsigned int stream_id
    ) except -1
    cpdef int put(self, bytes data) except -1
    cpdef int drain(self, Buffer buffer, Py_ssize_t at, Py_ssize_t n) except -1
    cpdef object finish(self)
