"""Chromium and Firefox through HAProxy to `h2ws-fast serve`, whose workers are replaced meanwhile.

HAProxy takes HTTP/2 over TLS from the browser and speaks HTTP/2 or HTTP/1.1 to two workers. SIGHUP
replaces one worker after the other: WebSockets of a leaving worker are closed with 1012 (Service
Restart), pages connect again at once, and no request fails.
"""

import contextlib
import signal
import subprocess
import time

import pytest

from tests.support.browser import Chromium, Firefox
from tests.support.certificates import write_certificate
from tests.support.programs import Serve, free_port, program, running, wait_for_port

pytestmark = pytest.mark.timeout(180)

HAPROXY = """
global
    maxconn 200
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout tunnel 60s
    retries 3
    retry-on conn-failure empty-response
frontend browsers
    bind 127.0.0.1:{front} ssl crt {pem} alpn h2,http/1.1
    default_backend workers
backend workers
    server it 127.0.0.1:{port} {options}
"""
BACKENDS = {"h2": "proto h2", "h1": ""}

# A conversation that never ends: messages over a WebSocket that connects again when it is closed, and
# requests beside it. `stop()` ends both, and tells what there was.
TALK = """
const seen = {greetings: [], closes: [], early: 0, echoed: 0, answers: [], failed: []};
let stopped = false;
const pause = time => new Promise(done => setTimeout(done, time));
async function talk() {
  while (!stopped) {
    await new Promise(over => {
      const ws = new WebSocket(`wss://${location.host}/ws`);
      let opened = false, count = 0, timer;
      ws.onopen = () => {
        opened = true;
        timer = setInterval(() => stopped ? ws.close(1000) : ws.send(`message ${count++}`), 20);
      };
      ws.onmessage = event => {
        if (event.data.startsWith("message")) seen.echoed++;
        else seen.greetings.push(JSON.parse(event.data));
      };
      ws.onclose = event => {
        clearInterval(timer);
        seen.closes.push([opened, event.wasClean, event.code]);
        over();
      };
    });
    await pause(20);
  }
}
async function ask() {
  while (!stopped) {
    try {
      const path = seen.answers.length % 5 ? "/" : "/slow/0.3";
      const response = await fetch(path, {cache: "no-store"});
      if (response.status !== 200) throw response.status;
      seen.answers.push((await response.json()).pid);
    } catch (error) {
      seen.failed.push(String(error));
    }
    await pause(20);
  }
}
const running = [talk(), ask(), ask()];
window.stop = async () => { stopped = true; await Promise.all(running); return seen; };
window.seen = seen;
"""


@contextlib.contextmanager
def haproxy(port, backend, folder):
    front = free_port()
    certificate, key = write_certificate(folder)
    pem = folder / "both.pem"
    pem.write_text(certificate.read_text() + key.read_text())
    config = folder / "haproxy.cfg"
    options = BACKENDS[backend]
    config.write_text(HAPROXY.format(front=front, pem=pem, port=port, options=options))
    command = [program("haproxy"), "-db", "-q", "-f", str(config)]
    with running(command, stderr=subprocess.DEVNULL) as process:
        wait_for_port(front, process)
        yield f"https://127.0.0.1:{front}"


@pytest.fixture(scope="module", params=BACKENDS)
def site(request, tmp_path_factory):
    """(two workers, URL of HAProxy before them, what HAProxy speaks to them)"""
    options = ["--cleartext", "--workers", "2", "--no-access-log"]
    with Serve("tests.support.served:app", *options) as server:
        server.wait_for("Application startup complete", 2)
        with haproxy(server.port, request.param, tmp_path_factory.mktemp("proxy")) as url:
            yield server, url, request.param


@pytest.mark.parametrize("kind", [Chromium, Firefox], ids=["chromium", "firefox"])
def test_workers_are_replaced_in_mid_conversation(site, kind):
    server, url, backend = site
    started = server.log().count("Application startup complete")
    with kind() as browser:
        browser.go(f"{url}/page")
        browser.run(f"(async () => {{ {TALK} }})()")
        browser.run(
            "while (!window.seen || seen.echoed < 5 || seen.answers.length < 5)"
            " await new Promise(done => setTimeout(done, 20));"
        )
        old = set(browser.run("return seen.answers")) | {
            each["pid"] for each in browser.run("return seen.greetings")
        }
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("Application startup complete", started + 2)
        server.wait_for("Finished server process", started)
        time.sleep(0.5)
        before = browser.run("return [seen.echoed, seen.answers.length]")
        browser.run(
            "while (seen.echoed < args[0] + 5 || seen.answers.length < args[1] + 5)"
            " await new Promise(done => setTimeout(done, 20));",
            *before,
        )
        seen = browser.run("return await window.stop()")
    assert seen["failed"] == []
    assert not set(seen["answers"][-3:]) & old, "old workers still answer"
    *restarts, last = seen["closes"]
    # At least its own worker left, at most both did: the first successor may have been an old one.
    assert 1 <= len(restarts) <= 2
    for opened, clean, code in restarts:
        assert (opened, code) == (True, 1012)
        # Over HTTP/1.1 uvicorn itself ends TCP at once behind its Close, which Firefox calls unclean.
        assert clean or backend == "h1"
    assert last == [True, True, 1000]
    assert seen["greetings"][-1]["pid"] not in old
    versions = {each["http_version"] for each in seen["greetings"]}
    assert versions == {"2" if backend == "h2" else "1.1"}
