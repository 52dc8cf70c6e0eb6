cimport cython

cdef dict KNOWN_NAMES
cdef bytes NAME_OCTETS
cdef bytes VALUE_OCTETS


cpdef bint made_of(bytes value, bytes octets) except -1
@cython.locals(token=bytes)
cpdef str name_fault(bytes name)
@cython.locals(first=cython.uint, last=cython.uint)
cpdef str value_fault(bytes value)
