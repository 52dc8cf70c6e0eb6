"""The opening handshake of a WebSocket over HTTP/1.1, the server's side: RFC 6455 section 4.2."""

import pytest

from h2ws_fast.aio.h1.connection import H1Connection
from h2ws_fast.engine import Limits
from h2ws_fast.engine.events import Requested, Terminated, TextMessage
from h2ws_fast.engine.handshake import read_extensions
from h2ws_fast.engine.headers import MalformedMessage
from h2ws_fast.errors import StreamClosed
from tests.support.h1 import ACCEPT, Alone, request, upgrade
from tests.support.ws_frames import ws_frame

STEPS = [None, 1, 7]


def requested(alone):
    return [event for event in alone.events if isinstance(event, Requested)]


@pytest.mark.row("6455-4.2.2-2")
@pytest.mark.parametrize("step", STEPS)
def test_the_101_answers_the_key(step):
    alone = Alone()
    (event,) = alone.feed(upgrade("GET /chat?room=1 HTTP/1.1"), step=step)
    assert (event.method, event.path, event.authority) == ("GET", "/chat?room=1", "example.org")
    assert event.protocol == "websocket" and event.ended
    alone.conn.accept_websocket(event.stream_id)
    answer = alone.answer()
    assert answer.status == 101
    assert answer.fields == {
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-accept": ACCEPT,
    }
    assert alone.upgraded is not None and alone.early == b""


@pytest.mark.row("6455-4.2.1-1")
@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"line": "POST / HTTP/1.1"}, 405),
        ({"line": "HEAD / HTTP/1.1"}, 405),
        ({"line": "GET / HTTP/1.0"}, 400),
        ({"host": None}, 400),
        ({"connection": None}, 400),
        ({"connection": "keep-alive"}, 400),
        ({"connection": "upgraded"}, 400),
        ({"sec_websocket_key": None}, 400),
        ({"sec_websocket_key": ""}, 400),
        ({"sec_websocket_key": "dGhlIHNhbXBsZQ=="}, 400),
        ({"sec_websocket_key": "dGhlIHNhbXBsZSBub25jZQ="}, 400),
        ({"sec_websocket_key": "!GhlIHNhbXBsZSBub25jZQ=="}, 400),
        ({"sec_websocket_version": None}, 400),
    ],
)
def test_what_a_handshake_lacks_is_refused(changes, status):
    alone = Alone()
    alone.feed(upgrade(**changes))
    assert requested(alone) == []
    assert alone.octets.startswith(b"HTTP/1.1 %d " % status)
    assert alone.octets.count(b"HTTP/1.1 ") == 1
    if status == 405:
        assert b"allow: GET\r\n" in alone.octets
    assert alone.upgraded is None


@pytest.mark.row("6455-4.2.1-1")
@pytest.mark.parametrize(
    "changes",
    [
        {"connection": "keep-alive, Upgrade"},  # Firefox
        {"connection": "UPGRADE"},
        {"connection": "keep-alive", "add": ["Connection: upgrade"]},
        {"upgrade": "WebSocket"},
        {"upgrade": "foo/2, websocket"},
        {"upgrade": "foo", "add": ["Upgrade: websocket"]},
        {"line": "GET http://example.org/ HTTP/1.1"},
    ],
)
def test_forms_that_are_allowed(changes):
    alone = Alone()
    (event,) = alone.feed(upgrade(**changes))
    alone.conn.accept_websocket(event.stream_id)
    assert alone.answer().status == 101


@pytest.mark.row("6455-4.2.1-1")
def test_without_upgrade_it_is_an_ordinary_request():
    alone = Alone()
    (event,) = alone.feed(upgrade(upgrade=None))
    assert event.protocol is None


@pytest.mark.row("6455-4.2.1-2")
@pytest.mark.row("6455-4.3-1")
@pytest.mark.parametrize(
    "add",
    [
        ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="],
        ["Sec-WebSocket-Version: 13"],
        ["Host: example.org"],
        ["Content-Length: 1"],
        ["Transfer-Encoding: chunked"],
    ],
)
def test_fields_twice_and_bodies_are_refused(add):
    alone = Alone()
    alone.feed(upgrade(add=add))
    assert requested(alone) == []
    assert alone.answers()[0].status == 400


@pytest.mark.row("6455-4.2.2-1")
@pytest.mark.parametrize("version", ["8", "14", "13, 8", "0", "1337", "x"])
def test_another_version_is_told_ours(version):
    alone = Alone()
    alone.feed(upgrade(sec_websocket_version=version))
    answer = alone.answer()
    assert answer.status == 426
    assert answer.fields["sec-websocket-version"] == "13"
    assert answer.fields["upgrade"] == "websocket"
    assert answer.fields["connection"].lower() == "upgrade"
    # No tunnel came of it: what follows is HTTP again.
    (event,) = alone.feed(request(line="GET /next HTTP/1.1"))
    assert event.path == "/next" and event.protocol is None


@pytest.mark.row("6455-4.2.2-3")
def test_the_subprotocol_is_one_that_was_offered():
    for chosen in (None, "chat", "superchat"):
        alone = Alone()
        (event,) = alone.feed(upgrade(sec_websocket_protocol="superchat, chat"))
        alone.conn.accept_websocket(event.stream_id, chosen)
        assert alone.answer().fields.get("sec-websocket-protocol") == chosen
    alone = Alone()
    (event,) = alone.feed(upgrade(sec_websocket_protocol="chat"))
    for wrong in ("soap", "", "cha", "chat,"):
        with pytest.raises(ValueError):
            alone.conn.accept_websocket(event.stream_id, wrong)
    alone.conn.accept_websocket(event.stream_id, "chat")
    assert alone.answer().fields["sec-websocket-protocol"] == "chat"


@pytest.mark.row("6455-4.3-1")
def test_subprotocols_and_extensions_may_come_in_several_lines():
    alone = Alone()
    add = [
        "Sec-WebSocket-Protocol: chat",
        "Sec-WebSocket-Extensions: a; b=1",
        "Sec-WebSocket-Extensions: c",
    ]
    (event,) = alone.feed(upgrade(sec_websocket_protocol="superchat", add=add))
    alone.conn.accept_websocket(event.stream_id, "chat")
    assert alone.answer().fields["sec-websocket-protocol"] == "chat"


@pytest.mark.row("6455-4.2.2-3")
@pytest.mark.parametrize("value", ["a b", "chat;q=1", '"chat"', "ch\u00e4t"])
def test_a_subprotocol_that_is_no_token_is_refused(value):
    alone = Alone()
    alone.feed(upgrade(sec_websocket_protocol=value))
    assert alone.answer().status == 400


@pytest.mark.row("6455-4.2.2-4")
@pytest.mark.parametrize("status", [301, 401, 403, 404, 503])
def test_an_application_may_refuse(status):
    alone = Alone()
    (event,) = alone.feed(upgrade())
    fields = [(":status", str(status)), ("x-why", "because"), ("content-length", "4")]
    alone.conn.respond(event.stream_id, fields)
    alone.conn.send_data(event.stream_id, b"why?", True)
    alone.pull(0.0)
    answer = alone.answer()
    assert (answer.status, answer.body, answer.fields["x-why"]) == (status, b"why?", "because")
    with pytest.raises(StreamClosed):
        alone.conn.accept_websocket(event.stream_id)
    (event,) = alone.feed(upgrade())
    alone.conn.accept_websocket(event.stream_id)
    assert [answer.status for answer in alone.answers()] == [status, 101]


@pytest.mark.row("6455-4.1-8")
@pytest.mark.parametrize("step", STEPS)
def test_octets_behind_the_request_belong_to_the_websocket(step):
    alone = Alone()
    frames = ws_frame(1, b"early", key=b"abcd") + ws_frame(1, b"bird", key=b"efgh")
    (event,) = alone.feed(upgrade() + frames, step=step)
    assert alone.conn.reading
    alone.conn.accept_websocket(event.stream_id)
    assert alone.early == frames
    got = alone.upgraded.receive_data(alone.early)
    assert [message.data for message in got if isinstance(message, TextMessage)] == [
        "early",
        "bird",
    ]


def test_early_octets_are_bounded():
    alone = Alone()
    alone.feed(upgrade() + bytes(65535))
    assert alone.conn.reading
    alone.feed(bytes(1))
    assert not alone.conn.reading


@pytest.mark.row("6455-9.1-1")
@pytest.mark.parametrize(
    "value",
    [
        'a;b="x y"',
        ";",
        "a;;b",
        "a,",
        ",a",
        "",
        "a;b=",
        'a;b="',
        'a;b="c',
        "a=b",
        "a b",
        'a;b=""',
        "a;b=c d",
        "a; b = c =",
    ],
)
def test_extensions_of_another_form_are_refused(value):
    with pytest.raises(MalformedMessage):
        read_extensions(value.encode())
    alone = Alone()
    alone.feed(upgrade(sec_websocket_extensions=value))
    assert alone.answer().status == 400


@pytest.mark.row("6455-9.1-1")
def test_the_form_of_extensions():
    assert read_extensions(b"a") == [(b"a", [])]
    assert read_extensions(b'a; b ; c=1;d="2",e ,\tf;g="\\h"') == [
        (b"a", [(b"b", None), (b"c", b"1"), (b"d", b"2")]),
        (b"e", []),
        (b"f", [(b"g", b"h")]),
    ]


def test_long_lists_of_extensions_are_read_once():
    import time

    begun = time.process_time()
    for value in (b"a;" * 30000 + b"a", b"a;" + b" " * 60000, b"a," * 30000, b"a" * 60000):
        try:
            read_extensions(value)
        except MalformedMessage:
            pass
    assert time.process_time() - begun < 2


@pytest.mark.row("6455-9.1-2")
@pytest.mark.parametrize("value", ["permessage-deflate", "x-unknown; a=1, permessage-deflate"])
def test_no_extension_is_answered_that_is_not_known(value):
    alone = Alone()
    (event,) = alone.feed(upgrade(sec_websocket_extensions=value))
    alone.conn.accept_websocket(event.stream_id)
    assert "sec-websocket-extensions" not in alone.answer().fields


def test_an_application_that_does_not_answer():
    alone = Alone(Limits(handshake_timeout_s=3.0))
    (event,) = alone.feed(upgrade(), 5.0)
    assert alone.conn.next_timeout() == 8.0
    told = []
    alone.conn.attach(event.stream_id, told.append)
    alone.conn.handle_timeout(8.0)
    alone.pull(8.0)
    assert alone.answer().status == 408
    assert [type(each).__name__ for each in told] == ["Reset"]
    with pytest.raises(StreamClosed):
        alone.conn.accept_websocket(event.stream_id)
    assert alone.conn.stats()["limits"] == {"handshake_timeout_s": 1}


def test_a_client_that_leaves_during_the_handshake():
    alone = Alone()
    (event,) = alone.feed(upgrade())
    told = []
    alone.conn.attach(event.stream_id, told.append)
    assert [type(each) for each in alone.conn.receive_eof()] == [Terminated]
    assert [type(each).__name__ for each in told] == ["Reset"]
    with pytest.raises(StreamClosed):
        alone.conn.accept_websocket(event.stream_id)


def test_without_a_handler_an_upgrade_is_ignored():
    alone = Alone(upgrades=())
    (event,) = alone.feed(upgrade())
    assert event.protocol is None
    alone.conn.respond(event.stream_id, [(":status", "200")], True)
    alone.pull(0.0)
    assert alone.answer().status == 200


def test_fields_that_cannot_be_sent_are_refused_before():
    alone = Alone()
    (event,) = alone.feed(upgrade())
    for fields in ([("x", "a\r\nb: c")], [("x y", "a")], [("x", "a\0")]):
        with pytest.raises(ValueError):
            alone.conn.accept_websocket(event.stream_id, headers=fields)
    alone.conn.accept_websocket(event.stream_id, headers=[("x", "a")])
    assert alone.answer().fields["x"] == "a"
    assert isinstance(alone.conn, H1Connection) and alone.conn.terminated


@pytest.mark.parametrize("name", ["accept", "extensions", "key", "protocol", "version"])
def test_what_the_handshake_settles_is_no_header_of_the_application(name):
    alone = Alone()
    (event,) = alone.feed(upgrade())
    field = (f"Sec-WebSocket-{name.title()}", "13")
    with pytest.raises(ValueError, match=f"^sec-websocket-{name} is for the handshake to say"):
        alone.conn.accept_websocket(event.stream_id, headers=[("x", "a"), field])
    assert alone.octets == b"" and alone.upgraded is None
    alone.conn.accept_websocket(event.stream_id, headers=[("x", "a")])
    assert alone.answer().fields["x"] == "a"


def test_a_websocket_behind_other_requests_keeps_its_number():
    alone = Alone()
    (first,) = alone.feed(request())
    alone.conn.respond(first.stream_id, [(":status", "204")], True)
    alone.pull(0.0)
    (event,) = [each for each in alone.feed(upgrade()) if isinstance(each, Requested)]
    assert (first.stream_id, event.stream_id) == (1, 2)
    alone.conn.accept_websocket(2)
    (message,) = alone.upgraded.receive_data(ws_frame(1, b"hello", key=b"abcd"))
    assert (message.stream_id, message.data) == (2, "hello")
    alone.upgraded.consumed(2, message.credit)
    alone.upgraded.send_message(2, "there")
    assert b"".join(alone.upgraded.data_to_send()) == b"\x81\x05there"
