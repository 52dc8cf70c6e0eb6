cimport cython
from libc.stdint cimport int64_t

from .buffers cimport Buffer
from .kernels cimport octets, take
from .stream cimport Channel, Layer, Stream

cdef unsigned int PROTOCOL_ERROR


cdef class Body(Layer):
    cdef int64_t expected
    cdef int64_t came
    cdef double since


cdef class Tunnel(Layer):
    pass


cdef class Pending(Layer):
    cdef Buffer early
    cdef int64_t first
    cdef bint has_ended
    cdef str protocol
    cdef bytes key
    cdef bytes extensions
    cdef object subprotocols


cdef class Unanswered(Layer):
    cdef object deflate
    cdef str protocol
    cdef object subprotocols


cdef class Refusal(Layer):
    pass


cdef class Discard(Layer):
    pass


@cython.locals(body=Body)
cpdef Body new_body(int64_t expected)
@cython.locals(pending=Pending)
cpdef Pending new_pending(str protocol, bytes key, object subprotocols, bytes extensions)
@cython.locals(unanswered=Unanswered)
cpdef Unanswered new_unanswered(str protocol, object subprotocols, object deflate)
