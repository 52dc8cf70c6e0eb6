cimport cython
from libc.stdint cimport int64_t

from .closed cimport ClosedStreams
from .endings cimport Endings
from .guard cimport Guard
from .hpack cimport Decoder, Encoder
from .arrivals cimport bytes_message, data_event, text_message
from .buffers cimport Buffer
from .chunks cimport Chunks
from .kernels cimport octets, payloads, u32
from .raised cimport Raised, attempt
from .stream_map cimport StreamMap
from .limits cimport Limits
from .masking cimport MaskKeys
from .outbox cimport Outbox
from .sink cimport CallbackSink, Sink
from .stream cimport Layer, Stream
from .timers cimport Timers
from .window cimport Window

cdef unsigned int ANSWERED, BACKLOG, BODY_IN, CLOSED, CLOSING, DATA, DIRECT, END, END_STREAM, FIN
cdef unsigned int FLOW_CONTROL_ERROR, HALF_CLOSED_LOCAL, HALF_CLOSED_REMOTE, HIGH, INTERNAL_ERROR, MAX_WINDOW
cdef unsigned int ENHANCE_YOUR_CALM, LATE_PONG, LOCAL, OVER, PADDED, PROTOCOL_ERROR, STREAM_CLOSED
cdef unsigned int TRY_AGAIN_LATER, TUNNELLED, WINDOW_UPDATE, WS_INTERNAL_ERROR, WS_PONG
cdef int ENDED, RESET_BY_PEER, RESET_BY_US, READ_HEAD, READ_PAYLOAD, CLOSE_TIMER, GO_ON_TIMER
cdef int64_t EVENT_OCTETS, TICKS

cdef Layer DISCARDED, TUNNEL


cdef class Carrier(Endings):
    cdef int bidirectional  # the number of the setting that lets servers open streams; -1: it is off
    cdef readonly bint peer_bidirectional  # the peer sent it, with 1 ...
    cdef bint peer_connects  # ... and SETTINGS_ENABLE_CONNECT_PROTOCOL
    cdef readonly bint can_connect
    cdef readonly bint client
    cdef bint connect_enabled, greeted_settings
    cdef bint peer_no_priorities
    cdef object secure
    cdef readonly object settings
    cdef Decoder decoder
    cdef Encoder encoder
    cdef object dialect
    cdef MaskKeys keys
    cdef str last_authority
    cdef Window window
    cdef list pings
    cdef object updates  # ranks of streams that are not open yet: Announced
    cdef list pending_settings
    cdef unsigned int seen_id  # last_peer_id when octets were last asked for
    cdef int64_t next_local_id
    cdef int64_t window_size, max_streams
    cdef int64_t peer_max_streams, peer_max_header_list
    cdef int64_t pace_mark
    cdef int64_t round_trip  # in ticks; -1 until it was measured
    cdef int64_t messages_received
    cdef int64_t octets_received, octets_sent
    cdef int64_t alive_asked, alive_answered  # numbers of the last PINGs of keepalive
    cdef double pinged_at  # when the last of them left
    cdef double latency_s  # how long its answer took, or -1
    cdef int shutdown_state

    @cython.locals(
        window=Window, stream=Stream, layer=Layer, length=int64_t, stream_id="unsigned int",
        end=Py_ssize_t, last=Py_ssize_t, data=bytes,
    )
    cdef Py_ssize_t read_tunnels(self, octets p, Py_ssize_t pos, Py_ssize_t n) except -1
    @cython.locals(stream=Stream, rest=Py_ssize_t, end=Py_ssize_t, data=bytes, length=int64_t)
    cdef Py_ssize_t read_rest(self, octets p, Py_ssize_t pos, Py_ssize_t n) except -1
    @cython.final
    @cython.locals(room=int64_t, head="unsigned int", size=int64_t)
    cdef Py_ssize_t _end_of_run(self, Stream stream, octets p, Py_ssize_t pos, Py_ssize_t n, int64_t length) except -1
    @cython.final
    cdef int _arrived(self, Stream stream, int64_t length) except -1
    @cython.final
    @cython.locals(increment=int64_t)
    cdef int _renew_window(self) except -1
    @cython.locals(stream=Stream)
    cdef Stream begin_data(self, unsigned int stream_id, Py_ssize_t length, unsigned int flags)
    @cython.locals(size=int64_t, ticks=int64_t, elapsed=int64_t)
    cdef int _measure_pace(self, Stream stream) except -1
    @cython.locals(layer=Layer)
    cdef int end_data(self, Stream stream) except -1
    cdef int padded(self, Py_ssize_t content) except -1
    cdef int empty_frame(self) except -1
    @cython.locals(how=int)
    cdef void _frame_on_closed(self, unsigned int stream_id, str what) except *
    cdef bint _is_idle(self, unsigned int stream_id) noexcept

    cdef int write_frame(self, Stream stream, int first_octet, object data) except -1
    @cython.final
    @cython.locals(chunks=Chunks, node="unsigned int")
    cdef inline int _queue_frame(self, Stream stream, int first_octet, object data) except -1
    cdef bint push_message(self, Stream stream, int first_octet, object data, int64_t n) except -1
    cdef object queue_is_full(self)
    cdef int delay_pong(self, Stream stream, bytes data) except -1
    cdef int late_pong(self, Stream stream) except -1
    cdef int credit(self, Stream stream, int64_t n) except -1
    @cython.locals(increment=int64_t)
    cdef int grant(self, Stream stream, int64_t n) except -1
    cdef int hold(self, Stream stream, int64_t n) except -1
    cdef int keep(self, Stream stream, int64_t n) except -1
    cdef int hold_back(self, Stream stream, int64_t n) except -1
    cdef int let_go(self, Stream stream, int64_t n) except -1
    cdef int go_on_soon(self, Stream stream) except -1
    @cython.locals(sink=CallbackSink, layer=Layer)
    cdef int deliver(self, Stream stream, object data, int64_t credit, int64_t early) except -1
    @cython.locals(n=int64_t, credit=int64_t)
    cdef int deliver_part(self, Stream stream, bytes data, bint text, bint final, bint early) except -1
    @cython.locals(sink=Sink, credit=int64_t)
    cdef int deliver_data(self, Stream stream, bytes data) except -1
    @cython.locals(layer=Layer)
    cdef int fail_application(self, Stream stream) except -1
    @cython.locals(greediest=list, limit=int64_t, stream=Stream, layer=Layer)
    cdef int _shed(self) except -1
    cdef int release(self, Stream stream, int64_t n) except -1
    cdef int over(self, Stream stream) except -1
    cdef int start_closing(self, Stream stream) except -1
    cdef int end(self, Stream stream) except -1
    @cython.locals(control=Buffer)
    cdef int _write_window_update(self, unsigned int stream_id, int64_t increment) except -1
