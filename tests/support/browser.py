"""A headless browser, driven by WebDriver over plain HTTP: no package is needed."""

import json
import subprocess
import tempfile
import urllib.error
import urllib.request

from .programs import free_port, program, wait_for_port

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


class Chromium:
    """Debian's `chromium` and `chromium-driver`."""

    def __init__(self):
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
                "args": [*FLAGS, f"--user-data-dir={self._folder.name}"],
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
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()
