from libc.stdint cimport int64_t

cdef double NEVER


cdef class Endpoint:
    cpdef list receive_data(self, data, double now=*)
    cpdef list events(self)
    cpdef list data_to_send(self, int64_t max_bytes=*, double now=*)
    cpdef arm(self, double now)
    cpdef double deadline(self)
    cpdef int64_t send_message(self, int64_t stream_id, data) except -1
    cpdef int64_t send_data(self, int64_t stream_id, data, bint end_stream=*) except -1
    cpdef consumed(self, int64_t stream_id, int64_t credit)
    cpdef int64_t waiting(self, int64_t stream_id) except -1
    cpdef bint is_blocked(self, int64_t stream_id) except -1
