"""What was raised, compiled: the names and results of `raised.py`, and its contracts."""

from cpython.exc cimport PyErr_Occurred
from cpython.object cimport PyObject


cdef extern from *:
    """
    /* What PyObject_CallOneArg does, without its detours: 35 instructions less a call. */
    static CYTHON_INLINE PyObject *h2ws_call(PyObject *function, PyObject *argument) {
        PyTypeObject *type = Py_TYPE(function);
        PyObject *arguments[2] = {NULL, argument};
        vectorcallfunc call = NULL;
        if (PyType_HasFeature(type, Py_TPFLAGS_HAVE_VECTORCALL))
            memcpy(&call, (char *)function + type->tp_vectorcall_offset, sizeof call);
        if (call == NULL) return PyObject_CallOneArg(function, argument);
        return call(function, arguments + 1, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    }

    /* Lets Cython see an error that is set already. */
    #define h2ws_is_set() (-1)
    """
    PyObject* h2ws_call(PyObject* function, PyObject* argument) noexcept
    int h2ws_is_set() except -1
    object h2ws_own "(PyObject *)" (PyObject* result)


cdef class Raised:
    """What a function called by `attempt` raised, in the place of its result."""


cpdef object attempt(object function, object argument):
    # A `try` costs 30 instructions each time; this one costs what it takes to look.
    cdef PyObject* result = h2ws_call(<PyObject*>function, <PyObject*>argument)
    if result == NULL:
        return raised()
    return h2ws_own(result)


cdef Raised raised():
    cdef Raised result = Raised.__new__(Raised)
    try:
        if not PyErr_Occurred():
            raise SystemError("a function failed without an error")
        h2ws_is_set()
    except BaseException as error:
        result.error = error
    return result
