# What compiled modules see of the kernels. The contract of each name stands in `kernels.py`.
#
# Every function that shared source calls is `cpdef`, so that shared source may say `from .kernels import u16` and its
# `.pxd` `from .kernels cimport u16`. Nothing here needs a header of `csrc/`: other packages may
# cimport this file from an installed wheel.

from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy

ctypedef const unsigned char* octets


cpdef octets address(object data) except NULL
cpdef object flat(object data)
cpdef bytes take(octets p, Py_ssize_t pos, Py_ssize_t n)
cpdef bytes payloads(octets p, Py_ssize_t pos, Py_ssize_t end, Py_ssize_t rest)


# Compilers turn these into one load and one byte swap, but only where the indices are constant:
# u32 is then 2 instructions of 10.
cpdef inline unsigned int u16(octets p, Py_ssize_t pos) noexcept nogil:
    cdef octets at = p + pos
    return <unsigned int>at[0] << 8 | at[1]


cpdef inline unsigned int u24(octets p, Py_ssize_t pos) noexcept nogil:
    cdef octets at = p + pos
    return <unsigned int>at[0] << 16 | <unsigned int>at[1] << 8 | at[2]


cpdef inline unsigned int u32(octets p, Py_ssize_t pos) noexcept nogil:
    cdef octets at = p + pos
    return (
        <unsigned int>at[0] << 24
        | <unsigned int>at[1] << 16
        | <unsigned int>at[2] << 8
        | at[3]
    )


cpdef inline unsigned long long u64(octets p, Py_ssize_t pos) noexcept nogil:
    return <unsigned long long>u32(p, pos) << 32 | u32(p, pos + 4)


# A number of an argument: its conversion from Python is the check.
cpdef inline int64_t whole(int64_t n) noexcept nogil:
    return n


cpdef inline unsigned int mask_key(octets p, Py_ssize_t pos) noexcept nogil:
    cdef octets at = p + pos
    return (
        at[0]
        | <unsigned int>at[1] << 8
        | <unsigned int>at[2] << 16
        | <unsigned int>at[3] << 24
    )


cpdef inline unsigned int rotate(unsigned int key, Py_ssize_t n) noexcept nogil:
    return key >> (8 * (n & 3)) | key << (-8 * (n & 3) & 31)


# What writes into memory of the caller, who has made room for it.
cdef void mask(uint8_t* to, octets p, Py_ssize_t n, unsigned int key) noexcept
cdef bint mask_ascii(uint8_t* to, octets p, Py_ssize_t n, unsigned int key) noexcept


cdef inline void copy(uint8_t* to, octets p, Py_ssize_t n, unsigned int key) noexcept:
    if key:
        mask(to, p, n, key)
    elif n:
        memcpy(to, p, n)


cdef inline void write_u32(uint8_t* to, unsigned int value) noexcept:
    to[0] = <uint8_t>(value >> 24)
    to[1] = <uint8_t>(value >> 16)
    to[2] = <uint8_t>(value >> 8)
    to[3] = <uint8_t>value


cpdef bytes unmask(octets p, Py_ssize_t pos, Py_ssize_t n, unsigned int key)
cpdef str unmask_text(octets p, Py_ssize_t pos, Py_ssize_t n, unsigned int key)
cpdef object encoded(str text)
cpdef int utf8_check(octets p, Py_ssize_t pos, Py_ssize_t n, int state) noexcept

cpdef bint made_of(bytes data, bytes table) except -1

cpdef Py_ssize_t huffman_size(bytes data) except -1
cpdef bytes huffman_encode(bytes data)
cpdef bytes huffman_decode(octets p, Py_ssize_t pos, Py_ssize_t n, Py_ssize_t limit)
