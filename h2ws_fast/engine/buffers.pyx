"""The buffers, compiled: the names and results of `buffers.py`, and its contracts."""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, _PyBytes_Resize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from .kernels cimport copy, mask_ascii, octets, utf8_check, write_u32


cdef extern from "Python.h":
    void* PyUnicode_DATA(object text)
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    int PyUnicode_Resize(PyObject** text, Py_ssize_t size) except -1
    void Py_XDECREF(PyObject* o)


cdef extern from *:
    object h2ws_own "(PyObject *)" (PyObject* result)


cdef inline void write_head(
    uint8_t* to, unsigned int length, unsigned int kind, unsigned int flags, unsigned int stream_id
) noexcept:
    to[0] = <uint8_t>(length >> 16)
    to[1] = <uint8_t>(length >> 8)
    to[2] = <uint8_t>length
    to[3] = <uint8_t>kind
    to[4] = <uint8_t>flags
    write_u32(to + 5, stream_id)


cdef class Buffer:
    """Growing octets: control frames waiting to leave, or a message that is still arriving.

    They lie in a `bytes` object that nobody else has seen, so that a message which is whole is
    handed over and not copied once more; text lies in a `str` as long as it is ASCII.
    """

    def __dealloc__(self):
        Py_XDECREF(self._object)

    cdef uint8_t* _extend(self, Py_ssize_t n) except NULL:
        """Return where the next n octets go, which count as held from now on."""
        cdef Py_ssize_t size = self._size
        cdef Py_ssize_t capacity
        cdef Py_ssize_t believed
        if n > self._capacity - size or self._object == NULL:
            if n > LARGEST - size:
                raise MemoryError
            # Half as much again: amortised, and a message of n octets holds 1.5 n at most.
            capacity = size + n + (size >> 1)
            if self._expected >= size + n:
                # Room for what was announced, on trust only a little of it: then sixteen times
                # what came, so that 1 MiB is copied once and not eight times.
                believed = RESERVE if size < RESERVE >> 4 else size << 4
                if capacity < size + n + believed:
                    capacity = size + n + believed
                if capacity > self._expected:
                    capacity = self._expected
            if capacity < 64:
                capacity = 64
            if self._object == NULL:
                if self._ascii:
                    fresh = PyUnicode_New(capacity, 127)
                else:
                    fresh = PyBytes_FromStringAndSize(NULL, capacity)
                Py_INCREF(fresh)
                self._object = <PyObject*>fresh
            elif self._ascii:
                PyUnicode_Resize(&self._object, capacity)
            else:
                # On failure it drops the object and leaves NULL.
                self._size = self._capacity = 0
                _PyBytes_Resize(&self._object, capacity)
            self._capacity = capacity
        self._size = size + n
        return self._octets() + size

    cdef inline uint8_t* _octets(self) noexcept:
        if self._ascii:
            return <uint8_t*>PyUnicode_DATA(<object>self._object)
        return <uint8_t*>PyBytes_AS_STRING(<object>self._object)

    cdef int _leave_ascii(self) except -1:
        """Let the octets lie in `bytes` from now on."""
        cdef PyObject* text = self._object
        if text != NULL:
            fresh = PyBytes_FromStringAndSize(NULL, self._capacity)
            memcpy(PyBytes_AS_STRING(fresh), PyUnicode_DATA(<object>text), self._size)
            Py_INCREF(fresh)
            self._object = <PyObject*>fresh
            Py_XDECREF(text)
        self._ascii = False
        return 0

    cpdef int expect(self, Py_ssize_t n) except -1:
        """Expect to hold n octets in the end: a hint, of which little is believed at once."""
        self._expected = n
        return 0

    cpdef Py_ssize_t size(self) noexcept:
        return self._size

    cpdef int head(
        self, unsigned int length, unsigned int kind, unsigned int flags, unsigned int stream_id
    ) except -1:
        write_head(self._extend(9), length, kind, flags, stream_id)
        return 0

    cpdef int put_u16(self, unsigned int value) except -1:
        cdef uint8_t* to = self._extend(2)
        to[0] = <uint8_t>(value >> 8)
        to[1] = <uint8_t>value
        return 0

    cpdef int put_u32(self, unsigned int value) except -1:
        write_u32(self._extend(4), value)
        return 0

    cpdef int put(self, bytes data) except -1:
        cdef Py_ssize_t n = len(data)
        if self._ascii:
            self._leave_ascii()
        memcpy(self._extend(n), <octets>data, n)
        return 0

    cpdef int append(self, octets p, Py_ssize_t pos, Py_ssize_t n, unsigned int key) except -1:
        if self._ascii:
            self._leave_ascii()
        copy(self._extend(n), p + pos, n, key)
        return 0

    cpdef int append_text(
        self, octets p, Py_ssize_t pos, Py_ssize_t n, unsigned int key, int state
    ) except -2:
        cdef uint8_t* to
        if self._size == 0:
            self.clear()
            self._ascii = True
        to = self._extend(n)
        if state == 0:
            if mask_ascii(to, p + pos, n, key):
                return 0
        else:
            copy(to, p + pos, n, key)
        if self._ascii:
            self._leave_ascii()
            to = self._octets() + self._size - n
        return utf8_check(to, 0, n, state)

    cpdef object bytes(self):
        """Hand over the octets as `bytes`: the buffer is empty then."""
        cdef PyObject* held
        cdef Py_ssize_t size = self._size
        if size == 0:
            return b""
        if self._ascii:
            self._leave_ascii()
        held = self._object
        self._object = NULL
        self._size = 0
        if size != self._capacity:
            _PyBytes_Resize(&held, size)
        self._capacity = 0
        return h2ws_own(held)

    cpdef object text(self):
        """Hand over the octets, known to be UTF-8, as `str`: the buffer is empty then."""
        cdef PyObject* held
        cdef Py_ssize_t size = self._size
        if size == 0:
            return ""
        if not self._ascii:
            text = PyBytes_AS_STRING(<object>self._object)[:size].decode("utf-8")
            self.clear()
            return text
        if size != self._capacity:
            PyUnicode_Resize(&self._object, size)
        held = self._object
        self._object = NULL
        self._size = 0
        self._capacity = 0
        self._ascii = False
        return h2ws_own(held)

    cpdef int clear(self) except -1:
        """Forget the octets, and give the memory back."""
        Py_XDECREF(self._object)
        self._object = NULL
        self._size = 0
        self._capacity = 0
        self._ascii = False
        return 0


# Octets that an announced length alone makes us hold: SEC-5-1.
cdef enum:
    RESERVE = 65536

cdef Py_ssize_t LARGEST = <Py_ssize_t>((<size_t>-1) >> 2)

# Up to here a copy costs less than what a pooled object does to its holder.
cdef enum:
    COPIED = 8192


cdef class Pool:
    """Output buffers to use again. One for each event loop, or for each connection without one."""

    def __init__(self, capacity=65536):
        if self._capacity:
            raise TypeError("a Pool has one capacity for its life: make another Pool")
        if not 1024 <= capacity <= 1 << 30:
            raise ValueError("the capacity of a pool's buffers is from 1 KiB to 1 GiB")
        self._capacity = capacity

    def __dealloc__(self):
        while self._kept:
            self._kept -= 1
            PyMem_Free(self._blocks[self._kept])

    cpdef OutBuffer acquire(self):
        cdef OutBuffer out = OutBuffer.__new__(OutBuffer)
        out._block = self._take()
        out._capacity = self._capacity
        out._pool = self
        return out

    cpdef OutBuffer large(self, Py_ssize_t n):
        cdef OutBuffer out = OutBuffer.__new__(OutBuffer)
        data = PyBytes_FromStringAndSize(NULL, n)
        out._block = <uint8_t*>PyBytes_AS_STRING(data)
        out._capacity = n
        Py_INCREF(data)
        out._bytes = <PyObject*>data
        return out

    cdef uint8_t* _take(self) except NULL:
        cdef uint8_t* block
        if self._kept:
            self._kept -= 1
            return self._blocks[self._kept]
        block = <uint8_t*>PyMem_Malloc(self._capacity)
        if block == NULL:
            raise MemoryError
        return block

    cdef void _give(self, uint8_t* block) noexcept:
        if self._kept < KEPT_BLOCKS:
            self._blocks[self._kept] = block
            self._kept += 1
        else:
            PyMem_Free(block)


@cython.freelist(8)
@cython.no_gc  # it refers to its pool, which refers to nothing
cdef class OutBuffer:
    """Octets on their way to the transport, of a fixed capacity, from a `Pool`.

    It owns one block of the pool and gives it back when the last reference goes, exports of the
    buffer protocol included; or, where it is larger, `bytes` that nobody else has seen.
    """

    def __dealloc__(self):
        self._let_go()

    cdef int _let_go(self) noexcept:
        if self._bytes != NULL:
            Py_XDECREF(self._bytes)
            self._bytes = NULL
        elif self._block != NULL:
            self._pool._give(self._block)
        self._block = NULL
        return 0

    cpdef Py_ssize_t used(self) noexcept:
        return self._used

    cpdef Py_ssize_t room(self) noexcept:
        return self._capacity - self._used

    cpdef int head(
        self, unsigned int length, unsigned int kind, unsigned int flags, unsigned int stream_id
    ) except -1:
        write_head(self._extend(9), length, kind, flags, stream_id)
        return 0

    cpdef int put(self, bytes data) except -1:
        cdef Py_ssize_t n = len(data)
        memcpy(self._extend(n), <octets>data, n)
        return 0

    cpdef int drain(self, Buffer buffer, Py_ssize_t at, Py_ssize_t n) except -1:
        if n < 0 or at < 0 or n > buffer._size - at:
            raise ValueError("the Buffer holds less")
        if n:
            memcpy(self._extend(n), buffer._octets() + at, n)
        return 0

    cpdef object finish(self):
        cdef PyObject* held
        if self._finished:
            raise ValueError("this OutBuffer is finished")
        if self._block == NULL:
            raise TypeError("Pool.acquire() makes OutBuffers")
        self._finished = True
        if self._used > COPIED:
            if self._bytes == NULL:
                return self
            held = self._bytes
            self._bytes = NULL
            self._block = NULL
            _PyBytes_Resize(&held, self._used)
            data = h2ws_own(held)
        else:
            data = PyBytes_FromStringAndSize(<const char*>self._block, self._used)
            self._let_go()
        self._used = self._capacity = 0
        return data

    def __len__(self):
        return self._used

    def __getbuffer__(self, Py_buffer* view, int flags):
        if not self._finished or self._block == NULL:
            raise BufferError("call finish() first and use what it returns")
        PyBuffer_FillInfo(view, self, self._block, self._used, True, flags)
