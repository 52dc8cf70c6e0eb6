cimport cython
from libc.stdint cimport int64_t

from ..aio.protocol cimport Wire
from ..engine.endpoint cimport Endpoint
from ..engine.sink cimport Sink


cdef int SMALL


cdef class Half(Sink):
    cdef readonly object crossing
    cdef public Wire wire
    cdef public int64_t stream_id
    cdef public Half other
    cdef public list early
    cdef object trailers
    cdef int64_t owed
    cdef readonly int64_t octets
    cdef public bint ended

    @cython.locals(early=list, last=Py_ssize_t, other=Half, to=Wire, source=Wire, waiting=int64_t)
    cpdef object _data(self, bytes data, Py_ssize_t credit)
    cpdef object _event(self, object event)
    @cython.locals(owed=int64_t)
    cpdef object release(self)
    @cython.locals(early=list)
    cpdef object flow(self)
    @cython.locals(early=list)
    cpdef object drop(self)
    @cython.locals(other=Half, conn=Endpoint)
    cdef object _end(self)
