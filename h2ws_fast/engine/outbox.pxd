cimport cython
from libc.stdint cimport int64_t

from .kernels cimport Buffer, Chunks, OutBuffer
from .stream cimport Stream

cdef unsigned int NONE, DATA, END, END_STREAM, OWED, READY
cdef int DEFAULT_FRAME_SIZE, DEFAULT_WINDOW, QUANTUM, TINY


@cython.final
cdef class Outbox:
    cdef Buffer control
    cdef Py_ssize_t control_at
    cdef Chunks chunks
    cdef Stream first
    cdef Stream last
    cdef list finished
    cdef int64_t queued
    cdef int64_t blocked
    cdef int64_t nearest
    cdef int64_t ring
    cdef int64_t stale
    cdef int64_t data_frames
    cdef int64_t dribbles
    cdef int64_t window
    cdef int64_t initial
    cdef int64_t max_frame
    cdef int64_t write_low
    cdef int64_t widest

    @cython.locals(n=int64_t)
    cdef int append(self, Stream stream, unsigned int node) except -1
    cdef int _enter(self, Stream stream) except -1
    cdef int _block(self, Stream stream) except -1
    cdef bint releases(self, int64_t initial) noexcept
    cdef int schedule(self, Stream stream) except -1
    @cython.locals(was=int64_t)
    cdef int widen(self, Stream stream, int64_t n) except -1
    @cython.locals(was=int64_t, stream=Stream)
    cdef int resize(self, int64_t initial, list streams) except -1
    @cython.locals(stream=Stream)
    cdef int measure(self, list streams) except -1
    cdef int drop(self, Stream stream) except -1
    @cython.locals(stream=Stream, following=Stream)
    cdef int _sweep(self) except -1
    cdef bint waiting(self)
    @cython.locals(n=int64_t, stream=Stream)
    cdef int fill(self, OutBuffer out, int64_t budget) except -1
    cdef int _leave_ring(self, Stream stream) except -1
    @cython.locals(flags=int)
    cdef int _write_data(self, OutBuffer out, Stream stream, int64_t n) except -1
    cdef int write_end(self, Stream stream) except -1
    @cython.locals(stream=Stream, following=Stream)
    cdef int close(self) except -1
