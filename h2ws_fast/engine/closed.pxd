cdef int TOLD, UNKNOWN


cdef class ClosedStreams:
    cdef Py_ssize_t _size
    cdef dict _how
    cdef object _order
    cdef object _skips

    cdef int add(self, unsigned int stream_id, int how) except -1
    cdef int get(self, unsigned int stream_id) except -1
    cdef int tell(self, unsigned int stream_id) except -1
    cdef bint is_told(self, unsigned int stream_id) except -1
    cdef int skip(self, unsigned int first, unsigned int last) except -1
    cdef bint is_skipped(self, unsigned int stream_id) except -1
