cimport cython
from libc.stdint cimport int64_t

from .deadlines cimport Deadlines
from .guard cimport Guard
from .buffers cimport Buffer, OutBuffer, Pool
from .kernels cimport address, flat, whole
from .stream_map cimport StreamMap
from .limits cimport Limits
from .masking cimport MaskKeys
from .messages cimport MessageLayer
from .outbox cimport Outbox
from .stream cimport Layer, Stream
from .timers cimport Timers
from .window cimport Window

cdef unsigned int BACKLOG, CLOSED, DEFAULT_FRAME_SIZE, DEFAULT_WINDOW, END, GOAWAY
cdef unsigned int HIGH, LATE_PONG, MAX_STREAM_ID, MAX_WINDOW, NO_ERROR, OVER, PING
cdef unsigned int SETTINGS, SETTINGS_ENABLE_CONNECT_PROTOCOL, SETTINGS_HEADER_TABLE_SIZE
cdef unsigned int SETTINGS_INITIAL_WINDOW_SIZE, SETTINGS_MAX_CONCURRENT_STREAMS, SETTINGS_MAX_FRAME_SIZE
cdef unsigned int SETTINGS_MAX_HEADER_LIST_SIZE, SETTINGS_NO_RFC7540_PRIORITIES
cdef unsigned int TRAILED
cdef int AWAIT_PREFACE, DEAD, READ_HEAD, READ_WHOLE, MIN_PULL
cdef int PREFACE_TIMER, SETTINGS_ACK_TIMER, SHUTDOWN_TIMER, SWEEP_TIMER
cdef int64_t TICKS
cdef bytes SHUTDOWN_PING, PREFACE
cdef Limits DEFAULTS


cdef class Connection(Deadlines):
    cdef readonly object role
    cdef bint _sending
    cdef double _greeted_at

    @cython.locals(control=Buffer)
    cdef int _greet(self) except -1
    @cython.locals(control=Buffer)
    cdef int _write_settings(self, list entries) except -1
    @cython.locals(stream=Stream, layer=Layer)
    cdef int _drain_backlogs(self) except -1
    @cython.locals(n="Py_ssize_t", events=list)
    cpdef list receive_data(self, data, double now=*)
    @cython.locals(buffers=list, outbox=Outbox, out=OutBuffer, n="Py_ssize_t")
    cpdef list data_to_send(self, int64_t max_bytes=*, double now=*)
    @cython.locals(n=int64_t)
    cdef void _count_dribbles(self, double now) except *
    @cython.locals(finished=list)
    cdef int _after_drain(self) except -1
    cdef void _drained(self, Stream stream) except *
    @cython.locals(stream=Stream, layer=Layer, messages=MessageLayer)
    cdef int _close_websockets(self) except -1
    cdef int measure_round_trip(self) except -1
    cdef int _shut_down(self) except -1
    cdef int _finish_draining(self) except -1
    @cython.locals(control=Buffer)
    cdef int write_goaway(self, unsigned int last, unsigned int error_code, object debug_data) except -1
    @cython.locals(stream=Stream)
    cpdef int64_t waiting(self, int64_t stream_id) except -1
    @cython.locals(stream=Stream)
    cpdef bint is_blocked(self, int64_t stream_id) except -1
