cimport cython
from libc.stdint cimport int64_t

from .buffers cimport Buffer


@cython.final
cdef class Assembly:
    cdef Buffer buffer
    cdef int opcode
    cdef int64_t utf8
    cdef int64_t frames
    cdef int64_t empty_frames
    cdef int64_t passed
    cdef int64_t packed
    cdef int64_t mark
    cdef bint streaming

    cdef void begin(self, int opcode) noexcept


@cython.locals(assembly=Assembly)
cpdef Assembly new_assembly(int opcode)
