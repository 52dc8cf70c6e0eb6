cimport cython

cdef int ABNORMAL_CLOSURE, NO_STATUS_RCVD

cpdef bint is_close_code(int code)


@cython.final
cdef class Closing:
    cdef int received_code
    cdef int sent_code
    cdef str received_reason
    cdef str sent_reason


@cython.locals(closing=Closing)
cpdef Closing new_closing()
