"""A page in Chromium and Firefox, before servers of HTTP/1.1 that others wrote: what it sees over
HTTP/2 through the gateway is what it sees over HTTP/1.1 without, and so it is with the server.

Each browser talks to one server of `H2WS_FAST_TURN`; without it to all.
"""

import os

import pytest

from tests.interop.demands import CLOSES, CODES, RANDOM, TEXT, clean
from tests.interop.h1_servers import KINDS, answer_of, h1_server
from tests.support.browser import OPEN, Chromium, Firefox
from tests.support.programs import GatewayCommand

pytestmark = pytest.mark.timeout(180)

BROWSERS = {"chromium": Chromium, "firefox": Firefox}

SCRIPT = """
const [text, codes, closes] = args;
const size = each => ({...each, messages: each.messages.map(each => each.octets ?? each.length)});
const all = list => Promise.all(list);
const ask = async path => (await fetch(path, {cache: "no-store"})).text();
const echo = ["", "naïve ☃ 🎉", new Uint8Array(0), random(70000), "é".repeat(1 << 19), random(1 << 20)];
const seen = {
  hops: performance.getEntriesByType("navigation").map(each => each.nextHopProtocol),
  page: await ask("/"),
  echoed: size(await open("/", {send: echo, close: [1000], after: echo.length})),
  compressed: size(await open("/", {send: [text, text], close: [1000], after: 2})),
  protocols: await all([["chat", "superchat"], ["superchat"], []].map(
    protocols => open("/", {close: [1000]}, protocols))),
  closed: await all(codes.map(code => open(`/close?code=${code}&reason=as%20${code}`))),
  closes: await all(closes.map(close => open("/", {close}))),
  refused: await open("/no"),
  many: await all([...Array(12).keys()].map(
    each => open(`/${each}`, {send: [`${each}`], close: [3000], after: 1}))),
};
const count = 2 + 3 + codes.length + closes.length + 12;
do {
  seen.ends = JSON.parse(await ask("/seen"));
} while (seen.ends.length < count);
return seen;
"""


def look(browser, url):
    """What a page and the server saw, but for what is of the one way; and that."""
    browser.go(f"{url}/")
    seen = browser.run(OPEN + RANDOM + SCRIPT, TEXT, CODES, CLOSES)
    ends = seen.pop("ends")
    seen["ends"] = sorted([code, reason] for code, reason, _ in ends)
    return seen, (seen.pop("hops"), {via and via.split()[0] for *_, via in ends})


def check(seen, kind):
    """Was it what a page may ask for?"""
    assert seen["page"] == "a page"
    assert seen["echoed"]["messages"] == [0, 10, 0, 70_000, 1 << 19, 1 << 20]
    assert seen["echoed"]["same"] == 6
    assert seen["compressed"]["extensions"].split(";")[0] == "permessage-deflate"
    assert seen["compressed"]["same"] == 2
    assert [each["protocol"] for each in seen["protocols"]] == ["chat", "superchat", ""]
    assert all(
        clean(each, 1000) for each in (seen["echoed"], seen["compressed"], *seen["protocols"])
    )
    for each, code in zip(seen["closed"], CODES, strict=True):
        assert clean(each, code, f"as {code}"), each
    codes = [answer_of(kind, each[0] if each else 1005) for each in CLOSES]
    assert [each["code"] for each in seen["closes"]] == codes
    assert all(each["clean"] for each in seen["closes"])
    refused = seen["refused"]
    assert (refused["opened"], refused["errors"], refused["code"]) == (False, 1, 1006)
    assert [each["messages"] for each in seen["many"]] == [[f"{each}"] for each in range(12)]
    for code, *reason in CLOSES[1:]:
        assert [code, "".join(reason)] in seen["ends"]


# All in one, as starting a browser takes longer than the rest.
@pytest.mark.parametrize("browser", BROWSERS)
def test_a_page_sees_no_difference(browser):
    kinds = KINDS
    if turn := os.environ.get("H2WS_FAST_TURN"):
        kinds = [KINDS[(int(turn) + list(BROWSERS).index(browser)) % len(KINDS)]]
    with BROWSERS[browser]() as page:
        for kind in kinds:
            with h1_server(kind) as port:
                direct, how = look(page, f"http://127.0.0.1:{port}")
                assert how == (["http/1.1"], {None})
                check(direct, kind)
            with (
                h1_server(kind) as port,
                GatewayCommand("--upstream", f"http://127.0.0.1:{port}") as gate,
            ):
                through, how = look(page, gate.url)
                assert how == (["h2"], {"2"})
            assert through == direct
