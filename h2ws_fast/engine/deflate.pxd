cimport cython
from libc.stdint cimport int64_t

from .assembly cimport Assembly, new_assembly
from .backlog cimport Backlog, new_backlog
from .buffers cimport Buffer
from .kernels cimport address, octets, rotate, take, unmask, unmask_text
from .messages cimport MessageLayer, begin, payload
from .stream cimport Channel, Stream

cdef int BINARY, CONTINUATION_FRAME, DEFLATES, FIN, INVALID_DATA, OPCODE
cdef int POLICY_VIOLATION, RSV1, TEXT
cdef unsigned int BACKLOG
cdef int BEHIND, CLOSE_RECEIVED, CLOSE_SENT, DISCARD, HEAD, PAYLOAD, REPORTED
cdef int MAX_PIECES
cdef int64_t FINAL_WORK, MAX_AT_ONCE, MAX_WAITING, MESSAGE_WORK
cdef Py_ssize_t SLICE
cdef Py_ssize_t WINDOW
cdef object SYNC_FLUSH
cdef bytes EMPTY_BLOCK, LAST_BLOCK, TAIL


@cython.final
cdef class Window:
    cdef list pieces
    cdef Py_ssize_t size

    @cython.locals(n="Py_ssize_t")
    cdef int add(self, bytes data) except -1
    @cython.locals(data=bytes, n="Py_ssize_t")
    cdef bytes content(self)


cdef class DeflateLayer(MessageLayer):
    cdef object agreed
    cdef Backlog backlog
    cdef object compressor
    cdef object decompressor
    cdef Window window
    cdef int finals  # blocks of a message that were marked as final
    cdef bint fresh  # nothing came since the last of them

    @cython.locals(assembly=Assembly)
    cdef int64_t _came(self) except -1
    @cython.locals(assembly=Assembly, most=int64_t)
    cdef void _count_fragment(self, Channel channel, Stream stream, int64_t size) except *
    @cython.locals(assembly=Assembly, buffer=Buffer, data=bytes, final=bint, text=bint, size="Py_ssize_t", have=int64_t, room=int64_t)
    cdef int _expand_piece(self, Channel channel, Stream stream, octets p, Py_ssize_t pos, Py_ssize_t n) except -1
    @cython.locals(rest=int64_t)
    cdef int expand(self, Channel channel, Stream stream, octets p, Py_ssize_t pos, Py_ssize_t n) except -1
    @cython.locals(size="Py_ssize_t")
    cdef int _expand_whole(self, Channel channel, Stream stream, bytes data) except -1
    @cython.locals(expanded=bytes, alone=bint, whole=bint, most=int64_t, finals=int)
    cdef bytes _expand(self, Channel channel, Stream stream, bytes data, bint final, int64_t room)
    @cython.locals(window=Window, pieces=list, size=int64_t, data=bytes, more=bytes)
    cdef bytes _after_final_block(self, bytes expanded, bint last, int64_t room, int64_t most)
    cdef bint _is_fresh(self) noexcept
    @cython.locals(full=bint)
    cdef bint _wait(self, Channel channel, Stream stream) except -1
    @cython.locals(waiting=int64_t)
    cdef bint _is_full(self, Channel channel, Stream stream) except -1
    @cython.locals(backlog=Backlog)
    cdef int keep_back(self, Channel channel, Stream stream, octets p, Py_ssize_t pos, Py_ssize_t end) except -1
    cdef int go_on(self, Channel channel, Stream stream) except -1
    @cython.locals(most=int64_t)
    cdef int drain(self, Channel channel, Stream stream) except -1
    @cython.locals(backlog=Backlog, data=bytes, at="Py_ssize_t", n="Py_ssize_t")
    cdef int _read_on(self, Channel channel, Stream stream) except -1
    @cython.locals(backlog=Backlog)
    cdef int _drop_backlog(self, Channel channel, Stream stream) except -1
    @cython.locals(backlog=Backlog, n=int64_t)
    cdef int _drop_assembly(self, Channel channel, Stream stream) except -1
    cdef int ended(self, Channel channel, Stream stream) except -1
    @cython.locals(opcode=int)
    cdef object answer(self, Channel channel, Stream stream, object data)
    @cython.locals(n="Py_ssize_t", packed=bytes)
    cdef bint whole(self, Channel channel, Stream stream, int opcode, object data, bint compress) except -1
    @cython.locals(n="Py_ssize_t", common=bytes)
    cdef bint share(self, Channel channel, Stream stream, int opcode, object data, dict packed) except -1
    @cython.locals(sending=int, first=int)
    cdef int part(self, Channel channel, Stream stream, int opcode, object data, bint final, bint compress) except -1
    @cython.locals(compressed=bytes)
    cdef bytes _compress(self, object data)


cdef int64_t grown(int64_t most) noexcept
cdef bytes ending(bytes compressed)
@cython.locals(layer=DeflateLayer)
cpdef MessageLayer new_deflate_layer(bint client, object agreed)
