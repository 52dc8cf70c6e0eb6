"""Descriptors, compiled: the names and results of `descriptor.py`, and its contracts."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_SetFromErrno
from cpython.buffer cimport PyBuffer_IsContiguous
from cpython.memoryview cimport PyMemoryView_Check, PyMemoryView_GET_BUFFER


cdef extern from *:
    """
    #include <errno.h>
    #ifndef _WIN32
    #include <sys/socket.h>
    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0
    #endif
    static CYTHON_INLINE Py_ssize_t h2ws_send(int fd, const char *from, Py_ssize_t n) {
        return send(fd, from, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    static CYTHON_INLINE Py_ssize_t h2ws_recv(int fd, void *to, Py_ssize_t n) {
        return recv(fd, to, (size_t)n, MSG_DONTWAIT);
    }
    #else
    #define h2ws_send(fd, from, n) (-1)
    #define h2ws_recv(fd, to, n) (errno = ENOSYS, -1)
    #endif

    #define H2WS_MOST 256
    enum { H2WS_ADD, H2WS_AGAIN, H2WS_REMOVE };
    #ifdef __linux__
    #include <sys/epoll.h>
    #include <unistd.h>
    #define h2ws_poll_open() epoll_create1(EPOLL_CLOEXEC)
    #define h2ws_poll_close(poll) close(poll)
    static int h2ws_poll_change(int poll, int fd, int change) {
        static const int operations[] = {EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL};
        struct epoll_event event;
        memset(&event, 0, sizeof event);
        event.events = EPOLLIN | EPOLLRDHUP | EPOLLET;
        event.data.fd = fd;
        return epoll_ctl(poll, operations[change], fd, &event);
    }
    static int h2ws_poll_ask(int poll, int (*found)[2]) {
        struct epoll_event events[H2WS_MOST];
        int i, n = epoll_wait(poll, events, H2WS_MOST, 0);
        for (i = 0; i < n; i++) {
            found[i][0] = events[i].data.fd;
            found[i][1] = events[i].events == EPOLLIN;
        }
        return n;
    }
    #else
    #define h2ws_poll_open() (errno = ENOSYS, -1)
    #define h2ws_poll_close(poll) (-1)
    #define h2ws_poll_change(poll, fd, change) (errno = ENOSYS, -1)
    #define h2ws_poll_ask(poll, found) (errno = ENOSYS, -1)
    #endif
    """
    int H2WS_MOST, H2WS_ADD, H2WS_AGAIN, H2WS_REMOVE
    int h2ws_poll_open() noexcept
    int h2ws_poll_close(int poll) noexcept
    int h2ws_poll_change(int poll, int fd, int change) noexcept
    int h2ws_poll_ask(int poll, int (*found)[2]) noexcept
    Py_ssize_t h2ws_send(int fd, const char* source, Py_ssize_t n) noexcept
    Py_ssize_t h2ws_recv(int fd, void* to, Py_ssize_t n) noexcept


cdef extern from "errno.h":
    int errno, EAGAIN, EWOULDBLOCK, EINTR

MOST = H2WS_MOST


cpdef Py_ssize_t send(int fd, bytes data) except -1:
    # The GIL stays: nothing waits here, and taking it again costs more than most of these calls.
    cdef Py_ssize_t sent = h2ws_send(fd, PyBytes_AS_STRING(data), len(data))
    return sent if sent > 0 else 0


cpdef bytes receive(int fd, object room):
    if not PyMemoryView_Check(room) or not PyBuffer_IsContiguous(PyMemoryView_GET_BUFFER(room), b"C"):
        raise TypeError("room must be a contiguous memoryview")
    cdef Py_buffer* place = PyMemoryView_GET_BUFFER(room)
    if place.readonly:
        raise TypeError("room must be writable")
    cdef Py_ssize_t n = h2ws_recv(fd, place.buf, place.len)
    if n < 0:
        if errno == EAGAIN or errno == EWOULDBLOCK:
            return None
        PyErr_SetFromErrno(OSError)
    return PyBytes_FromStringAndSize(<char*>place.buf, n)


@cython.final
cdef class Poll:
    """See `descriptor.py`."""

    def __cinit__(self):
        self._count = 0
        self._fd = h2ws_poll_open()
        if self._fd < 0:
            PyErr_SetFromErrno(OSError)

    def __dealloc__(self):
        self.close()

    def fileno(self):
        return self._fd

    cpdef close(self):
        if self._fd >= 0:
            h2ws_poll_close(self._fd)
            self._fd = -1

    cpdef add(self, int fd):
        self._change(fd, H2WS_ADD)

    cpdef again(self, int fd):
        self._change(fd, H2WS_AGAIN)

    cpdef remove(self, int fd):
        self._change(fd, H2WS_REMOVE)

    cdef _change(self, int fd, int change):
        if h2ws_poll_change(self._fd, fd, change) < 0:
            PyErr_SetFromErrno(OSError)

    cpdef int ask(self) except -1:
        self._count = 0
        cdef int count = h2ws_poll_ask(self._fd, self._found)
        if count < 0:
            if errno != EINTR:
                PyErr_SetFromErrno(OSError)
            count = 0
        self._count = count
        return count

    cpdef int which(self, int index) except -1:
        if not 0 <= index < self._count:
            raise IndexError("list index out of range")
        return self._found[index][0]

    cpdef bint plain(self, int index) except -1:
        if not 0 <= index < self._count:
            raise IndexError("list index out of range")
        return self._found[index][1]
