cimport cython

from .kernels cimport made_of

cdef dict KNOWN_NAMES
cdef bytes NAME_OCTETS
cdef bytes VALUE_OCTETS


@cython.locals(token=bytes)
cpdef str name_fault(bytes name)
@cython.locals(first=cython.uint, last=cython.uint)
cpdef str value_fault(bytes value)
