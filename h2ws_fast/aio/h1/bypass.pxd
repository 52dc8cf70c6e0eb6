cimport cython

from ..descriptor cimport Poll, receive, send
from ..hub cimport Hub
from ..protocol cimport Wire

cdef bint HAS_EPOLL
cdef int ROUNDS, FEW, TURNS


cdef class Reads


cdef class Bypass:
    cdef readonly Wire wire
    cdef readonly Reads reads
    cdef object transport
    cdef object fileno
    cdef object waiting
    cdef readonly int fd
    cdef bint sure
    cpdef object _turn(self, int left)
    cdef bint _open(self) except -1
    cdef bint _holds(self) except -1
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
    cdef list by_number
    cdef Py_ssize_t users
    cdef bint _reads(self, Bypass bypass) except -1
    @cython.locals(room=Py_ssize_t)
    cdef bint add(self, Bypass bypass) except -1
    cdef Poll _new_poll(self)
    cdef object remove(self, Bypass bypass)
    cdef object forget(self, Bypass bypass)
    @cython.locals(hub=Hub, each=Bypass)
    cpdef object run(self)
    @cython.locals(bypass=Bypass, poll=Poll, rounds=int, done=int, found=int, index=int, fd=int)
    cdef object _read(self)
    cdef object _receive(self, Bypass bypass, bint plain)


@cython.locals(hub=Hub, made=Bypass)
cpdef Bypass bypass(Wire wire, bint held)
