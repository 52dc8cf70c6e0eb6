cimport cython
from libc.stdint cimport int64_t

from .carrier cimport Carrier
from .guard cimport Guard
from .headers cimport RequestHead, ResponseHead, capsule_fault
from .kernels cimport octets
from .layers cimport Unanswered, new_body, new_pending
from .deflate cimport new_deflate_layer
from .messages cimport new_message_layer
from .stream cimport Layer, Stream, new_stream

cdef unsigned int ANSWERED, BODY_IN, CANCEL, CLOSED, ENHANCE_YOUR_CALM, HALF_CLOSED_REMOTE, HEAD_ONLY, LOCAL, OVER
cdef unsigned int PROMPT, PROTOCOL_ERROR, REFUSED_STREAM, STREAM_CLOSED, TUNNELLED
cdef int HANDSHAKE_TIMER, HEADER_BLOCK_TIMER, FIRST_REQUEST_TIMER, LIGHT_LIST, MAX_SHARED, SWEEP_TIMER
cdef Layer DISCARDED, TUNNEL
cdef frozenset CAPSULE_PROTOCOLS

cdef object opened_event(unsigned int stream_id, int status, list headers, str subprotocol)
cdef object responded_event(unsigned int stream_id, int status, list headers, bint ended)


cdef class Heads(Carrier):
    cdef bint begin_block(self, unsigned int stream_id) except -1
    cdef int start_block(self) except -1
    cdef int end_block(self) except -1
    @cython.locals(stream=Stream, fields=list)
    cdef int receive_block(self, unsigned int stream_id, unsigned int end_stream, unsigned int promised, octets p, Py_ssize_t pos, Py_ssize_t n) except -1
    @cython.locals(guard=Guard, stream=Stream, head=RequestHead, rank=int, pending=int64_t, size=int64_t, heavy=bint, key=bytes, protocol=str, layer=Layer)
    cdef void _open_stream(self, unsigned int stream_id, list fields, unsigned int end_stream) except *
    cdef bint _may_hold(self, int64_t size) except -1
    cdef int _hold_list(self, unsigned int stream_id, int64_t size) except -1
    cdef str _shared(self, str authority)
    @cython.locals(rank=int)
    cdef int _take_update(self, unsigned int stream_id) except -2
    @cython.locals(layer=Layer, size=int64_t)
    cdef void _receive_more_headers(self, Stream stream, list fields, unsigned int end_stream) except *
    @cython.locals(tunnel=bint, head=ResponseHead, expected=int64_t, reason=str, unanswered=Unanswered)
    cdef void _receive_response(self, Stream stream, list fields, unsigned int end_stream) except *
    @cython.locals(unanswered=Unanswered, reason=str)
    cdef void _open_tunnel(self, Stream stream, ResponseHead head, unsigned int end_stream) except *
    @cython.locals(stream=Stream)
    cdef int _receive_push(self, unsigned int stream_id, unsigned int promised) except -1
