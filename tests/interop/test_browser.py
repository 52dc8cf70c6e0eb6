"""What a page may ask of WebSockets, in Chromium and Firefox, over HTTP/2 and with HTTP/2 turned off:
what the page saw, and what the server saw of it; and the page of `h2ws-fast echo`."""

import pytest

from h2ws_fast import ServerPerMessageDeflateFactory
from tests.interop import demands
from tests.support.browser import Chromium, Firefox
from tests.support.certificates import write_certificate
from tests.support.witness import Witness

pytestmark = pytest.mark.timeout(180)

BROWSERS = {
    ("chromium", "h2"): Chromium,
    ("chromium", "h1"): lambda: Chromium("--disable-http2"),
    ("firefox", "h2"): Firefox,
    ("firefox", "h1"): lambda: Firefox({"network.http.http2.enabled": False}),
}


class Page(demands.Page):
    """A page of a Witness in a browser."""

    def __init__(self, browser, http, witness):
        super().__init__(browser.run, http, witness)
        browser.go(f"{witness.url}/blank")
        hops = "return performance.getEntriesByType('navigation').map(each => each.nextHopProtocol)"
        assert browser.run(hops) == ["h2" if http == "h2" else "http/1.1"]

    def check_connections(self, connections, count):
        super().check_connections(connections, count)
        if self.http == "h2":
            assert connections <= set(self.witness.pages)
        else:
            assert not connections & set(self.witness.pages)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return write_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module", params=BROWSERS, ids="-".join)
def browser(request):
    """(browser, "h2" or "h1")"""
    with BROWSERS[request.param]() as browser:
        yield browser, request.param[1]


# All in one, as starting a browser takes longer than the rest.
def test_a_page_is_served_as_it_asks(browser, certificate):
    browser, http = browser
    taking_over = ServerPerMessageDeflateFactory(
        server_no_context_takeover=False,
        client_no_context_takeover=False,
        server_max_window_bits=10,
        client_max_window_bits=11,
    )
    with (
        Witness(certificate) as callbacks,
        Witness(certificate, api="await", compression=taking_over) as awaiting,
        Witness(certificate, compression=None) as plain,
    ):
        for witness, takes_over in ((callbacks, False), (awaiting, True)):
            demands.all_that_a_page_may_ask(Page(browser, http, witness), takes_over)
        demands.messages_are_not_compressed(Page(browser, http, plain))
        # All at once: each has connections of the browser's to wait for.
        for witness in (callbacks, awaiting, plain):
            witness.stop(0)


def test_the_page_of_echo_measures_and_is_told_goodbye(browser, certificate):
    browser, http = browser
    with Witness(certificate, close_timeout=60) as witness:
        browser.go(f"{witness.url}/")
        measured, statistics = browser.run(
            """
            const pause = () => new Promise(done => setTimeout(done, 20));
            const text = id => $(id).textContent;
            while (!window.measured || ["–", "0"].includes(text("rate"))
                   || !/[mµ]s$/.test(text("latency"))) await pause();
            await stats();
            return [{
              ...window.measured, state: text("state"), shown: text("protocol"), title: text("title"),
              explain: text("explain"), shared: text("shared"),
              foreign: performance.getEntriesByType("resource")
                .filter(each => !each.name.startsWith(location.origin)).length,
            }, await (await fetch("/stats")).json()];
            """
        )
        browser.run("running = false; while (sent.length > head) await new Promise(setTimeout);")
        # The browser's spare connections are not waited for either.
        witness.stop(15)
        state = browser.run(
            """
            while (ws.readyState !== 3) await new Promise(done => setTimeout(done, 20));
            return $("state").textContent;
            """
        )
        assert state == "closed cleanly, code 1001"
    assert measured["state"] == "open" and measured["foreign"] == 0
    mine = statistics["this_connection"]
    assert (mine["http"], statistics["websockets"]) == (demands.VERSIONS[http], 1)
    if http == "h2":
        assert (measured["protocol"], measured["shown"]) == ("h2", "HTTP/2")
        assert measured["same"] is True and measured["shared"] == "shared"
        assert measured["connection"]["open"] == mine["open"] == 1
    else:
        assert (measured["protocol"], measured["shown"]) == ("http/1.1", "HTTP/1.1")
        assert measured["title"] == "WebSocket over HTTP/1.1"
        assert measured["same"] is False and "of its own" in measured["explain"]
        assert mine["open"] == 0
