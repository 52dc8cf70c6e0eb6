cimport cython

cdef extern from *:
    """
    /* Cython makes a dictionary for every object that may have one, 64 octets; whoever sets the first
       attribute, or asks for them, makes another. */
    static inline void h2ws_drop_dict(PyObject *of) {
    #if CYTHON_COMPILING_IN_CPYTHON
        PyObject **place = _PyObject_GetDictPtr(of);
        if (place != NULL && *place != NULL && PyDict_Size(*place) == 0) Py_CLEAR(*place);
    #endif
    }
    """
    void h2ws_drop_dict(object of) noexcept

from .awaitable cimport failed, finished, pending
from .extra cimport Extra, still_waiting
from .keeper cimport Keeper
from .outgoing cimport Outgoing
from .hub cimport Waiter
from .protocol cimport Wire

cdef object READY
cdef bint COMPILED
cdef int CONNECTING, OPEN, CLOSING, CLOSED
cdef int GOING_AWAY, NORMAL_CLOSURE, WS_INTERNAL_ERROR


@cython.final
cdef class WebSocket(Outgoing):
    cdef dict __dict__
    cdef object __weakref__
    cdef Py_ssize_t _index
    cdef object _callback
    cdef object _on_closed
    cdef public object request
    cdef public object response
    cdef public object subprotocol
    cdef object _callback_failed(self, object error)
    cdef object _hand_over(self)
    @cython.locals(extra=Extra)
    cpdef object _streaming(self)
    cdef object _forget(self)
    cpdef object _until_closed(self)
    @cython.locals(extra=Extra, keeper=Keeper)
    cdef object _ponged(self, object data)
    @cython.locals(extra=Extra, waiter=Waiter, last=WebSocket)
    cdef object _over(self, object event)
    cdef object _tell_closed(self)


cdef inline int _drop_dict(object ws) except -1:
    h2ws_drop_dict(ws)
    return 0


@cython.locals(ws=WebSocket)
cpdef WebSocket new_websocket(Wire wire, unsigned int stream_id, object request)


@cython.locals(wire=Wire, keeper=Keeper)
cpdef object open_websocket(WebSocket ws)
