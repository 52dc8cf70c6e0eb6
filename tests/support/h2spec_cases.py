"""What h2spec's error cases say, octet for octet where it matters, and the one right answer.

h2spec takes a dropped connection for any error, and often one of several codes. Here each case has
the code that RFC 9113, RFC 7541 and our rows demand. `CASES` maps h2spec's number of a case to it.
"""

from dataclasses import dataclass

import hpack

from . import frames as f

ANSWERED = object()  # among the chunks: what follows is said when stream 1 is answered and over

GET = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "127.0.0.1")]
POST = [(":method", "POST"), *GET[1:]]
LONG = [("x-dummy0", "x" * 4000)]

CASES = {}


@dataclass
class Case:
    """`chunks(say)` gives what the client says behind both SETTINGS; `code` is what it gets.

    `stream_id`: the stream that is reset, or None where the connection fails.
    """

    chunks: object
    code: int
    stream_id: int | None
    preface: bool = True
    settings: tuple = ()  # keyword arguments of the server's Settings, as items


class Say:
    """Frames whose field blocks share one dynamic table."""

    def __init__(self):
        self.encoder = hpack.Encoder()

    def block(self, *fields):
        return self.encoder.encode(list(fields))

    def headers(self, stream_id=1, fields=GET, end_stream=True, tail=b"", head=b"", **options):
        block = head + self.block(*fields) + tail
        return f.headers(stream_id, block, end_stream, **options)

    def begun(self, end_stream=True, fields=GET):
        """HEADERS without END_HEADERS."""
        return self.headers(1, fields, end_stream, end_headers=False)

    def rest(self, stream_id=1, end_headers=True):
        return f.continuation(stream_id, self.block(*LONG), end_headers)


def fails(number, code, **options):
    """The case ends the connection with GOAWAY(code)."""

    def add(chunks):
        CASES[number] = Case(chunks, code, None, **options)
        return chunks

    return add


def resets(number, code, stream_id=1, **options):
    """The case ends the stream with RST_STREAM(code), and nothing else."""

    def add(chunks):
        CASES[number] = Case(chunks, code, stream_id, **options)
        return chunks

    return add


@fails("http2/3.5/2", f.PROTOCOL_ERROR, preface=False)
def _(say):
    return [b"INVALID CONNECTION PREFACE\r\n\r\n"]


# -- frames --------------------------------------------------------------------------------------


@fails("http2/4.2/2", f.FRAME_SIZE_ERROR)
def _(say):
    return [say.headers(fields=POST, end_stream=False), f.data(1, b"x" * 16385, True)]


@fails("http2/4.2/3", f.FRAME_SIZE_ERROR)
def _(say):
    many = [(f"x-dummy{i}", "\0" * 4000) for i in range(5)]  # Huffman makes it no shorter
    octets = say.headers(fields=[*GET, *many])
    assert len(octets) > 9 + 16384
    return [octets]


@fails("http2/4.3/1", f.COMPRESSION_ERROR)
def _(say):
    return [f.headers(1, b"\x40", True)]


@fails("http2/4.3/2", f.PROTOCOL_ERROR)
def _(say):
    return [say.begun(False), f.priority(1, 0, 255), say.rest()]


@fails("http2/4.3/3", f.PROTOCOL_ERROR)
def _(say):
    return [say.begun(False), say.headers(3), say.rest()]


# -- streams -------------------------------------------------------------------------------------


@fails("http2/5.1.1/1", f.PROTOCOL_ERROR)
def _(say):
    return [say.headers(2)]


@fails("http2/5.1.1/2", f.PROTOCOL_ERROR)
def _(say):
    return [say.headers(5), say.headers(3)]


@resets("http2/5.1.2/1", f.REFUSED_STREAM, 201, settings=(("max_concurrent_streams", 100),))
def _(say):
    shut = f.settings((f.INITIAL_WINDOW_SIZE, 0))
    return [shut, *[say.headers(stream_id) for stream_id in range(1, 203, 2)]]


@fails("http2/5.1/1", f.PROTOCOL_ERROR)
def _(say):
    return [f.data(1, b"test", True)]


@fails("http2/5.1/2", f.PROTOCOL_ERROR)
def _(say):
    return [f.rst_stream(1)]


@fails("http2/5.1/3", f.PROTOCOL_ERROR)
def _(say):
    return [f.window_update(1, 100)]


@fails("http2/5.1/4", f.PROTOCOL_ERROR)
def _(say):
    return [f.continuation(1, say.block(*GET))]


@resets("http2/5.1/5", f.STREAM_CLOSED)
def _(say):
    return [say.headers(), f.data(1, b"test", True)]


@resets("http2/5.1/6", f.STREAM_CLOSED)
def _(say):
    return [say.headers(), say.headers()]


@fails("http2/5.1/7", f.PROTOCOL_ERROR)
def _(say):
    return [say.headers(), f.continuation(1, say.block(*GET))]


@resets("http2/5.1/8", f.STREAM_CLOSED)
def _(say):
    return [say.headers(end_stream=False), f.rst_stream(1), f.data(1, b"test", True)]


@resets("http2/5.1/9", f.STREAM_CLOSED)
def _(say):
    return [say.headers(end_stream=False), f.rst_stream(1), say.headers()]


@fails("http2/5.1/10", f.PROTOCOL_ERROR)
def _(say):
    return [say.headers(end_stream=False), f.rst_stream(1), say.rest()]


@fails("http2/5.1/11", f.STREAM_CLOSED)
def _(say):
    return [say.headers(), ANSWERED, f.data(1, b"test", True)]


@fails("http2/5.1/12", f.STREAM_CLOSED)
def _(say):
    return [say.headers(), ANSWERED, say.headers()]


@fails("http2/5.1/13", f.PROTOCOL_ERROR)
def _(say):
    return [say.headers(), ANSWERED, say.rest()]


ON_ITSELF = {"settings": (("no_rfc7540_priorities", False),)}


@resets("http2/5.3.1/1", f.PROTOCOL_ERROR, **ON_ITSELF)
def _(say):
    return [say.headers(priority=b"\0\0\0\x01\xff")]


@fails("http2/5.3.1/2", f.PROTOCOL_ERROR, **ON_ITSELF)
def _(say):
    return [f.priority(1, 1, 255)]


@fails("http2/5.4.1/1", f.PROTOCOL_ERROR)
@fails("http2/5.4.1/2", f.PROTOCOL_ERROR)
def _(say):
    return [f.frame(f.PING, 0, 3, bytes(8))]


@fails("http2/5.5/2", f.PROTOCOL_ERROR)
def _(say):
    return [say.begun(), f.frame(0x16, 0, 0, bytes(8))]


# -- each frame ----------------------------------------------------------------------------------


@fails("http2/6.1/1", f.PROTOCOL_ERROR)
def _(say):
    return [f.data(0, b"test", True)]


@resets("http2/6.1/2", f.STREAM_CLOSED)
def _(say):
    return [say.headers(fields=POST), f.data(1, b"test", True)]


@fails("http2/6.1/3", f.PROTOCOL_ERROR)
def _(say):
    head = say.headers(fields=[*POST, ("content-length", "4")], end_stream=False)
    return [head, f.frame(f.DATA, f.PADDED | f.END_STREAM, 1, b"\x06Test")]


@fails("http2/6.2/1", f.PROTOCOL_ERROR)
def _(say):
    return [say.begun(False), f.priority(1, 0, 255), say.rest()]


@fails("http2/6.2/2", f.PROTOCOL_ERROR)
def _(say):
    return [say.begun(False), say.headers(3), say.rest()]


@fails("http2/6.2/3", f.PROTOCOL_ERROR)
def _(say):
    return [say.headers(0)]


@fails("http2/6.2/4", f.PROTOCOL_ERROR)
def _(say):
    block = say.block(*GET)
    flags = f.PADDED | f.END_HEADERS | f.END_STREAM
    return [f.frame(f.HEADERS, flags, 1, bytes([len(block) + 2]) + block)]


@fails("http2/6.3/1", f.PROTOCOL_ERROR)
def _(say):
    return [f.priority(0, 0, 255)]


@resets("http2/6.3/2", f.FRAME_SIZE_ERROR)
def _(say):
    return [say.headers(), f.frame(f.PRIORITY, 0, 1, b"\x80\0\0\x01")]


@fails("http2/6.4/1", f.PROTOCOL_ERROR)
def _(say):
    return [f.rst_stream(0)]


@fails("http2/6.4/2", f.PROTOCOL_ERROR)
def _(say):
    return [f.rst_stream(1)]


@fails("http2/6.4/3", f.FRAME_SIZE_ERROR)
def _(say):
    return [say.headers(), f.frame(f.RST_STREAM, 0, 1, bytes(3))]


@fails("http2/6.5.2/1", f.PROTOCOL_ERROR)
def _(say):
    return [f.settings((f.ENABLE_PUSH, 2))]


@fails("http2/6.5.2/2", f.FLOW_CONTROL_ERROR)
@fails("http2/6.9.2/3", f.FLOW_CONTROL_ERROR)
def _(say):
    return [f.settings((f.INITIAL_WINDOW_SIZE, 2**31))]


@fails("http2/6.5.2/3", f.PROTOCOL_ERROR)
def _(say):
    return [f.settings((f.MAX_FRAME_SIZE, 16383))]


@fails("http2/6.5.2/4", f.PROTOCOL_ERROR)
def _(say):
    return [f.settings((f.MAX_FRAME_SIZE, 2**24))]


@fails("http2/6.5/1", f.FRAME_SIZE_ERROR)
def _(say):
    return [f.frame(f.SETTINGS, f.ACK, 0, b"\0")]


@fails("http2/6.5/2", f.PROTOCOL_ERROR)
def _(say):
    return [f.frame(f.SETTINGS, 0, 1, b"\0\x03\0\0\0\x64")]


@fails("http2/6.5/3", f.FRAME_SIZE_ERROR)
def _(say):
    return [f.frame(f.SETTINGS, 0, 0, b"\0\x03\0")]


@fails("http2/6.7/3", f.PROTOCOL_ERROR)
def _(say):
    return [f.frame(f.PING, 0, 1, bytes(8))]


@fails("http2/6.7/4", f.FRAME_SIZE_ERROR)
def _(say):
    return [f.frame(f.PING, 0, 1, bytes(6))]  # on a stream too, but the length comes first


@fails("http2/6.8/1", f.PROTOCOL_ERROR)
def _(say):
    return [f.frame(f.GOAWAY, 0, 1, bytes(8))]


@fails("http2/6.9.1/2", f.FLOW_CONTROL_ERROR)
def _(say):
    return [f.window_update(0, 2**31 - 1), f.window_update(0, 2**31 - 1)]


@resets("http2/6.9.1/3", f.FLOW_CONTROL_ERROR)
def _(say):
    more = f.window_update(1, 2**31 - 1)
    return [say.headers(end_stream=False), more, more]


@fails("http2/6.9/1", f.PROTOCOL_ERROR)
def _(say):
    return [f.window_update(0, 0)]


@resets("http2/6.9/2", f.PROTOCOL_ERROR)
def _(say):
    return [say.headers(end_stream=False), f.window_update(1, 0)]


@fails("http2/6.9/3", f.FRAME_SIZE_ERROR)
def _(say):
    return [f.frame(f.WINDOW_UPDATE, 0, 0, b"\0\0\x01")]


@fails("http2/6.10/2", f.PROTOCOL_ERROR)
def _(say):
    return [say.begun(False, POST), say.rest(1, False), f.data(1, b"test", True)]


@fails("http2/6.10/3", f.PROTOCOL_ERROR)
def _(say):
    return [say.begun(), say.rest(0)]


@fails("http2/6.10/4", f.PROTOCOL_ERROR)
def _(say):
    return [say.headers(), say.rest()]


@fails("http2/6.10/5", f.PROTOCOL_ERROR)
def _(say):
    return [say.begun(), say.rest(), say.rest()]


@fails("http2/6.10/6", f.PROTOCOL_ERROR)
def _(say):
    return [say.begun(False, POST), f.data(1, b"test", True), say.rest(1, False), say.rest(0)]


# -- HTTP ----------------------------------------------------------------------------------------


@resets("http2/8.1/1", f.PROTOCOL_ERROR)
def _(say):
    head = say.headers(fields=POST, end_stream=False)
    return [head, f.data(1, b"test"), say.headers(fields=[("x-test", "ok")], end_stream=False)]


def malformed(number, fields):
    """A request that is a stream error by its fields."""
    resets(number, f.PROTOCOL_ERROR)(lambda say: [say.headers(fields=fields)])


malformed("http2/8.1.2/1", [*GET, ("X-TEST", "ok")])
malformed("http2/8.1.2.1/1", [*GET, (":test", "ok")])
malformed("http2/8.1.2.1/2", [*GET, (":status", "200")])
malformed("http2/8.1.2.1/4", [("x-test", "ok"), *GET])
malformed("http2/8.1.2.2/1", [*GET, ("connection", "keep-alive")])
malformed("http2/8.1.2.2/2", [*GET, ("trailers", "test"), ("te", "trailers, deflate")])
malformed("http2/8.1.2.3/1", [*GET[:2], (":path", ""), GET[3]])
malformed("http2/8.1.2.3/2", GET[1:])
malformed("http2/8.1.2.3/3", [GET[0], *GET[2:]])
malformed("http2/8.1.2.3/4", [*GET[:2], GET[3]])
malformed("http2/8.1.2.3/5", [*GET, GET[0]])
malformed("http2/8.1.2.3/6", [*GET, GET[1]])
malformed("http2/8.1.2.3/7", [*GET, GET[2]])


@resets("http2/8.1.2.1/3", f.PROTOCOL_ERROR)
def _(say):
    head = say.headers(fields=POST, end_stream=False)
    trailers = say.headers(fields=[(":method", "POST")], end_stream=False)
    return [head, f.data(1, b"test"), trailers]


@resets("http2/8.1.2.6/1", f.PROTOCOL_ERROR)
def _(say):
    head = say.headers(fields=[*POST, ("content-length", "1")], end_stream=False)
    return [head, f.data(1, b"test", True)]


@resets("http2/8.1.2.6/2", f.PROTOCOL_ERROR)
def _(say):
    head = say.headers(fields=[*POST, ("content-length", "1")], end_stream=False)
    return [head, f.data(1, b"test"), f.data(1, b"test", True)]


@fails("http2/8.2/1", f.PROTOCOL_ERROR)
def _(say):
    return [f.push_promise(1, 3, say.block(*GET))]


# -- header compression --------------------------------------------------------------------------


def undecodable(number, *, head="", tail=""):
    """A field block with octets before or behind it that break RFC 7541."""
    octets = {"head": bytes.fromhex(head), "tail": bytes.fromhex(tail)}
    fails(number, f.COMPRESSION_ERROR)(lambda say: [say.headers(**octets)])


undecodable("hpack/2.3.3/1", tail="c6")
undecodable("hpack/4.2/1", tail="21")
undecodable("hpack/5.2/1", tail="00 85f2b24a84ff 8449509fff")
undecodable("hpack/5.2/2", tail="00 85f2b24a84ff 83495090")
undecodable("hpack/5.2/3", tail="00 85f2b24a87ff fffffd25427f")
undecodable("hpack/6.1/1", tail="80")
undecodable("hpack/6.3/1", head="3fe21f")
