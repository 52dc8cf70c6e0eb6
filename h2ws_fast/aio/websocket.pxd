cimport cython

from .awaitable cimport failed, finished, following, pending
from .keeper cimport Keeper, Kept
from .protocol cimport Waiter, Wire

cdef object READY
cdef int CONNECTING, OPEN, CLOSING, CLOSED
cdef int GOING_AWAY, NORMAL_CLOSURE, WS_INTERNAL_ERROR


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


@cython.final
cdef class WebSocket(Kept):
    cdef dict __dict__
    cdef object __weakref__
    cdef Py_ssize_t _index
    cdef object _callback
    cdef object _on_closed
    cdef Extra _extra
    cdef public object request
    cdef public object response
    cdef public object subprotocol
    cdef object _callback_failed(self, object error)
    cdef object _hand_over(self)
    @cython.locals(extra=Extra)
    cpdef object _streaming(self)
    cdef object _forget(self)
    @cython.locals(extra=Extra)
    cdef object _conflate(self, object message)
    @cython.locals(extra=Extra)
    cdef object _send_conflated(self)
    @cython.locals(wire=Wire, waiting=Py_ssize_t)
    cdef object _send(self, object message)
    @cython.locals(wire=Wire)
    cdef object _congested(self)
    cpdef object _drain(self)
    cpdef object _fail_later(self)
    cpdef object _until_closed(self)
    cpdef object _not_open(self)
    @cython.locals(extra=Extra, keeper=Keeper)
    cdef object _ponged(self, object data)
    @cython.locals(extra=Extra, waiter=Waiter, last=WebSocket)
    cdef object _over(self, object event)
    cdef object _tell_closed(self)
    cdef Extra _extras(self)


@cython.locals(ws=WebSocket)
cpdef WebSocket new_websocket(Wire wire, unsigned int stream_id, object request)


@cython.locals(wire=Wire, keeper=Keeper)
cpdef object open_websocket(WebSocket ws)
