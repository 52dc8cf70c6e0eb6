cimport cython

from .inbox cimport Inbox
from .hub cimport Hub
from .protocol cimport Wire

cdef double EARLY, NEVER
cdef int OPEN, WS_INTERNAL_ERROR


cdef class Kept(Inbox):
    cdef int _state
    cdef double _due
    cdef double _latency
    cdef bytes _pinged


cdef class Keeper:
    cdef Hub hub
    cdef double interval
    cdef double timeout
    cdef double step
    cdef object timer
    cdef set wires
    cdef bytes payload
    cpdef object waits(self, Wire wire, double now)
    cdef object _run(self)
    @cython.locals(waits=bint)
    cdef object _look(self, Wire wire, double now)
    cdef object _opened(self, Kept ws)
    @cython.locals(wire=Wire)
    cdef object _due(self, Kept ws, double when)
    cdef object _answered(self, Kept ws)
    @cython.locals(ws=Kept, earliest=double, soon=double)
    cdef object _walk(self, Wire wire, double now)
