cimport cython

cpdef Py_ssize_t send(int fd, bytes data) except -1
cpdef bytes receive(int fd, object room)


@cython.final
cdef class Poll:
    cdef int _fd
    cdef int _count
    cdef int _found[256][2]  # MOST: which, and is it plain
    cdef _change(self, int fd, int change)
    cpdef add(self, int fd)
    cpdef again(self, int fd)
    cpdef remove(self, int fd)
    cpdef close(self)
    cpdef int ask(self) except -1
    cpdef int which(self, int index) except -1
    cpdef bint plain(self, int index) except -1
