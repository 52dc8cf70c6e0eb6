cimport cython

from ...engine.endpoint cimport Endpoint
from ...engine.h1 cimport Upgraded
from ...engine.octets cimport Octets
from ..protocol cimport Wire
from .bypass cimport Bypass, bypass

cdef Py_ssize_t MAX_UNREAD
cdef double NEVER


cdef class PacedWire(Wire):
    cdef readonly bint held
    cdef readonly bint left
    cdef readonly Bypass bypass
    cpdef object become(self, Endpoint conn)
    @cython.locals(octets=Octets)
    cdef bint _rests(self) except -1
    @cython.locals(octets=Octets)
    cdef object _leave(self, double now)
    cdef bint _takes(self) except -1
    @cython.locals(upgraded=bint, held=bint, octets=Octets)
    cpdef object _settled(self)
    cpdef object _cut_off(self)


cdef class ReadingWire(PacedWire):
    pass
