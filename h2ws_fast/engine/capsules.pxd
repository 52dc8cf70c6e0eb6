cimport cython

from .buffers cimport Buffer
from .kernels cimport octets, take

cdef int DATAGRAM
cdef int MAX_UDP_PAYLOAD
cdef long long MAX_VARINT
cdef int TYPE
cdef int LENGTH
cdef int CONTEXT
cdef int VALUE
cdef int SKIPPED
cdef int FAILED


@cython.final
cdef class CapsuleReader:
    cdef Buffer _buffer
    cdef bint _contexts
    cdef bint _datagrams
    cdef list _found
    cdef long long _left
    cdef Py_ssize_t _max_size
    cdef long long _number
    cdef int _state
    cdef long long _type
    cdef frozenset _types
    cdef int _wanted
    cdef readonly long long dropped
    cdef readonly str failure
    cdef readonly long long oversized
    cdef readonly long long unknown

    @cython.locals(found=list)
    cpdef list receive(self, bytes data)
    cpdef str finish(self)
    @cython.locals(end=Py_ssize_t, state=cython.int, octet=cython.uint, size="long long")
    cdef int _read(self, octets p, Py_ssize_t pos, Py_ssize_t n) except -1
    cdef void _have(self, int state, long long number) except *
    cdef void _skip(self) noexcept
    @cython.locals(buffer=Buffer)
    cdef void _keep(self, octets p, Py_ssize_t pos, Py_ssize_t n) except *
    @cython.locals(buffer=Buffer)
    cdef void _emit_kept(self) except *
    cdef void _emit(self, bytes value) except *
    cdef void _fail(self, str reason) except *


cpdef bytes varint(long long number)
cpdef bytes capsule(long long kind, bytes value)
cpdef bytes datagram(bytes payload)
@cython.locals(n=Py_ssize_t, length=cython.int)
cpdef bytes udp_datagram(bytes payload)
