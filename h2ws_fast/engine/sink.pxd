from .kernels cimport bytes_message, data_event, text_message


cdef class Sink:
    cdef object _message(self, object data, Py_ssize_t credit)
    cdef object _data(self, bytes data, Py_ssize_t credit)
    cdef object _event(self, object event)


cdef class CallbackSink(Sink):
    cdef unsigned int stream_id
    cdef object callback
