cimport cython
from libc.stdint cimport int64_t

from .sink cimport Sink
from .stream cimport Channel, Layer, Stream

cdef unsigned int CLOSED, OVER


cdef class Delivery(Channel):
    cdef object interrupt
    cdef list queue

    cpdef list events(self)
    @cython.final
    cdef int tell(self, object event) except -1
    @cython.locals(sink=Sink)
    cdef void deliver_to(self, Stream stream, object data, int64_t credit) except *
    @cython.locals(layer=Layer)
    cdef void take_answer(self, Stream stream, object answer) except *
    @cython.locals(sink=Sink)
    cdef int emit(self, Stream stream, object event) except -1
    cdef void sink_failed(self, Stream stream, object error) except *
    cdef int fail_application(self, Stream stream) except -1
