cimport cython
from libc.stdint cimport int64_t

from .buffers cimport Buffer
from .closed cimport ClosedStreams
from .frames cimport FrameReader
from .guard cimport Guard
from .outbox cimport Outbox
from .stream cimport Layer, Stream
from .stream_map cimport StreamMap
from .timers cimport Timers

cdef unsigned int ANSWERED, CLOSED, CLOSING, ENHANCE_YOUR_CALM, HALF_CLOSED_LOCAL, HALF_CLOSED_REMOTE
cdef unsigned int LATE_PONG, LOCAL, NO_ERROR, OVER, PROTOCOL_ERROR, REFUSED, RST_STREAM, TUNNELLED
cdef int ENDED, RESET_BY_PEER, RESET_BY_US, DEAD, CLOSE_TIMER, HANDSHAKE_TIMER, IDLE_TIMER
cdef int KEEPALIVE_TIMER, PONG_TIMER

cdef Layer DISCARDED


cdef class Endings(FrameReader):
    cdef readonly bint draining
    cdef bint answer_malformed
    cdef ClosedStreams closed
    cdef Guard guard
    cdef Outbox outbox
    cdef StreamMap streams
    cdef Stream last_stream
    cdef Timers timers
    cdef dict pongs
    cdef dict trailers
    cdef dict heads  # octets of the large header lists of open streams that the peer opened ...
    cdef int64_t heads_held  # ... and of all of them
    cdef unsigned int last_peer_id, goaway_last, peer_goaway_last
    cdef int64_t local_initial, widened
    cdef int64_t local_streams, peer_streams
    cdef int64_t shed_at
    cdef double now

    @cython.locals(timers=Timers)
    cdef int enter(self, Stream stream) except -1
    cdef int ended_here(self, Stream stream) except -1
    cdef int _settle(self, Stream stream) except -1
    cdef int _forget(self, Stream stream, int how) except -1
    cdef int _let_head_go(self, unsigned int stream_id) except -1
    @cython.locals(layer=Layer)
    cdef int break_stream(self, Stream stream, unsigned int error_code, str reason) except -1
    cdef bint _provoked(self) except -1
    cdef int _reset_unopened(self, unsigned int stream_id, unsigned int error_code) except -1
    cdef int fail_stream(self, Stream stream, unsigned int error_code, str reason) except -1
    cdef int _malformed(self, Stream stream, str reason) except -1
    cdef int _refuse(self, Stream stream, list fields) except -1
    cdef int write_headers(self, Stream stream, list fields, bint end_stream) except -1
    cdef int _finish_draining(self) except -1
    cdef int _shut_down(self) except -1

    @cython.locals(control=Buffer)
    cdef int _write_reset(self, unsigned int stream_id, unsigned int error_code) except -1
    cdef bint _reached(self, object name) except -1
    cdef int count_hit(self, str name) except -1
    cdef int fail_connection(self, unsigned int error_code, str reason) except -1
    cdef int write_goaway(self, unsigned int last, unsigned int error_code, object debug_data) except -1
    cdef int drop_ahead(self) except -1
    cdef int terminate(self, unsigned int error_code, str reason, bint remote) except -1
    @cython.locals(layer=Layer)
    cdef int _terminate_stream(self, Stream stream, unsigned int error_code, str reason, bint remote) except -1
