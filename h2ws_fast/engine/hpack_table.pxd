cimport cython
from libc.stdint cimport int64_t

cdef Py_ssize_t ENTRY_OVERHEAD


@cython.final
cdef class DynamicTable:
    cdef readonly int64_t size
    cdef readonly int64_t max_size
    cdef list _entries
    cdef Py_ssize_t _first
    cdef Py_ssize_t _dropped
    cdef dict _numbers

    cpdef Py_ssize_t count(self) noexcept
    cpdef object get(self, Py_ssize_t index)
    cpdef Py_ssize_t find(self, object key) except -2
    @cython.locals(name=bytes, value=bytes, need=Py_ssize_t, number=Py_ssize_t)
    cpdef void insert(self, object field) except *
    cpdef int resize(self, int64_t max_size) except -1
    @cython.locals(name=bytes, value=bytes)
    cdef int _evict(self, int64_t size) except -1
    cdef int _forget(self, object field, Py_ssize_t number) except -1
