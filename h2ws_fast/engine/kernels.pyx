"""The kernels, compiled: the names and results of `kernels.py`, over `csrc/`.

The contracts stand there; here stands only what a pointer adds to them. An `octets` value points
into memory that the caller keeps alive and has checked the bounds of: nothing is checked here.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_SIMPLE,
    PyBuffer_FillInfo,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
    _PyBytes_Resize,
)
from cpython.exc cimport PyErr_Clear, PyErr_Occurred
from cpython.list cimport PyList_GET_ITEM
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF
from libc.string cimport memcpy, memset


cdef extern from "Python.h":
    int PyUnicode_CheckExact(object text)
    int PyUnicode_IS_COMPACT_ASCII(object text)
    void* PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    int PyUnicode_Resize(PyObject** text, Py_ssize_t size) except -1
    PyObject* PyUnicode_DecodeUTF8(const char* p, Py_ssize_t size, const char* errors)
    void Py_XDECREF(PyObject* o)
    object PyObject_GenericGetAttr(object o, object name)


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
    uint32_t h2ws_map_find(const uint32_t* ids, uint32_t capacity, uint32_t id) noexcept
    uint32_t h2ws_map_shift(const uint32_t* ids, uint32_t capacity, uint32_t hole) noexcept


NONE = 0
WIDTHS = ("scalar", "vector", "avx2", "avx512")

h2ws_init(H2WS_AVX512)


def choose(int width):
    """Run on instructions of `WIDTHS[width]` at most; return the index of what was chosen.

    For tests and benchmarks: the import has chosen the widest already.
    """
    return h2ws_init(width)


cpdef octets address(object data) except NULL:
    cdef Py_buffer view
    cdef octets p
    if PyBytes_CheckExact(data):
        return <octets>PyBytes_AS_STRING(data)
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    p = <octets>view.buf
    PyBuffer_Release(&view)  # the memory stays: the caller keeps `data`
    return p if p != NULL else <octets>b""


def _address(data):
    return data if type(data) is bytes else bytes(data)


globals()["address"] = _address  # called from Python, octets are `bytes`


cpdef bytes take(octets p, Py_ssize_t pos, Py_ssize_t n):
    return PyBytes_FromStringAndSize(<const char*>p + pos, n)


# -- masking ---------------------------------------------------------------------------------


cpdef bytes unmask(octets p, Py_ssize_t pos, Py_ssize_t n, unsigned int key):
    cdef bytes data
    if key == 0 or n == 0:
        return PyBytes_FromStringAndSize(<const char*>p + pos, n)
    data = PyBytes_FromStringAndSize(NULL, n)
    h2ws_mask(<uint8_t*>PyBytes_AS_STRING(data), p + pos, n, key)
    return data


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


# -- buffers ---------------------------------------------------------------------------------


cdef inline void write_head(
    uint8_t* to, unsigned int length, unsigned int kind, unsigned int flags, unsigned int stream_id
) noexcept:
    to[0] = <uint8_t>(length >> 16)
    to[1] = <uint8_t>(length >> 8)
    to[2] = <uint8_t>length
    to[3] = <uint8_t>kind
    to[4] = <uint8_t>flags
    write_u32(to + 5, stream_id)


cdef inline void write_u32(uint8_t* to, unsigned int value) noexcept:
    to[0] = <uint8_t>(value >> 24)
    to[1] = <uint8_t>(value >> 16)
    to[2] = <uint8_t>(value >> 8)
    to[3] = <uint8_t>value


cdef inline void copy(uint8_t* to, octets p, Py_ssize_t n, unsigned int key) noexcept:
    if key:
        h2ws_mask(to, p, n, key)
    elif n:
        memcpy(to, p, n)


cdef class Buffer:
    """Growing octets: control frames waiting to leave, or a message that is still arriving.

    They lie in a `bytes` object that nobody else has seen, so that a message which is whole is
    handed over and not copied once more; text lies in a `str` as long as it is ASCII.
    """

    def __dealloc__(self):
        Py_XDECREF(self._object)

    cdef uint8_t* _extend(self, Py_ssize_t n) except NULL:
        """Return where the next n octets go, which count as held from now on."""
        cdef Py_ssize_t size = self._size
        cdef Py_ssize_t capacity
        cdef Py_ssize_t believed
        if n > self._capacity - size or self._object == NULL:
            if n > LARGEST - size:
                raise MemoryError
            # Half as much again: amortised, and a message of n octets holds 1.5 n at most.
            capacity = size + n + (size >> 1)
            if self._expected >= size + n:
                # Room for what was announced, on trust only a little of it: then sixteen times
                # what came, so that 1 MiB is copied once and not eight times.
                believed = RESERVE if size < RESERVE >> 4 else size << 4
                if capacity < size + n + believed:
                    capacity = size + n + believed
                if capacity > self._expected:
                    capacity = self._expected
            if capacity < 64:
                capacity = 64
            if self._object == NULL:
                if self._ascii:
                    fresh = PyUnicode_New(capacity, 127)
                else:
                    fresh = PyBytes_FromStringAndSize(NULL, capacity)
                Py_INCREF(fresh)
                self._object = <PyObject*>fresh
            elif self._ascii:
                PyUnicode_Resize(&self._object, capacity)
            else:
                # On failure it drops the object and leaves NULL.
                self._size = self._capacity = 0
                _PyBytes_Resize(&self._object, capacity)
            self._capacity = capacity
        self._size = size + n
        return self._octets() + size

    cdef inline uint8_t* _octets(self) noexcept:
        if self._ascii:
            return <uint8_t*>PyUnicode_DATA(<object>self._object)
        return <uint8_t*>PyBytes_AS_STRING(<object>self._object)

    cdef int _leave_ascii(self) except -1:
        """Let the octets lie in `bytes` from now on."""
        cdef PyObject* text = self._object
        if text != NULL:
            fresh = PyBytes_FromStringAndSize(NULL, self._capacity)
            memcpy(PyBytes_AS_STRING(fresh), PyUnicode_DATA(<object>text), self._size)
            Py_INCREF(fresh)
            self._object = <PyObject*>fresh
            Py_XDECREF(text)
        self._ascii = False
        return 0

    cpdef int expect(self, Py_ssize_t n) except -1:
        """Expect to hold n octets in the end: a hint, of which little is believed at once."""
        self._expected = n
        return 0

    cpdef Py_ssize_t size(self) noexcept:
        return self._size

    cpdef int head(
        self, unsigned int length, unsigned int kind, unsigned int flags, unsigned int stream_id
    ) except -1:
        write_head(self._extend(9), length, kind, flags, stream_id)
        return 0

    cpdef int put_u16(self, unsigned int value) except -1:
        cdef uint8_t* to = self._extend(2)
        to[0] = <uint8_t>(value >> 8)
        to[1] = <uint8_t>value
        return 0

    cpdef int put_u32(self, unsigned int value) except -1:
        write_u32(self._extend(4), value)
        return 0

    cpdef int put(self, bytes data) except -1:
        cdef Py_ssize_t n = len(data)
        if self._ascii:
            self._leave_ascii()
        memcpy(self._extend(n), <octets>data, n)
        return 0

    cpdef int append(self, octets p, Py_ssize_t pos, Py_ssize_t n, unsigned int key) except -1:
        if self._ascii:
            self._leave_ascii()
        copy(self._extend(n), p + pos, n, key)
        return 0

    cpdef int append_text(
        self, octets p, Py_ssize_t pos, Py_ssize_t n, unsigned int key, int state
    ) except -2:
        cdef uint8_t* to
        if self._size == 0:
            self.clear()
            self._ascii = True
        to = self._extend(n)
        if state == 0:
            if h2ws_mask_ascii(to, p + pos, n, key):
                return 0
        else:
            copy(to, p + pos, n, key)
        if self._ascii:
            self._leave_ascii()
            to = self._octets() + self._size - n
        return h2ws_utf8(to, n, state)

    cpdef object bytes(self):
        """Hand over the octets as `bytes`: the buffer is empty then."""
        cdef PyObject* held
        cdef Py_ssize_t size = self._size
        if size == 0:
            return b""
        if self._ascii:
            self._leave_ascii()
        held = self._object
        self._object = NULL
        self._size = 0
        if size != self._capacity:
            _PyBytes_Resize(&held, size)
        self._capacity = 0
        return h2ws_own(held)

    cpdef object text(self):
        """Hand over the octets, known to be UTF-8, as `str`: the buffer is empty then."""
        cdef PyObject* held
        cdef Py_ssize_t size = self._size
        if size == 0:
            return ""
        if not self._ascii:
            text = PyBytes_AS_STRING(<object>self._object)[:size].decode("utf-8")
            self.clear()
            return text
        if size != self._capacity:
            PyUnicode_Resize(&self._object, size)
        held = self._object
        self._object = NULL
        self._size = 0
        self._capacity = 0
        self._ascii = False
        return h2ws_own(held)

    cpdef int clear(self) except -1:
        """Forget the octets, and give the memory back."""
        Py_XDECREF(self._object)
        self._object = NULL
        self._size = 0
        self._capacity = 0
        self._ascii = False
        return 0


# Octets that an announced length alone makes us hold: SEC-5-1.
cdef enum:
    RESERVE = 65536

cdef Py_ssize_t LARGEST = <Py_ssize_t>((<size_t>-1) >> 2)

# Up to here a copy costs less than what a pooled object does to its holder.
cdef enum:
    COPIED = 8192


cdef class Pool:
    """Output buffers to use again. One for each event loop, or for each connection without one."""

    def __init__(self, capacity=65536):
        if self._capacity:
            raise TypeError("a Pool has one capacity for its life: make another Pool")
        if not 1024 <= capacity <= 1 << 30:
            raise ValueError("the capacity of a pool's buffers is from 1 KiB to 1 GiB")
        self._capacity = capacity

    def __dealloc__(self):
        while self._kept:
            self._kept -= 1
            PyMem_Free(self._blocks[self._kept])

    cpdef OutBuffer acquire(self):
        cdef OutBuffer out = OutBuffer.__new__(OutBuffer)
        out._block = self._take()
        out._capacity = self._capacity
        out._pool = self
        return out

    cdef uint8_t* _take(self) except NULL:
        cdef uint8_t* block
        if self._kept:
            self._kept -= 1
            return self._blocks[self._kept]
        block = <uint8_t*>PyMem_Malloc(self._capacity)
        if block == NULL:
            raise MemoryError
        return block

    cdef void _give(self, uint8_t* block) noexcept:
        if self._kept < KEPT_BLOCKS:
            self._blocks[self._kept] = block
            self._kept += 1
        else:
            PyMem_Free(block)


@cython.freelist(8)
@cython.no_gc  # it refers to its pool, which refers to nothing
cdef class OutBuffer:
    """Octets on their way to the transport, of a fixed capacity, from a `Pool`.

    It owns one block of the pool and gives it back when the last reference goes, exports of the
    buffer protocol included.
    """

    def __dealloc__(self):
        if self._block != NULL:
            self._pool._give(self._block)

    cdef uint8_t* _extend(self, Py_ssize_t n) except NULL:
        cdef uint8_t* to = self._block + self._used
        if n < 0 or n > self._capacity - self._used or self._finished or self._block == NULL:
            raise ValueError("no room in this OutBuffer: check room() first")
        self._used += n
        return to

    cpdef Py_ssize_t used(self) noexcept:
        return self._used

    cpdef Py_ssize_t room(self) noexcept:
        return self._capacity - self._used

    cpdef int head(
        self, unsigned int length, unsigned int kind, unsigned int flags, unsigned int stream_id
    ) except -1:
        write_head(self._extend(9), length, kind, flags, stream_id)
        return 0

    cpdef int put(self, bytes data) except -1:
        cdef Py_ssize_t n = len(data)
        memcpy(self._extend(n), <octets>data, n)
        return 0

    cpdef int drain(self, Buffer buffer, Py_ssize_t at, Py_ssize_t n) except -1:
        if n < 0 or at < 0 or n > buffer._size - at:
            raise ValueError("the Buffer holds less")
        if n:
            memcpy(self._extend(n), buffer._octets() + at, n)
        return 0

    cpdef object finish(self):
        if self._finished:
            raise ValueError("this OutBuffer is finished")
        if self._block == NULL:
            raise TypeError("Pool.acquire() makes OutBuffers")
        self._finished = True
        if self._used > COPIED:
            return self
        data = PyBytes_FromStringAndSize(<const char*>self._block, self._used)
        self._pool._give(self._block)
        self._block = NULL
        self._used = self._capacity = 0
        return data

    def __len__(self):
        return self._used

    def __getbuffer__(self, Py_buffer* view, int flags):
        if not self._finished or self._block == NULL:
            raise BufferError("call finish() first and use what it returns")
        PyBuffer_FillInfo(view, self, self._block, self._used, True, flags)


# -- calls that must not break off what calls them ---------------------------------------------


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


# -- what waits ------------------------------------------------------------------------------


cdef uint8_t write_frame_head(
    uint8_t* head, unsigned int first_octet, Py_ssize_t n, bint masked, unsigned int key
) noexcept:
    """Write the head of a WebSocket frame; return its size."""
    cdef uint8_t bit = 0x80 if masked else 0
    cdef uint8_t size
    head[0] = <uint8_t>first_octet
    if n < 126:
        head[1] = <uint8_t>(bit | n)
        size = 2
    elif n < 65536:
        head[1] = bit | 126
        head[2] = <uint8_t>(n >> 8)
        head[3] = <uint8_t>n
        size = 4
    else:
        head[1] = bit | 127
        write_u32(head + 2, <unsigned int>(<unsigned long long>n >> 32))
        write_u32(head + 6, <unsigned int>n)
        size = 10
    if masked:
        head[size] = <uint8_t>key
        head[size + 1] = <uint8_t>(key >> 8)
        head[size + 2] = <uint8_t>(key >> 16)
        head[size + 3] = <uint8_t>(key >> 24)
        size += 4
    return size


cdef class Chunks:
    """The octets that wait on a connection's streams, as chains of nodes in one array.

    The array is made with the first node and freed with the last.
    """

    def __dealloc__(self):
        cdef unsigned int i
        for i in range(self._used):
            Py_XDECREF(self._nodes[i].data)
        PyMem_Free(self._nodes)

    cdef int _grow(self) except -1:
        # Steep at first: a read full of echoes begins at nothing, each time.
        cdef unsigned int capacity = self._capacity * (4 if self._capacity < 1024 else 2) or 8
        cdef Chunk* nodes = <Chunk*>PyMem_Realloc(self._nodes, capacity * sizeof(Chunk))
        if nodes == NULL:
            raise MemoryError
        self._nodes = nodes
        self._capacity = capacity
        return 0

    cdef inline unsigned int _hold(
        self, object data, octets payload, Py_ssize_t size, unsigned int behind
    ) except 0:
        """Return a node that holds all of `data`, without a head."""
        cdef Chunk* chunk
        cdef unsigned int node = self._free
        if node:
            chunk = &self._nodes[node - 1]
            self._free = chunk.following
        else:
            if self._used == self._capacity:
                self._grow()
            chunk = &self._nodes[self._used]
            self._used += 1
            node = self._used
        self._live += 1
        Py_INCREF(data)
        chunk.data = <PyObject*>data
        chunk.payload = payload
        chunk.size = size
        chunk.poured = 0
        chunk.key = 0
        chunk.following = 0
        chunk.head_size = 0
        self.pushed = size
        if behind:
            self._nodes[behind - 1].following = node
        return node

    cdef inline void _release(self, unsigned int node, Chunk* chunk) noexcept:
        cdef PyObject* data = chunk.data
        chunk.data = NULL
        chunk.following = self._free
        self._free = node
        self._live -= 1
        if self._live == 0:
            PyMem_Free(self._nodes)
            self._nodes = NULL
            self._capacity = self._used = self._free = 0
        Py_XDECREF(data)

    cpdef unsigned int push(self, object data, unsigned int behind) except 0:
        if PyBytes_CheckExact(data):
            return self._hold(
                data, <octets>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), behind
            )
        if not PyUnicode_CheckExact(data):
            raise TypeError(f"bytes or str, not {type(data).__name__}")
        if not PyUnicode_IS_COMPACT_ASCII(data):
            return self.push((<str>data).encode(), behind)
        return self._hold(data, <octets>PyUnicode_DATA(data), PyUnicode_GET_LENGTH(data), behind)

    cpdef unsigned int push_frame(
        self,
        unsigned int first_octet,
        object data,
        bint masked,
        unsigned int key,
        unsigned int behind,
    ) except 0:
        cdef unsigned int node
        cdef Chunk* chunk
        if PyBytes_CheckExact(data) and PyBytes_GET_SIZE(data) < 126 and not masked:
            # By far the most: in one step.
            node = self._hold(
                data, <octets>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), behind
            )
            chunk = &self._nodes[node - 1]
            chunk.head[0] = <uint8_t>first_octet
            chunk.head[1] = <uint8_t>PyBytes_GET_SIZE(data)
            chunk.head_size = 2
            self.pushed += 2
            return node
        node = self.push(data, behind)
        chunk = &self._nodes[node - 1]
        chunk.head_size = write_frame_head(chunk.head, first_octet, chunk.size, masked, key)
        if masked:
            chunk.key = key
        self.pushed += chunk.head_size
        return node

    cpdef Py_ssize_t size(self, unsigned int node) noexcept:
        cdef Chunk* chunk = &self._nodes[node - 1]
        return chunk.head_size + chunk.size - chunk.poured

    cpdef unsigned int pour(
        self, unsigned int node, OutBuffer out, Py_ssize_t n
    ) except? 4294967295:
        cdef uint8_t* to = out._extend(n)
        cdef Chunk* chunk
        cdef Py_ssize_t size
        cdef Py_ssize_t part
        cdef Py_ssize_t at
        cdef unsigned int following
        while node:
            chunk = &self._nodes[node - 1]
            size = chunk.head_size + chunk.size
            if chunk.poured == 0 and chunk.head_size == 2 and size <= n:
                # A whole small message of a server: no call for two octets.
                memcpy(to, chunk.head, 2)
                memcpy(to + 2, chunk.payload, size - 2)
                to += size
                n -= size
            else:
                at = chunk.poured
                if at < chunk.head_size:
                    part = chunk.head_size - at
                    if part > n:
                        part = n
                    memcpy(to, chunk.head + at, part)
                    at += part
                    to += part
                    n -= part
                at -= chunk.head_size  # below 0 where n is 0
                part = chunk.size - at
                if part > n:
                    part = n
                if part:
                    copy(to, chunk.payload + at, part, rotate(chunk.key, at))
                    at += part
                    to += part
                    n -= part
                at += chunk.head_size
                if at != size:
                    chunk.poured = at
                    return node
            following = chunk.following
            self._release(node, chunk)
            node = following
        if n:
            out._used -= n
            raise ValueError("the chain holds less")
        return 0

    cpdef int drop(self, unsigned int node) except -1:
        cdef unsigned int following
        while node:
            following = self._nodes[node - 1].following
            self._release(node, &self._nodes[node - 1])
            node = following
        return 0


cdef class StreamMap:
    """stream id -> object: an open-addressing table of ids, and a list of the objects beside it.

    The list is what the garbage collector sees. An id and its object take 12 octets divided by
    the load, which is between a half and 0.8 while the map grows.
    """

    def __dealloc__(self):
        PyMem_Free(self._ids)

    cdef int _resize(self, uint32_t capacity) except -1:
        cdef uint32_t* ids
        cdef uint32_t* old_ids = self._ids
        cdef list streams
        cdef list old_streams = self._streams
        cdef uint32_t i
        cdef uint32_t place
        streams = [None] * capacity
        ids = <uint32_t*>PyMem_Malloc(capacity * sizeof(uint32_t))
        if ids == NULL:
            raise MemoryError
        memset(ids, 0, capacity * sizeof(uint32_t))
        for i in range(self._capacity):
            if old_ids[i]:
                place = h2ws_map_find(ids, capacity, old_ids[i])
                ids[place] = old_ids[i]
                streams[place] = old_streams[i]
        self._ids = ids
        self._streams = streams
        self._capacity = capacity
        PyMem_Free(old_ids)
        return 0

    def __len__(self):
        return self._count

    cpdef object get(self, unsigned int stream_id):
        if self._count == 0:
            return None
        # A free place holds None, so that what was not found needs no second look.
        return <object>PyList_GET_ITEM(
            self._streams, h2ws_map_find(self._ids, self._capacity, stream_id)
        )

    cpdef int put(self, unsigned int stream_id, object stream) except -1:
        cdef uint32_t place
        if stream_id == 0:
            raise ValueError("stream 0 is the connection")
        if self._count >= self._capacity // 5 * 4:
            # Half as much again: from 0.8 the load falls to 0.53.
            self._resize(self._capacity + self._capacity // 2 + 10)
        place = h2ws_map_find(self._ids, self._capacity, stream_id)
        if self._ids[place] == 0:
            self._ids[place] = stream_id
            self._count += 1
        self._streams[place] = stream
        return 0

    cpdef object pop(self, unsigned int stream_id):
        cdef uint32_t hole
        cdef uint32_t place
        cdef object stream
        if self._count == 0 or stream_id == 0:
            return None
        hole = h2ws_map_find(self._ids, self._capacity, stream_id)
        if self._ids[hole] == 0:
            return None
        stream = self._streams[hole]
        self._count -= 1
        if self._count == 0:
            PyMem_Free(self._ids)
            self._ids = NULL
            self._streams = None
            self._capacity = 0
            return stream
        while True:
            place = h2ws_map_shift(self._ids, self._capacity, hole)
            if place == self._capacity:
                break
            self._ids[hole] = self._ids[place]
            self._streams[hole] = self._streams[place]
            hole = place
        self._ids[hole] = 0
        self._streams[hole] = None
        if self._capacity > 64 and self._count < self._capacity // 5:
            self._resize(self._capacity // 2)
        return stream

    cpdef list values(self):
        cdef uint32_t i
        cdef list found = []
        for i in range(self._capacity):
            if self._ids[i]:
                found.append(self._ids[i])
        # Both twins in one order. Rare: the end of a connection, GOAWAY, a changed window.
        found.sort()
        return [self.get(stream_id) for stream_id in found]


# -- the events of the hot path --------------------------------------------------------------
# Their fields hold no cycle, so the garbage collector never looks at them. A read of 64 KiB brings
# some hundreds: that many lie ready. The getters that `readonly` makes are found through the type
# and cost 25 ns each; a look at the name first, 5 ns.


@cython.freelist(1024)
cdef class TextMessage:
    """A WebSocket text message arrived: `data` is `str`.

    When the application has taken it, `Connection.consumed(stream_id, credit)` lets the peer send
    as much again (not needed with `auto_credit=True`).
    """

    def __init__(self, unsigned int stream_id=0, str data="", Py_ssize_t credit=0):
        self.stream_id = stream_id
        self.data = data
        self.credit = credit

    def __getattribute__(self, str name):
        if name is "data":
            return self.data
        if name is "stream_id":
            return self.stream_id
        if name is "credit":
            return self.credit
        return PyObject_GenericGetAttr(self, name)

    def __eq__(self, other):
        return type(other) is TextMessage and fields(self) == fields(other)

    __hash__ = None

    def __repr__(self):
        return f"TextMessage(stream_id={self.stream_id}, data={self.data!r}, credit={self.credit})"


@cython.freelist(1024)
cdef class BytesMessage:
    """A WebSocket binary message arrived: `data` is `bytes`. See `TextMessage` for `credit`."""

    def __init__(self, unsigned int stream_id=0, bytes data=b"", Py_ssize_t credit=0):
        self.stream_id = stream_id
        self.data = data
        self.credit = credit

    def __getattribute__(self, str name):
        if name is "data":
            return self.data
        if name is "stream_id":
            return self.stream_id
        if name is "credit":
            return self.credit
        return PyObject_GenericGetAttr(self, name)

    def __eq__(self, other):
        return type(other) is BytesMessage and fields(self) == fields(other)

    __hash__ = None

    def __repr__(self):
        return f"BytesMessage(stream_id={self.stream_id}, data={self.data!r}, credit={self.credit})"


@cython.freelist(1024)
cdef class Data:
    """Octets of a body or tunnel arrived: `data` is `bytes`. See `TextMessage` for `credit`."""

    def __init__(self, unsigned int stream_id=0, bytes data=b"", Py_ssize_t credit=0):
        self.stream_id = stream_id
        self.data = data
        self.credit = credit

    def __getattribute__(self, str name):
        if name is "data":
            return self.data
        if name is "stream_id":
            return self.stream_id
        if name is "credit":
            return self.credit
        return PyObject_GenericGetAttr(self, name)

    def __eq__(self, other):
        return type(other) is Data and fields(self) == fields(other)

    __hash__ = None

    def __repr__(self):
        return f"Data(stream_id={self.stream_id}, data={self.data!r}, credit={self.credit})"


cdef tuple fields(object event):
    return event.stream_id, event.data, event.credit


cpdef TextMessage text_message(unsigned int stream_id, str data, Py_ssize_t credit):
    cdef TextMessage event = TextMessage.__new__(TextMessage)
    event.stream_id = stream_id
    event.data = data
    event.credit = credit
    return event


cpdef BytesMessage bytes_message(unsigned int stream_id, bytes data, Py_ssize_t credit):
    cdef BytesMessage event = BytesMessage.__new__(BytesMessage)
    event.stream_id = stream_id
    event.data = data
    event.credit = credit
    return event


cpdef Data data_event(unsigned int stream_id, bytes data, Py_ssize_t credit):
    cdef Data event = Data.__new__(Data)
    event.stream_id = stream_id
    event.data = data
    event.credit = credit
    return event
