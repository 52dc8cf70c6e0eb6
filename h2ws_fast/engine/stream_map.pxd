cimport cython
from libc.stdint cimport uint32_t

cdef unsigned int MAX_STREAM_ID


cpdef bytes numbers(object stream_ids)


@cython.final
cdef class StreamMap:
    cdef uint32_t* _ids
    cdef list _streams  # as long as the table; None where an id is free
    cdef uint32_t _capacity
    cdef uint32_t _count

    cdef int _resize(self, uint32_t capacity) except -1
    cpdef object get(self, unsigned int stream_id)
    cpdef int put(self, unsigned int stream_id, object stream) except -1
    cpdef object pop(self, unsigned int stream_id)
    cpdef list values(self)
