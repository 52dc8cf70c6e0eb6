cimport cython
from libc.stdint cimport int64_t

from .buffers cimport Buffer, OutBuffer, Pool
from .control cimport Control
from .kernels cimport address, octets, u32
from .outbox cimport Outbox
from .stream cimport Layer, Stream
from .stream_map cimport StreamMap

cdef unsigned int DATA, FIN, LOCAL, OVER, STALLED
cdef int AHEAD, DEAD, FEWEST, LONGEST, ONE_CALL


@cython.final
cdef class Ahead:
    cdef list buffers
    cdef int64_t octets
    cdef OutBuffer out

    cdef OutBuffer follow(self, OutBuffer out, Pool pool)


@cython.locals(ahead=Ahead)
cdef Ahead new_ahead()


cdef class Fanout(Control):
    cdef Pool _pool
    cdef Ahead ahead

    @cython.final
    @cython.locals(frame=bytes, streams=StreamMap, ids=octets, at="Py_ssize_t", end="Py_ssize_t", outbox=Outbox, ahead=Ahead, out=OutBuffer, n="Py_ssize_t", size="Py_ssize_t", head="unsigned int", least=int64_t, fits="Py_ssize_t", allowed=int64_t, octets=int64_t, most=int64_t, unfit="unsigned int", sent=int64_t, others=list, stream=Stream)
    cdef list write_ahead(self, bytes stream_ids, int opcode, object data)
    @cython.locals(outbox=Outbox, size="Py_ssize_t", frame=Buffer)
    cdef bytes _framed_once(self, int opcode, object data, Py_ssize_t recipients)
    @cython.locals(ahead=Ahead, taken=int64_t, n=int64_t)
    cdef int64_t take_ahead(self, list buffers, int64_t most) except -1
    @cython.locals(ahead=Ahead, gone="Py_ssize_t", end="Py_ssize_t")
    cdef int drop_ahead(self) except -1
    cdef bint may_leave(self) except -1
