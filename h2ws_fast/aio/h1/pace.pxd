cimport cython

from ...engine.h1 cimport Upgraded
from ...engine.octets cimport Octets
from ..protocol cimport Wire

cdef Py_ssize_t MAX_UNREAD


cdef class PacedWire(Wire):
    cdef readonly bint held
    cdef readonly bint left
    @cython.locals(upgraded=bint, held=bint, octets=Octets)
    cpdef object _settled(self)
    cdef object _cut_off(self)
