cimport cython

from .limits cimport Limits

cdef class Timers:
    cdef Limits _limits
    cdef dict _marked
    cdef dict _queues

    cdef int mark(self, int kind, unsigned int stream_id) except -1
    @cython.locals(limits=Limits)
    cdef double _duration(self, int kind) except -1
    cdef int _drop(self, int kind) except -1
    cdef int cancel(self, int kind, unsigned int stream_id) except -1
    @cython.locals(marked=dict)
    cdef void arm(self, double now) except *
    cdef object next(self)
    cdef list expired(self, double now)
