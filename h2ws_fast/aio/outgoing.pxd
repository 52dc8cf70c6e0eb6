cimport cython

from .awaitable cimport failed, following, pending
from .extra cimport Extra, still_waiting
from .keeper cimport Kept
from .protocol cimport Wire

cdef object READY
cdef int CONNECTING, OPEN, CLOSING, CLOSED
cdef int READ_BUFFER, WS_INTERNAL_ERROR


cdef class Outgoing(Kept):
    cdef Extra _extra
    @cython.locals(wire=Wire, waiting=Py_ssize_t)
    cdef object _send(self, object message)
    @cython.locals(wire=Wire)
    cdef object _congested(self)
    cpdef object _not_open(self)
    cdef object _conflate(self, object message)
    @cython.locals(extra=Extra, wire=Wire)
    cdef object _send_conflated(self)
    cdef Extra _extras(self)
