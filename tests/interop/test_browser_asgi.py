"""FastAPI by `h2ws-fast serve` in Chromium and Firefox: what its WebSockets can do, over HTTP/2."""

import re
from pathlib import Path

import pytest

from tests.support.browser import OPEN, Chromium, Firefox
from tests.support.programs import Serve, module

EXAMPLES = Path(__file__).parents[2] / "examples" / "asgi"

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(not EXAMPLES.is_dir(), reason="examples/ is not here: not a source tree"),
]

SCRIPT = """
const ask = async path => (await fetch(path, {cache: "no-store"})).text();
const seen = {
  host: await ask("/client"),
  protocols: performance.getEntriesByType("navigation").map(each => each.nextHopProtocol),
  chat: await open("/echo?token=secret", {send: ["hello", "bye"]}, ["other", "chat"]),
  plain: await open("/echo?token=secret", {
    send: ["naïve ☃", "long, and so it is compressed. ".repeat(200)], close: [3456, "enough"], after: 2
  }),
  nobody: await open("/echo"),
  wrong: await open("/echo?token=wrong"),
  full: await open("/full"),
  nowhere: await open("/nowhere"),
};
seen.after = await open("/echo?token=secret", {send: ["still here"], close: [1000], after: 1});
seen.again = await ask("/client");
return seen;
"""


@pytest.mark.parametrize("kind", [Chromium, Firefox], ids=["chromium", "firefox"])
def test_fastapi(kind):
    module("fastapi")
    with Serve("fastapi_app:app", "--app-dir", str(EXAMPLES)) as server:
        with kind() as browser:
            browser.go(f"{server.url}/")
            browser.run(
                "while (!document.querySelector('#log').textContent)"
                " await new Promise(done => setTimeout(done, 20));"
            )
            seen = browser.run(OPEN + SCRIPT)
        code, requests, _ = server.stop()
        log = server.log()
    assert code == 0 and "Traceback" not in log
    assert seen["protocols"] == ["h2"]
    assert f"{server.host}:{server.port}" in seen["host"] == seen["again"]
    chat = seen["chat"]
    assert (chat["protocol"], chat["messages"]) == ("chat", ["hello"])
    assert (chat["clean"], chat["code"], chat["reason"]) == (True, 4321, "as you wish")
    plain = seen["plain"]
    assert (plain["protocol"], plain["messages"][0], plain["same"]) == ("", "naïve ☃", 2)
    for opened in (chat, plain):
        assert opened["extensions"].startswith("permessage-deflate")
    assert (plain["clean"], plain["code"]) == (True, 3456)  # its own reason is not echoed
    for refused in ("nobody", "wrong", "full", "nowhere"):
        assert not seen[refused]["opened"] and seen[refused]["code"] == 1006, refused
    assert seen["after"]["messages"] == ["still here"] and seen["after"]["clean"]
    # What the browser does not show, uvicorn's log does: which response refused, on which connection.
    assert re.findall(r'"WebSocket (\S+)" (\d+)', log) == [
        ("/echo", "401"),
        ("/echo?token=wrong", "403"),
        ("/full", "503"),
        ("/nowhere", "403"),
    ]
    asked = set(re.findall(r'(\S+:\d+) - "GET /client HTTP/2" 200', requests))
    opened = set(re.findall(r'(\S+:\d+) - "WebSocket \S+" \[accepted\]', log))
    assert asked & opened, "no WebSocket was on a connection of requests"
    if isinstance(browser, Chromium):  # Firefox may begin another
        assert len(asked) == 1 and asked == opened
