cimport cython
from .fields cimport name_fault, value_fault
from .headers cimport read_content_length, read_request, same_host
from .kernels cimport made_of

cdef int HOP_BY_HOP
cdef int TE
cdef dict KNOWN_NAMES
cdef dict MEANINGS
cdef bytes DIGIT_OCTETS
cdef tuple OK_FIELD
cdef dict SEEN
cdef Py_ssize_t MAX_SEEN
cdef Py_ssize_t MAX_SEEN_OCTETS


@cython.locals(
    pseudo=list, regular=list, name=bytes, value=bytes, meaning=cython.int, plain=bint
)
cpdef list prepare(object headers, str kind)
cdef int _keep(tuple field, object clean) except -1
cdef str _text(bytes name)
cdef bytes _prepare_name(object name)
cdef bytes _prepare_value(bytes name, object value)
@cython.locals(status=bytes)
cdef int _check_response(list pseudo, list regular, str kind) except -1
@cython.locals(length=bytes)
cdef int _check_content_length(list regular, bint refused) except -1
@cython.locals(
    kept=list, authority=bytes, scheme=bytes, name=bytes, connect=bint, hosts="Py_ssize_t",
    at="Py_ssize_t",
)
cdef int _check_request(list pseudo, list regular) except -1
