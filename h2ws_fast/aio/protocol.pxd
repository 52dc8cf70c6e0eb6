cimport cython

from ..engine.endpoint cimport Endpoint
from .hub cimport Hub, Spoke

cdef object logger
cdef double NEVER
cdef int FAST, MIN_PULL, PULL, PULL_MORE


cdef class Wire(Spoke):
    cdef readonly Hub hub
    cdef readonly Endpoint conn
    cdef readonly object transport
    cdef object _remote
    cdef object _local
    cdef readonly list websockets
    cdef readonly dict routes
    cdef object timer
    cdef object spare
    cdef public object keeper
    cdef public object observer
    # Sorted by size: otherwise the gaps are 30 octets of each connection.
    cdef long long _remote_v4
    cdef double due
    cdef public double keep_due
    cdef Py_ssize_t discarded
    cdef readonly Py_ssize_t write_high
    cdef Py_ssize_t took
    cdef public int queue_high
    cdef public int queue_low
    cdef bint discarding
    cdef public bint patient
    cdef public bint logs
    cdef bint touched
    cdef readonly bint paused
    cdef bint handed
    cdef bint slow
    cdef public bint closing
    cdef bint lingering
    cdef readonly bint lost
    cdef public bint watched
    cdef public bint over
    cdef bint plain
    @cython.locals(hub=Hub)
    cdef object _touch(self)
    @cython.locals(hub=Hub, previous=Spoke, busy=bint)
    cdef object _receive(self, object data, double now)
    cdef bint _rests(self) except -1
    cdef object _leave(self, double now)
    cdef object _write_failed(self, object error)
    cpdef object pull(self)
    cpdef object _settled(self)
    cpdef object become(self, Endpoint conn)
    cpdef object settle(self, list events)
    @cython.locals(hub=Hub, previous=Spoke)
    cdef object _settle(self, list events, double now)
    cdef list _events(self)
    cdef object _handle(self, object event)
    @cython.locals(asked=Py_ssize_t, left=Py_ssize_t)
    cdef object _pull(self, double now)
    @cython.locals(due=double)
    cpdef object _arm(self, double now)
    cdef object _close(self)
    cdef object _abort_later(self)
    cpdef object abort(self)
