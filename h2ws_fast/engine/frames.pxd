cimport cython
from libc.stdint cimport int64_t, uint32_t

from .buffers cimport Buffer
from .delivery cimport Delivery
from .kernels cimport address, octets, take, u24, u32
from .stream cimport Layer, Stream

cdef unsigned int ACK, CLOSED, CONTINUATION, DATA, DEFAULT_FRAME_SIZE, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM
cdef unsigned int FRAME_SIZE_ERROR, GOAWAY, HEADERS, MAX_STREAM_ID, PADDED, PING, PRIORITY
cdef unsigned int PRIORITY_FLAG, PRIORITY_UPDATE, PROTOCOL_ERROR, PUSH_PROMISE, RST_STREAM
cdef unsigned int SETTINGS, WINDOW_UPDATE
cdef int AWAIT_PREFACE, READ_HEAD, READ_PAD, READ_PAYLOAD, READ_SKIP, READ_WHOLE, DEAD
cdef bytes PREFACE
cdef int64_t MIN_CONTINUATIONS, UNLIMITED


cdef class FrameReader(Delivery):
    cdef int phase
    cdef unsigned int kind, flags, stream_id
    cdef Py_ssize_t left, padding, max_frame, max_block
    cdef bytes partial
    cdef Buffer collected
    cdef Buffer block
    cdef unsigned int block_id, block_flags, block_promised
    cdef int64_t block_frames
    cdef Stream target
    cdef bint greeted
    cdef bint block_loops, heed_loops

    @cython.final
    @cython.locals(pos="Py_ssize_t", end="Py_ssize_t")
    cdef int read(self, octets p, Py_ssize_t n) except -1
    cdef Py_ssize_t _read_preface(self, octets p, Py_ssize_t pos, Py_ssize_t n) except -1
    @cython.locals(partial=bytes, held=octets, size="Py_ssize_t")
    cdef Py_ssize_t _partial_head(self, octets p, Py_ssize_t pos, Py_ssize_t n) except -1
    @cython.final
    cdef Py_ssize_t _frame(self, octets p, Py_ssize_t pos, Py_ssize_t n, Py_ssize_t length, unsigned int kind, unsigned int flags, unsigned int stream_id) except -1
    @cython.locals(error="unsigned int")
    cdef bint _check_head(self, Py_ssize_t length, unsigned int kind, unsigned int flags, unsigned int stream_id) except -1
    @cython.locals(besides="Py_ssize_t")
    cdef bint _fits(self, Py_ssize_t length, unsigned int kind, unsigned int flags) except -1
    @cython.locals(most=int64_t)
    cdef int64_t _most_continuations(self) except -1
    @cython.locals(size="Py_ssize_t", whole=bytes)
    cdef Py_ssize_t _collect(self, octets p, Py_ssize_t pos, Py_ssize_t n) except -1
    @cython.locals(kind="unsigned int")
    cdef int _whole(self, octets p, Py_ssize_t pos, Py_ssize_t n) except -1
    @cython.final
    @cython.locals(stream=Stream, layer=Layer)
    cdef Py_ssize_t _begin_data(self, octets p, Py_ssize_t pos, Py_ssize_t n, Py_ssize_t length, unsigned int flags, unsigned int stream_id) except -1
    @cython.locals(stream=Stream, layer=Layer, size="Py_ssize_t")
    cdef Py_ssize_t _continue_data(self, octets p, Py_ssize_t pos, Py_ssize_t n) except -1
    @cython.locals(flags="unsigned int", end="Py_ssize_t", padding="Py_ssize_t", fixed="Py_ssize_t", depends_on="unsigned int")
    cdef void _begin_block(self, octets p, Py_ssize_t pos, Py_ssize_t n) except *
    @cython.locals(whole=bytes)
    cdef void _continue_block(self, octets p, Py_ssize_t pos, Py_ssize_t n) except *
    cdef int reached(self, str name, str reason) except -1

    cdef int fail_connection(self, unsigned int error_code, str reason) except -1
    cdef int empty_frame(self) except -1
    cdef int padded(self, Py_ssize_t content) except -1
    cdef Py_ssize_t read_tunnels(self, octets p, Py_ssize_t pos, Py_ssize_t n) except -1
    cdef Py_ssize_t read_rest(self, octets p, Py_ssize_t pos, Py_ssize_t n) except -1
    cdef Stream begin_data(self, unsigned int stream_id, Py_ssize_t length, unsigned int flags)
    cdef int end_data(self, Stream stream) except -1
    cdef bint begin_block(self, unsigned int stream_id) except -1
    cdef int start_block(self) except -1
    cdef int end_block(self) except -1
    cdef int receive_block(self, unsigned int stream_id, unsigned int end_stream, unsigned int promised, octets p, Py_ssize_t pos, Py_ssize_t n) except -1
    cdef int receive_frame(self, unsigned int kind, unsigned int flags, unsigned int stream_id, octets p, Py_ssize_t pos, Py_ssize_t n) except -1
