"""What is HTTP/1.1 and what is not: RFC 9112, and the limits of a head."""

import tracemalloc

import pytest

from h2ws_fast.aio.h1 import head as heads
from h2ws_fast.engine import Limits
from h2ws_fast.engine.events import Data, Ended, Requested, Reset, Terminated, Trailers
from h2ws_fast.errors import LocalProtocolError, StreamClosed
from tests.support.h1 import Alone, request, upgrade

STEPS = [None, 1, 3]


def refused(octets, step=None, **options):
    """The status that answers these octets; nothing of them reached the application."""
    alone = Alone(**options)
    events = alone.feed(octets, step=step)
    assert not [event for event in events if isinstance(event, Requested)]
    answer = alone.answer()
    assert answer.fields["connection"] == "close"
    # What follows is not looked at any more.
    alone.feed(request())
    assert len(alone.answers()) == 1
    return answer.status


def body_of(events):
    return b"".join(event.data for event in events if isinstance(event, Data))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("octets", "now", "status"),
    [
        (b"\x16\x03\x01", 0.0, 400),
        (b"GET /" + b"x" * heads.MAX_LINE, 0.0, 414),
        (b"GET / HTTP/1.1\r\n", 100.0, 408),
    ],
)
def test_what_follows_an_answer_is_refused_like_what_came_first(method, octets, now, status):
    alone = Alone()
    alone.feed(request(line=f"{method} / HTTP/1.1"))
    alone.conn.respond(1, [(":status", "204")], True)
    alone.pull(0.0)
    alone.feed(octets)
    alone.conn.handle_timeout(now)
    alone.pull(now)
    first, second = alone.answers()
    assert (first.status, second.status) == (204, status)
    assert second.fields["connection"] == "close" and second.body


@pytest.mark.row("9112-3-1")
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET / HTTP/1.1 ", 400),
        ("GET  / HTTP/1.1", 400),
        ("GET /  HTTP/1.1", 400),
        ("GET /", 400),
        ("GET / ", 400),
        ("/ HTTP/1.1", 400),
        ("GET / http/1.1", 400),
        ("GET / HTTP/1", 400),
        ("GET / HTTP/11", 400),
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/0.9", 505),
        ("GET /a b HTTP/1.1", 400),
        ("GET /\x01 HTTP/1.1", 400),
        ("GET /\x7f HTTP/1.1", 400),
        ("GET /\xe9 HTTP/1.1", 400),
        ("G(T / HTTP/1.1", 400),
        ("GET /#fragment HTTP/1.1", 400),
        ("GET path HTTP/1.1", 400),
        ("GET ftp://example.org/ HTTP/1.1", 400),
        ("GET * HTTP/1.1", 400),
        ("GET\t/\tHTTP/1.1", 400),
        ("GET /\r HTTP/1.1", 400),
        (" GET / HTTP/1.1", 400),
        ("\x16\x03\x01\x02", 400),  # TLS, where none is spoken
    ],
)
def test_request_lines_that_are_none(line, status, step):
    assert refused(request(line=line), step) == status


@pytest.mark.row("9112-3-1")
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    ("line", "method", "path", "authority"),
    [
        ("GET / HTTP/1.1", "GET", "/", "example.org"),
        ("GET /a?b=c&d=%20;e|f HTTP/1.1", "GET", "/a?b=c&d=%20;e|f", "example.org"),
        ("OPTIONS * HTTP/1.1", "OPTIONS", "*", "example.org"),
        ("M-SEARCH /x HTTP/1.1", "M-SEARCH", "/x", "example.org"),
        ("GET /x HTTP/1.0", "GET", "/x", "example.org"),
        ("GET /x HTTP/1.2", "GET", "/x", "example.org"),
        ("GET http://other.example:81/p?q HTTP/1.1", "GET", "/p?q", "other.example:81"),
        ("GET HTTP://other.example HTTP/1.1", "GET", "/", "other.example"),
        ("GET http://other.example?q HTTP/1.1", "GET", "/?q", "other.example"),
    ],
)
def test_request_lines(line, method, path, authority, step):
    alone = Alone()
    (event,) = alone.feed(request(line=line), step=step)
    assert (event.method, event.path, event.authority) == (method, path, authority)
    assert event.scheme == "http" and event.ended


@pytest.mark.row("9112-3.2-1")
@pytest.mark.parametrize(
    "octets",
    [
        request(host=None),
        request(["Host: example.org"]),
        request(["Host: other.example"]),
        request(host=""),
        request(host="a b"),
        request(host="user@example.org"),
        request(host="example.org:port"),
        request(host="example.org/path"),
        request(host="a,b"),
        request(line="GET http://user@example.org/ HTTP/1.1"),
        request(line="GET http:/// HTTP/1.1"),
        request(line="GET http://example.org/ HTTP/1.1", host=None),
    ],
)
def test_hosts_that_are_refused(octets):
    assert refused(octets) == 400


@pytest.mark.row("9112-3.2-1")
def test_http_1_0_needs_no_host():
    alone = Alone()
    (event,) = alone.feed(request(line="GET / HTTP/1.0", host=None))
    assert event.authority == ""


@pytest.mark.parametrize("rest", ["http:/a HTTP/1.0", "/ HTTP/5.0", "path HTTP/1.1"])
def test_a_head_request_that_is_refused_gets_no_body(rest):
    alone = Alone()
    events = alone.feed(f"HEAD {rest}\r\nHost: a\r\n\r\n".encode())
    assert not [event for event in events if isinstance(event, Requested)]
    head, _, body = alone.octets.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 505 ")) and body == b""


@pytest.mark.row("9112-5.1-1")
@pytest.mark.parametrize(
    "line", ["A : b", "A\t: b", ": b", "A b: c", "A\u00e9: b", "novalue", "A\0: b"]
)
def test_field_names_that_are_none(line):
    assert refused(request([line])) == 400


@pytest.mark.row("9112-5.1-1")
@pytest.mark.parametrize("line", ["A: b\0c", "A: b\x0bc", "A: \x00"])
def test_values_that_are_none(line):
    assert refused(request([line])) == 400


@pytest.mark.row("9112-5.2-1")
@pytest.mark.parametrize("line", ["A: b\r\n c", "A: b\r\n\tc", "A: b\r\n : c"])
def test_folded_fields(line):
    assert refused(request([line])) == 400
    assert refused(b"GET / HTTP/1.1\r\n Host: example.org\r\n\r\n") == 400


@pytest.mark.row("9112-2.2-1")
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "octets",
    [
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\n\r\n",
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\n",
        b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
        b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_line_ends_are_cr_lf(octets, step):
    assert refused(octets, step) == 400


@pytest.mark.row("9112-2.2-1")
@pytest.mark.parametrize("step", STEPS)
def test_empty_lines_before_a_request_are_skipped(step):
    alone = Alone()
    (event,) = alone.feed(b"\r\n\r\n" + request(), step=step)
    assert event.path == "/"


@pytest.mark.row("9112-6.3-1")
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (["Content-Length: 5", "Transfer-Encoding: chunked"], 400),
        (["Transfer-Encoding: chunked", "Content-Length: 5"], 400),
        (["Content-Length: 0", "Transfer-Encoding: chunked"], 400),
        (["Transfer-Encoding: chunked, identity"], 400),
        (["Transfer-Encoding: identity"], 400),
        (["Transfer-Encoding: xchunked"], 400),
        (["Transfer-Encoding: chunked", "Transfer-Encoding: identity"], 400),
        (["Transfer-Encoding: chunked, chunked"], 400),
        (["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], 400),
        (["Transfer-Encoding:"], 400),
        (["Transfer-Encoding: \x0bchunked"], 400),
        (["Transfer-Encoding: gzip, chunked"], 501),
        (["Content-Length: 5", "Content-Length: 6"], 400),
        (["Content-Length: 5, 6"], 400),
        (["Content-Length: +5"], 400),
        (["Content-Length: -5"], 400),
        (["Content-Length: 0x5"], 400),
        (["Content-Length: 5 5"], 400),
        (["Content-Length: "], 400),
        (["Content-Length: 5a"], 400),
        (["Content-Length: " + "9" * 30], 400),
        (["Content-Length: 9223372036854775808"], 400),
        (["Content-Length: 18446744073709551616"], 400),
        (["Content-Length: " + "0" * 19], 400),
    ],
)
def test_lengths_that_may_be_read_in_two_ways(fields, status):
    assert refused(request(fields, "POST / HTTP/1.1") + b"0\r\n\r\n") == status


@pytest.mark.row("9112-6.3-1")
def test_transfer_encoding_in_http_1_0():
    octets = request(["Transfer-Encoding: chunked"], "POST / HTTP/1.0")
    assert refused(octets + b"0\r\n\r\n") == 400


@pytest.mark.row("9112-7.1-1")
@pytest.mark.parametrize("step", [None, 1, 5])
@pytest.mark.parametrize(
    ("chunks", "body"),
    [
        (b"0\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"A\r\n0123456789\r\n00\r\n\r\n", b"0123456789"),
        (b"a;name=value;x\r\n0123456789\r\n0;last\r\n\r\n", b"0123456789"),
        (b"0000000000000005\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"1\r\na\r\n2\r\nbc\r\n0\r\nA: b\r\n\r\n", b"abc"),
    ],
)
def test_chunked_bodies(chunks, body, step):
    alone = Alone()
    octets = request(["Transfer-Encoding: Chunked"], "POST / HTTP/1.1") + chunks
    events = alone.feed(octets + request(line="GET /next HTTP/1.1"), step=step)
    assert isinstance(events[0], Requested) and not events[0].ended
    assert body_of(events) == body
    assert isinstance(events[-1], Ended)
    assert [event.headers for event in events if isinstance(event, Trailers)] == (
        [[(b"a", b"b")]] if b"A: b" in chunks else []
    )
    alone.conn.respond(1, [(":status", "204")], True)
    alone.pull(0.0)
    assert alone.events[-1].path == "/next"


@pytest.mark.row("9112-7.1-1")
@pytest.mark.parametrize("step", [None, 1])
@pytest.mark.parametrize(
    "chunks",
    [
        b"+5\r\nhello\r\n",
        b"-5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b" 5\r\nhello\r\n",
        b"5 \r\nhello\r\n",
        b"5\t\r\nhello\r\n",
        b"\r\nhello\r\n",
        b";a\r\nhello\r\n",
        b"g\r\n",
        b"00000000000000005\r\nhello\r\n",
        b"10000000000000000\r\n",
        b"8000000000000000\r\n",
        b"ffffffffffffffff\r\n",
        b"5;a\0b\r\nhello\r\n",
        b"5;a=\x0b\r\nhello\r\n",
        b"0\r\nA: \x7f\r\n\r\n",
        b"5\nhello\r\n",
        b"5;a\nb\r\nhello\r\n",
        b"5;a\rb\r\nhello\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r0\r\n\r\n",
        b"0\r\nA: b\n\r\n",
        b"0\r\nA : b\r\n\r\n",
        b"0\r\n\n",
        b"5;" + b"a" * 20000,
        b"5;" + b"a" * 20000 + b"\r\nhello\r\n",
        b"0\r\nA: " + b"a" * 40000,
        b"0\r\n" + b"A: b\r\n" * 4000 + b"\r\n",
    ],
    ids=lambda chunks: repr(chunks[:24]),
)
def test_chunks_that_are_none(chunks, step):
    alone = Alone()
    told = []
    alone.feed(request(["Transfer-Encoding: chunked"], "POST / HTTP/1.1"))
    alone.conn.attach(1, told.append)
    alone.feed(chunks, step=step)
    assert alone.answer().status in (400, 431)
    assert isinstance(told[-1], Reset)
    with pytest.raises(StreamClosed):
        alone.conn.respond(1, [(":status", "200")], True)


@pytest.mark.row("9112-9.6-1")
@pytest.mark.parametrize(
    ("line", "fields", "closes"),
    [
        ("GET / HTTP/1.1", [], False),
        ("GET / HTTP/1.1", ["Connection: keep-alive"], False),
        ("GET / HTTP/1.1", ["Connection: close"], True),
        ("GET / HTTP/1.1", ["Connection: foo, Close"], True),
        ("GET / HTTP/1.1", ["Connection: foo", "Connection: close"], True),
        ("GET / HTTP/1.0", [], True),
    ],
)
def test_connection_close(line, fields, closes):
    alone = Alone()
    alone.feed(request(fields, line))
    alone.conn.respond(1, [(":status", "200")], True)
    alone.pull(0.0)
    assert (alone.answer().fields.get("connection") == "close") == closes
    assert any(isinstance(event, Terminated) for event in alone.events) == closes
    assert alone.conn.terminated == closes


@pytest.mark.row("9112-9.6-1")
def test_a_server_that_closes_says_so_and_waits_for_the_client():
    alone = Alone()
    alone.feed(request() + request())
    alone.conn.shutdown()
    alone.conn.respond(1, [(":status", "200")], True)
    alone.pull(5.0)
    assert alone.answer().fields["connection"] == "close"
    # The second request is not answered, and a reset by TCP shall not take the answer away.
    assert alone.conn.leaving and not alone.conn.terminated
    alone.feed(request(), 5.5)
    assert len(alone.answers()) == 1
    alone.conn.handle_timeout(alone.conn.next_timeout())
    alone.pull(6.0)
    assert isinstance(alone.events[-1], Terminated)


@pytest.mark.row("9112-x-1")
@pytest.mark.parametrize("step", [None, 1000])
def test_heads_that_are_too_large(step):
    assert heads.MAX_HEAD == 65536 and heads.MAX_LINE == 8192 and heads.MAX_FIELDS == 100
    long_line = "GET /" + "a" * (8192 - 14) + " HTTP/1.1"
    alone = Alone()
    (event,) = alone.feed(request(line=long_line), step=step)
    assert len(event.path) == 8179
    assert refused(request(line=long_line.replace("/", "/a", 1)), step) == 414
    assert refused(b"GET /" + bytes(b"a" * 9000), step) == 414
    many = [f"X-{i}: y" for i in range(99)]
    alone = Alone()
    assert len(alone.feed(request(many), step=step)) == 1
    assert refused(request([*many, "One: more"]), step) == 431
    assert refused(request(["Long: " + "a" * 66000]), step) == 431
    assert refused(request(["Long: " + "a" * 66000])[:-4], step) == 431
    alone = Alone()
    assert len(alone.feed(request(["Long: " + "a" * 65000]), step=step)) == 1


@pytest.mark.row("9112-x-1")
@pytest.mark.parametrize(
    ("octets", "limit"),
    [
        (b"GET /" + b"a" * 9000, "max_line"),
        (request(["A: " + "a" * 70000]), "max_head"),
        (request(["A: b"] * 100), "max_fields"),
    ],
    ids=["line", "head", "fields"],
)
def test_limits_are_counted(octets, limit):
    alone = Alone()
    alone.feed(octets)
    assert alone.conn.stats()["limits"] == {limit: 1}


@pytest.mark.row("9112-x-1")
def test_a_head_that_does_not_end_is_answered_408():
    alone = Alone(Limits(handshake_timeout_s=10.0))
    alone.feed(request()[:-2], 3.0)
    assert alone.conn.next_timeout() == 10.0
    alone.feed(b"A", 9.0)
    alone.conn.handle_timeout(10.0)
    alone.pull(10.0)
    assert alone.answer().status == 408
    assert alone.answer().fields["connection"] == "close"


@pytest.mark.row("9112-x-1")
def test_a_client_that_asks_nothing_is_left_without_a_word():
    alone = Alone(Limits(handshake_timeout_s=10.0))
    alone.conn.handle_timeout(10.0)
    alone.pull(10.0)
    assert alone.octets == b"" and isinstance(alone.events[-1], Terminated)
    alone = Alone(Limits(handshake_timeout_s=10.0))
    alone.feed(request(), 1.0)
    alone.conn.respond(1, [(":status", "204")], True)
    alone.pull(2.0)
    assert alone.conn.next_timeout() == 62.0
    alone.feed(b"G", 50.0)
    assert alone.conn.next_timeout() == 60.0  # a request has begun


@pytest.mark.row("9112-x-1")
@pytest.mark.parametrize("blank", [[b"\r\n"], [b"\r", b"\n"], [b"\r\n\r", b"\n"]])
def test_empty_lines_give_no_time(blank):
    """RFC 9112 section 2.2 has a server read over them, not wait for more of them."""
    alone = Alone(Limits(handshake_timeout_s=10.0))
    alone.feed(request(), 1.0)
    alone.conn.respond(1, [(":status", "204")], True)
    alone.pull(2.0)
    for now in (10.0, 20.0, 30.0):
        for octets in blank:
            alone.feed(octets, now)
            assert alone.conn.next_timeout() == 62.0
    alone.feed(b"\r", 40.0)
    alone.feed(b"\nG", 50.0)
    assert alone.conn.next_timeout() == 60.0  # a request has begun


def test_whether_a_request_has_begun_is_not_asked_of_every_octet():
    """A second head of 64 KB that comes octet by octet: looking takes no copy of what has come."""
    alone = Alone()
    alone.feed(request())
    alone.conn.respond(1, [(":status", "204")], True)
    alone.pull(0.0)
    fields = [f"X-{n}: {'x' * 7000}" for n in range(8)]
    octets = request(fields)
    for at in range(0, len(octets) - 100, 100):
        alone.feed(octets[at : at + 100])
    tracemalloc.start()
    try:
        for octet in octets[at + 100 : -1]:
            alone.feed(bytes([octet]))
        assert tracemalloc.get_traced_memory()[1] < 40_000  # where 56 000 octets wait
    finally:
        tracemalloc.stop()
    assert alone.feed(octets[-1:])


def test_requests_are_answered_in_order():
    alone = Alone()
    alone.feed(request(line="GET /1 HTTP/1.1") + request(line="GET /2 HTTP/1.1"))
    assert [event.path for event in alone.events] == ["/1"]
    alone.conn.respond(1, [(":status", "200"), ("content-length", "3")])
    alone.conn.send_data(1, b"one", True)
    alone.pull(0.0)
    assert [event.path for event in alone.events] == ["/1", "/2"]
    with pytest.raises(StreamClosed):
        alone.conn.respond(1, [(":status", "200")], True)
    alone.conn.respond(2, [(":status", "200")])
    assert alone.conn.send_data(2, b"two") > 3
    alone.conn.send_trailers(2, [("a", "b")])
    alone.pull(0.0)
    first, second = alone.answers()
    assert (first.body, second.body) == (b"one", b"two")
    assert second.fields["trailers"] == "a: b"


def test_an_answer_before_the_request_is_whole():
    alone = Alone()
    head = request(["Content-Length: 10"], "POST / HTTP/1.1")
    alone.feed(head + b"12345")
    alone.conn.respond(1, [(":status", "200")], True)
    alone.pull(0.0)
    assert body_of(alone.events) == b"12345"
    # The rest is read and dropped, and the connection goes on.
    alone.feed(b"67890" + request(line="GET /2 HTTP/1.1"))
    assert alone.events[-1].path == "/2"
    assert body_of(alone.events) == b"12345"


@pytest.mark.row("SEC-9-1")
def test_chunks_of_an_octet():
    """Six octets on the wire and 10 us of work for each: 4096 may come, in whatever requests."""
    alone = Alone()
    tiny = b"1\r\nx\r\n"
    head = request(["Transfer-Encoding: chunked"], "POST / HTTP/1.1")
    alone.feed(head + tiny * 4000 + b"0\r\n\r\n")
    assert body_of(alone.events) == b"x" * 4000
    alone.conn.respond(1, [(":status", "204")], True)
    alone.pull(0.0)
    alone.feed(head + tiny * 96)
    heard = []
    alone.conn.attach(2, heard.append)
    assert alone.conn.stats()["limits"] == {}
    # Longer chunks give back, each one.
    alone.feed((b"20\r\n" + b"y" * 32 + b"\r\n") * 10 + tiny * 10)
    assert alone.conn.stats()["limits"] == {}
    alone.feed(tiny)
    assert alone.conn.stats()["limits"] == {"small_chunks": 1}
    _, answer = alone.answers()
    assert answer.status == 400 and answer.fields["connection"] == "close"
    assert body_of(heard) == b"y" * 320 + b"x" * 10
    assert isinstance(heard[-1], Reset)


@pytest.mark.row("SEC-9-1")
def test_small_chunks_are_forgiven_in_time():
    """A hundred a second: who tells of what happens may do so all day."""
    alone = Alone()
    tiny = b"1f\r\n" + b"x" * 31 + b"\r\n"
    alone.feed(request(["Transfer-Encoding: chunked"], "POST / HTTP/1.1") + tiny * 4096)
    for second in range(1, 20):
        alone.feed(tiny * 100, now=float(second))
    alone.feed(tiny * 4096, now=100.0)
    assert alone.conn.stats()["limits"] == {}
    assert len(body_of(alone.events)) == 31 * (2 * 4096 + 1900)
    alone.feed(tiny, now=100.0)
    assert alone.conn.stats()["limits"] == {"small_chunks": 1}


def test_a_long_rest_ends_the_connection():
    alone = Alone()
    alone.feed(request(["Content-Length: 10000000"], "POST / HTTP/1.1"))
    alone.conn.respond(1, [(":status", "200")], True)
    alone.pull(0.0)
    for _ in range(5):
        alone.feed(bytes(65536))
    assert alone.conn.leaving
    assert alone.conn.stats()["limits"] == {"max_unread": 1}


def test_a_body_that_nobody_takes_stops_the_reading():
    alone = Alone()
    alone.feed(request(["Content-Length: 1000000"], "POST / HTTP/1.1") + bytes(65535))
    assert alone.conn.reading
    alone.feed(b"x")
    assert not alone.conn.reading
    alone.conn.consumed(1, 1)
    assert alone.conn.reading


def test_an_expectation_that_is_not_met_ends_the_connection():
    alone = Alone()
    head = request(["Content-Length: 5", "Expect: 100-continue"], "POST / HTTP/1.1")
    alone.feed(head)
    alone.conn.respond(1, [(":status", "413")], True)
    alone.pull(0.0)
    assert alone.answer().fields["connection"] == "close"
    alone = Alone()
    alone.feed(head)
    alone.conn.respond(1, [(":status", "100")])
    alone.feed(b"12345")
    alone.conn.respond(1, [(":status", "200")], True)
    alone.pull(0.0)
    assert [answer.status for answer in alone.answers()] == [100, 200]
    assert not alone.conn.terminated


@pytest.mark.row("9113-3.1-1")
def test_h2c_is_not_spoken():
    alone = Alone()
    fields = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"]
    (event,) = alone.feed(request(fields))
    assert event.protocol is None
    alone.conn.respond(1, [(":status", "200")], True)
    alone.pull(0.0)
    assert alone.answer().status == 200
    assert alone.feed(request(line="GET /2 HTTP/1.1"))[0].path == "/2"


def test_a_response_that_does_not_fit_its_length():
    alone = Alone()
    alone.feed(request())
    alone.conn.respond(1, [(":status", "200"), ("content-length", "2")])
    with pytest.raises(LocalProtocolError):
        alone.conn.send_data(1, b"three")
    alone.conn.reset(1, 2)
    alone.pull(0.0)
    assert alone.conn.terminated


def test_a_handler_that_failed_is_answered_500():
    alone = Alone()
    alone.feed(request())
    alone.conn.reset(1, 2)
    alone.pull(0.0)
    assert alone.answer().status == 500 and alone.answer().fields["connection"] == "close"


def test_large_answers_leave_in_pieces_and_tell_when_they_are_gone():
    alone = Alone(Limits(write_high=1000, write_low=100))
    alone.feed(request())
    told = []
    alone.conn.attach(1, told.append)
    alone.conn.respond(1, [(":status", "200"), ("content-length", "100000")])
    assert alone.conn.send_data(1, bytes(100000)) > 100000
    sizes = []
    while pieces := alone.conn.data_to_send(4096):
        sizes.append(sum(map(len, pieces)))
        assert not told or not alone.conn.waiting(1)
    assert max(sizes) == 4096 and sum(sizes) > 100000
    assert [type(event).__name__ for event in told] == ["Drained"]


def test_calls_that_are_wrong_change_nothing():
    alone = Alone()
    alone.feed(upgrade() + b"x")
    conn = alone.conn
    for fields in (
        [("content-type", "a")],
        [(":status", "101")],
        [(":status", "200"), ("a", "b\nc")],
        [(":status", "100"), ("a", "b\nc")],
        [(":status", "abc")],
    ):
        with pytest.raises(ValueError):
            conn.respond(1, fields, True)
    with pytest.raises(TypeError):
        conn.respond(1, [(":status", "200"), ("a", 5)], True)
    with pytest.raises(StreamClosed):
        conn.attach(7, print)
    assert alone.octets == b""
    conn.accept_websocket(1)
    assert alone.answer().status == 101
    alone = Alone()
    alone.feed(request())
    with pytest.raises(LocalProtocolError):
        alone.conn.accept_websocket(1)
    alone.conn.respond(1, [(":status", "200"), ("content-length", "0")])
    with pytest.raises(LocalProtocolError):
        alone.conn.respond(1, [(":status", "200")])
    alone.conn.send_trailers(1, [("a", "b")])  # left out: the body is not chunked
    alone.pull(0.0)
    assert alone.answer().fields == {"content-length": "0"}


def test_a_large_answer_is_not_copied_for_each_piece():
    import time

    alone = Alone()
    alone.feed(request())
    alone.conn.respond(1, [(":status", "200"), ("content-length", str(2**26))])
    alone.conn.send_data(1, bytes(2**26), True)
    begun = time.perf_counter()
    size = 0
    while pieces := alone.conn.data_to_send(4096):
        size += sum(map(len, pieces))
    assert size > 2**26
    assert time.perf_counter() - begun < 5  # 16 000 copies of what is left take a minute


def drip(alone, begun, seconds, octets):
    """Let time pass in steps of a second, with so many octets of a body in each."""
    for second in range(seconds):
        now = begun + second
        if octets:
            alone.feed(octets, now)
        while (due := alone.conn.next_timeout()) is not None and due <= now + 1:
            alone.conn.handle_timeout(due)
            alone.pull(due)


def slow_post(fields=("Content-Length: 1000000",), **limits):
    """An upload at 0 s, the body of which is looked at for four seconds, 100 octets for each."""
    alone = Alone(Limits(**{"body_timeout_s": 4.0, "min_body_rate": 100, **limits}))
    told = []

    def take(event):
        told.append(type(event).__name__)
        if type(event) is Data:
            alone.conn.consumed(1, event.credit)

    alone.feed(request(fields, "POST / HTTP/1.1"))
    alone.conn.attach(1, take)
    return alone, told


CHUNKED = ("Transfer-Encoding: chunked",)


@pytest.mark.row("SEC-4-2")
@pytest.mark.parametrize(
    ("fields", "octets"),
    [
        (("Content-Length: 10000",), b""),
        (("Content-Length: 10000",), b"x"),
        (("Content-Length: 10000",), bytes(90)),
        (CHUNKED, b"1\r\nx\r\n"),
        (CHUNKED, b"1;" + 200 * b"e" + b"\r\nx\r\n"),  # what is no content does not count
    ],
    ids=["silent", "octets", "slow", "chunks", "extensions"],
)
def test_a_body_that_comes_too_slowly_is_answered_408(fields, octets):
    alone, told = slow_post(fields)
    drip(alone, 0.0, 4, octets)
    assert alone.octets == b""
    drip(alone, 4.0, 2, octets)
    assert alone.answer().status == 408
    assert told[-1] == "Reset" and set(told[:-1]) <= {"Data"}
    assert alone.conn.stats()["limits"] == {"body_timeout_s": 1}


@pytest.mark.row("SEC-4-2")
@pytest.mark.parametrize(
    ("rate", "octets"), [(100, bytes(110)), (0, b"x")], ids=["fast enough", "no rate"]
)
def test_a_body_that_is_fast_enough_may_last(rate, octets):
    alone, told = slow_post(min_body_rate=rate)
    drip(alone, 0.0, 100, octets)
    assert alone.octets == b"" and told == ["Data"] * 100
    drip(alone, 100.0, 10, b"")  # but it must not cease
    assert alone.answer().status == 408


def test_a_body_has_no_clock_where_none_is_set():
    alone, _ = slow_post(body_timeout_s=None)
    drip(alone, 0.0, 1000, b"")
    assert alone.octets == b"" and alone.conn.next_timeout() is None


def test_the_body_of_an_answered_request_may_be_silent():
    # A conversation in both directions, as over HTTP/2.
    alone, told = slow_post()
    alone.conn.respond(1, [(":status", "200")])
    alone.pull(0.0)
    drip(alone, 0.0, 1000, b"")
    alone.feed(b"still there", 1000.0)
    assert told == ["Data"] and alone.conn.stats()["limits"] == {}


@pytest.mark.parametrize("kind", ["untaken", "expected"])
def test_a_body_for_which_the_application_waits_has_time(kind):
    alone = Alone(Limits(body_timeout_s=4.0))
    fields = ["Content-Length: 100000"]
    if kind == "expected":
        fields.append("Expect: 100-continue")
    alone.feed(request(fields, "POST / HTTP/1.1"), 1.0)
    if kind == "untaken":
        alone.feed(b"x", 1.0)
    drip(alone, 1.0, 100, b"")
    assert alone.octets == b""
    if kind == "untaken":
        alone.conn.consumed(1, 1)
    else:
        alone.conn.respond(1, [(":status", "100")])
        alone.pull(101.0)
        alone.octets = b""
    drip(alone, 101.0, 3, b"")
    assert alone.octets == b""  # its clock begins now
    drip(alone, 104.0, 3, b"")
    assert alone.answer().status == 408


def test_a_client_that_takes_nothing_is_left():
    alone = Alone(Limits(write_timeout_s=5.0))
    told = []
    alone.feed(request(), 1.0)
    alone.conn.attach(1, told.append)
    alone.conn.respond(1, [(":status", "200"), ("content-length", "100000")])
    alone.conn.send_data(1, bytes(100000))
    assert alone.conn.data_to_send(1000, 2.0)
    alone.conn.arm(3.0)
    assert alone.conn.next_timeout() == 7.0
    alone.conn.data_to_send(1000, 4.0)  # some progress
    assert alone.conn.next_timeout() == 9.0
    alone.conn.handle_timeout(8.9)
    assert not alone.conn.terminated
    alone.conn.handle_timeout(9.0)
    assert alone.conn.terminated and type(told[-1]) is Reset
    assert alone.conn.data_to_send(1000, 9.0) == []
    assert alone.conn.stats()["limits"] == {"write_timeout_s": 1}
