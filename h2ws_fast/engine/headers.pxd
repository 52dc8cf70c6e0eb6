cimport cython
from libc.stdint cimport int64_t
from .kernels cimport made_of

cdef int METHOD
cdef int SCHEME
cdef int AUTHORITY
cdef int PATH
cdef int PRIORITY
cdef int PROTOCOL
cdef int STATUS
cdef int LAST_PSEUDO
cdef int HOP_BY_HOP
cdef int TE
cdef int HOST
cdef int CONTENT_LENGTH
cdef int COOKIE
cdef int WS_VERSION
cdef int WS_KEY
cdef int WS_PROTOCOL
cdef int WS_EXTENSIONS
cdef int MAX_CONTENT_LENGTH_DIGITS

cdef dict MEANINGS
cdef dict METHODS
cdef dict SCHEMES
cdef dict PROTOCOLS
cdef frozenset CAPSULE_PROTOCOLS
cdef bytes ADDRESS_OCTETS
cdef bytes DIGIT_OCTETS
cdef bytes HOST_OCTETS
cdef bytes PATH_OCTETS
cdef bytes SCHEME_OCTETS
cdef bytes TOKEN_OCTETS


@cython.final
cdef class RequestHead:
    cdef readonly str method
    cdef readonly str scheme
    cdef readonly str authority
    cdef readonly str path
    cdef readonly str protocol
    cdef readonly list headers
    cdef readonly int64_t content_length
    cdef readonly bytes priority
    cdef readonly bytes ws_version
    cdef readonly bytes ws_key
    cdef readonly bytes ws_protocols
    cdef readonly bytes ws_extensions


@cython.final
cdef class ResponseHead:
    cdef readonly int status
    cdef readonly list headers
    cdef readonly int64_t content_length
    cdef readonly bytes ws_protocols
    cdef readonly bytes ws_extensions


@cython.locals(at=Py_ssize_t, octet=cython.uint)
cdef tuple _split_port(bytes authority)
@cython.locals(n=Py_ssize_t, i=Py_ssize_t, number=cython.int)
cdef int _read_port(bytes port) except -2
@cython.locals(host=bytes, port=bytes, number=cython.int)
cdef str _authority_fault(bytes authority, bint port_needed)
cpdef bint same_host(bytes host, bytes authority, str scheme) except -1
@cython.locals(host=bytes, port=bytes)
cdef bytes _normal_host(bytes authority, str scheme)
cpdef int64_t read_content_length(bytes value) except -1
cdef str _read_protocol(bytes value)
cdef bytes _join(bytes first, bytes value)

@cython.locals(
    headers=list, cookies=list, cookie_at=Py_ssize_t, meaning=cython.int, is_http=bint,
    name=bytes, value=bytes, method=bytes, scheme=bytes, authority=bytes, path=bytes,
    protocol=bytes, host=bytes, content_length=bytes, priority=bytes, ws_version=bytes, ws_key=bytes,
    ws_protocols=bytes, ws_extensions=bytes, head=RequestHead, reason=str,
)
cpdef RequestHead read_request(list fields, bint connect_enabled)
@cython.locals(reason=str)
cdef int _read_classic_connect(
    RequestHead head, bytes scheme, bytes path, bytes authority, bytes host
) except -1
cpdef str capsule_fault(list headers, int status)
@cython.locals(kept=list)
cdef list _without_content_length(list headers)
cdef object _join_cookies(list cookies)
@cython.locals(
    headers=list, status=bytes, content_length=bytes, head=ResponseHead, meaning=cython.int,
    name=bytes, value=bytes,
)
cpdef ResponseHead read_response(list fields, bint tunnel=*)
@cython.locals(name=bytes, meaning=cython.int)
cpdef list read_trailers(list fields)
