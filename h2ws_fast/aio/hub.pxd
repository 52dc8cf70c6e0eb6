cimport cython

cdef int IDLE, YIELDED, ARMED, WOKEN
cdef object logger


cdef class Waiter


cdef class Spoke:
    cdef object _leave(self, double now)
    cpdef object abort(self)


cdef class Hub:
    cdef object __weakref__
    cdef readonly object loop
    cdef readonly object time
    cdef readonly object buffer
    cdef readonly object pool
    cdef readonly dict known
    cdef bint busy
    cdef readonly bint scheduled
    cdef public object reads
    cdef Spoke current
    cdef list dirty
    cdef list ready
    cdef object done
    cpdef object schedule(self)
    @cython.locals(spoke=Spoke, dirty=list, now=double)
    cpdef object flush(self)
    @cython.locals(waiter=Waiter)
    cdef object wake(self)


cdef class Waiter:
    cdef public bint _asyncio_future_blocking
    cdef Hub hub
    cdef int state
    cdef object callback
    cdef object context
    cdef bint begin(self) except -1
    cdef object reset(self)
    cdef object wake(self)
    cdef object run(self)


@cython.locals(waiter=Waiter)
cpdef Waiter new_waiter(Hub hub)
