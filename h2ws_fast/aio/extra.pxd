cdef class Extra:
    cdef object callback
    cdef bint paused
    cdef object id
    cdef dict pings
    cdef list drainers
    cdef list closers
    cdef object sending
    cdef object conflated
    cdef object parts
    cdef object logger


cpdef list still_waiting(list futures)
