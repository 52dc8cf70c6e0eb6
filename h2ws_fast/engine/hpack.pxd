cimport cython
from libc.stdint cimport int64_t
from .fields cimport name_fault, value_fault
from .hpack_table cimport DynamicTable
from .kernels cimport huffman_decode, huffman_encode, huffman_size, octets, take

cdef dict KNOWN_FIELDS
cdef dict KNOWN_NAMES
cdef dict STATIC_INDEX
cdef dict STATIC_OCTETS
cdef tuple STATIC_TABLE
cdef dict POLICY

cdef int64_t INITIAL_TABLE_SIZE
cdef int64_t STATIC_ENTRIES
cdef int64_t NO_UPDATE
cdef int64_t MAX_INTEGER
cdef int MAX_INTEGER_SHIFT
cdef Py_ssize_t MAX_REMEMBERED
cdef bytes COOKIE
cdef int INDEXED
cdef int NEVER_INDEXED
cdef int SHORT_SECRET
cdef int NOT_INDEXED
cdef Py_ssize_t SHORT_SECRET_SIZE


@cython.final
cdef class Decoder:
    cdef readonly str malformed
    cdef readonly bint too_large
    cdef bint _changed
    cdef DynamicTable _table
    cdef int64_t _table_size
    cdef int64_t _limit
    cdef int64_t _offered
    cdef int64_t _demanded
    cdef readonly Py_ssize_t max_list_size
    cdef Py_ssize_t _max_fields
    cdef readonly Py_ssize_t list_size
    cdef Py_ssize_t _block_size
    cdef Py_ssize_t _count
    cdef Py_ssize_t _pos
    cdef bytes _block
    cdef list _fields

    cpdef int offer_max_table_size(self, int64_t max_table_size) except -1
    cpdef int set_max_table_size(self, int64_t max_table_size) except -1
    cpdef int set_max_list_size(self, Py_ssize_t max_list_size) except -1
    @cython.locals(
        block=bytes, crumbs=Py_ssize_t, fields=list, end=Py_ssize_t, octet=cython.uint, name=bytes, value=bytes
    )
    cpdef list decode(self, octets p, Py_ssize_t pos, Py_ssize_t n)
    cdef int _overflow(self) except -1
    cdef int _check(self, bytes name, bytes value) except -1
    @cython.locals(size=int64_t)
    cdef int _size_updates(self, octets p, Py_ssize_t end) except -1
    @cython.locals(value=int64_t, octet=int64_t, shift=cython.int)
    cdef int64_t _integer(self, octets p, Py_ssize_t end, int prefix) except -1
    @cython.locals(index=int64_t)
    cdef object _indexed(self, octets p, Py_ssize_t end, int prefix)
    @cython.locals(octet=cython.uint, prefix=cython.int, name=bytes, value=bytes, fault=str)
    cdef object _literal(self, octets p, Py_ssize_t end)
    @cython.locals(huffman=cython.uint, n=Py_ssize_t, pos=Py_ssize_t, room=Py_ssize_t, data=bytes)
    cdef bytes _string(self, octets p, Py_ssize_t end)


@cython.final
cdef class Encoder:
    cdef DynamicTable _table
    cdef int64_t _table_size
    cdef int64_t _setting
    cdef int64_t _cap
    cdef int64_t _smallest
    cdef readonly int64_t changes
    cdef frozenset _sensitive_names

    cpdef void set_max_table_size(self, int64_t max_table_size) except *
    cdef int _resize(self, int64_t size) except -1
    @cython.locals(out=bytearray)
    cpdef bytes encode(self, list fields)
    @cython.locals(policy=cython.int, name=bytes, value=bytes, index=int64_t)
    cdef void _write_field(self, bytearray out, object field) except *
    @cython.locals(policy=cython.int)
    cdef int _policy(self, bytes name, bytes value) except -1


cdef void _write_integer(
    bytearray out, unsigned int flags, unsigned int prefix, int64_t value
) except *
@cython.locals(n=Py_ssize_t)
cdef int _write_string(bytearray out, bytes data) except -1
