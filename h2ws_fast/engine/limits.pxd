from libc.stdint cimport int64_t


cdef class Limits:
    cdef readonly int64_t max_message
    cdef readonly int64_t max_fragments
    cdef readonly int64_t max_empty_fragments
    cdef readonly int64_t max_pong_backlog
    cdef readonly int64_t max_buffered
    cdef readonly int64_t max_queued
    cdef readonly int64_t max_window
    cdef readonly int64_t window_budget
    cdef readonly int64_t max_control_octets
    cdef readonly int64_t write_high
    cdef readonly int64_t write_low
    cdef readonly int64_t max_header_fields
    cdef readonly int64_t max_continuations
    cdef readonly int64_t max_settings
    cdef readonly int64_t max_control_frames
    cdef readonly int64_t max_empty_frames
    cdef readonly int64_t small_data
    cdef readonly int64_t max_priority_frames
    cdef readonly int64_t max_window_updates
    cdef readonly int64_t max_pings
    cdef readonly int64_t max_pending_resets
    cdef readonly int64_t reset_burst
    cdef readonly int64_t reset_rate
    cdef readonly int64_t max_local_resets
    cdef readonly int64_t glitch_burst
    cdef readonly int64_t glitch_rate
    cdef readonly int64_t dribble_burst
    cdef readonly int64_t dribble_rate
    cdef readonly double preface_timeout_s
    cdef readonly double settings_timeout_s
    cdef readonly double header_block_timeout_s
    cdef readonly double handshake_timeout_s
    cdef readonly double close_timeout_s
    cdef readonly double shutdown_timeout_s
