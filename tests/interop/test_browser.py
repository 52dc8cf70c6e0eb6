"""Chromium and Firefox over TLS against `h2ws-fast echo`: what users and servers see of it."""

import time

import pytest

from tests.support.browser import OPEN, Chromium, Firefox
from tests.support.programs import Echo

pytestmark = pytest.mark.timeout(180)

STATS = """
const stats = async () => (await fetch("/stats")).json();
"""


@pytest.fixture(scope="module", params=[Chromium, Firefox], ids=["chromium", "firefox"])
def browser(request):
    with request.param() as browser:
        yield browser


@pytest.fixture(scope="module", params=["callback", "await"])
def server(request):
    with Echo("--api", request.param) as echo:
        yield echo


@pytest.fixture
def page(browser, server):
    """A page of the server, with `open(path, act, protocols)` and `stats()`."""
    browser.go(f"{server.url}/")
    # Its own WebSocket first, or it would be counted at any time.
    browser.run("while (ws.readyState !== 1) await new Promise(done => setTimeout(done, 20));")
    return lambda script, *arguments: browser.run(OPEN + STATS + script, *arguments)


def test_the_page_measures_a_websocket_on_its_own_connection(browser, server):
    browser.go(f"{server.url}/")
    measured = browser.run(
        """
        while (!window.measured || count === 0 && !history.length)
          await new Promise(resolve => setTimeout(resolve, 50));
        await new Promise(resolve => setTimeout(resolve, 700));
        await stats();
        return {...window.measured, rate: $("rate").textContent, latency: $("latency").textContent,
                state: $("state").textContent, protocolShown: $("protocol").textContent,
                shared: $("shared").textContent, foreign: performance.getEntriesByType("resource")
                  .filter(each => !each.name.startsWith(location.origin)).length};
        """
    )
    assert measured["protocol"] == "h2" and measured["protocolShown"] == "HTTP/2"
    assert measured["same"] is True and measured["shared"] == "shared"
    assert measured["connection"]["open"] == 1
    assert measured["rate"] not in ("–", "0")
    assert measured["latency"].endswith(("ms", "µs"))
    assert measured["state"] == "open"
    assert measured["foreign"] == 0


def test_the_server_saw_one_connection_with_the_extended_connect_on_it(page, browser):
    before, seen, after = page(
        """
        const before = await stats();
        const seen = await open("/", {send: ["hello"], close: [1000], after: 1});
        return [before, seen, await stats()];
        """
    )
    assert seen["messages"] == ["hello"]
    assert after["connections"] == before["connections"]
    if isinstance(browser, Chromium):  # Firefox may begin another when a page is loaded again
        assert after["connections"] == 1
    assert after["websockets"] == before["websockets"] + 1
    mine, was = after["this_connection"], before["this_connection"]
    assert mine["address"] == was["address"]
    # Counted by the server where the CONNECT came in: on the connection of the requests.
    assert mine["websockets"] == was["websockets"] + 1
    # The second `stats()`; the browser may have asked for an icon meanwhile.
    assert mine["requests"] - was["requests"] in (1, 2)


@pytest.mark.parametrize("after", ["0", "0.2"])
@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "away"), (4321, "bye")])
def test_a_close_by_the_server_is_clean(page, code, reason, after):
    seen = page("return open(args[0])", f"/close?code={code}&reason={reason}&after={after}")
    assert seen["opened"] and seen["clean"] and not seen["errors"]
    assert (seen["code"], seen["reason"]) == (code, reason)


@pytest.mark.parametrize(("arguments", "code"), [([], 1005), ([1000], 1000), ([3456, "x"], 3456)])
def test_a_close_by_the_page_is_clean(page, arguments, code):
    seen = page("return open('/', {close: args[0]})", arguments)
    assert seen["opened"] and seen["clean"] and not seen["errors"]
    assert seen["code"] == code


@pytest.mark.parametrize("status", [403, 503])
def test_a_refusal_is_an_error_and_disturbs_nobody(page, status):
    before, refused, other, after = page(
        """
        const before = await stats();
        const refused = await open(args[0]);
        const other = await open("/", {send: ["still here"], close: [1000], after: 1});
        return [before, refused, other, await stats()];
        """,
        f"/reject?status={status}",
    )
    assert not refused["opened"] and refused["errors"] == 1
    assert (refused["clean"], refused["code"]) == (False, 1006)
    assert other["messages"] == ["still here"] and other["clean"]
    assert after["connections"] == before["connections"], "the browser left the connection"


def test_messages_of_every_kind_come_back(page):
    seen = page(
        """
        const send = ["", "ascii", "naïve ☃ 🎉", new Uint8Array(0), new Uint8Array(70000),
                      "x".repeat(1 << 20)];
        const seen = await open("/", {send, close: [1000], after: send.length});
        const last = seen.messages.pop();
        return {...seen, last: [last.length, last === send[5]]};
        """
    )
    assert seen["messages"] == ["", "ascii", "naïve ☃ 🎉", {"octets": 0}, {"octets": 70000}]
    assert seen["last"] == [1 << 20, True]
    assert seen["clean"]


def test_the_first_subprotocol_is_taken(page):
    seen = page("return open('/', {close: [1000]}, ['chat', 'superchat'])")
    assert seen["protocol"] == "chat"
    assert page("return open('/', {close: [1000]})")["protocol"] == ""


def test_the_request_is_an_extended_connect(page):
    seen = page(
        "const seen = await open('/headers?a=b', {close: [1000], after: 1});"
        "return [JSON.parse(seen.messages[0]), location.host, navigator.userAgent]"
    )
    headers, host, agent = seen
    assert headers[":method"] == "CONNECT"
    assert headers[":protocol"] == "websocket"
    assert headers[":scheme"] == "https"
    assert headers[":authority"] == host
    assert headers[":path"] == "/headers?a=b"
    assert headers["user-agent"] == agent
    assert headers["sec-websocket-version"] == "13"
    assert not {"connection", "upgrade", "host"} & set(headers)


def test_pushed_messages_arrive_beside_a_download(page):
    seen = page(
        """
        const pushed = open("/push?count=20&size=1000&interval=0.01", {close: [1000], after: 20});
        const body = await (await fetch("/bytes/3000000")).arrayBuffer();
        return [await pushed, body.byteLength];
        """
    )
    assert seen[0]["messages"] == [{"octets": 1000}] * 20 and seen[0]["clean"]
    assert seen[1] == 3_000_000


def test_many_websockets_share_the_connection(page):
    before, seen, after = page(
        """
        const before = await stats(), all = [];
        for (let i = 0; i < 50; i++)
          all.push(open("/", {send: ["m" + i], close: [1000], after: 1}));
        const seen = await Promise.all(all);
        return [before, seen.map(each => [each.messages[0], each.clean]), await stats()];
        """
    )
    assert seen == [[f"m{number}", True] for number in range(50)]
    assert after["connections"] == before["connections"]
    mine, was = after["this_connection"], before["this_connection"]
    assert mine["websockets"] == was["websockets"] + 50


def test_goodbye_with_the_page_open(browser):
    with Echo() as echo:
        browser.go(f"{echo.url}/")
        browser.run(
            """
            while (ws.readyState !== 1) await new Promise(done => setTimeout(done, 20));
            running = false;
            while (sent.length > head) await new Promise(done => setTimeout(done, 20));
            """
        )
        begun = time.monotonic()
        code, said, complaints = echo.stop()
        # Its timeout is 3 s: the browser's spare connections are not waited for either.
        assert time.monotonic() - begun < 2.5
        assert code == 0 and said.endswith("goodbye\n") and "Traceback" not in complaints
        state = browser.run(
            """
            while (ws.readyState !== 3) await new Promise(done => setTimeout(done, 20));
            return $("state").textContent;
            """
        )
        assert state == "closed cleanly, code 1001"
