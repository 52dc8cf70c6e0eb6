cimport cython

from ..descriptor cimport Poll, receive, send
from ..protocol cimport Hub, Wire

cdef bint HAS_EPOLL
cdef int ROUNDS, FEW


cdef class Reads


cdef class Bypass:
    cdef readonly Wire wire
    cdef readonly Reads reads
    cdef object transport
    cdef object fileno
    cdef object waiting
    cdef readonly int fd
    @cython.locals(sent=Py_ssize_t)
    cpdef object write(self, bytes data)
    cdef object pause(self)
    cdef object resume(self)
    cdef object leave(self)
    cdef object hand_back(self)
    @cython.locals(wire=Wire, data=bytes)
    cpdef object receive(self, bint plain)


cdef class Reads:
    cdef readonly Hub hub
    cdef readonly Poll poll
    cdef readonly dict bypasses
    cdef Py_ssize_t users
    cdef bint add(self, Bypass bypass) except -1
    cdef Poll _new_poll(self)
    cdef object remove(self, Bypass bypass)
    cdef object forget(self, Bypass bypass)
    @cython.locals(hub=Hub, each=Bypass)
    cpdef object run(self)
    @cython.locals(bypass=Bypass, poll=Poll, rounds=int, done=int, found=int, index=int)
    cdef object _read(self)
    cdef object _receive(self, Bypass bypass, bint plain)


@cython.locals(hub=Hub, made=Bypass)
cpdef Bypass bypass(Wire wire, bint held)
