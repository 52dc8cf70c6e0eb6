cimport cython
from libc.stdint cimport int64_t, uint32_t

from .assembly cimport Assembly, new_assembly
from .buffers cimport Buffer
from .closing cimport Closing, is_close_code, new_closing
from .kernels cimport address, encoded, mask_key, octets, rotate, take, u16, u64, unmask, unmask_text
from .limits cimport Limits
from .stream cimport Channel, Layer, Stream

cdef int TEXT, BINARY, CLOSE, CONTINUATION_FRAME, WS_PING, WS_PONG
cdef int ABNORMAL_CLOSURE, INVALID_DATA, MESSAGE_TOO_BIG, NO_STATUS_RCVD, POLICY_VIOLATION
cdef int WS_PROTOCOL_ERROR
cdef int HEAD, PAYLOAD, DISCARD, BEHIND
cdef int CLIENT, CLOSE_SENT, CLOSE_RECEIVED, FAILED, REPORTED, OURS_FIRST
cdef unsigned int LATE_PONG
cdef int FIN, OPCODE, RSV1, WHOLE_TEXT, WHOLE_BINARY

cpdef object payload(object data)


cdef class MessageLayer(Layer):
    cdef Assembly assembly
    cdef bytes partial
    cdef Closing closing
    cdef int64_t left
    cdef uint32_t key
    cdef unsigned char phase
    cdef unsigned char opcode
    cdef unsigned char sending
    cdef unsigned char bits

    @cython.locals(end="Py_ssize_t", at="Py_ssize_t", first=int, second=int, size="Py_ssize_t", head="Py_ssize_t", text=str)
    cdef int receive(self, Channel channel, Stream stream, octets p, Py_ssize_t pos, Py_ssize_t n) except -1
    @cython.final
    @cython.locals(partial=bytes, held=octets, size="Py_ssize_t", head="Py_ssize_t")
    cdef Py_ssize_t _partial_head(self, Channel channel, Stream stream, octets p, Py_ssize_t pos, Py_ssize_t end) except -1
    @cython.final
    @cython.locals(size=int64_t, at="Py_ssize_t", masked=int, opcode=int, limits=Limits)
    cdef int _begin(self, Channel channel, Stream stream, octets p, Py_ssize_t pos, int first, int second, Py_ssize_t head) except -1
    @cython.final
    cdef int _drain_head(self, Channel channel, Stream stream, int first, int64_t size) except -1
    cdef int keep_back(self, Channel channel, Stream stream, octets p, Py_ssize_t pos, Py_ssize_t end) except -1
    cdef bint understands(self, int first) except -1
    cdef bint may_fit(self, Channel channel, int first, int64_t size) except -1
    @cython.locals(assembly=Assembly, have=int64_t)
    cdef void _count_fragment(self, Channel channel, Stream stream, int64_t size) except *
    @cython.final
    @cython.locals(limits=Limits, assembly=Assembly)
    cdef void _count(self, Channel channel, Stream stream, int64_t size, int64_t have, int64_t most) except *
    cdef int too_big(self, str limit, Channel channel, Stream stream) except -1
    @cython.final
    @cython.locals(opcode=int)
    cdef int _payload(self, Channel channel, Stream stream, octets p, Py_ssize_t pos, Py_ssize_t n) except -1
    cdef int expand(self, Channel channel, Stream stream, octets p, Py_ssize_t pos, Py_ssize_t n) except -1
    @cython.final
    @cython.locals(assembly=Assembly, buffer=Buffer, early=int64_t, complete=bint)
    cdef int _gather(self, Channel channel, Stream stream, int opcode, octets p, Py_ssize_t pos, Py_ssize_t n) except -1
    @cython.locals(assembly=Assembly, data=bytes, text=bint)
    cdef int stream_parts(self, Channel channel, Stream stream) except -1
    @cython.final
    @cython.locals(assembly=Assembly, buffer=Buffer, data=bytes, text=bint, final=bint)
    cdef int _part(self, Channel channel, Stream stream, int opcode, octets p, Py_ssize_t pos, Py_ssize_t n) except -1
    @cython.final
    @cython.locals(data=bytes)
    cdef void _control(self, Channel channel, Stream stream, int opcode, octets p, Py_ssize_t pos, Py_ssize_t n) except *
    @cython.locals(code=int, n="Py_ssize_t", fault=int, p=octets)
    cdef void _receive_close(self, Channel channel, Stream stream, bytes data) except *
    @cython.locals(closing=Closing)
    cdef int _close_details(self, int received_code, str received_reason, int sent_code, str sent_reason) except -1
    cdef int _write_close(self, Channel channel, Stream stream, int code, str reason) except -1
    cdef int fail(self, Channel channel, Stream stream, int code, str reason) except -1
    cdef int close(self, Channel channel, Stream stream, int code, str reason) except -1
    @cython.locals(n=int64_t)
    cdef int _drop_assembly(self, Channel channel, Stream stream) except -1
    cdef int ended(self, Channel channel, Stream stream) except -1
    cdef int broken(self, Channel channel, Stream stream, unsigned int error_code, str reason, bint remote, bint retryable) except -1
    cdef int lost(self, Channel channel, Stream stream, unsigned int error_code, str reason, bint remote, bint retryable) except -1
    @cython.locals(closing=Closing, code=int)
    cdef void _report(self, Channel channel, Stream stream, int64_t error_code) except *
    cdef bint writable(self) noexcept
    cdef bint is_plain(self) noexcept
    cdef bint heard_close(self) noexcept
    @cython.locals(binary=bytes)
    cdef object answer(self, Channel channel, Stream stream, object data)
    @cython.final
    @cython.locals(first_octet=int)
    cdef object _answer(self, Channel channel, Stream stream, object data)
    cdef bint whole(self, Channel channel, Stream stream, int opcode, object data, bint compress) except -1
    cdef int part(self, Channel channel, Stream stream, int opcode, object data, bint final, bint compress) except -1
    cdef bint share(self, Channel channel, Stream stream, int opcode, object data, dict packed) except -1
    cdef int send(self, Channel channel, Stream stream, int opcode, object data, bint final) except -1


@cython.locals(layer=MessageLayer)
cpdef MessageLayer new_message_layer(bint client)
cpdef MessageLayer begin(MessageLayer layer, bint client)
