cimport cython
from libc.stdint cimport int64_t

from .endpoint cimport Endpoint
from .kernels cimport octets
from .limits cimport Limits
from .sink cimport Sink
from .window cimport Window

cdef int OPEN, DEFAULT_RANK

cdef class Layer
cdef class Channel


cdef class Stream(Window):
    cdef readonly unsigned int id
    cdef unsigned int flags
    cdef unsigned char state
    cdef unsigned char doublings
    cdef unsigned char rank
    cdef unsigned char small
    cdef unsigned int first
    cdef unsigned int last
    cdef unsigned int pace
    cdef unsigned int stamp
    cdef int extra
    cdef int64_t queued
    cdef int64_t held
    cdef Layer layer
    cdef Sink sink
    cdef Stream next


@cython.locals(stream=Stream)
cpdef Stream new_stream(unsigned int stream_id, unsigned int flags, int64_t window, Layer layer)


cdef class Layer:
    cdef int receive(self, Channel channel, Stream stream, octets p, Py_ssize_t pos, Py_ssize_t n) except -1
    cdef int ended(self, Channel channel, Stream stream) except -1
    cdef bint is_plain(self) noexcept
    cdef object answer(self, Channel channel, Stream stream, object data)
    cdef int64_t missing(self) except -1
    cdef int go_on(self, Channel channel, Stream stream) except -1
    cdef int drain(self, Channel channel, Stream stream) except -1
    cdef int fail(self, Channel channel, Stream stream, int code, str reason) except -1
    cdef int broken(self, Channel channel, Stream stream, unsigned int error_code, str reason, bint remote, bint retryable) except -1
    cdef int lost(self, Channel channel, Stream stream, unsigned int error_code, str reason, bint remote, bint retryable) except -1


cdef class Channel(Endpoint):
    cdef readonly Limits limits
    cdef readonly bint auto_credit
    cdef int64_t messages_sent
    cdef int64_t buffered  # undelivered octets: incomplete messages and what nobody consumed yet
    cdef int64_t expanded

    cdef int write_frame(self, Stream stream, int first_octet, object data) except -1
    cdef bint push_message(self, Stream stream, int first_octet, object data, int64_t n) except -1
    cdef object queue_is_full(self)
    cdef int delay_pong(self, Stream stream, bytes data) except -1
    cdef int late_pong(self, Stream stream) except -1
    cdef int credit(self, Stream stream, int64_t n) except -1
    cdef int deliver(self, Stream stream, object data, int64_t credit, int64_t early) except -1
    cdef int deliver_part(self, Stream stream, bytes data, bint text, bint final, bint early) except -1
    cdef int deliver_data(self, Stream stream, bytes data) except -1
    cdef int hold(self, Stream stream, int64_t n) except -1
    cdef int keep(self, Stream stream, int64_t n) except -1
    cdef int hold_back(self, Stream stream, int64_t n) except -1
    cdef int let_go(self, Stream stream, int64_t n) except -1
    cdef int go_on_soon(self, Stream stream) except -1
    cdef int emit(self, Stream stream, object event) except -1
    cdef int end(self, Stream stream) except -1
    cdef int over(self, Stream stream) except -1
    cdef int start_closing(self, Stream stream) except -1
    cdef int count_hit(self, str name) except -1
    cdef int fail_stream(self, Stream stream, unsigned int error_code, str reason) except -1
