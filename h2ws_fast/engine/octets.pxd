cimport cython
from libc.stdint cimport int64_t

from .arrivals cimport data_event
from .endpoint cimport Endpoint
from .limits cimport Limits
from .sink cimport Sink

cdef double NEVER
cdef unsigned int CANCEL, NO_ERROR


cdef class Octets(Endpoint):
    cdef Limits _limits
    cdef Sink _sink
    cdef list _queue
    cdef bytes _first
    cdef list _out
    cdef int64_t _queued
    cdef int64_t _held
    cdef int64_t _received
    cdef int64_t _sent
    cdef int64_t _stream_id
    cdef double _due
    cdef bint _high
    cdef bint _ended_here
    cdef bint _ended_there
    cdef readonly bint broken
    cdef readonly bint terminated

    @cython.locals(octets=bytes, n=int64_t)
    cpdef list receive_data(self, data, double now=*)
    cpdef list events(self)
    @cython.locals(out=list, buffers=list, room=int64_t, n=int64_t, taken=Py_ssize_t)
    cpdef list data_to_send(self, int64_t max_bytes=*, double now=*)
    cpdef arm(self, double now)
    cpdef bint at_rest(self) except -1
    @cython.locals(piece=bytes)
    cpdef bytes sole(self)
    cpdef double deadline(self)
    @cython.locals(n=int64_t, piece=bytes)
    cpdef int64_t send_data(self, int64_t stream_id, data, bint end_stream=*) except -1
    cpdef consumed(self, int64_t stream_id, int64_t credit)
    cpdef int64_t waiting(self, int64_t stream_id) except -1
    cpdef bint takes_more(self) except -1
    cpdef bint has_left(self) except -1
    cdef int _finish(self) except -1
    cdef int _end(self, bint remote) except -1
    @cython.locals(sink=Sink)
    cdef int _break(self, str reason, bint remote) except -1
    @cython.locals(sink=Sink)
    cdef int _emit(self, object event) except -1
