cimport cython
from libc.stdint cimport int64_t

cdef Py_ssize_t PIECE


@cython.final
cdef class Backlog:
    cdef list pieces
    cdef Py_ssize_t at  # in the first piece: from here on nobody has looked
    cdef int64_t counted
    cdef bint ended
    cdef bint reading  # the first piece is being looked at

    @cython.locals(pieces=list, last=bytes, at="Py_ssize_t")
    cdef int add(self, bytes data) except -1
    cdef int read_to(self, Py_ssize_t pos) except -1


@cython.locals(backlog=Backlog)
cpdef Backlog new_backlog()
