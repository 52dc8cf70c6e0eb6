cimport cython
from libc.stdint cimport int64_t

from .limits cimport Limits
from .stream cimport Stream


cdef int64_t SMALL, SMALL_FREE, SMALL_RATE, UNLIMITED


cdef class Bucket:
    cdef double burst, rate, level, stamp

    cdef bint take(self, double now) noexcept
    cdef void give(self, int64_t n) noexcept


cdef class Guard:
    cdef Limits limits
    cdef Bucket _reset_bucket, _glitch_bucket, _dribble_bucket
    cdef Bucket _settings_bucket, _ping_bucket
    cdef double _small_at
    cdef int64_t _dribble_mark, _ping_mark, dribbles
    cdef object notify
    cdef int64_t control_frames, data_frames_sent, empty_frames, glitches, goaways, local_resets
    cdef int64_t pending_resets, priority_frames, resets, small_data, streams
    cdef int64_t window_updates
    cdef dict hits

    cdef int64_t count(self, str name) except -1
    cdef object hit(self, str name)
    cdef object reset(self, double now)
    cdef object local_reset(self, double now)
    cdef object refusal(self, double now)
    cdef object dribble(self, int64_t n, int64_t data_frames, double now)
    cdef object glitch(self, double now)
    cdef object goaway(self)
    cdef object control_frame(self)
    cdef object settings(self, double now)
    cdef object ping(self, int64_t data_frames, double now)
    cdef object empty_frame(self)
    @cython.locals(allowed=int64_t)
    cdef object window_update(self)
    @cython.locals(allowed=int64_t)
    cdef object priority(self)
    cdef object body_data(self, Stream stream, int64_t n, double now)
