# cython: language_level=3
"""A module of somebody else's, on the engine of an installed h2ws_fast."""

from h2ws_fast.engine.arrivals cimport TextMessage, text_message
from h2ws_fast.engine.buffers cimport Buffer
from h2ws_fast.engine.kernels cimport address, octets, u32, unmask, unmask_text
from h2ws_fast.engine.stream_map cimport StreamMap


def taste(data):
    cdef octets p = address(data)
    cdef Buffer buffer = Buffer()
    cdef StreamMap streams = StreamMap()
    cdef TextMessage message
    buffer.append(p, 4, len(data) - 4, u32(p, 0))
    message = text_message(1, unmask_text(p, 4, len(data) - 4, u32(p, 0)), len(data))
    streams.put(message.stream_id, message)
    return buffer.bytes(), unmask(p, 4, len(data) - 4, u32(p, 0)), streams.get(1)
