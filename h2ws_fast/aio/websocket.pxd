cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF

from .protocol cimport Hub, Waiter, Wire, new_waiter
from ..engine.sink cimport Sink

cdef extern from *:
    """
    /* Cython has no name for this slot: it is stored into the finished type. */
    static void h2ws_store_slots(PyObject *type, void *send, void *next) {
        ((PyTypeObject *)type)->tp_as_async->am_send = (sendfunc)send;
        ((PyTypeObject *)type)->tp_iternext = (iternextfunc)next;
        PyType_Modified((PyTypeObject *)type);
    }

    /* Return a value from an iterator as a generator does, without a traceback of its own. Since
       3.12 errors are always objects: one StopIteration serves again while nobody else has it. */
    static PyObject *h2ws_stop(PyObject *value) {
    #if PY_VERSION_HEX >= 0x030C0000 && !defined(Py_GIL_DISABLED)
        static PyStopIterationObject *kept = NULL;
        if (kept == NULL || Py_REFCNT(kept) != 1) {
            PyObject *made = PyObject_CallOneArg(PyExc_StopIteration, Py_None);
            if (made == NULL) return NULL;
            Py_XSETREF(kept, (PyStopIterationObject *)made);
        }
        Py_XSETREF(kept->value, Py_NewRef(value));
        PyErr_SetRaisedException(Py_NewRef((PyObject *)kept));
        return NULL;
    #else
        PyObject *made = PyObject_CallFunctionObjArgs(PyExc_StopIteration, value, NULL);
        if (made != NULL) {
            PyErr_SetObject(PyExc_StopIteration, made);
            Py_DECREF(made);
        }
        return NULL;
    #endif
    }
    """
    void h2ws_store_slots(object type, void *send, void *next)
    PyObject *h2ws_stop(PyObject *value) noexcept

cdef object PENDING
cdef object READY
cdef int CONNECTING, OPEN, CLOSING, CLOSED
cdef int MAX_EMPTY
cdef double EARLY, NEVER
cdef int NORMAL_CLOSURE, GOING_AWAY, NO_STATUS_RCVD, INTERNAL_ERROR, TRY_AGAIN_LATER

cdef class WebSocket(Sink)
cdef class Keeper


cdef class Receiver:
    cdef WebSocket ws
    cdef bint iterating
    @cython.locals(ws=WebSocket, waiter=Waiter)
    cdef object _step(self)


@cython.locals(receiver=Receiver)
cdef Receiver new_receiver(WebSocket ws, bint iterating)


cdef class Awaited:
    cdef object value
    cdef object error
    cdef object source
    cdef object waiting
    cdef bint _is_ready(self) except -1
    cdef object _step(self)


@cython.locals(result=Awaited)
cdef Awaited _awaited()


@cython.locals(result=Awaited)
cdef Awaited finished(object value)


@cython.locals(result=Awaited)
cdef Awaited failed(object error)


@cython.locals(result=Awaited)
cdef Awaited pending(object source)


cdef class Extra:
    cdef object callback
    cdef bint paused
    cdef object id
    cdef dict pings
    cdef list drainers
    cdef list closers
    cdef object sending


@cython.final
cdef class WebSocket(Sink):
    cdef dict __dict__
    cdef object __weakref__
    cdef readonly Wire wire
    cdef readonly unsigned int stream_id
    cdef int _state
    cdef int _empty
    cdef Py_ssize_t _index
    cdef Py_ssize_t _inbox_at
    cdef Py_ssize_t _credit
    cdef double _due
    cdef double _latency
    cdef object _first
    cdef list _inbox
    cdef object _callback
    cdef object _on_closed
    cdef object _closed
    cdef bytes _pinged
    cdef Waiter _waiter
    cdef Receiver _receiver
    cdef Receiver _iterator
    cdef Extra _extra
    cdef public object request
    cdef public object response
    cdef public object subprotocol
    @cython.locals(inbox=list, at=Py_ssize_t, credit=Py_ssize_t)
    cdef object _take(self)
    cdef object _callback_failed(self, object error)
    cdef object _hand_over(self)
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
    cpdef object _start_closing(self, object code, object reason)
    @cython.locals(extra=Extra, waiter=Waiter, last=WebSocket)
    cdef object _over(self, object event)
    cdef object _tell_closed(self)
    cdef Extra _extras(self)
    cdef bint _is_ok(self) except -1
    cdef object _error(self)


@cython.locals(ws=WebSocket)
cpdef WebSocket new_websocket(Wire wire, unsigned int stream_id, object request)


@cython.locals(wire=Wire, keeper=Keeper)
cpdef object open_websocket(WebSocket ws)


cdef class Keeper:
    cdef Hub hub
    cdef double interval
    cdef double timeout
    cdef double step
    cdef object timer
    cdef set wires
    cdef bytes payload
    cpdef object waits(self, Wire wire, double now)
    cdef object _run(self)
    @cython.locals(waits=bint)
    cdef object _look(self, Wire wire, double now)
    cdef object _opened(self, WebSocket ws)
    @cython.locals(wire=Wire)
    cdef object _due(self, WebSocket ws, double when)
    cdef object _answered(self, WebSocket ws)
    @cython.locals(ws=WebSocket, earliest=double, soon=double)
    cdef object _walk(self, Wire wire, double now)


@cython.locals(ws=WebSocket, wire=Wire)
cpdef object broadcast(object websockets, object message, object text=*)


cdef inline int _receiver_send(PyObject *self, PyObject *value, PyObject **result) except -1:
    result[0] = NULL
    cdef object message = (<Receiver>self)._step()
    if message is PENDING:
        message = (<Receiver>self).ws._waiter
        Py_INCREF(message)
        result[0] = <PyObject *>message
        return 1
    Py_INCREF(message)
    result[0] = <PyObject *>message
    return 0


cdef inline int _awaited_send(PyObject *self, PyObject *value, PyObject **result) except -1:
    cdef object yielded
    result[0] = NULL
    yielded = (<Awaited>self)._step()
    if yielded is PENDING:
        yielded = (<Awaited>self).value
        Py_INCREF(yielded)
        result[0] = <PyObject *>yielded
        return 0
    Py_INCREF(yielded)
    result[0] = <PyObject *>yielded
    return 1


cdef inline PyObject *_receiver_next(PyObject *self) except? NULL:
    cdef PyObject *result = NULL
    if _receiver_send(self, NULL, &result) == 1:
        return result
    return _stop(result)


cdef inline PyObject *_awaited_next(PyObject *self) except? NULL:
    cdef PyObject *result = NULL
    if _awaited_send(self, NULL, &result) == 1:
        return result
    return _stop(result)


cdef inline PyObject *_stop(PyObject *value) noexcept:
    h2ws_stop(value)
    Py_DECREF(<object>value)
    return NULL


cdef inline int _set_slots() except -1:
    h2ws_store_slots(Receiver, <void *>_receiver_send, <void *>_receiver_next)
    h2ws_store_slots(Awaited, <void *>_awaited_send, <void *>_awaited_next)
    return 0
