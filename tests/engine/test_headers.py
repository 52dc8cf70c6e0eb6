"""Header lists as messages, both ways, both twins: RFC 9113 section 8, RFC 8441 section 4."""

import gc
import time
from importlib import import_module

import pytest


class Modules:
    def __init__(self, twin):
        for name in ("headers", "prepare", "handshake", "fields", "hpack"):
            setattr(self, name, import_module(f"{twin.__name__}.{name}"))
        self.read_request = self.headers.read_request
        self.read_response = self.headers.read_response
        self.read_trailers = self.headers.read_trailers
        self.Malformed = self.headers.MalformedMessage
        self.prepare_list = self.prepare.prepare


@pytest.fixture(scope="session")
def engine(twin):
    return Modules(twin)


GET = {":method": "GET", ":scheme": "https", ":authority": "a.example", ":path": "/"}
WEBSOCKET = {
    ":method": "CONNECT",
    ":protocol": "websocket",
    ":scheme": "https",
    ":authority": "server.example.com",
    ":path": "/chat",
}
CHROMIUM = {
    ":method": "CONNECT",
    ":authority": "server.example.com",
    ":scheme": "https",
    ":path": "/chat",
    ":protocol": "websocket",
    "pragma": "no-cache",
    "cache-control": "no-cache",
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Safari/537.36",
    "origin": "https://server.example.com",
    "sec-websocket-version": "13",
    "accept-encoding": "gzip, deflate, br, zstd",
    "accept-language": "en-US,en;q=0.9",
    "sec-websocket-extensions": "permessage-deflate; client_max_window_bits",
}


def fields(message, *more, **changes):
    """Fields of a message; `more` are pairs to append, `changes` pseudo-headers (None: without)."""
    message = dict(message)
    for name, value in changes.items():
        if value is None:
            del message[":" + name]
        else:
            message[":" + name] = value
    pairs = [*message.items(), *more]
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]


def refuse(engine, request, connect_enabled=True):
    with pytest.raises(engine.Malformed) as error:
        engine.read_request(request, connect_enabled)
    assert error.value.error_code == 0x1
    assert error.value.reason
    return error.value


# -- requests -----------------------------------------------------------------------------------


def test_a_request(engine):
    head = engine.read_request(fields(GET, ("accept", "*/*"), ("content-length", "5")), True)
    assert (head.method, head.scheme, head.authority, head.path) == (
        "GET",
        "https",
        "a.example",
        "/",
    )
    assert head.protocol is None
    assert head.content_length == 5
    assert head.headers == [(b"accept", b"*/*"), (b"content-length", b"5")]
    assert head.ws_version is head.ws_key is head.ws_protocols is head.ws_extensions is None


def test_chromiums_extended_connect(engine):
    head = engine.read_request(fields(CHROMIUM), True)
    assert head.method == "CONNECT"
    assert head.protocol == "websocket"
    assert head.authority == "server.example.com"
    assert head.path == "/chat"
    assert head.ws_version == b"13"
    assert head.ws_extensions == b"permessage-deflate; client_max_window_bits"
    assert head.ws_key is None and head.ws_protocols is None
    assert head.headers == fields(CHROMIUM)[5:]
    assert head.content_length == -1


def test_websocket_fields_in_several_lines_are_joined(engine):
    head = engine.read_request(
        fields(
            WEBSOCKET,
            ("sec-websocket-protocol", "chat"),
            ("sec-websocket-extensions", "a; b"),
            ("sec-websocket-protocol", "superchat, x"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-extensions", "c"),
            ("sec-websocket-version", "8"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ),
        True,
    )
    assert head.ws_protocols == b"chat, superchat, x"
    assert head.ws_extensions == b"a; b, c"
    assert head.ws_version == b"13, 8"
    assert head.ws_key == b"dGhlIHNhbXBsZSBub25jZQ=="
    assert len(head.headers) == 7


@pytest.mark.row("9113-8.2.1-6")
def test_a_malformed_request_knows_its_status(engine):
    assert refuse(engine, fields(GET, path="/a b")).status == 400


@pytest.mark.row("9113-8.2.2-1")
@pytest.mark.parametrize(
    "name", ["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"]
)
def test_connection_specific_fields(engine, name):
    refuse(engine, fields(GET, (name, "x")))
    refuse(engine, fields(WEBSOCKET, (name, "websocket")))
    with pytest.raises(engine.Malformed):
        engine.read_response(fields({":status": "200"}, (name, "x")))
    with pytest.raises(engine.Malformed):
        engine.read_trailers(fields({}, (name, "x")))
    for kind, message in (("request", GET), ("response", {":status": "200"}), ("trailers", {})):
        with pytest.raises(ValueError, match=f"no field {name}; leave it out"):
            engine.prepare_list([*message.items(), (name.title(), "x")], kind)


@pytest.mark.row("9113-8.2.2-2")
def test_te(engine):
    for value in ("trailers", "Trailers", "TRAILERS"):
        engine.read_request(fields(GET, ("te", value)), True)
        engine.prepare_list([*GET.items(), ("te", value)], "request")
    for value in ("gzip", "trailers, deflate", ""):
        refuse(engine, fields(GET, ("te", value)))
        with pytest.raises(ValueError, match="te may only"):
            engine.prepare_list([*GET.items(), ("te", value)], "request")
    with pytest.raises(engine.Malformed):
        engine.read_response(fields({":status": "200"}, ("te", "trailers")))
    with pytest.raises(engine.Malformed):
        engine.read_trailers(fields({"x": "y"}, ("te", "trailers")))
    with pytest.raises(ValueError, match="te may only"):
        engine.prepare_list([(":status", "200"), ("te", "trailers")], "response")


@pytest.mark.row("9113-8.2.3-1")
def test_cookie_crumbs_are_joined(engine):
    head = engine.read_request(
        fields(
            GET, ("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("z", "z"), ("cookie", "c=3")
        ),
        True,
    )
    assert head.headers == [(b"cookie", b"a=1; b=2; c=3"), (b"x", b"y"), (b"z", b"z")]
    assert type(head.headers[0]) is tuple


@pytest.mark.row("9113-8.2.3-1")
@pytest.mark.row("7541-6.2.3-1")
def test_joined_cookies_stay_sensitive(engine):
    sensitive = engine.hpack.Sensitive((b"cookie", b"b=2"))
    request = [*fields(GET), (b"cookie", b"a=1"), sensitive]
    head = engine.read_request(request, True)
    assert head.headers == [(b"cookie", b"a=1; b=2")]
    assert type(head.headers[0]) is engine.hpack.Sensitive
    alone = engine.read_request([*fields(GET), sensitive], True)
    assert alone.headers[0] is sensitive


@pytest.mark.row("9113-8.3-1")
@pytest.mark.parametrize(
    "request_fields",
    [
        fields(GET, foo="bar"),
        fields(GET, status="200"),
        *[[*fields(GET), field] for field in fields(GET)],
        [*fields(GET)[:3], (b"accept", b"*/*"), (b":path", b"/")],
        [*fields(GET)[:3], (b"cookie", b"a"), (b":path", b"/")],
        [(b"accept", b"*/*"), *fields(GET)],
        [*fields(WEBSOCKET), (b":protocol", b"websocket")],
        [*fields(GET), (b":", b"")],
    ],
)
def test_pseudo_headers_that_must_not_be(engine, request_fields):
    refuse(engine, request_fields)


@pytest.mark.row("9113-8.3-1")
def test_a_cookie_is_a_field_before_which_pseudo_headers_come(engine):
    refuse(engine, [*fields({"cookie": "a=b"}), *fields(GET)])


@pytest.mark.row("8441-4-2")
def test_a_tunnel_of_another_scheme_has_a_path_too(engine):
    tunnel = {**WEBSOCKET, ":scheme": "coap", ":path": ""}
    refuse(engine, fields(tunnel))
    assert engine.read_request(fields({**tunnel, ":path": "x"}), True).path == "x"


@pytest.mark.row("9113-8.3-1")
@pytest.mark.parametrize(
    "response",
    [
        {":status": "200", ":path": "/"},
        {":status": "200", ":method": "GET"},
        {":status": "200", ":foo": "x"},
        {"x": "y", ":status": "200"},
    ],
)
def test_pseudo_headers_that_must_not_be_in_a_response(engine, response):
    with pytest.raises(engine.Malformed):
        engine.read_response(fields(response))
    with pytest.raises(engine.Malformed):
        engine.read_response(fields({":status": "200"}) * 2)


@pytest.mark.row("9113-8.1-3")
@pytest.mark.row("8441-4-1")
@pytest.mark.parametrize("name", [":status", ":path", ":protocol", ":foo"])
def test_pseudo_headers_in_trailers(engine, name):
    with pytest.raises(engine.Malformed):
        engine.read_trailers(fields({"x": "y"}, (name, "200")))
    with pytest.raises(ValueError):
        engine.prepare_list([("x", "y"), (name, "200")], "trailers")


def test_what_was_seen_before_is_checked_as_if_it_were_new(engine):
    wanted = fields(WEBSOCKET)
    for _ in range(2):
        assert engine.prepare_list(list(WEBSOCKET.items()), "request") == wanted
        assert engine.prepare_list(wanted, "request") == wanted
        for path in ("chat", "/\n", ""):
            with pytest.raises(ValueError):
                engine.prepare_list([*list(GET.items())[:3], (":path", path)], "request")
        with pytest.raises(ValueError):
            engine.prepare_list(list(WEBSOCKET.items()), "trailers")
        with pytest.raises(TypeError):
            engine.prepare_list([(":path", 7)], "request")


@pytest.mark.row("7541-7.1.3-1")
def test_what_was_seen_before_does_not_make_a_sensitive_field_a_common_one(engine):
    sensitive = engine.fields.Sensitive((":path", "/"))
    assert type(engine.prepare_list(list(GET.items()), "request")[3]) is tuple
    found = engine.prepare_list([*list(GET.items())[:3], sensitive], "request")
    assert type(found[3]) is engine.fields.Sensitive
    assert type(engine.prepare_list(list(GET.items()), "request")[3]) is tuple


def test_no_more_is_kept_of_what_was_seen_than_a_little(engine):
    for number in range(1000):
        message = [*list(GET.items())[:3], (":path", f"/{number}")]
        assert engine.prepare_list(message, "request")[3] == (b":path", b"/%d" % number)
    longest = (":path", "/" + 500 * "x")
    engine.prepare_list([*list(GET.items())[:3], longest], "request")
    kept = [each for each in gc.get_objects() if type(each) is dict and (":path", "/999") in each]
    assert kept
    for seen in kept:
        assert len(seen) <= 256
        assert longest not in seen


def test_a_tunnel_opens_with_a_success(engine):
    assert engine.prepare_list([(":status", "204")], "tunnel") == [(b":status", b"204")]
    for status in ("404", "103"):
        with pytest.raises(ValueError, match="a tunnel opens with a 2xx"):
            engine.prepare_list([(":status", status)], "tunnel")


def test_trailers(engine):
    trailers = fields({"grpc-status": "0", "x": "y"})
    assert engine.read_trailers(trailers) == trailers
    assert engine.prepare_list([("Grpc-Status", "0")], "trailers") == [(b"grpc-status", b"0")]


@pytest.mark.row("9113-8.3.1-1")
@pytest.mark.parametrize(
    "changes",
    [
        {"method": None},
        {"scheme": None},
        {"path": None},
        {"path": ""},
        {"path": "foo"},
        {"path": "*"},
        {"method": ""},
        {"scheme": ""},
    ],
)
def test_a_request_needs_method_scheme_and_path(engine, changes):
    refuse(engine, fields(GET, **changes))


@pytest.mark.row("9113-8.3.1-1")
def test_the_asterisk_is_for_options(engine):
    head = engine.read_request(fields(GET, method="OPTIONS", path="*"), True)
    assert (head.method, head.path) == ("OPTIONS", "*")


@pytest.mark.row("9113-8.3.1-2")
@pytest.mark.parametrize(
    "name, good, bad",
    [
        ("method", "M-SEARCH|x!|get", "GET /x HTTP/1.1|G ET|G\tT|GET\r\nX: y|(|é"),
        (
            "scheme",
            "http|coap+tcp|HTTPS",
            "1http|ht tp|http:|http/|+h|é|",
        ),
        ("path", "/?a=b|//|/%20|/a;b=c:@&!$'()*+,~|/{}^`\\", "/a b|/#x|/a\x7f|/\xe9|/\t|/\r\nx"),
        (
            "authority",
            "a|a.example:443|[::1]|[::1]:80|127.0.0.1:8080|a_b|%41|a:|A.Example",
            "user@h|u:p@h|h/|h,i|a b|a:b|a:70000|a:123456|[::1|::1|[]|[a]b|:80||é|a#|a?|a\\b",
        ),
    ],
)
def test_values_of_pseudo_headers(engine, name, good, bad):
    for value in good.split("|"):
        head = engine.read_request(fields(GET, **{name: value}), True)
        got = getattr(head, name)
        assert got == (value.lower() if name == "scheme" else value)
        assert engine.prepare_list(fields(GET, **{name: value}), "request")
    for value in bad.split("|"):
        refuse(engine, fields(GET, **{name: value}))
        with pytest.raises(ValueError):
            engine.prepare_list(fields(GET, **{name: value}), "request")


@pytest.mark.row("9113-8.3.1-2")
def test_other_schemes(engine):
    head = engine.read_request(fields(GET, scheme="coap", path="", authority=None), True)
    assert (head.scheme, head.path, head.authority) == ("coap", "", "")
    head = engine.read_request(fields(GET, scheme="ftp", authority="me@h", path="x"), True)
    assert head.authority == "me@h"
    refuse(engine, fields(GET, scheme="ftp", authority="a b"))


@pytest.mark.row("9113-8.3.1-3")
@pytest.mark.parametrize(
    "scheme, authority, host, same",
    [
        ("https", "a.example", "a.example", True),
        ("https", "a.example", "a.example:443", True),
        ("https", "a.example:443", "A.EXAMPLE", True),
        ("https", "a.example:", "a.example", True),
        ("http", "a.example", "a.example:80", True),
        ("http", "[::1]:80", "[::1]", True),
        ("http", "a.example", "a.example:443", False),
        ("https", "a.example", "a.example:80", False),
        ("https", "a.example", "b.example", False),
        ("https", "a.example", "", False),
        ("https", "a.example:8443", "a.example", False),
    ],
)
def test_host_beside_authority(engine, scheme, authority, host, same):
    request = fields(GET, ("host", host), scheme=scheme, authority=authority)
    if same:
        assert engine.read_request(request, True).authority == authority
    else:
        refuse(engine, request)
    if same:
        prepared = engine.prepare_list(request, "request")
        assert b"host" not in [name for name, _ in prepared]
    else:
        with pytest.raises(ValueError, match="host differs"):
            engine.prepare_list(request, "request")


@pytest.mark.row("9113-8.3.1-3")
def test_host_twice(engine):
    authority = GET[":authority"]
    refuse(engine, fields(GET, ("host", authority), ("host", authority)))


def test_host_stands_in_for_authority(engine):
    head = engine.read_request(fields(GET, ("host", "h:1"), authority=None), True)
    assert head.authority == "h:1"
    refuse(engine, fields(GET, ("host", "u@h"), authority=None))
    refuse(engine, fields(GET, ("host", ""), authority=None))


@pytest.mark.row("9113-8.3.1-4")
def test_prepare_sends_authority_and_no_host(engine):
    pairs = [("Host", "a.example"), (":method", "GET"), (":scheme", "https"), (":path", "/")]
    assert engine.prepare_list(pairs, "request") == [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":path", b"/"),
        (b":authority", b"a.example"),
    ]


@pytest.mark.row("9113-8.3.1-5")
def test_neither_authority_nor_host(engine):
    error = refuse(engine, fields(GET, authority=None))
    assert error.status == 400 and error.refused


@pytest.mark.row("9113-8.1.1-3")
@pytest.mark.parametrize(
    "value", ["+5", "-5", "5,6", "5, 5", "0x5", " 5", "5 ", "", "5" * 20, "１", "5.0", "1_0"]
)
def test_content_lengths_that_are_none(engine, value):
    raw = value.encode()
    with pytest.raises(engine.Malformed):
        engine.read_request([*fields(GET), (b"content-length", raw)], True)
    with pytest.raises(engine.Malformed):
        engine.read_response([(b":status", b"200"), (b"content-length", raw)])
    with pytest.raises(ValueError):
        engine.prepare_list([(":status", "200"), ("content-length", raw)], "response")
    with pytest.raises(ValueError):
        engine.prepare_list([*GET.items(), ("content-length", raw)], "request")


@pytest.mark.row("9113-8.1.1-3")
def test_content_length_twice(engine):
    same = fields(GET, ("content-length", "5"), ("x", "y"), ("content-length", "5"))
    head = engine.read_request(same, True)
    assert head.content_length == 5
    assert head.headers == [(b"content-length", b"5"), (b"x", b"y")]
    refuse(engine, fields(GET, ("content-length", "5"), ("content-length", "6")))
    refuse(engine, fields(GET, ("content-length", "5"), ("content-length", "05")))
    status = {":status": "200"}
    response = fields(status, ("content-length", "7"), ("content-length", "7"))
    assert engine.read_response(response).content_length == 7
    with pytest.raises(engine.Malformed):
        engine.read_response(fields(status, ("content-length", "7"), ("content-length", "8")))
    with pytest.raises(ValueError, match="twice"):
        engine.prepare_list([*GET.items()] + [("content-length", "5")] * 2, "request")


@pytest.mark.parametrize("value, number", [("0", 0), ("007", 7), ("9" * 18, 10**18 - 1)])
def test_content_lengths(engine, value, number):
    assert engine.read_request(fields(GET, ("content-length", value)), True).content_length == (
        number
    )


# -- extended CONNECT ---------------------------------------------------------------------------


@pytest.mark.row("8441-4-1")
def test_protocol_needs_connect(engine):
    refuse(engine, fields(WEBSOCKET, method="GET"))
    with pytest.raises(engine.Malformed):
        engine.read_response(fields({":status": "200", ":protocol": "websocket"}))
    with pytest.raises(ValueError):
        engine.prepare_list(fields(WEBSOCKET, method="GET"), "request")


@pytest.mark.row("8441-4-2")
@pytest.mark.parametrize("name", ["scheme", "path", "authority"])
def test_extended_connect_needs(engine, name):
    refuse(engine, fields(WEBSOCKET, **{name: None}))
    refuse(engine, fields(WEBSOCKET, **{name: ""}))
    refuse(engine, fields(WEBSOCKET, ("host", "server.example.com"), authority=None))
    with pytest.raises(ValueError):
        engine.prepare_list(fields(WEBSOCKET, **{name: None}), "request")


@pytest.mark.row("8441-4-3")
def test_connect_without_protocol_has_neither_scheme_nor_path(engine):
    refuse(engine, fields(WEBSOCKET, protocol=None))
    refuse(engine, fields(WEBSOCKET, protocol=None, path=None, authority="h:1"))
    refuse(engine, fields(WEBSOCKET, protocol=None, scheme=None, authority="h:1"))


@pytest.mark.row("8441-4-4")
@pytest.mark.parametrize(
    "value", ["", "a, b", "a,b", "a b", "a;b", "/", "a/", "/1", "a/1/2", '"a"', "a\xe9"]
)
def test_protocol_is_one_token(engine, value):
    refuse(engine, fields(WEBSOCKET, protocol=value))


@pytest.mark.row("8441-4-7")
@pytest.mark.parametrize(
    "value, token",
    [
        ("websocket", "websocket"),
        ("WebSocket", "websocket"),
        ("CONNECT-UDP", "connect-udp"),
        ("foo", "foo"),
        ("Foo/1.1", "foo/1.1"),
        ("a!", "a!"),
    ],
)
def test_protocol_is_compared_in_lower_case(engine, value, token):
    assert engine.read_request(fields(WEBSOCKET, protocol=value), True).protocol == token


@pytest.mark.row("8441-3-8")
def test_protocol_where_it_was_not_offered(engine):
    refuse(engine, fields(WEBSOCKET), connect_enabled=False)
    assert engine.read_request(fields(GET), False).method == "GET"


@pytest.mark.row("8441-4-13")
def test_content_length_of_a_tunnel(engine):
    for protocol in ("websocket", "foo"):
        request = fields(WEBSOCKET, ("a", "b"), ("content-length", "5"), protocol=protocol)
        head = engine.read_request(request, True)
        assert head.content_length == -1 and head.headers == [(b"a", b"b")]
    nonsense = fields(WEBSOCKET, ("content-length", "five"))
    assert engine.read_request(nonsense, True).content_length == -1
    for protocol in ("connect-udp", "connect-ip"):
        refuse(engine, fields(WEBSOCKET, ("content-length", "5"), protocol=protocol))
    refuse(engine, fields(WEBSOCKET, ("transfer-encoding", "chunked")))
    with pytest.raises(ValueError, match="leave out content-length"):
        engine.prepare_list([*WEBSOCKET.items(), ("content-length", "0")], "request")


@pytest.mark.row("8441-4-13")
@pytest.mark.row("9113-8.5-6")
def test_content_length_of_a_response_that_opens_a_tunnel(engine):
    response = fields({":status": "200"}, ("content-length", "5"), ("a", "b"))
    head = engine.read_response(response, True)
    assert head.content_length == -1 and head.headers == [(b"a", b"b")]
    refused = fields({":status": "403"}, ("content-length", "5"))
    assert engine.read_response(refused, True).content_length == 5
    with pytest.raises(engine.Malformed):
        engine.read_response(fields({":status": "200"}, ("transfer-encoding", "chunked")), True)
    with pytest.raises(ValueError, match="leave out content-length"):
        engine.prepare_list([(":status", "200"), ("content-length", "0")], "tunnel")
    with pytest.raises(ValueError, match="transfer-encoding"):
        engine.prepare_list([(":status", "200"), ("transfer-encoding", "chunked")], "tunnel")


# -- classic CONNECT ----------------------------------------------------------------------------

CLASSIC = {":method": "CONNECT", ":authority": "h.example:443"}


@pytest.mark.row("9113-8.5-1")
def test_classic_connect(engine):
    head = engine.read_request(fields(CLASSIC, ("content-length", "5"), ("a", "b")), False)
    assert (head.method, head.scheme, head.path, head.protocol) == ("CONNECT", "", "", None)
    assert head.authority == "h.example:443"
    assert head.headers == [(b"a", b"b")] and head.content_length == -1
    assert engine.read_request(fields(CLASSIC, authority="[::1]:1"), True).authority == "[::1]:1"


@pytest.mark.row("9113-8.5-1")
@pytest.mark.parametrize(
    "request_fields",
    [
        fields(CLASSIC, scheme="https"),
        fields(CLASSIC, path="/"),
        fields(CLASSIC, scheme="https", path="/"),
        fields(CLASSIC, authority=None),
        fields(CLASSIC, ("host", "h.example:443"), authority=None),
        fields(CLASSIC, ("host", "other:443")),
        fields(CLASSIC, authority="u@h:1"),
        fields(CLASSIC, authority=":1"),
    ],
)
def test_classic_connect_malformed(engine, request_fields):
    assert not refuse(engine, request_fields).refused
    with pytest.raises(ValueError):
        engine.prepare_list(
            [field for field in request_fields if field[0] != b"host"]
            if b":authority" not in dict(request_fields)
            else request_fields,
            "request",
        )


@pytest.mark.row("9113-8.5-2")
@pytest.mark.parametrize("authority", ["h", "h:", "h:0", "h:70000", "h:00", "h:x", "[::1]"])
def test_classic_connect_needs_a_port(engine, authority):
    error = refuse(engine, fields(CLASSIC, authority=authority))
    assert error.status == 400 and error.refused


# -- responses ----------------------------------------------------------------------------------


def test_a_response(engine):
    head = engine.read_response(
        fields(
            {":status": "200"},
            ("sec-websocket-protocol", "chat"),
            ("sec-websocket-extensions", "x"),
            ("content-length", "0"),
            ("set-cookie", "a"),
            ("set-cookie", "b"),
        )
    )
    assert head.status == 200 and head.content_length == 0
    assert head.ws_protocols == b"chat" and head.ws_extensions == b"x"
    assert len(head.headers) == 5


@pytest.mark.row("6455-4.1-6")
def test_subprotocols_of_a_response_are_joined_so_that_two_match_no_offer(engine):
    twice = [("sec-websocket-protocol", "chat")] * 2
    assert engine.read_response(fields({":status": "200"}, *twice)).ws_protocols == b"chat, chat"


@pytest.mark.row("9113-8.3.2-1")
@pytest.mark.parametrize("status", ["", "20", "2000", "abc", "099", "+20", "2 0", "20\xb2"])
def test_status_is_three_digits(engine, status):
    with pytest.raises(engine.Malformed):
        engine.read_response(fields({":status": status}))
    with pytest.raises(ValueError):
        engine.prepare_list([(":status", status)], "response")


@pytest.mark.row("9113-8.3.2-1")
def test_status_is_there(engine):
    with pytest.raises(engine.Malformed):
        engine.read_response([])
    with pytest.raises(engine.Malformed):
        engine.read_response([(b"x", b"y")])
    for kind in ("response", "tunnel"):
        with pytest.raises(ValueError, match=":status"):
            engine.prepare_list([("x", "y")], kind)
    for status in (100, 103, 299, 599, 999):
        assert engine.read_response(fields({":status": str(status)})).status == status


@pytest.mark.row("9113-8.1-4")
def test_status_101_arrives(engine):
    with pytest.raises(engine.Malformed):
        engine.read_response(fields({":status": "101"}))


@pytest.mark.row("9113-8.6-1")
def test_status_101_is_never_sent(engine):
    for kind in ("response", "tunnel"):
        with pytest.raises(ValueError, match="101"):
            engine.prepare_list([(":status", "101")], kind)


# -- our own lists ------------------------------------------------------------------------------


def test_the_hot_case(engine):
    for kind in ("response", "tunnel"):
        assert engine.prepare_list([(b":status", b"200")], kind) == [(b":status", b"200")]
        assert engine.prepare_list([(":status", "200")], kind) == [(b":status", b"200")]
    with pytest.raises(ValueError):
        engine.prepare_list([(b":status", b"200")], "request")
    with pytest.raises(ValueError):
        engine.prepare_list([(b":status", b"200")], "trailers")


@pytest.mark.row("9113-8.2-1")
def test_names_are_lower_cased_and_pseudo_headers_come_first(engine):
    pairs = [("Origin", "https://X"), (b"X-Y", b"Z"), *WEBSOCKET.items()]
    assert engine.prepare_list(pairs, "request") == [
        *fields(WEBSOCKET),
        (b"origin", b"https://X"),
        (b"x-y", b"Z"),
    ]


@pytest.mark.row("9113-8.2.1-5")
@pytest.mark.parametrize(
    "name, value",
    [
        ("", "v"),
        ("a b", "v"),
        ("a\r\nb", "v"),
        ("a:", "v"),
        ("é", "v"),
        (b"\xff", "v"),
        ("日", "v"),
        ("x", "a\r\nb: c"),
        ("x", "a\nb"),
        ("x", b"a\x00"),
        ("x", "\x7f"),
        ("x", " v"),
        ("x", "v\t"),
        ("x", "日"),
    ],
)
def test_what_may_not_leave(engine, name, value):
    for kind, message in (("request", GET), ("response", {":status": "200"}), ("trailers", {})):
        with pytest.raises(ValueError):
            engine.prepare_list([*message.items(), (name, value)], kind)


@pytest.mark.parametrize("name, value", [(1, "v"), ("x", 1), ("x", None), (None, "v")])
def test_wrong_types(engine, name, value):
    with pytest.raises(TypeError, match="must be str or bytes"):
        engine.prepare_list([(":status", "200"), (name, value)], "response")


def test_wrong_shapes(engine):
    with pytest.raises(ValueError, match="pair"):
        engine.prepare_list([("x", "y", "z"), (":status", "200")], "response")
    with pytest.raises(ValueError, match="pair"):
        engine.prepare_list(["te", (":status", "200")], "response")
    with pytest.raises(ValueError, match="kind"):
        engine.prepare_list([("x", "y")], "reply")


def test_str_values_are_latin_1_and_bytes_go_as_they_are(engine):
    prepared = engine.prepare_list(
        [(":status", "200"), ("x", "é"), ("y", "é".encode())], "response"
    )
    assert prepared[1:] == [(b"x", b"\xe9"), (b"y", b"\xc3\xa9")]


@pytest.mark.row("7541-6.2.3-1")
def test_sensitive_fields_stay_sensitive(engine):
    secret = engine.hpack.Sensitive(("X-Secret", "1"))
    prepared = engine.prepare_list([(b":status", b"200"), secret], "response")
    assert prepared[1] == (b"x-secret", b"1") and type(prepared[1]) is engine.hpack.Sensitive
    block = engine.hpack.Encoder().encode(prepared)
    decoded = engine.hpack.Decoder().decode(block, 0, len(block))
    assert type(decoded[1]) is engine.hpack.Sensitive


def test_lists_of_lists_and_other_iterables_of_pairs(engine):
    assert engine.prepare_list([[":status", "200"]], "response") == [(b":status", b"200")]
    assert engine.prepare_list(((":status", "204"), ["A", b"b"]), "response") == [
        (b":status", b"204"),
        (b"a", b"b"),
    ]
    assert engine.prepare_list({":status": "404"}.items(), "response") == [(b":status", b"404")]
    assert engine.prepare_list({":status": "404"}, "response") == [(b":status", b"404")]
    assert engine.prepare_list(iter([(":status", "200")]), "response") == [(b":status", b"200")]


def test_content_length_where_there_is_no_content(engine):
    for status in ("100", "103", "204"):
        with pytest.raises(ValueError, match="leave out content-length"):
            engine.prepare_list([(":status", status), ("content-length", "0")], "response")
    engine.prepare_list([(":status", "304"), ("content-length", "5")], "response")


# -- handshakes ---------------------------------------------------------------------------------


@pytest.mark.row("8441-5-3")
def test_accept_value(engine):
    key = b"dGhlIHNhbXBsZSBub25jZQ=="
    assert engine.handshake.valid_key(key)
    assert engine.handshake.accept_value(key) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.row("8441-5-3")
@pytest.mark.parametrize(
    "key",
    [
        b"",
        b"dGhlIHNhbXBsZSBub25jZQ",
        b"dGhlIHNhbXBsZSBub25jZQ=",
        b"dGhlIHNhbXBsZSBub25j",
        b"dGhlIHNhbXBsZSBub25jZQ==\n",
        b"dGhlIHNhbXBsZSBub25j!Q==",
        b"dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
        b"\xff" * 24,
        b"dGhlIHNhbXBsZSBub25jZQEB",
    ],
)
def test_keys_that_are_none(engine, key):
    assert not engine.handshake.valid_key(key)


@pytest.mark.row("8441-5-4")
def test_subprotocols(engine):
    read = engine.handshake.read_subprotocols
    assert read(None) == []
    assert read(b"chat, superchat") == ["chat", "superchat"]
    assert read(b",chat ,, \tx,chat") == ["chat", "x"]
    for bad in (b"a b", b"a;q=1", b'"a"', b"\xe9"):
        with pytest.raises(engine.Malformed):
            read(bad)


@pytest.mark.row("SEC-5-5")
def test_lists_are_read_in_linear_time(engine):
    assert engine.handshake.split_list(b" ,\t," * 16384 + b"x") == [b"x"]
    assert len(engine.handshake.read_subprotocols(b"a" + b",a" * 32000)) == 1
    # As many different ones as 64 KB hold: a second where each is looked for in a list.
    different = b",".join(b"%x" % i for i in range(13000))
    begun = time.process_time()
    assert len(engine.handshake.read_subprotocols(different)) == 13000
    assert time.process_time() - begun < 0.25
