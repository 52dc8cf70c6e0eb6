"""The arrivals, compiled: the names and results of `arrivals.py`, and its contracts."""

cimport cython


cdef extern from "Python.h":
    object PyObject_GenericGetAttr(object o, object name)


# Their fields hold no cycle, so the garbage collector never looks at them. A read of 64 KiB brings
# some hundreds: that many lie ready. The getters that `readonly` makes are found through the type
# and cost 25 ns each; a look at the name first, 5 ns. A class in common for the three, with one free
# list, costs 29 instructions a message (685 against 656).


@cython.freelist(1024)
cdef class TextMessage:
    """A WebSocket text message arrived: `data` is `str`.

    `credit` is what it counts while nobody has taken it: its octets, and 64 for what holds them.
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
    """Octets of a body or tunnel arrived: `data` is `bytes`, and their number is `credit`."""

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
