cimport cython
from libc.stdint cimport int64_t

from .stream_map cimport StreamMap
from .layers cimport Body
from .sender cimport Sender
from .stream cimport Layer, Stream
from .timers cimport Timers

cdef unsigned int ANSWERED, BODY_IN, CANCEL, HALF_CLOSED_LOCAL, HALF_CLOSED_REMOTE, HEADERS, LOCAL
cdef unsigned int NO_ERROR, OVER, PING, SETTINGS_TIMEOUT, STALLED
cdef int DEAD, READ_WHOLE
cdef int CLOSE_TIMER, FIRST_REQUEST_TIMER, FRAME_TIMER, GO_ON_TIMER, HANDSHAKE_TIMER
cdef int HEADER_BLOCK_TIMER
cdef int IDLE_TIMER, KEEPALIVE_TIMER, PONG_TIMER, PREFACE_TIMER, SETTINGS_ACK_TIMER
cdef int SHUTDOWN_TIMER, SWEEP_TIMER
cdef double NEVER, ROUNDING_S
cdef int64_t MAX_AT_ONCE
cdef bytes KEEPALIVE_PING


cdef class Deadlines(Sender):
    cdef int64_t alive_mark  # octets_received when the last PING of keepalive left
    cdef double heard_at  # when the last octets came, as far as a timeout has looked ...
    cdef int64_t heard_mark  # ... and octets_received then
    cdef int64_t frame_start  # the octet at which the half frame begins, or -1
    cdef int64_t sent_mark  # octets_sent when the sweep last looked ...
    cdef double sent_since  # ... and since when it is that, or -1
    cdef dict stalled  # since when each STALLED stream has sent nothing

    @cython.locals(stream=Stream)
    cdef int _on_timeout(self, int kind, unsigned int stream_id) except -1
    @cython.locals(layer=Layer)
    cdef void _on_stream_timeout(self, int kind, Stream stream) except *
    cdef int _on_idle(self, str name, bytes reason) except -1
    @cython.locals(due=double, forever=bint)
    cdef int _keep_alive(self) except -1
    cdef int _pong_due(self) except -1
    @cython.locals(start=int64_t)
    cdef int watch_frame(self) except -1
    @cython.locals(stream=Stream, watched=bint, broken=bint, stalled=dict, since=double)
    cdef int _sweep(self) except -1
    cdef bint _is_starved(self) except -1
    @cython.locals(layer=Layer, body=Body, elapsed=double)
    cdef int _look_at_body(self, Stream stream) except -1
