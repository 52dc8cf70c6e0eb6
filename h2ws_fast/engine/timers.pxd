cimport cython

from .limits cimport Limits

cdef int PREFACE_TIMER, SETTINGS_ACK_TIMER, FRAME_TIMER, HEADER_BLOCK_TIMER, FIRST_REQUEST_TIMER
cdef int IDLE_TIMER, SWEEP_TIMER, KEEPALIVE_TIMER, PONG_TIMER, SHUTDOWN_TIMER, KINDS
cdef int HANDSHAKE_TIMER, CLOSE_TIMER, GO_ON_TIMER
cdef double EARLY, MARKED, NEVER


@cython.final
cdef class Timers:
    cdef Limits _limits
    cdef bint _client, _fresh
    cdef double[10] _at
    cdef double _earliest
    cdef double _silence  # see `silence_s`; 0 until it was drawn
    cdef dict _marked
    cdef dict _queues

    cdef void mark(self, int kind, unsigned int stream_id) except *
    cdef void again(self, int kind, unsigned int stream_id, double deadline) except *
    cdef void begin(self, int kind, double deadline) noexcept
    cdef bint runs(self, int kind) noexcept
    cdef double silence_s(self) except -1
    @cython.locals(limits=Limits)
    cdef double _duration(self, int kind) except -1
    cdef int _drop(self, int kind) except -1
    cdef void cancel(self, int kind, unsigned int stream_id) except *
    @cython.locals(marked=dict, kind=int)
    cdef void arm(self, double now) except *
    @cython.locals(earliest=double, kind=int)
    cdef double next(self) except -1
    @cython.locals(kind=int)
    cdef list expired(self, double now)
