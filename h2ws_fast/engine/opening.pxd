cimport cython
from libc.stdint cimport int64_t

from .buffers cimport Buffer
from .deflate cimport new_deflate_layer
from .fanout cimport Fanout
from .headers cimport capsule_fault
from .kernels cimport address, whole
from .layers cimport Pending, new_unanswered
from .messages cimport new_message_layer
from .stream cimport Layer, Stream, new_stream

cdef unsigned int ANSWERED, CLOSED, CONTINUATION, END_HEADERS, END_STREAM, HALF_CLOSED_LOCAL, HEADERS, HEAD_ONLY, LOCAL, MAX_STREAM_ID, NO_CONTENT, OVER, PROMPT
cdef unsigned int REFUSED, TUNNELLED
cdef int FIRST_REQUEST_TIMER, HANDSHAKE_TIMER, MAX_REMEMBERED
cdef Layer REFUSAL, TUNNEL
cdef frozenset CAPSULE_PROTOCOLS

@cython.locals(reason=str)
cdef int _check_capsules(str protocol, list fields, int status) except -1


@cython.final
cdef class Asked:
    cdef bint connect, head_only, octets
    cdef int64_t changes, size
    cdef bytes block, priority
    cdef list fields, written
    cdef str protocol


@cython.locals(asked=Asked, size=int64_t, name=bytes, value=bytes)
cdef Asked new_asked(list fields, str protocol)
cdef bint _is_plain(object text) noexcept
cdef list _plain_list(object headers)
@cython.locals(at="Py_ssize_t", before=tuple)
cdef bint _is_same(list written, object headers) except -1


cdef class Opening(Fanout):
    cdef Asked _asked
    cdef bint _receiving
    cdef bint accept_key

    @cython.locals(asked=Asked, fields=list, at="Py_ssize_t", name=bytes, token=bytes, lower=bytes, protocol=str)
    cdef Asked _ask(self, object headers, bint octets)
    @cython.locals(stream=Stream, protocol=str, rank=int)
    cdef unsigned int _open(self, Asked asked, object subprotocols, bint end_stream, object deflate) except 0
    @cython.locals(changes=int64_t)
    cdef bytes _block(self, Asked asked)
    cdef int _check_opens(self, str protocol) except -1
    cdef bytes _priority_field(self, list fields)
    @cython.locals(size=int64_t)
    cdef int _check_list_size(self, list fields) except -1
    cdef int _check_size(self, int64_t size) except -1
    @cython.locals(stream=Stream, layer=Layer, pending=Pending, fields=list, value=bytes, tunnel=bint, status=int)
    cpdef respond(self, int64_t stream_id, headers, bint end_stream=*, bint octets=*)
    @cython.locals(stream=Stream, pending=Pending)
    cpdef take_first(self, int64_t stream_id, octets)
    @cython.locals(layer=Layer)
    cdef int _release_early(self, Stream stream, Pending pending) except -1
    @cython.locals(early=Buffer, data=bytes, layer=Layer, n="Py_ssize_t", was=bint)
    cdef int _receive_early(self, Stream stream, Pending pending) except -1
    cdef int _credit_early(self, Stream stream) except -1
    @cython.locals(layer=Layer)
    cdef Pending _pending(self, Stream stream)
    @cython.locals(stream=Stream)
    cdef Stream _answerable(self, int64_t stream_id)
    @cython.locals(stream=Stream)
    cdef Stream _stream(self, int64_t stream_id)
    @cython.final
    cdef Stream _find(self, int64_t stream_id)
    cdef object _is_none(self, int64_t stream_id)
    cdef int write_headers(self, Stream stream, list fields, bint end_stream) except -1
    @cython.locals(control=Buffer, flags="unsigned int", n="Py_ssize_t", limit="Py_ssize_t", at="Py_ssize_t", size="Py_ssize_t")
    cdef int _write_block(self, Stream stream, bytes block, bint end_stream) except -1
