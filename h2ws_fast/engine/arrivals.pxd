cimport cython


@cython.final
cdef class TextMessage:
    cdef readonly unsigned int stream_id
    cdef readonly str data
    cdef readonly Py_ssize_t credit


@cython.final
cdef class BytesMessage:
    cdef readonly unsigned int stream_id
    cdef readonly bytes data
    cdef readonly Py_ssize_t credit


@cython.final
cdef class Data:
    cdef readonly unsigned int stream_id
    cdef readonly bytes data
    cdef readonly Py_ssize_t credit


cpdef TextMessage text_message(unsigned int stream_id, str data, Py_ssize_t credit)
cpdef BytesMessage bytes_message(unsigned int stream_id, bytes data, Py_ssize_t credit)
cpdef Data data_event(unsigned int stream_id, bytes data, Py_ssize_t credit)
