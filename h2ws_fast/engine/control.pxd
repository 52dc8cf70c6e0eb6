cimport cython
from libc.stdint cimport int64_t

from .guard cimport Guard
from .heads cimport Heads
from .kernels cimport octets, take, u16, u32
from .outbox cimport Outbox
from .stream cimport Layer, Stream

cdef unsigned int ACK, ANSWERED, DEFAULT_FRAME_SIZE, END, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, GOAWAY
cdef unsigned int HALF_CLOSED_REMOTE, HIGH, LOCAL, MAX_FRAME_SIZE, MAX_STREAM_ID, MAX_WINDOW, NO_ERROR
cdef unsigned int OVER, PING, PRIORITY, PRIORITY_UPDATE, PROTOCOL_ERROR, REFUSED_STREAM
cdef unsigned int RST_STREAM, SETTINGS, SETTINGS_ENABLE_CONNECT_PROTOCOL, SETTINGS_ENABLE_PUSH
cdef unsigned int SETTINGS_HEADER_TABLE_SIZE, SETTINGS_INITIAL_WINDOW_SIZE
cdef unsigned int SETTINGS_MAX_CONCURRENT_STREAMS, SETTINGS_MAX_FRAME_SIZE
cdef unsigned int SETTINGS_MAX_HEADER_LIST_SIZE, SETTINGS_NO_RFC7540_PRIORITIES, WINDOW_UPDATE
cdef int DEFAULT_RANK, ENDED, RESET_BY_PEER, RESET_BY_US, DEAD
cdef int FIRST_REQUEST_TIMER, IDLE_TIMER, PREFACE_TIMER, SETTINGS_ACK_TIMER
cdef Layer DISCARDED, TUNNEL


cdef class Control(Heads):
    cdef int receive_frame(self, unsigned int kind, unsigned int flags, unsigned int stream_id, octets p, Py_ssize_t pos, Py_ssize_t n) except -1
    @cython.locals(guard=Guard, outbox=Outbox, stream=Stream)
    cdef void _receive_window_update(self, unsigned int stream_id, int64_t increment) except *
    @cython.locals(stream=Stream, layer=Layer, complete=bint, pending=bint, how=int)
    cdef void _receive_reset(self, unsigned int stream_id, unsigned int error_code) except *
    @cython.locals(guard=Guard)
    cdef void _receive_ping(self, unsigned int flags, bytes data) except *
    @cython.locals(number=int64_t)
    cdef bint _is_sign_of_life(self, bytes data) except -1
    @cython.locals(guard=Guard, identifier="unsigned int", value=int64_t, end="Py_ssize_t")
    cdef void _receive_settings(self, octets p, Py_ssize_t pos, Py_ssize_t n) except *
    @cython.locals(outbox=Outbox)
    cdef bint _apply_setting(self, unsigned int identifier, int64_t value) except -1
    @cython.locals(outbox=Outbox, streams=list)
    cdef void _resize_windows(self, int64_t initial) except *
    cdef void _receive_settings_ack(self) except *
    cdef int _settings_in_force(self, list entries) except -1
    cdef int measure_round_trip(self) except -1
    @cython.locals(change=int64_t)
    cdef int _change_windows(self, int64_t initial) except -1
    @cython.locals(before=int64_t, grown=int64_t)
    cdef int _narrow(self, Stream stream, int64_t change) except -1
    @cython.locals(stream=Stream, widest=int64_t)
    cdef int64_t _widest_window(self) except -1
    cdef int _limit_lists(self, int64_t size) except -1
    cdef int _receive_goaway(self, unsigned int last, unsigned int error_code, bytes debug_data) except -1
    @cython.locals(layer=Layer)
    cdef int _drop_unprocessed(self, Stream stream) except -1
    @cython.locals(stream=Stream, error="unsigned int", reason=str)
    cdef int _receive_priority(self, unsigned int stream_id, octets p, Py_ssize_t pos, Py_ssize_t n) except -1
    @cython.locals(stream=Stream, rank=int)
    cdef void _receive_priority_update(self, unsigned int stream_id, bytes value) except *
