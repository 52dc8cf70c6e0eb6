cimport cython

from .arrivals cimport bytes_message, data_event, text_message


cdef class Sink:
    cpdef object _message(self, object data, Py_ssize_t credit)
    cpdef object _data(self, bytes data, Py_ssize_t credit)
    cpdef object _event(self, object event)


@cython.final
cdef class CallbackSink(Sink):
    cdef unsigned int stream_id
    cdef object callback
    cdef object on_message
