"""Pages of others, and clients without leave: who may open a WebSocket (RFC 6455 section 10)."""

import asyncio
import contextlib
import re

import pytest

from h2ws_fast import Response, serve
from h2ws_fast.aio.http import Request
from h2ws_fast.aio.server.origins import SAME_ORIGIN, is_allowed
from tests.aio.conftest import LOOPS, run
from tests.support.raw import RawClient
from tests.support.ws_frames import TEXT

row = pytest.mark.row


def asked(origin, scheme="https", authority="good.example"):
    fields = [] if origin is None else [("origin", origin)]
    return Request("/", fields, method="CONNECT", scheme=scheme, authority=authority)


# Origin, :scheme, :authority
SAME = [
    (None, "https", "good.example"),  # no page
    ("https://good.example", "https", "good.example"),
    ("https://good.example", "https", "good.example:443"),
    ("https://good.example:443", "https", "good.example"),
    ("https://GOOD.example", "https", "good.EXAMPLE"),
    ("HTTPS://good.example", "https", "good.example"),
    ("http://good.example", "http", "good.example:80"),
    ("https://good.example:8443", "https", "good.example:8443"),
    ("https://good.example", "http", "good.example"),  # a proxy ends TLS
    ("https://good.example:8443", "http", "good.example:8443"),
    ("https://[2001:db8::1]", "https", "[2001:DB8:0:0::1]:443"),
    ("https://[::1]:8443", "https", "[::1]:8443"),
    ("https://127.0.0.1:8443", "https", "127.0.0.1:8443"),
]
OTHER = [
    ("null", "https", "good.example"),
    ("null", "https", "null"),
    ("", "https", "good.example"),
    ("https://good.example.evil.com", "https", "good.example"),
    ("https://evilgood.example", "https", "good.example"),
    ("https://sub.good.example", "https", "good.example"),
    ("https://good.example.", "https", "good.example"),
    ("http://good.example", "https", "good.example"),  # anybody on the path can be it
    ("http://good.example:443", "https", "good.example"),
    ("https://good.example:8443", "https", "good.example"),
    ("https://good.example", "https", "good.example:8443"),
    ("https://good.example:80", "https", "good.example"),
    ("https://good.example:", "https", "good.example"),
    ("https://good.example:0443", "https", "good.example"),
    ("https://good.example:443x", "https", "good.example"),
    ("https://good.example/", "https", "good.example"),
    ("https://good.example?x", "https", "good.example"),
    ("https://good.example#good.example", "https", "good.example"),
    ("https://good.example\\@evil.com", "https", "good.example"),
    ("https://good.example@evil.com", "https", "good.example"),
    ("https://evil.com@good.example", "https", "good.example"),
    ("https://good.example%2eevil.com", "https", "good.example"),
    ("https://good.example https://evil.com", "https", "good.example"),
    ("https:/good.example", "https", "good.example"),
    ("//good.example", "https", "good.example"),
    ("good.example", "https", "good.example"),
    ("ftp://good.example", "https", "good.example"),
    ("https://[::1", "https", "[::1]"),
    ("https://[::2]", "https", "[::1]"),
    ("https://g\u00f6od.example", "https", "good.example"),
    ("https://::1", "https", "[::1]"),
    ("https://127.0.0.1", "https", "127.1"),
    ("https://good.example", "https", ""),
    ("https://good.example", "https", "good.example@evil.com"),
]


@row("SEC-6-1", "8441-8-1")
@pytest.mark.parametrize("case", SAME)
def test_origin_that_names_the_server_passes(case):
    assert is_allowed(SAME_ORIGIN, asked(*case))


@row("SEC-6-1", "8441-8-1")
@pytest.mark.parametrize("case", OTHER)
def test_any_other_origin_is_refused(case):
    assert not is_allowed(SAME_ORIGIN, asked(*case))


LIST = ["https://good.example", "https://port.example:8443", re.compile(r"https://[a-z]+\.ours")]


@row("SEC-6-1")
@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://good.example", True),
        ("https://good.example:443", True),
        ("https://GOOD.example", True),
        ("https://port.example:8443", True),
        ("https://a.ours", True),
        ("http://good.example", False),
        ("https://good.example:8443", False),
        ("https://port.example", False),
        ("https://good.example.evil.com", False),
        ("https://good.example/", False),
        ("https://a.ours.evil.com", False),
        ("xhttps://a.ours", False),
        ("null", False),
        (None, False),  # strict: the list does not name it
    ],
)
def test_list_is_matched_exactly(origin, allowed):
    assert is_allowed(LIST, asked(origin, authority="evil.com")) is allowed
    assert is_allowed([None, *LIST], asked(None))
    for all_of_it in ("null", re.compile(".*"), re.compile("null|https://good.example")):
        assert not is_allowed([None, all_of_it], asked("null"))
    assert not is_allowed([], asked(None))


@row("SEC-6-1")
def test_two_origins_are_none():
    request = asked("https://good.example")
    request.headers.add("origin", "https://good.example")
    assert not is_allowed(SAME_ORIGIN, request)
    assert not is_allowed(LIST, request)


@row("SEC-6-1", "8441-8-1")
@pytest.mark.parametrize("kind", list(LOOPS))
def test_page_of_another_gets_403_and_reaches_nobody(kind):
    reached = []

    async def handler(ws):
        reached.append(ws)

    async def main():
        async with serve(handler, "127.0.0.1", 0) as server:
            peer = await RawClient.connect(server.sockets[0].getsockname()[1])
            answer = await peer.websocket(1, "/", ("origin", "https://evil.example"))
            assert answer.get(":status") == "403"
            answer = await peer.websocket(3, "/", ("origin", "null"))
            assert answer.get(":status") == "403"
            assert reached == []
            peer.close()

    run(main(), kind)


@row("SEC-6-2")
@pytest.mark.parametrize("leave", [True, False])
@pytest.mark.parametrize("kind", list(LOOPS))
def test_nothing_of_a_tunnel_is_seen_before_its_request_has_leave(kind, leave):
    received = []

    async def handler(ws):
        with contextlib.suppress(Exception):
            received.append(await ws.recv())

    async def main():
        asking, decide = asyncio.Event(), asyncio.Event()

        async def process(ws, request):
            asking.set()
            await decide.wait()
            return None if leave else Response(401)

        async with serve(handler, "127.0.0.1", 0, process_request=process) as server:
            peer = await RawClient.connect(server.sockets[0].getsockname()[1])
            opening = asyncio.create_task(peer.websocket())
            await asking.wait()
            # It does not wait for the answer to send.
            peer.ws(1, TEXT, b"let me in")
            await asyncio.sleep(0.05)
            assert not opening.done()  # no 200 yet
            assert received == [] and server.connections == set()
            decide.set()
            answer = await opening
            assert answer.get(":status") == ("200" if leave else "401")
            if leave:
                close = (await peer.ws_frames(1, 1))[0]
                assert close.close_code == 1000
            await asyncio.sleep(0.02)
            assert received == (["let me in"] if leave else [])
            peer.close()

    run(main(), kind)
