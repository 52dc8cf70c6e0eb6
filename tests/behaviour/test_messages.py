"""Requests and responses over HTTP/2: RFC 9113 section 8."""

import pytest

from tests.support import frames as f
from tests.support.peer import CONNECT, GET, OK, POST, kinds, of

HEAD = [(":method", "HEAD"), *GET[1:]]


def changed(fields, name, value):
    """These fields with another value of that one; None leaves it out."""
    if value is None:
        return [pair for pair in fields if pair[0] != name]
    return [(n, value if n == name else v) for n, v in fields]


def expect_malformed(peer, stream_id=1):
    """Nothing reached the application; RST_STREAM(PROTOCOL_ERROR); the connection lives."""
    assert peer.events == []
    peer.expect_stream_error(stream_id, f.PROTOCOL_ERROR)


def expect_malformed_response(peer, stream_id=1):
    """The application learns that the stream failed, and nothing of what came."""
    (reset,) = peer.events
    assert kinds([reset]) == ["Reset"]
    assert (reset.stream_id, reset.error_code) == (stream_id, f.PROTOCOL_ERROR)
    assert reset.remote is False
    assert reset.reason
    peer.expect_stream_error(stream_id, f.PROTOCOL_ERROR)


def asking(peer, fields=GET, end_stream=True):
    """Let a client's engine send a request on stream 1; forget its frames."""
    assert peer.conn.request(fields, end_stream=end_stream) == 1
    peer.sent()
    return peer


# -- the shape of a message --------------------------------------------------------------------


@pytest.mark.row("9113-8.1-1")
def test_request_is_head_content_and_trailers(server):
    peer = server()
    events = peer.feed(
        peer.headers(1, [*POST, ("x-one", "1")]),
        f.data(1, b"some "),
        f.data(1, b"content"),
        peer.headers(1, [("x-check", "sum")], end_stream=True),
    )
    assert kinds(events)[0] == "Requested"
    requested = events[0]
    assert (requested.method, requested.scheme) == ("POST", "https")
    assert (requested.authority, requested.path) == ("example.com", "/")
    assert (requested.protocol, requested.ended) == (None, False)
    assert (b"x-one", b"1") in requested.headers
    assert b"".join(e.data for e in of(events, "Data")) == b"some content"
    assert kinds(events)[-2:] == ["Trailers", "Ended"]
    assert events[-2].headers == [(b"x-check", b"sum")]
    assert [one for one in peer.sent() if one.kind != f.WINDOW_UPDATE] == []


@pytest.mark.row("9113-8.1-1")
@pytest.mark.parametrize("body", [None, b"", b"content"])
@pytest.mark.parametrize("trailers", [False, True])
def test_response_is_sent_as_head_content_and_trailers(server, body, trailers):
    peer = server()
    peer.get()
    peer.conn.respond(1, [(":status", "200"), ("x-one", "1")], end_stream=body is None)
    if body is None:
        (head,) = peer.sent()
        assert (head.get(":status"), head.get("x-one"), head.end_stream) == ("200", "1", True)
        return
    peer.conn.send_data(1, body, not trailers)
    if trailers:
        peer.conn.send_trailers(1, [("x-check", "sum")])
    frames = [one for one in peer.sent() if one.stream_id == 1]
    assert (frames[0].get(":status"), frames[0].end_stream) == ("200", False)
    assert b"".join(one.content for one in frames if one.kind == f.DATA) == body
    assert [one.end_stream for one in frames] == [False] * (len(frames) - 1) + [True]
    if trailers:
        assert frames[-1].fields == [(b"x-check", b"sum")]
    assert peer.conn.open_streams == 0


@pytest.mark.row("9113-8.1-1")
def test_any_number_of_informational_responses_come_before_the_final_one(client):
    peer = asking(client())
    events = peer.feed(
        peer.headers(1, [(":status", "100")]),
        peer.headers(1, [(":status", "103"), ("link", "</a>")]),
        peer.headers(1, [(":status", "103"), ("link", "</b>")]),
        peer.headers(1, OK),
        f.data(1, b"content", True),
    )
    assert [(e.status, e.headers) for e in of(events, "Informed")] == [
        (100, []),
        (103, [(b"link", b"</a>")]),
        (103, [(b"link", b"</b>")]),
    ]
    (responded,) = of(events, "Responded")
    assert (responded.status, responded.ended) == (200, False)
    assert b"".join(e.data for e in of(events, "Data")) == b"content"
    assert kinds(events)[-1] == "Ended"


@pytest.mark.row("9113-8.1-1")
def test_informational_responses_are_sent_before_the_final_one(server):
    peer = server()
    peer.get()
    peer.conn.respond(1, [(":status", "103"), ("link", "</a>")])
    peer.conn.respond(1, [(":status", "103"), ("link", "</b>")])
    peer.conn.respond(1, OK, end_stream=True)
    frames = peer.sent()
    assert [one.get(":status") for one in frames] == ["103", "103", "200"]
    assert [one.end_stream for one in frames] == [False, False, True]
    with pytest.raises((peer.errors.LocalProtocolError, peer.errors.StreamClosed)):
        peer.conn.respond(1, OK)
    assert peer.sent() == []


@pytest.mark.row("9113-8.1-1")
def test_final_response_is_sent_once(server):
    peer = server()
    peer.get()
    peer.conn.respond(1, OK)
    for again in ([(":status", "200")], [(":status", "103")]):
        with pytest.raises(peer.errors.LocalProtocolError):
            peer.conn.respond(1, again)
    peer.conn.send_data(1, b"", True)
    assert [one.kind for one in peer.sent()] == [f.HEADERS, f.DATA]


@pytest.mark.row("9113-8.1-1")
def test_response_is_head_content_and_trailers(client):
    peer = asking(client())
    events = peer.feed(
        peer.headers(1, [*OK, ("x-one", "1")]),
        f.data(1, b"content"),
        peer.headers(1, [("x-check", "sum")], end_stream=True),
    )
    assert kinds(events)[0] == "Responded"
    assert events[0].headers == [(b"x-one", b"1")]
    assert kinds(events)[-2:] == ["Trailers", "Ended"]
    assert events[-2].headers == [(b"x-check", b"sum")]
    assert peer.conn.open_streams == 0


@pytest.mark.row("9113-8.1-1")
@pytest.mark.parametrize("body", [None, b"", b"content"])
def test_request_is_sent_as_head_content_and_end(client, body):
    peer = client()
    assert peer.conn.request([*POST, ("x-one", "1")], end_stream=body is None) == 1
    if body is not None:
        peer.conn.send_data(1, body, True)
    frames = peer.sent()
    assert frames[0].kind == f.HEADERS
    assert frames[0].get(":method") == "POST"
    assert frames[0].get("x-one") == "1"
    assert b"".join(one.content for one in frames[1:]) == (body or b"")
    assert frames[-1].end_stream
    assert not any(one.end_stream for one in frames[:-1])


@pytest.mark.row("9113-8.1-1")
def test_request_without_content_is_told_as_ended(server):
    peer = server()
    events = peer.feed(peer.headers(1, GET, end_stream=True))
    assert kinds(events) == ["Requested"]
    assert events[0].ended is True


@pytest.mark.row("9113-8.1-2")
def test_second_head_without_end_of_stream_is_malformed(either):
    peer = either()
    if peer.role == "server":
        peer.feed(peer.headers(1, POST))
    else:
        peer.conn.request(GET)
        peer.sent()
        peer.feed(peer.headers(1, OK))
    peer.events.clear()
    peer.feed(peer.headers(1, [("x-check", "sum")]))
    (reset,) = peer.events
    assert (kinds([reset]), reset.error_code) == (["Reset"], f.PROTOCOL_ERROR)
    peer.expect_stream_error(1, f.PROTOCOL_ERROR)


@pytest.mark.row("9113-8.1-3")
@pytest.mark.parametrize("name", [":status", ":path", ":method", ":authority", ":unknown"])
def test_pseudo_header_in_trailers_is_malformed(either, name):
    peer = either()
    if peer.role == "server":
        peer.feed(peer.headers(1, POST))
    else:
        peer.conn.request(GET)
        peer.sent()
        peer.feed(peer.headers(1, OK))
    peer.events.clear()
    peer.feed(peer.headers(1, [("x-check", "sum"), (name, "200")], end_stream=True))
    (reset,) = peer.events
    assert (kinds([reset]), reset.error_code) == (["Reset"], f.PROTOCOL_ERROR)
    peer.expect_stream_error(1, f.PROTOCOL_ERROR)


@pytest.mark.row("9113-8.1-3")
def test_pseudo_header_in_trailers_is_not_sent(either):
    peer = either()
    if peer.role == "server":
        peer.get()
        peer.conn.respond(1, OK)
    else:
        peer.conn.request(POST, end_stream=False)
    peer.sent()
    with pytest.raises((ValueError, peer.errors.LocalProtocolError)):
        peer.conn.send_trailers(1, [(":status", "200")])
    assert peer.sent() == []
    peer.conn.send_trailers(1, [("x-check", "sum")])
    (frame,) = peer.sent()
    assert (frame.fields, frame.end_stream) == ([(b"x-check", b"sum")], True)


@pytest.mark.row("9113-8.1-4")
@pytest.mark.parametrize("status", ["100", "103", "199"])
def test_informational_response_that_ends_the_stream_is_malformed(client, status):
    peer = asking(client())
    peer.feed(peer.headers(1, [(":status", status)], end_stream=True))
    expect_malformed_response(peer)


@pytest.mark.row("9113-8.1-4")
@pytest.mark.parametrize("end_stream", [True, False])
def test_101_is_malformed(client, end_stream):
    peer = asking(client())
    peer.feed(peer.headers(1, [(":status", "101")], end_stream))
    expect_malformed_response(peer)


@pytest.mark.row("9113-8.1-4")
def test_informational_response_that_ends_the_stream_is_not_sent(server):
    peer = server()
    peer.get()
    with pytest.raises((ValueError, peer.errors.LocalProtocolError)):
        peer.conn.respond(1, [(":status", "103")], end_stream=True)
    assert peer.sent() == []
    peer.conn.respond(1, OK, end_stream=True)
    assert [one.get(":status") for one in peer.sent()] == ["200"]


@pytest.mark.row("9113-8.1-5")
@pytest.mark.parametrize("informed", [False, True])
@pytest.mark.parametrize("payload", [b"early", b""])
def test_data_before_the_response_is_malformed(client, informed, payload):
    peer = asking(client())
    if informed:
        peer.feed(peer.headers(1, [(":status", "103")]))
        peer.events.clear()
    peer.feed(f.data(1, payload, end_stream=not payload))
    expect_malformed_response(peer)


# -- content-length ----------------------------------------------------------------------------


@pytest.mark.row("9113-8.1.1-1")
@pytest.mark.parametrize("pad", [None, 0, 7])
@pytest.mark.parametrize("role", ["server", "client"])
def test_content_of_the_announced_length_is_taken(server, client, role, pad):
    peer = server() if role == "server" else asking(client())
    head = [*POST, ("content-length", "5")] if role == "server" else [*OK, ("content-length", "5")]
    events = peer.feed(
        peer.headers(1, head), f.data(1, b"123", pad=pad), f.data(1, b"45", True, pad=pad)
    )
    assert b"".join(e.data for e in of(events, "Data")) == b"12345"
    assert kinds(events)[-1] == "Ended"
    assert [one for one in peer.sent() if one.kind != f.WINDOW_UPDATE] == []


@pytest.mark.row("9113-8.1.1-1", "9113-8.1.1-4")
@pytest.mark.parametrize("parts", [(b"1234",), (b"12", b"34"), (b"",)])
@pytest.mark.parametrize("end", ["data", "empty", "trailers"])
@pytest.mark.parametrize("role", ["server", "client"])
def test_less_content_than_announced_is_malformed(server, client, role, parts, end):
    peer = server() if role == "server" else asking(client())
    head = [*POST, ("content-length", "5")] if role == "server" else [*OK, ("content-length", "5")]
    chunks = [f.data(1, part) for part in parts]
    if end == "data":
        chunks[-1] = f.data(1, parts[-1], True)
    elif end == "empty":
        chunks.append(f.data(1, b"", True))
    chunks.insert(0, peer.headers(1, head))
    if end == "trailers":
        chunks.append(peer.headers(1, [("x-check", "sum")], True))
    events = peer.feed(*chunks)
    assert (kinds(events)[-1], events[-1].error_code) == ("Reset", f.PROTOCOL_ERROR)
    assert not {"Ended", "Trailers"} & set(kinds(events))
    peer.expect_stream_error(1, f.PROTOCOL_ERROR)


@pytest.mark.row("9113-8.1.1-1")
@pytest.mark.parametrize("end", [True, False])
@pytest.mark.parametrize("role", ["server", "client"])
def test_more_content_than_announced_is_malformed_at_once(server, client, role, end):
    peer = server() if role == "server" else asking(client())
    head = [*POST, ("content-length", "5")] if role == "server" else [*OK, ("content-length", "5")]
    events = peer.feed(peer.headers(1, head), f.data(1, b"123"), f.data(1, b"456", end))
    assert (kinds(events)[-1], events[-1].error_code) == ("Reset", f.PROTOCOL_ERROR)
    assert "Ended" not in kinds(events)
    peer.expect_stream_error(1, f.PROTOCOL_ERROR)


@pytest.mark.row("9113-8.1.1-1")
@pytest.mark.parametrize("length", ["1", "5"])
@pytest.mark.parametrize("role", ["server", "client"])
def test_announced_content_that_the_head_denies_is_malformed(server, client, role, length):
    peer = server() if role == "server" else asking(client())
    head = POST if role == "server" else OK
    peer.feed(peer.headers(1, [*head, ("content-length", length)], end_stream=True))
    assert "Ended" not in kinds(peer.events)
    peer.expect_stream_error(1, f.PROTOCOL_ERROR)


@pytest.mark.row("9113-8.1.1-1")
def test_length_of_zero_without_content_is_fine(server):
    peer = server()
    events = peer.feed(peer.headers(1, [*POST, ("content-length", "0")], end_stream=True))
    assert kinds(events) == ["Requested"]
    events = peer.feed(peer.headers(3, [*POST, ("content-length", "0")]), f.data(3, b"", True))
    assert kinds(events) == ["Requested", "Ended"]


@pytest.mark.row("9113-8.1.1-2")
@pytest.mark.parametrize(
    ("fields", "status"), [(HEAD, "200"), (HEAD, "404"), (GET, "204"), (GET, "304")]
)
@pytest.mark.parametrize("end", ["head", "data"])
def test_length_of_content_that_never_comes_is_taken(client, fields, status, end):
    peer = asking(client(), fields)
    head = [(":status", status), ("content-length", "1234")]
    events = peer.feed(
        peer.headers(1, head, end_stream=end == "head"),
        *([f.data(1, b"", True)] if end == "data" else []),
    )
    assert kinds(events) == ["Responded"] + ["Ended"] * (end == "data")
    assert (events[0].status, events[0].ended) == (int(status), end == "head")
    peer.sent()
    peer.expect_alive()


@pytest.mark.row("9113-8.1.1-3")
@pytest.mark.parametrize(
    "value",
    ["+5", "-5", "5,6", "5, 5", "0x5", "5.0", "5 5", "", "five", "1e2", "9" * 20, "1" + "0" * 40],
)
@pytest.mark.parametrize("role", ["server", "client"])
def test_content_length_that_is_no_number_is_malformed(server, client, role, value):
    if role == "server":
        peer = server()
        peer.feed(peer.headers(1, [*POST, ("content-length", value)]))
        expect_malformed(peer)
    else:
        peer = asking(client())
        peer.feed(peer.headers(1, [*OK, ("content-length", value)]))
        expect_malformed_response(peer)


@pytest.mark.row("9113-8.1.1-3")
@pytest.mark.parametrize("second", ["6", "05", ""])
def test_content_lengths_that_differ_are_malformed(server, second):
    peer = server()
    peer.feed(
        peer.headers(1, [*POST, ("content-length", "5"), ("x", "y"), ("content-length", second)])
    )
    expect_malformed(peer)


@pytest.mark.row("9113-8.1.1-3")
def test_equal_content_lengths_become_one(server):
    peer = server()
    events = peer.feed(
        peer.headers(1, [*POST, ("content-length", "5"), ("content-length", "5")]),
        f.data(1, b"12345", True),
    )
    assert [v for n, v in events[0].headers if n == b"content-length"] == [b"5"]
    assert kinds(events)[-1] == "Ended"


@pytest.mark.row("9113-8.1.1-4")
@pytest.mark.parametrize(
    "fields",
    [
        [*GET, ("Upper", "x")],
        [*GET, ("a b", "x")],
        [*GET, ("a", "x\x00")],
        [*GET, ("connection", "close")],
        [*GET, ("te", "gzip")],
        changed(GET, ":path", ""),
        changed(GET, ":path", None),
        [*GET, (":path", "/")],
    ],
)
def test_malformed_request_never_reaches_the_application(server, fields):
    peer = server()
    events = peer.feed(peer.headers(1, fields), f.data(1, b"content", True))
    assert events == []
    expect_malformed(peer)


# -- fields ------------------------------------------------------------------------------------


@pytest.mark.row("9113-8.2-1")
def test_names_are_sent_in_lower_case(either):
    peer = either()
    extra = [("Origin", "x"), (b"X-UPPER", b"y"), ("x-lower", "z")]
    if peer.role == "server":
        peer.get()
        peer.conn.respond(1, [*OK, *extra], end_stream=True)
    else:
        peer.conn.request([*GET, *extra])
    (head,) = peer.sent()
    assert head.fields[-3:] == [(b"origin", b"x"), (b"x-upper", b"y"), (b"x-lower", b"z")]


BAD_NAMES = (
    [bytes([b"x"[0], octet, b"y"[0]]) for octet in range(0x21)]
    + [bytes([b"x"[0], octet]) for octet in range(0x41, 0x5B)]
    + [bytes([octet]) for octet in range(0x7F, 0x100)]
    + [b'"', b"(x)", b"a,b", b"a/b", b"a;b", b"a=b", b"a@b", b"[", b"\\", b"{", b"a:b", b"a:", b""]
)


@pytest.mark.row("9113-8.2.1-1")
@pytest.mark.parametrize("role", ["server", "client"])
def test_bad_octet_in_a_name_is_malformed(make, role):
    peer = make(role)
    stream_id = 1
    for name in BAD_NAMES:
        if role == "server":
            peer.feed(peer.headers(stream_id, [*GET, (name, b"v")], end_stream=True))
            assert peer.events == [], name
        else:
            assert peer.conn.request(GET) == stream_id
            peer.sent()
            peer.feed(peer.headers(stream_id, [*OK, (name, b"v")], end_stream=True))
            assert kinds(peer.events) == ["Reset"], name
        frames = [one for one in peer.sent() if one.stream_id == stream_id]
        assert [(x.kind, x.error_code) for x in frames] == [(f.RST_STREAM, f.PROTOCOL_ERROR)], name
        peer.events.clear()
        stream_id += 2
    peer.expect_alive()


@pytest.mark.row("9113-8.2.1-1")
def test_every_token_octet_is_taken_in_a_name(server):
    peer = server()
    name = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
    (event,) = peer.feed(peer.headers(1, [*GET, (name, b"v")], end_stream=True))
    assert (name, b"v") in event.headers


@pytest.mark.row("9113-8.2.1-1")
@pytest.mark.parametrize("name", ["Upper", "a b", "", "a\r\nb", "é", ":x", "a:b", "a\x00"])
def test_bad_name_is_refused_by_a_lone_stream(server, name):
    peer = server()
    peer.feed(peer.headers(1, [*GET, (name, "v")], end_stream=True))
    expect_malformed(peer)


@pytest.mark.row("9113-8.2.1-2")
@pytest.mark.parametrize("octet", [b"\x00", b"\r", b"\n"])
@pytest.mark.parametrize("where", ["%cvalue", "val%cue", "value%c", "%c"])
@pytest.mark.parametrize("role", ["server", "client"])
def test_nul_cr_and_lf_in_a_value_are_malformed(server, client, role, octet, where):
    field = (b"x-field", where.encode().replace(b"%c", octet))
    if role == "server":
        peer = server()
        peer.feed(peer.headers(1, [*GET, field], end_stream=True))
        expect_malformed(peer)
    else:
        peer = asking(client())
        peer.feed(peer.headers(1, [*OK, field], end_stream=True))
        expect_malformed_response(peer)


@pytest.mark.row("9113-8.2.1-2")
@pytest.mark.parametrize("name", [":method", ":path", ":authority", ":scheme"])
@pytest.mark.parametrize("octet", ["\x00", "\r", "\n"])
def test_nul_cr_and_lf_in_a_pseudo_header_are_malformed(server, name, octet):
    peer = server()
    peer.feed(peer.headers(1, changed(GET, name, dict(GET)[name] + octet), end_stream=True))
    expect_malformed(peer)


@pytest.mark.row("9113-8.2.1-3")
@pytest.mark.parametrize("value", [" a", "a ", "\ta", "a\t", " ", "\t", " a "])
@pytest.mark.parametrize("role", ["server", "client"])
def test_whitespace_around_a_value_is_malformed(server, client, role, value):
    if role == "server":
        peer = server()
        peer.feed(peer.headers(1, [*GET, ("x-field", value)], end_stream=True))
        expect_malformed(peer)
    else:
        peer = asking(client())
        peer.feed(peer.headers(1, [*OK, ("x-field", value)], end_stream=True))
        expect_malformed_response(peer)


@pytest.mark.row("9113-8.2.1-3")
@pytest.mark.parametrize("value", [b"", b"a b", b"a\tb", b"a  b"])
def test_empty_value_and_whitespace_inside_are_taken(server, value):
    peer = server()
    (event,) = peer.feed(peer.headers(1, [*GET, (b"x-field", value)], end_stream=True))
    assert (b"x-field", value) in event.headers


@pytest.mark.row("9113-8.2.1-4")
def test_other_control_characters_in_a_value_are_malformed(make):
    peer = make("server")
    stream_id = 1
    controls = {*range(0x20), 0x7F} - {0x09}
    for octet in range(256):
        value = b"a" + bytes([octet]) + b"b"
        events = peer.feed(peer.headers(stream_id, [*GET, (b"x-field", value)], end_stream=True))
        if octet in controls:
            assert events == [], hex(octet)
            frames = peer.sent()
            assert [x.error_code for x in frames] == [f.PROTOCOL_ERROR], hex(octet)
        else:
            assert (b"x-field", value) in events[0].headers, hex(octet)
        stream_id += 2
    peer.sent()
    peer.expect_alive()


@pytest.mark.row("9113-8.2.1-5")
@pytest.mark.parametrize(
    "field",
    [
        ("x-field", "a\r\nset-cookie: b=c"),
        ("x-field", "a\nb"),
        ("x-field", "a\x00b"),
        ("x-field", "a\x7f"),
        ("x-field", " a"),
        ("x-field", "a\t"),
        ("x\r\ny", "a"),
        ("x y", "a"),
        ("x:y", "a"),
        ("", "a"),
        (":unknown", "a"),
        ("é", "a"),
        (b"\xff", b"a"),
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
    ],
)
@pytest.mark.parametrize("where", ["head", "trailers"])
def test_bad_field_is_not_sent_and_leaves_the_compression_as_it_was(either, field, where):
    peer = either()
    good = [(f"x-new-{i}", f"value {i}") for i in range(5)]
    if peer.role == "server":
        peer.get()
        if where == "trailers":
            peer.conn.respond(1, OK)
    elif where == "trailers":
        peer.conn.request(POST, end_stream=False)
    peer.sent()

    def send(fields):
        if where == "trailers":
            peer.conn.send_trailers(1, fields)
        elif peer.role == "server":
            peer.conn.respond(1, [*OK, *fields], end_stream=True)
        else:
            peer.conn.request([*GET, *fields])

    with pytest.raises((ValueError, peer.errors.LocalProtocolError)) as caught:
        send([*good, field, ("x-last", "z")])
    assert str(caught.value)
    assert peer.sent() == []
    send([*good, ("x-last", "z")])  # the peer's decompressor finds the tables as it left them
    (head,) = peer.sent()
    assert head.fields[-6:] == [(n.encode(), v.encode()) for n, v in [*good, ("x-last", "z")]]


@pytest.mark.row("9113-8.2.1-6")
@pytest.mark.parametrize(
    "fields", [[*GET, ("X", "y")], [*GET, ("x", "y\n")], changed(GET, ":path", None)]
)
def test_malformed_request_may_be_answered_400(server, fields):
    peer = server(answer_malformed=True)
    assert peer.feed(peer.headers(1, fields, end_stream=True)) == []
    head, reset = peer.sent()
    assert (head.kind, head.stream_id, head.get(":status")) == (f.HEADERS, 1, "400")
    assert not head.end_stream
    assert (reset.kind, reset.stream_id, reset.error_code) == (f.RST_STREAM, 1, f.PROTOCOL_ERROR)
    peer.expect_alive()


@pytest.mark.row("9113-8.2.1-6")
def test_malformed_request_is_reset_without_an_answer_by_default(server):
    peer = server()
    peer.feed(peer.headers(1, [*GET, ("X", "y")], end_stream=True))
    (reset,) = peer.sent()
    assert (reset.kind, reset.error_code) == (f.RST_STREAM, f.PROTOCOL_ERROR)


CONNECTION_FIELDS = [
    ("connection", "keep-alive"),
    ("connection", ""),
    ("proxy-connection", "keep-alive"),
    ("keep-alive", "timeout=5"),
    ("transfer-encoding", "chunked"),
    ("transfer-encoding", "identity"),
    ("upgrade", "websocket"),
]


@pytest.mark.row("9113-8.2.2-1")
@pytest.mark.parametrize("field", CONNECTION_FIELDS)
@pytest.mark.parametrize("role", ["server", "client"])
def test_field_of_the_connection_is_malformed(server, client, role, field):
    if role == "server":
        peer = server()
        peer.feed(peer.headers(1, [*GET, field], end_stream=True))
        expect_malformed(peer)
    else:
        peer = asking(client())
        peer.feed(peer.headers(1, [*OK, field], end_stream=True))
        expect_malformed_response(peer)


@pytest.mark.row("9113-8.2.2-1")
@pytest.mark.parametrize("field", CONNECTION_FIELDS)
def test_field_of_the_connection_is_never_sent(either, field):
    peer = either()
    if peer.role == "server":
        peer.get()
    with pytest.raises((ValueError, peer.errors.LocalProtocolError)):
        if peer.role == "server":
            peer.conn.respond(1, [*OK, field])
        else:
            peer.conn.request([*GET, field])
    assert peer.sent() == []


@pytest.mark.row("9113-8.2.2-2")
@pytest.mark.parametrize("value", ["trailers", "Trailers", "TRAILERS"])
def test_te_trailers_is_taken_in_a_request(server, value):
    peer = server()
    (event,) = peer.feed(peer.headers(1, [*GET, ("te", value)], end_stream=True))
    assert (b"te", value.encode()) in event.headers


@pytest.mark.row("9113-8.2.2-2")
@pytest.mark.parametrize("value", ["gzip", "trailers, deflate", "", "trailers;q=0.5"])
def test_any_other_te_is_malformed(server, value):
    peer = server()
    peer.feed(peer.headers(1, [*GET, ("te", value)], end_stream=True))
    expect_malformed(peer)


@pytest.mark.row("9113-8.2.2-2")
def test_te_in_a_response_is_malformed(client):
    peer = asking(client())
    peer.feed(peer.headers(1, [*OK, ("te", "trailers")], end_stream=True))
    expect_malformed_response(peer)


@pytest.mark.row("9113-8.2.3-1")
def test_crumbs_become_one_cookie(server):
    peer = server()
    crumbs = [("cookie", "a=b"), ("x", "y"), ("cookie", "c=d"), ("cookie", "e=f; g=h")]
    (event,) = peer.feed(peer.headers(1, [*GET, *crumbs], end_stream=True))
    cookies = [value for name, value in event.headers if name == b"cookie"]
    assert cookies == [b"a=b; c=d; e=f; g=h"]
    assert (b"x", b"y") in event.headers


@pytest.mark.row("9113-8.2.3-1")
def test_one_cookie_stays_as_it_is(server):
    peer = server()
    (event,) = peer.feed(peer.headers(1, [*GET, ("cookie", "a=b; c=d")], end_stream=True))
    assert [value for name, value in event.headers if name == b"cookie"] == [b"a=b; c=d"]


# -- pseudo-headers ----------------------------------------------------------------------------


@pytest.mark.row("9113-8.3-1")
@pytest.mark.parametrize(
    "fields",
    [
        [*GET, (":unknown", "x")],
        [*GET, (":", "x")],
        [*GET, (":Path", "/")],
        [*GET, (":status", "200")],
        [(":method", "GET"), *GET],
        [*GET, (":path", "/other")],
        [*GET, (":authority", "example.com")],
        [*GET, (":scheme", "https")],
        [*GET[:3], ("accept", "*/*"), GET[3]],
        [("accept", "*/*"), *GET],
    ],
)
def test_bad_pseudo_headers_of_a_request_are_malformed(server, fields):
    peer = server()
    peer.feed(peer.headers(1, fields, end_stream=True))
    expect_malformed(peer)


@pytest.mark.row("9113-8.3-1")
@pytest.mark.parametrize(
    "fields",
    [
        [*OK, (":unknown", "x")],
        [*OK, (":path", "/")],
        [*OK, (":method", "GET")],
        [*OK, (":status", "200")],
        [*OK, (":status", "404")],
        [("server", "x"), *OK],
    ],
)
def test_bad_pseudo_headers_of_a_response_are_malformed(client, fields):
    peer = asking(client())
    peer.feed(peer.headers(1, fields, end_stream=True))
    expect_malformed_response(peer)


@pytest.mark.row("9113-8.3-1")
@pytest.mark.parametrize(
    "fields",
    [
        [*GET, (":path", "/")],
        [*GET, (":status", "200")],
        changed(GET, ":path", None),
        changed(GET, ":method", None),
    ],
)
def test_bad_pseudo_headers_are_not_sent(client, fields):
    peer = client()
    with pytest.raises((ValueError, peer.errors.LocalProtocolError)):
        peer.conn.request(fields)
    assert peer.sent() == []
    assert peer.conn.request(GET) == 1


@pytest.mark.row("9113-8.3-1")
def test_pseudo_headers_are_sent_first_in_whatever_order_they_were_given(either):
    peer = either()
    if peer.role == "server":
        peer.get()
        peer.conn.respond(1, [("x-one", "1"), *OK], end_stream=True)
    else:
        peer.conn.request([("x-one", "1"), *GET])
    (head,) = peer.sent()
    assert head.fields[-1] == (b"x-one", b"1")
    assert all(name.startswith(b":") for name, _ in head.fields[:-1])


@pytest.mark.row("9113-8.3.1-1")
@pytest.mark.parametrize("name", [":method", ":scheme", ":path"])
@pytest.mark.parametrize("value", [None, ""])
def test_request_needs_method_scheme_and_path(server, name, value):
    peer = server()
    peer.feed(peer.headers(1, changed(GET, name, value), end_stream=True))
    expect_malformed(peer)


@pytest.mark.row("9113-8.3.1-1")
@pytest.mark.parametrize("path", ["foo", "*", "?q", "http://example.com/", "//", "/"])
def test_path_begins_with_a_slash(server, path):
    peer = server()
    events = peer.feed(peer.headers(1, changed(GET, ":path", path), end_stream=True))
    if path.startswith("/"):
        assert [e.path for e in events] == [path]
    else:
        expect_malformed(peer)


@pytest.mark.row("9113-8.3.1-1")
def test_options_may_ask_about_the_server_as_a_whole(server):
    peer = server()
    fields = changed(changed(GET, ":method", "OPTIONS"), ":path", "*")
    (event,) = peer.feed(peer.headers(1, fields, end_stream=True))
    assert (event.method, event.path) == ("OPTIONS", "*")


@pytest.mark.row("9113-8.3.1-2")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        (":method", "GET / HTTP/1.1"),
        (":method", "G ET"),
        (":method", "GET\t"),
        (":method", "G@T"),
        (":method", "é"),
        (":scheme", "1http"),
        (":scheme", "ht tp"),
        (":scheme", "http:"),
        (":scheme", "https://"),
        (":path", "/a b"),
        (":path", "/a\tb"),
        (":path", "/a\x01"),
        (":path", "/a#fragment"),
        (":path", "/é"),
        (":path", "/a\x7f"),
        (":authority", "user@example.com"),
        (":authority", "user:password@example.com"),
        (":authority", "example.com/"),
        (":authority", "example.com,other"),
        (":authority", "exa mple.com"),
        (":authority", "example.com?x"),
        (":authority", "example.com#x"),
        (":authority", "example.com:port"),
        (":authority", "example.com:80:80"),
        (":authority", "é.example"),
        (":authority", ""),
    ],
)
def test_bad_value_of_a_pseudo_header_is_malformed(server, name, value):
    peer = server()
    peer.feed(peer.headers(1, changed(GET, name, value.encode("latin-1")), end_stream=True))
    expect_malformed(peer)


@pytest.mark.row("9113-8.3.1-2")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        (":method", "QUERY"),
        (":method", "m-search"),
        (":method", "!#$%&'*+-.^_`|~"),
        (":scheme", "http"),
        (":path", "/%20?a=b&c=[d]|{e}"),
        (":path", "/" + "a" * 8000),
        (":authority", "example.com:8443"),
        (":authority", "127.0.0.1"),
        (":authority", "[::1]:443"),
        (":authority", "xn--bcher-kva.example"),
        (":authority", "under_score.example"),
    ],
)
def test_unusual_value_of_a_pseudo_header_is_taken(server, name, value):
    peer = server()
    (event,) = peer.feed(peer.headers(1, changed(GET, name, value), end_stream=True))
    assert getattr(event, name[1:]) == value


@pytest.mark.row("9113-8.3.1-3")
@pytest.mark.parametrize(
    ("scheme", "authority", "host"),
    [
        ("https", "a.example", "a.example"),
        ("https", "a.example", "a.example:443"),
        ("https", "a.example:443", "a.example"),
        ("http", "a.example", "a.example:80"),
        ("https", "A.example", "a.EXAMPLE"),
    ],
)
def test_host_that_says_the_same_is_taken(server, scheme, authority, host):
    peer = server()
    fields = changed(changed(GET, ":authority", authority), ":scheme", scheme)
    (event,) = peer.feed(peer.headers(1, [*fields, ("host", host)], end_stream=True))
    assert event.authority == authority


@pytest.mark.row("9113-8.3.1-3")
@pytest.mark.parametrize(
    ("scheme", "authority", "host"),
    [
        ("https", "a.example", "b.example"),
        ("https", "a.example", "a.example:80"),
        ("http", "a.example", "a.example:443"),
        ("https", "a.example:8443", "a.example"),
        ("https", "a.example", ""),
    ],
)
def test_host_that_differs_is_malformed(server, scheme, authority, host):
    peer = server()
    fields = changed(changed(GET, ":authority", authority), ":scheme", scheme)
    peer.feed(peer.headers(1, [*fields, ("host", host)], end_stream=True))
    expect_malformed(peer)


@pytest.mark.row("9113-8.3.1-3")
def test_host_stands_for_a_missing_authority(server):
    peer = server()
    fields = [*changed(GET, ":authority", None), ("host", "a.example")]
    (event,) = peer.feed(peer.headers(1, fields, end_stream=True))
    assert (b"host", b"a.example") in event.headers
    assert event.authority == "a.example"


@pytest.mark.row("9113-8.3.1-4")
@pytest.mark.parametrize(
    "fields",
    [
        changed(GET, ":authority", "user@example.com"),
        changed(GET, ":authority", "user:password@example.com"),
        [*GET, ("host", "other.example")],
    ],
)
def test_userinfo_and_another_host_are_not_sent(client, fields):
    peer = client()
    with pytest.raises((ValueError, peer.errors.LocalProtocolError)):
        peer.conn.request(fields)
    assert peer.sent() == []


@pytest.mark.row("9113-8.3.1-4")
def test_authority_is_sent_as_a_pseudo_header(client):
    peer = client()
    peer.conn.request([*GET, ("accept", "*/*")])
    (head,) = peer.sent()
    assert head.get(":authority") == "example.com"
    assert head.get("host") is None


@pytest.mark.row("9113-8.3.1-5")
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("end_stream", [True, False])
def test_request_without_authority_and_host_is_answered_400(server, scheme, end_stream):
    peer = server()
    fields = changed(changed(GET, ":scheme", scheme), ":authority", None)
    assert peer.feed(peer.headers(1, fields, end_stream)) == []
    frames = [one for one in peer.sent() if one.stream_id == 1]
    assert frames[0].get(":status") == "400"
    assert frames[0].end_stream or frames[-1].kind == f.RST_STREAM
    peer.expect_alive()


@pytest.mark.row("9113-8.3.2-1")
@pytest.mark.parametrize(
    "status",
    [None, "", "20", "2000", "abc", "2x0", " 200", "+20", "-20", "099", "000", "2.0", "２００"],
)
def test_response_without_a_status_of_three_digits_is_malformed(client, status):
    peer = asking(client())
    fields = [("server", "x")]
    if status is not None:
        fields.insert(0, (":status", status))
    peer.feed(peer.headers(1, fields, end_stream=True))
    expect_malformed_response(peer)


@pytest.mark.row("9113-8.3.2-1")
@pytest.mark.parametrize("status", [200, 299, 404, 418, 599])
def test_status_is_told_as_a_number(client, status):
    peer = asking(client())
    (event,) = peer.feed(peer.headers(1, [(":status", str(status))], end_stream=True))
    assert event.status == status


@pytest.mark.row("9113-8.3.2-1")
@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("server", "x")],
        [(":status", "20")],
        [(":status", "abc")],
        [(":status", "2000")],
        [(":status", "099")],
        [(":status", "200"), (":status", "200")],
        [(":status", "200"), (":path", "/")],
    ],
)
def test_bad_response_is_not_sent(server, fields):
    peer = server()
    peer.get()
    with pytest.raises((ValueError, peer.errors.LocalProtocolError)):
        peer.conn.respond(1, fields)
    assert peer.sent() == []
    peer.conn.respond(1, OK, end_stream=True)
    assert [one.get(":status") for one in peer.sent()] == ["200"]


@pytest.mark.row("9113-8.6-1")
@pytest.mark.parametrize("fields", [GET, CONNECT])
def test_server_never_sends_101(server, fields):
    peer = server()
    peer.open(fields)
    with pytest.raises((ValueError, peer.errors.LocalProtocolError)):
        peer.conn.respond(1, [(":status", "101")])
    assert peer.sent() == []
    peer.conn.respond(1, [(":status", "404")], end_stream=True)
    assert peer.sent()[0].get(":status") == "404"


@pytest.mark.row("9113-10.5.1-1")
@pytest.mark.parametrize("end_stream", [True, False])
def test_request_above_the_limit_of_fields_is_answered_431(server, end_stream):
    peer = server(settings={"max_header_list_size": 1000})
    big = [(f"x-{i}", "v" * 60) for i in range(15)]
    assert peer.feed(peer.headers(1, [*GET, *big], end_stream)) == []
    frames = [one for one in peer.sent() if one.stream_id == 1]
    assert frames[0].get(":status") == "431"
    assert frames[-1].end_stream or frames[-1].kind == f.RST_STREAM
    # The block went through the decompressor all the same: what it put into the table is there.
    (event,) = peer.feed(peer.headers(3, [*GET, big[0], big[-1]], end_stream=True))
    assert [(n.encode(), v.encode()) for n, v in (big[0], big[-1])] == event.headers
    peer.expect_alive()
