"""Headless browsers, driven by what they bring along: no package is needed.

Chromium by WebDriver over plain HTTP, through `chromedriver`; Firefox by WebDriver BiDi, which is
JSON over a WebSocket that the browser itself serves.
"""

import itertools
import json
import os
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import wsproto
import wsproto.events

from .programs import end, free_port, program, wait_for_port

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--ignore-certificate-errors",
    "--window-size=1000,800",
)


# Opens a WebSocket, does what `act` says, and resolves with all that was seen; `same` counts the
# messages that came back as they were sent.
OPEN = """
function alike(one, other) {
  return one.length === other.length && one.every((octet, at) => octet === other[at]);
}
function open(path, act = {}, protocols = []) {
  return new Promise(resolve => {
    const seen = {opened: false, errors: 0, messages: [], same: 0};
    const ws = new WebSocket(location.origin.replace("http", "ws") + path, protocols);
    ws.binaryType = "arraybuffer";
    ws.onopen = () => {
      seen.opened = true;
      seen.protocol = ws.protocol;
      seen.extensions = ws.extensions;
      for (const message of act.send || []) ws.send(message);
      if (act.close && !act.after) ws.close(...act.close);
    };
    ws.onerror = () => seen.errors++;
    ws.onmessage = event => {
      const data = event.data;
      const sent = (act.send || [])[seen.messages.length];
      seen.same += typeof data === "string" ? data === sent
        : sent instanceof Uint8Array && alike(new Uint8Array(data), sent);
      seen.messages.push(typeof data === "string" ? data : {octets: data.byteLength});
      if (act.close && seen.messages.length === act.after) ws.close(...act.close);
    };
    ws.onclose = event => {
      seen.clean = event.wasClean;
      seen.code = event.code;
      seen.reason = event.reason;
      resolve(seen);
    };
  });
}
"""


class Chromium:
    """Debian's `chromium` and `chromium-driver`; further flags as the browser takes them."""

    def __init__(self, *flags):
        driver = program("chromedriver", "chromium-driver")
        browser = program("chromium")
        self._folder = tempfile.TemporaryDirectory(
            prefix="h2ws-fast-chromium-", ignore_cleanup_errors=True
        )
        port = free_port()
        self._process = subprocess.Popen(
            [driver, f"--port={port}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._session = None
        try:
            wait_for_port(port, self._process)
            self._base = f"http://127.0.0.1:{port}/session"
            options = {
                "binary": browser,
                "args": [*FLAGS, *flags, f"--user-data-dir={self._folder.name}"],
            }
            wanted = {
                "browserName": "chrome",
                "acceptInsecureCerts": True,
                "goog:chromeOptions": options,
                "timeouts": {"script": 30000, "pageLoad": 30000},
            }
            made = self._ask("POST", "", {"capabilities": {"alwaysMatch": wanted}})
            self._session = made["sessionId"]
        except BaseException:
            self.close()
            raise

    def _ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        prefix = "" if self._session is None else f"/{self._session}"
        request = urllib.request.Request(
            self._base + prefix + path,
            data,
            {"content-type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from None

    def go(self, url):
        """Load a page."""
        self._ask("POST", "/url", {"url": url})

    def run(self, script, *arguments):
        """The result of JavaScript in the page: the body of an async function."""
        whole = (
            "const done = arguments[arguments.length - 1];"
            f"(async (...args) => {{ {script} }})(...[...arguments].slice(0, -1))"
            ".then(value => done({value}), error => done({error: String(error)}));"
        )
        body = {"script": whole, "args": list(arguments)}
        result = self._ask("POST", "/execute/async", body)
        assert "error" not in result, result["error"]
        return result.get("value")

    def screenshot(self):
        """The page as PNG, base64."""
        return self._ask("GET", "/screenshot")

    def close(self):
        """End the browser and its driver."""
        try:
            if self._session is not None:
                self._ask("DELETE", "")
        finally:
            end(self._process, 10)
            self._folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()


PREFERENCES = {
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "browser.tabs.remote.autostart": True,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "toolkit.telemetry.enabled": False,
}


class Firefox:
    """Debian's `firefox-esr`; further preferences as the browser takes them."""

    def __init__(self, preferences=None):
        browser = program("firefox-esr")
        self._folder = tempfile.TemporaryDirectory(
            prefix="h2ws-fast-firefox-", ignore_cleanup_errors=True
        )
        profile = Path(self._folder.name, "profile")
        profile.mkdir()
        (profile / "user.js").write_text(
            "".join(
                f"user_pref({json.dumps(name)}, {json.dumps(value)});\n"
                for name, value in {**PREFERENCES, **(preferences or {})}.items()
            )
        )
        port = free_port()
        self._socket = None
        self._numbers = itertools.count(1)
        self._process = subprocess.Popen(
            [
                browser,
                "--headless",
                "--no-remote",
                f"--remote-debugging-port={port}",
                "--profile",
                str(profile),
            ],
            env={**os.environ, "HOME": self._folder.name, "MOZ_HEADLESS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for_port(port, self._process, 60)
            self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
            self._ws = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
            self._send(wsproto.events.Request(host=f"127.0.0.1:{port}", target="/session"))
            opened = self._event()
            assert isinstance(opened, wsproto.events.AcceptConnection), opened
            self._ask("session.new", capabilities={"alwaysMatch": {"acceptInsecureCerts": True}})
            self._context = self._ask("browsingContext.getTree")["contexts"][0]["context"]
        except BaseException:
            self.close()
            raise

    def _send(self, event):
        self._socket.sendall(self._ws.send(event))

    def _event(self):
        while True:
            for event in self._ws.events():
                return event
            octets = self._socket.recv(65536)
            assert octets, "the browser went away"
            self._ws.receive_data(octets)

    def _ask(self, method, **parameters):
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": parameters}
        self._send(wsproto.events.Message(json.dumps(command)))
        text = ""
        while True:
            event = self._event()
            if isinstance(event, wsproto.events.Ping):
                self._send(event.response())
                continue
            text += event.data
            if not event.message_finished:
                continue
            answer, text = json.loads(text), ""
            if answer.get("id") == number:
                assert answer["type"] == "success", answer
                return answer["result"]

    def go(self, url):
        """Load a page."""
        self._ask("browsingContext.navigate", context=self._context, url=url, wait="complete")

    def run(self, script, *arguments):
        """The result of JavaScript in the page: the body of an async function."""
        values = json.dumps(arguments)
        result = self._ask(
            "script.callFunction",
            functionDeclaration=(
                f"async () => JSON.stringify(await (async (...args) => {{ {script} }})(...{values}))"
            ),
            awaitPromise=True,
            target={"context": self._context},
        )
        assert result["type"] == "success", result
        value = result["result"]
        return json.loads(value["value"]) if value["type"] == "string" else None

    def close(self):
        """End the browser."""
        if self._socket is not None:
            self._socket.close()
        end(self._process, 10)
        self._folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()
