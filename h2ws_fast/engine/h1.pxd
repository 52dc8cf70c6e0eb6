cimport cython
from libc.stdint cimport int64_t

from .deflate cimport DeflateLayer, new_deflate_layer
from .delivery cimport Delivery
from .guard cimport Guard
from .arrivals cimport bytes_message, text_message
from .buffers cimport OutBuffer, Pool
from .chunks cimport Chunks
from .kernels cimport address, flat, octets, whole
from .raised cimport Raised, attempt
from .limits cimport Limits
from .masking cimport MaskKeys
from .messages cimport MessageLayer, new_message_layer, payload
from .sink cimport CallbackSink, Sink
from .stream cimport Layer, Stream, new_stream
from .timers cimport Timers

cdef unsigned int BACKLOG, BINARY, CLOSED, CLOSING, DIRECT, FIN, GOING_AWAY, HALF_CLOSED_LOCAL
cdef unsigned int HALF_CLOSED_REMOTE, HIGH
cdef unsigned int LATE_PONG, LOCAL, MAX_STREAM_ID, NO_ERROR, NO_STATUS_RCVD, NONE, OPCODE, OVER, TEXT
cdef unsigned int TRY_AGAIN_LATER, WS_INTERNAL_ERROR, WS_PING, WS_PONG
cdef unsigned int STREAM_ID
cdef int CLOSE_TIMER, GO_ON_TIMER, SWEEP_TIMER
cdef double NEVER, ROUNDING_S
cdef Layer DISCARDED
cdef Limits DEFAULTS
cdef int64_t EVENT_OCTETS, UNLIMITED


cdef class Upgraded(Delivery):
    cdef readonly object role
    cdef readonly bint terminated
    cdef Chunks _chunks
    cdef Guard _guard
    cdef MaskKeys _keys
    cdef MessageLayer _messages
    cdef Pool _pool
    cdef Stream _stream
    cdef Timers _timers
    cdef int64_t _partial
    cdef bytes _pong
    cdef bint _held_back
    cdef bint _receiving, _sending
    cdef int64_t _sent_mark
    cdef double _sent_since
    cdef int64_t messages_received, octets_received, octets_sent

    cpdef list receive_data(self, data, double now=*)
    @cython.locals(stream=Stream, layer=Layer)
    cdef int _read(self, octets p, Py_ssize_t n) except -1
    @cython.locals(stream=Stream, layer=Layer)
    cdef void _end_of_input(self) except *
    @cython.locals(buffers=list, stream=Stream, out=OutBuffer, n=int64_t)
    cpdef list data_to_send(self, int64_t max_bytes=*, double now=*)
    @cython.locals(stream=Stream)
    cdef int _drained(self) except -1
    @cython.locals(stream=Stream, layer=Layer)
    cdef void _go_on(self) except *
    cdef void _sweep(self, double now) except *
    @cython.locals(stream=Stream, layer=Layer)
    cdef int _abort(self, str reason) except -1
    @cython.locals(stream=Stream)
    cdef void _finish(self, bint remote) except *
    @cython.locals(opcode=int)
    cpdef int64_t send_message(self, int64_t stream_id, data) except -1
    @cython.locals(opcode=int)
    cpdef int64_t send_message_as(self, int64_t stream_id, data, bint compress) except -1
    @cython.locals(opcode=int)
    cdef int64_t _send_as(self, object data, bint compress) except -1
    @cython.locals(opcode=int)
    cpdef int64_t send_fragment(self, int64_t stream_id, data, bint final, bint compress=*) except -1
    @cython.locals(layer=DeflateLayer)
    cpdef object deflated(self, int64_t stream_id)
    cpdef int64_t send_data(self, int64_t stream_id, data, bint end_stream=*) except -1
    @cython.locals(messages=MessageLayer, opcode=int, n=Py_ssize_t, stream_id=int64_t, own=int64_t)
    cpdef send_many(self, stream_ids, data, dict packed=*)
    cdef int _send_control(self, int64_t stream_id, int opcode, bytes data) except -1
    @cython.locals(stream=Stream)
    cpdef consumed(self, int64_t stream_id, int64_t credit)
    @cython.locals(stream=Stream)
    cpdef int64_t waiting(self, int64_t stream_id) except -1
    cpdef bint is_blocked(self, int64_t stream_id) except -1
    @cython.final
    cdef int _check(self, int64_t stream_id) except -1
    @cython.final
    cdef object _unknown(self, int64_t stream_id)
    @cython.final
    cdef void _pass_over(self, int64_t stream_id) except *
    cdef int _check_open(self) except -1
    cdef int _check_queue(self, int64_t n) except -1

    @cython.locals(chunks=Chunks, node="unsigned int")
    cdef int write_frame(self, Stream stream, int first_octet, object data) except -1
    cdef bint push_message(self, Stream stream, int first_octet, object data, int64_t n) except -1
    cdef object queue_is_full(self)
    cdef int count_hit(self, str name) except -1
    cdef int delay_pong(self, Stream stream, bytes data) except -1
    @cython.locals(data=bytes)
    cdef int late_pong(self, Stream stream) except -1
    cdef int hold(self, Stream stream, int64_t n) except -1
    cdef int keep(self, Stream stream, int64_t n) except -1
    cdef int _check_buffered(self, Stream stream) except -1
    cdef int hold_back(self, Stream stream, int64_t n) except -1
    cdef int let_go(self, Stream stream, int64_t n) except -1
    cdef int go_on_soon(self, Stream stream) except -1
    @cython.locals(sink=Sink, direct=CallbackSink)
    cdef int deliver(self, Stream stream, object data, int64_t credit, int64_t early) except -1
    @cython.locals(n=int64_t, credit=int64_t)
    cdef int deliver_part(self, Stream stream, bytes data, bint text, bint final, bint early) except -1
    cdef int fail_application(self, Stream stream) except -1
    cdef int end(self, Stream stream) except -1
    cdef int over(self, Stream stream) except -1
    cdef int start_closing(self, Stream stream) except -1
