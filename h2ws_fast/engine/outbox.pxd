cimport cython
from libc.stdint cimport int64_t

from .bodies cimport Bodies
from .buffers cimport Buffer, OutBuffer
from .chunks cimport Chunks
from .stream cimport Stream

cdef unsigned int NONE, DATA, END, END_STREAM, OWED, PROMPT, READY, STALLED, TUNNELLED
cdef int DEFAULT_FRAME_SIZE, DEFAULT_RANK, DEFAULT_WINDOW, HEADS_SHIFT, QUANTUM, SPARE_SHIFT, SWEEP
cdef int PULL_MORE, TINY, URGENCY


@cython.final
cdef class Outbox:
    cdef Buffer control
    cdef Py_ssize_t control_at
    cdef Chunks chunks
    cdef Stream first
    cdef Stream last
    cdef Stream round_first
    cdef Stream round_last
    cdef Bodies bodies
    cdef list finished
    cdef int64_t queued
    cdef int64_t blocked
    cdef int64_t nearest
    cdef int64_t round_size
    cdef int64_t round_left
    cdef int64_t spare
    cdef int64_t stale
    cdef int64_t sweep_at
    cdef int64_t data_frames
    cdef int64_t dribbles
    cdef int64_t window
    cdef int64_t initial
    cdef int64_t max_frame
    cdef int64_t write_low
    cdef int64_t widest
    cdef int repeat

    cdef int append(self, Stream stream, unsigned int node, int64_t n) except -1
    cdef int _enter(self, Stream stream) except -1
    cdef int _block(self, Stream stream) except -1
    cdef bint releases(self, int64_t initial) noexcept
    cdef int _go_to_front(self, Stream stream) except -1
    cdef int schedule(self, Stream stream) except -1
    cdef int _join_round(self, Stream stream) except -1
    cdef int place(self, Stream stream, int rank) except -1
    @cython.locals(was=int64_t)
    cdef int widen(self, Stream stream, int64_t n) except -1
    @cython.locals(was=int64_t, stream=Stream)
    cdef int resize(self, int64_t initial, list streams) except -1
    @cython.locals(stream=Stream)
    cdef int measure(self, list streams) except -1
    cdef int drop(self, Stream stream) except -1
    @cython.locals(front=Stream, stream=Stream, following=Stream, kept=int64_t)
    cdef int _sweep(self) except -1
    cdef int _empty_rows(self) except -1
    cdef bint waiting(self)
    @cython.locals(n=int64_t)
    cdef int64_t may_fill(self) noexcept
    @cython.locals(n=int64_t, stream=Stream)
    cdef int fill(self, OutBuffer out, int64_t budget) except -1
    cdef bint _is_alone(self) noexcept
    @cython.locals(left=int64_t, room=int64_t, count=int64_t)
    cdef int64_t _write_frames(self, OutBuffer out, Stream stream, int64_t budget) except -1
    cdef Stream _turn(self)
    @cython.locals(urgency=int, over=bint)
    cdef int _had_turn(self, Stream stream) except -1
    cdef int _look_at(self, Stream stream, int64_t n) except -1
    cdef int _leave(self, Stream stream) except -1
    cdef int _leave_front(self, Stream stream) except -1
    @cython.locals(flags=int)
    cdef int _write_data(self, OutBuffer out, Stream stream, int64_t n) except -1
    cdef int _account(self, Stream stream, int64_t n) except -1
    cdef int write_end(self, Stream stream) except -1
    @cython.locals(front=Stream, stream=Stream, following=Stream, body=Stream)
    cdef int close(self) except -1
