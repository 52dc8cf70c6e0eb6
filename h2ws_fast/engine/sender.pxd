cimport cython
from libc.stdint cimport int64_t

from .fanout cimport Fanout
from .deflate cimport DeflateLayer, new_deflate_layer
from .buffers cimport Buffer
from .chunks cimport Chunks
from .kernels cimport address, whole
from .headers cimport capsule_fault
from .layers cimport Pending, new_unanswered
from .messages cimport MessageLayer, new_message_layer, payload
from .stream cimport Layer, Stream, new_stream
from .stream_map cimport numbers

cdef unsigned int ANSWERED, BINARY, CANCEL, CLOSED, CLOSING, CONTINUATION, DIRECT, END, END_HEADERS, END_STREAM
cdef unsigned int HALF_CLOSED_LOCAL, HALF_CLOSED_REMOTE, HEADERS, HEAD_ONLY, HIGH, LOCAL
cdef unsigned int MAX_STREAM_ID, NO_STATUS_RCVD, OPCODE, OVER, PING, PRIORITY_UPDATE, PROMPT, REFUSED, REFUSED_STREAM, TEXT, TRAILED
cdef unsigned int TUNNELLED, WS_PING, WS_PONG
cdef int FIN, FIRST_REQUEST_TIMER, HANDSHAKE_TIMER, INCREMENTAL, OWN_INCREMENTAL, OWN_URGENCY, URGENCY
cdef Layer REFUSAL, TUNNEL
cdef frozenset CAPSULE_PROTOCOLS

@cython.locals(reason=str)
cdef int _check_capsules(str protocol, list fields, int status) except -1


cdef class Sender(Fanout):
    cdef bint _receiving
    cdef bint accept_key

    @cython.locals(stream=Stream, value=bytes, rank=int)
    cdef unsigned int _open(self, list fields, str protocol, bint connect, bint head_only, object subprotocols, bint end_stream, object deflate) except 0
    cdef int _check_opens(self, str protocol) except -1
    cdef bytes _priority_field(self, list fields)
    @cython.locals(size=int64_t)
    cdef int _check_list_size(self, list fields) except -1
    @cython.locals(stream=Stream, layer=Layer, pending=Pending, fields=list, value=bytes, tunnel=bint, status=int)
    cpdef respond(self, int64_t stream_id, headers, bint end_stream=*, bint octets=*)
    @cython.locals(stream=Stream, early=Buffer, data=bytes, layer=Layer, n="Py_ssize_t", was=bint)
    cdef int _release_early(self, Stream stream, Pending pending) except -1
    cdef int _credit_early(self, Stream stream) except -1
    @cython.locals(layer=Layer)
    cdef Pending _pending(self, Stream stream)
    @cython.locals(stream=Stream)
    cdef Stream _answerable(self, int64_t stream_id)
    @cython.locals(stream=Stream)
    cdef Stream _stream(self, int64_t stream_id)
    @cython.locals(stream=Stream, chunks=Chunks)
    cpdef int64_t send_data(self, int64_t stream_id, data, bint end_stream=*) except -1
    cdef int _check_writable(self, Stream stream) except -1
    @cython.final
    cdef int _check_queue(self, int64_t n) except -1
    @cython.locals(block=bytes, control=Buffer, flags="unsigned int", n="Py_ssize_t", limit="Py_ssize_t", at="Py_ssize_t", size="Py_ssize_t")
    cdef int write_headers(self, Stream stream, list fields, bint end_stream) except -1
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
    @cython.final
    cdef Stream _find(self, int64_t stream_id)
    cdef object _is_none(self, int64_t stream_id)
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
