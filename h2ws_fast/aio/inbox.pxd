cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF

from .awaitable cimport h2ws_store_slots, stop
from .hub cimport Waiter, new_waiter
from .protocol cimport Wire
from ..engine.sink cimport Sink

cdef object PENDING
cdef int EVENT_OCTETS, LARGE, TRIM
cdef int GOING_AWAY, NO_STATUS_RCVD, NORMAL_CLOSURE

cdef class Inbox(Sink)


cdef class Receiver:
    cdef Inbox inbox
    cdef bint iterating
    @cython.locals(inbox=Inbox, waiter=Waiter)
    cdef object _step(self)


@cython.locals(receiver=Receiver)
cdef Receiver new_receiver(Inbox inbox, bint iterating)


cdef class Inbox(Sink):
    cdef readonly Wire wire
    cdef readonly unsigned int stream_id
    cdef Py_ssize_t _rest_at
    cdef Py_ssize_t _credit
    cdef object _first
    cdef list _rest
    cdef object _closed
    cdef Waiter _waiter
    cdef Receiver _receiver
    cdef Receiver _iterator
    @cython.final
    @cython.locals(rest=list, at=Py_ssize_t, credit=Py_ssize_t)
    cdef object _take(self)
    @cython.final
    @cython.locals(rest=list)
    cdef object _put(self, object data, Py_ssize_t credit)
    @cython.final
    cdef object _clear(self)
    cpdef object _join(self, bint iterating)
    cpdef bint _is_awaited(self) except -1
    cpdef bint _is_unread(self) except -1
    cpdef object _take_whole(self)
    cpdef object _check_ended(self)
    @cython.final
    cdef bint _is_ok(self) except -1
    @cython.final
    cdef object _error(self)


cdef inline int _receiver_send(PyObject *self, PyObject *value, PyObject **result) except -1:
    result[0] = NULL
    cdef object message = (<Receiver>self)._step()
    if message is PENDING:
        message = (<Receiver>self).inbox._waiter
        Py_INCREF(message)
        result[0] = <PyObject *>message
        return 1
    Py_INCREF(message)
    result[0] = <PyObject *>message
    return 0


cdef inline PyObject *_receiver_next(PyObject *self) except? NULL:
    cdef PyObject *result = NULL
    if _receiver_send(self, NULL, &result) == 1:
        return result
    return stop(result)


cdef inline int _set_slots() except -1:
    h2ws_store_slots(Receiver, <void *>_receiver_send, <void *>_receiver_next)
    return 0
