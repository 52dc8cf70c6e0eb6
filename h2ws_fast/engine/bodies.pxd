cimport cython

from .stream cimport Stream

cdef int SPARED


@cython.final
cdef class Bodies:
    cdef list queues
    cdef Stream chosen
    cdef unsigned int mask
    cdef int turn
    cdef int spared

    @cython.locals(urgency=int, first=bint)
    cdef int put(self, Stream stream) except -1
    @cython.locals(urgency=int)
    cdef int remove(self, Stream stream) except -1
    cdef int urgency(self) except -1
    @cython.locals(urgency=int)
    cdef Stream choose(self)
    @cython.locals(at=int, stream=Stream)
    cdef Stream _spare(self, int urgent)
    @cython.locals(spared=bint)
    cdef int served(self, Stream stream) except -1
    cdef list streams(self)
