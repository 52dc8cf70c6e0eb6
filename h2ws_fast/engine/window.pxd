from libc.stdint cimport int64_t


cdef int64_t HELD_BACK


cdef class Window:
    cdef int64_t left
    cdef int64_t due

    cdef int64_t earn(self, int64_t n, int64_t size) noexcept
    cdef void withhold(self, bint held) noexcept
