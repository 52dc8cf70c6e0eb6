cimport cython

from .hub cimport Driver, Waiter
from .step cimport step

cdef object NOTHING, _enter_task, _leave_task
cdef dict CURRENT


cdef class HandlerCoroutine(Driver):
    cdef object coroutine
    cdef public object task
    cdef Waiter waiter
    cdef object held
    cdef object error
    cpdef object send(self, object value)
    @cython.locals(waiter=Waiter)
    cdef object _yield(self, object yielded)
    @cython.locals(waiter=Waiter)
    cdef object _leave(self)
    cdef object _end(self)
    @cython.locals(current=dict)
    cdef bint _go_on(self, Waiter waiter, object context) except -1
