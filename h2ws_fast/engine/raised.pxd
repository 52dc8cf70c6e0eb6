cimport cython


@cython.final
cdef class Raised:
    cdef readonly object error


cpdef object attempt(object function, object argument)
