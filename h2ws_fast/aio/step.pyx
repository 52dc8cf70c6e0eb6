"""Steps, compiled: the name and results of `step.py`, and its contract."""

cdef extern from *:
    """
    /* What context.run(coroutine.send, None) does, without the bound method, the call by name and
       the checks of its result: 650 instructions less. */
    static PyObject *h2ws_step(PyObject *coroutine, PyObject *context) {
        PyObject *result = NULL;
        PySendResult sent;
        if (PyContext_Enter(context) < 0) return NULL;
        sent = PyIter_Send(coroutine, Py_None, &result);
        if (sent == PYGEN_RETURN) {
            PyObject *stop = PyObject_CallFunctionObjArgs(PyExc_StopIteration, result, NULL);
            Py_CLEAR(result);
            if (stop != NULL) {
                PyErr_SetObject(PyExc_StopIteration, stop);
                Py_DECREF(stop);
            }
        }
        /* It fails where the coroutine has left another context than it was given. */
        if (PyContext_Exit(context) < 0) Py_CLEAR(result);
        return result;
    }
    """
    object h2ws_step(object coroutine, object context)


cpdef object step(object coroutine, object context):
    return h2ws_step(coroutine, context)
