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
    cdef bint stepping
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


cdef class Driver:
    cdef bint _go_on(self, Waiter waiter, object context) except -1


cdef class Waiter:
    cdef public bint _asyncio_future_blocking
    cdef readonly Hub hub
    cdef int state
    cdef bint cancelling
    cdef object callback
    cdef object context
    cdef Driver driver
    cdef bint begin(self) except -1
    cdef object reset(self)
    cdef object wake(self)
    @cython.locals(hub=Hub)
    cdef object wake_at_once(self)
    @cython.locals(hub=Hub, stepping=bint)
    cdef object run(self)


@cython.locals(waiter=Waiter)
cpdef Waiter new_waiter(Hub hub)
