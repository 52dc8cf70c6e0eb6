cimport cython
from libc.stdint cimport int64_t

from .buffers cimport Buffer
from .chunks cimport Chunks
from .deflate cimport DeflateLayer
from .kernels cimport whole
from .messages cimport MessageLayer, payload
from .opening cimport Opening
from .stream cimport Layer, Stream
from .stream_map cimport numbers

cdef unsigned int ANSWERED, BINARY, CANCEL, CLOSED, CLOSING, DIRECT, END, HALF_CLOSED_LOCAL, HALF_CLOSED_REMOTE, HIGH, LOCAL, NO_CONTENT, NO_STATUS_RCVD
cdef unsigned int OPCODE, OVER, PING, PRIORITY_UPDATE, REFUSED, REFUSED_STREAM, TEXT, TRAILED, TUNNELLED, WS_PING, WS_PONG
cdef int DEAD, FIN, INCREMENTAL, OWN_INCREMENTAL, OWN_URGENCY, URGENCY


cdef class Sender(Opening):
    @cython.locals(stream=Stream, chunks=Chunks)
    cpdef int64_t send_data(self, int64_t stream_id, data, bint end_stream=*) except -1
    cdef int _check_writable(self, Stream stream) except -1
    @cython.final
    cdef int _check_queue(self, int64_t n) except -1
    @cython.locals(stream=Stream, rank=int, value=bytes, control=Buffer)
    cpdef prioritize(self, int64_t stream_id, urgency=*, incremental=*)
    @cython.locals(stream=Stream)
    cpdef priority(self, int64_t stream_id)
    @cython.locals(stream=Stream, layer=MessageLayer, opcode=int)
    cpdef int64_t send_message(self, int64_t stream_id, data) except -1
    @cython.locals(stream=Stream, layer=MessageLayer, opcode=int)
    cpdef int64_t send_fragment(self, int64_t stream_id, data, bint final, bint compress=*) except -1
    @cython.locals(stream=Stream)
    cpdef int64_t send_message_as(self, int64_t stream_id, data, bint compress) except -1
    @cython.locals(opcode=int)
    cdef int64_t _send_as(self, Stream stream, MessageLayer layer, object data, bint compress) except -1
    @cython.locals(layer=Layer, deflated=DeflateLayer)
    cpdef object deflated(self, int64_t stream_id)
    @cython.locals(others=list, stream=Stream, opcode=int)
    cpdef send_many(self, stream_ids, data, dict packed=*)
    @cython.locals(stream=Stream, messages=MessageLayer)
    cpdef stream_messages(self, int64_t stream_id)
    @cython.locals(stream=Stream)
    cpdef withhold(self, int64_t stream_id, bint held)
    @cython.locals(messages=MessageLayer)
    cdef void _send_one_of_many(self, Stream stream, int opcode, object data, dict packed) except *
    @cython.final
    @cython.locals(layer=Layer, messages=MessageLayer)
    cdef MessageLayer _open_websocket(self, Stream stream)
    cpdef ping(self, int64_t stream_id, data=*)
    @cython.locals(stream=Stream)
    cdef int _send_control(self, int64_t stream_id, int opcode, bytes data) except -1
    @cython.locals(stream=Stream, layer=Layer, messages=MessageLayer)
    cpdef close_websocket(self, int64_t stream_id, code=*, reason=*)
    @cython.locals(stream=Stream)
    cpdef consumed(self, int64_t stream_id, int64_t credit)
    @cython.locals(stream=Stream)
    cpdef reset(self, int64_t stream_id, error_code=*)
    @cython.locals(stream=Stream)
    cpdef refuse(self, int64_t stream_id, str limit)
    @cython.locals(stream=Stream)
    cpdef attach(self, int64_t stream_id, sink, on_message=*)
