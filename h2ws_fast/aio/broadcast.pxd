cimport cython

from .protocol cimport Wire
from .websocket cimport WebSocket

cdef object READY
cdef int OPEN, TRY_AGAIN_LATER
cdef tuple POLICIES


cpdef object message_of(object message, object text)


@cython.locals(ws=WebSocket, wire=Wire, groups=dict, errors=list, waited=list, group=list)
cdef object _broadcast(object connections, object data, bint raising, object policy)


cdef object _skip(object log, object error, list errors, bint raising)


@cython.locals(wire=Wire)
cdef bint _is_withheld(WebSocket ws, object data, object policy, list waited) except -1
