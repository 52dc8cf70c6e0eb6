cimport cython
from libc.stdint cimport uint32_t

from .kernels cimport address, mask_key

cdef int POOL_SIZE


@cython.final
cdef class MaskKeys:
    cdef bytes _pool
    cdef int _at

    @cython.locals(at=int)
    cdef uint32_t next(self) except? 0
