"""The kernels, compiled: the names and results of `kernels.py`, over `csrc/`.

The contracts stand there; here stands only what a pointer adds to them. An `octets` value points
into memory that the caller keeps alive and has checked the bounds of: nothing is checked here.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_SIMPLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_Clear
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.memoryview cimport PyMemoryView_GET_BUFFER
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memset


cdef extern from "Python.h":
    int PyUnicode_IS_COMPACT_ASCII(object text)
    void* PyUnicode_DATA(object text)
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    int PyBuffer_IsContiguous(const Py_buffer* view, char order)
    PyObject* PyUnicode_DecodeUTF8(const char* p, Py_ssize_t size, const char* errors)
    void Py_XDECREF(PyObject* o)


cdef extern from "h2ws.h":
    enum:
        H2WS_AVX512
    int h2ws_init(int limit) noexcept
    void (*h2ws_mask)(uint8_t* to, const uint8_t* p, size_t n, uint32_t key) noexcept
    int (*h2ws_mask_ascii)(uint8_t* to, const uint8_t* p, size_t n, uint32_t key) noexcept
    int (*h2ws_utf8)(const uint8_t* p, size_t n, int state) noexcept
    size_t h2ws_huffman_size(const uint8_t* p, size_t n) noexcept
    void h2ws_huffman_encode(uint8_t* to, const uint8_t* p, size_t n) noexcept
    Py_ssize_t h2ws_huffman_decode(uint8_t* to, size_t room, const uint8_t* p, size_t n) noexcept


WIDTHS = ("scalar", "vector", "avx2", "avx512")

h2ws_init(H2WS_AVX512)


def choose(int width):
    """Run on instructions of `WIDTHS[width]` at most; return the index of what was chosen.

    For tests and benchmarks: the import has chosen the widest already.
    """
    return h2ws_init(width)


@cython.final
@cython.freelist(8)
@cython.no_gc
cdef class Row:
    """What `flat` gives: it holds somebody's octets where they are, as a memoryview does."""

    cdef Py_buffer view
    cdef octets p
    cdef Py_ssize_t n

    def __dealloc__(self):
        PyBuffer_Release(&self.view)

    def __len__(self):
        return self.n


cpdef octets address(object data) except NULL:
    cdef Py_buffer view
    cdef octets p
    if PyBytes_CheckExact(data):
        return <octets>PyBytes_AS_STRING(data)
    if type(data) is Row:
        return (<Row>data).p
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    p = <octets>view.buf
    PyBuffer_Release(&view)  # the memory stays: the caller keeps `data`
    return p if p != NULL else <octets>b""


def _address(data):
    if type(data) is Row:
        return take(address(data), 0, len(data))
    return data if type(data) is bytes else bytes(data)


globals()["address"] = _address  # called from Python, octets are `bytes`


cpdef object flat(object data):
    cdef Row row
    cdef Py_buffer* view
    if PyBytes_CheckExact(data):
        return data
    # A memoryview would cost 300 instructions, and each question to it 80.
    row = Row.__new__(Row)
    if type(data) is memoryview and len(data):  # ValueError where it was released
        view = PyMemoryView_GET_BUFFER(data)
        if <PyObject*>view.obj != NULL and PyBuffer_IsContiguous(view, c"C"):
            # Whose octets they are is held, not the view: that may be released meanwhile.
            try:
                PyObject_GetBuffer(<object>view.obj, &row.view, PyBUF_SIMPLE)
                row.p = <octets>view.buf
                row.n = view.len
                return row
            except BufferError:
                pass  # its whole has gaps
    try:
        PyObject_GetBuffer(data, &row.view, PyBUF_SIMPLE)
    except BufferError:
        raise ValueError("data must be contiguous") from None
    row.p = <octets>row.view.buf if row.view.buf != NULL else <octets>b""
    row.n = row.view.len
    return row


cpdef bytes take(octets p, Py_ssize_t pos, Py_ssize_t n):
    return PyBytes_FromStringAndSize(<const char*>p + pos, n)


cpdef bytes payloads(octets p, Py_ssize_t pos, Py_ssize_t end, Py_ssize_t rest):
    cdef Py_ssize_t at = pos + rest
    cdef Py_ssize_t n = end - pos
    cdef Py_ssize_t size
    while at < end:
        n -= 9
        at += 9 + u24(p, at)
    cdef bytes data = PyBytes_FromStringAndSize(NULL, n)
    cdef char* to = PyBytes_AS_STRING(data)
    memcpy(to, p + pos, rest)
    to += rest
    pos += rest
    while pos < end:
        pos += 9
        size = u24(p, pos - 9)
        if size > end - pos:
            size = end - pos
        memcpy(to, p + pos, size)
        to += size
        pos += size
    return data


# -- masking ---------------------------------------------------------------------------------


cpdef bytes unmask(octets p, Py_ssize_t pos, Py_ssize_t n, unsigned int key):
    cdef bytes data
    if key == 0 or n == 0:
        return PyBytes_FromStringAndSize(<const char*>p + pos, n)
    data = PyBytes_FromStringAndSize(NULL, n)
    h2ws_mask(<uint8_t*>PyBytes_AS_STRING(data), p + pos, n, key)
    return data


cdef void mask(uint8_t* to, octets p, Py_ssize_t n, unsigned int key) noexcept:
    h2ws_mask(to, p, n, key)


cdef bint mask_ascii(uint8_t* to, octets p, Py_ssize_t n, unsigned int key) noexcept:
    return h2ws_mask_ascii(to, p, n, key)


# -- UTF-8 -----------------------------------------------------------------------------------


cpdef str unmask_text(octets p, Py_ssize_t pos, Py_ssize_t n, unsigned int key):
    cdef PyObject* decoded
    cdef object text
    if n == 0:
        return ""
    text = PyUnicode_New(n, 127)
    if h2ws_mask_ascii(<uint8_t*>PyUnicode_DATA(text), p + pos, n, key):
        return text
    # Not ASCII after all: `text`, which nobody else has seen, is the scratch memory to decode.
    decoded = PyUnicode_DecodeUTF8(<const char*>PyUnicode_DATA(text), n, NULL)
    memset(PyUnicode_DATA(text), 0, n)
    if decoded == NULL:
        PyErr_Clear()
        return None
    text = <object>decoded
    Py_XDECREF(decoded)
    return text


cpdef object encoded(str text):
    if PyUnicode_IS_COMPACT_ASCII(text):
        return text
    return text.encode()


cpdef int utf8_check(octets p, Py_ssize_t pos, Py_ssize_t n, int state) noexcept:
    return h2ws_utf8(p + pos, n, state)


# -- allowed octets --------------------------------------------------------------------------


cpdef bint made_of(bytes data, bytes table) except -1:
    cdef octets p = data
    cdef octets kept = table
    cdef Py_ssize_t n = len(data)
    cdef Py_ssize_t i
    for i in range(n):
        if kept[p[i]] != p[i]:
            return False
    return n > 0


# -- Huffman ---------------------------------------------------------------------------------


cpdef Py_ssize_t huffman_size(bytes data) except -1:
    return <Py_ssize_t>h2ws_huffman_size(<octets>data, len(data))


cpdef bytes huffman_encode(bytes data):
    cdef octets p = data
    cdef Py_ssize_t n = len(data)
    cdef bytes encoded = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>h2ws_huffman_size(p, n))
    h2ws_huffman_encode(<uint8_t*>PyBytes_AS_STRING(encoded), p, n)
    return encoded


cpdef bytes huffman_decode(octets p, Py_ssize_t pos, Py_ssize_t n, Py_ssize_t limit):
    cdef uint8_t few[512]
    cdef uint8_t* to = few
    cdef Py_ssize_t room = n // 5 * 8 + 8  # the shortest code has 5 bits
    cdef Py_ssize_t written
    if room > limit:
        room = limit
    if room > <Py_ssize_t>sizeof(few):
        to = <uint8_t*>PyMem_Malloc(room)
        if to == NULL:
            raise MemoryError
    try:
        written = h2ws_huffman_decode(to, room, p + pos, n)
        if written < 0:
            return None
        return PyBytes_FromStringAndSize(<const char*>to, written)
    finally:
        if to != few:
            PyMem_Free(to)
