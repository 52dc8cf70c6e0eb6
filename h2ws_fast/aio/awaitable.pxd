cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF

cdef extern from *:
    """
    /* Cython has no name for this slot: it is stored into the finished type. */
    static inline void h2ws_store_slots(PyObject *type, void *send, void *next) {
        ((PyTypeObject *)type)->tp_as_async->am_send = (sendfunc)send;
        ((PyTypeObject *)type)->tp_iternext = (iternextfunc)next;
        PyType_Modified((PyTypeObject *)type);
    }

    /* Return a value from an iterator as a generator does, without a traceback of its own. Since
       3.12 errors are always objects: one StopIteration serves again while nobody else has it. */
    static inline PyObject *h2ws_stop(PyObject *value) {
    #if PY_VERSION_HEX >= 0x030C0000 && !defined(Py_GIL_DISABLED)
        static PyStopIterationObject *kept = NULL;
        /* What passed a frame of Python has a traceback, which would keep frames and grow. */
        if (kept == NULL || Py_REFCNT(kept) != 1 || kept->traceback != NULL) {
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

cdef object ENDED


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
cpdef Awaited finished(object value)


@cython.locals(result=Awaited)
cpdef Awaited failed(object error)


@cython.locals(result=Awaited)
cpdef Awaited pending(object source)


@cython.locals(result=Awaited)
cpdef Awaited following(object coroutine)


cdef inline int _awaited_send(PyObject *self, PyObject *value, PyObject **result) except -1:
    cdef object yielded
    result[0] = NULL
    yielded = (<Awaited>self)._step()
    if yielded is ENDED:
        yielded = (<Awaited>self).value
        Py_INCREF(yielded)
        result[0] = <PyObject *>yielded
        return 0
    Py_INCREF(yielded)
    result[0] = <PyObject *>yielded
    return 1


cdef inline PyObject *_awaited_next(PyObject *self) except? NULL:
    cdef PyObject *result = NULL
    if _awaited_send(self, NULL, &result) == 1:
        return result
    return stop(result)


cdef inline PyObject *stop(PyObject *value) noexcept:
    h2ws_stop(value)
    Py_DECREF(<object>value)
    return NULL


cdef inline int _set_slots() except -1:
    h2ws_store_slots(Awaited, <void *>_awaited_send, <void *>_awaited_next)
    return 0
