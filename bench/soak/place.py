"""The server as its clients know it: a process, a port, and how to connect."""

import asyncio
import json
import os
import select
import signal
import ssl
import subprocess
import sys
import tempfile

from h2ws_fast import Session
from h2ws_fast.aio import tls

from ..servers import NotStarted, processors

START_S = 30
STOP_S = 20


class Place:
    """Starts the server; `stop` ends it and tells how that went."""

    def __init__(self, api, pure, certificate=None):
        environment = dict(os.environ)
        environment.pop("H2WS_FAST_REQUIRE_COMPILED", None)
        environment.pop("H2WS_FAST_PURE", None)
        environment["H2WS_FAST_PURE" if pure else "H2WS_FAST_REQUIRE_COMPILED"] = "1"
        files = [str(path) for path in certificate or ()]
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.soak.served", api, *files],
            stdin=subprocess.PIPE,  # the server ends when this does: it never outlives us
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=environment,
            text=True,
            start_new_session=True,  # Ctrl-C in a terminal is for us
        )
        self.secure = certificate is not None
        self.client_tls = self.raw_tls = None
        if self.secure:
            self.client_tls = tls.client_context(cafile=certificate[0])
            self.raw_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self.raw_tls.check_hostname, self.raw_tls.verify_mode = False, ssl.CERT_NONE
            self.raw_tls.set_alpn_protocols(["h2"])
        self.port = self._ready()
        cpu, other = processors()
        if cpu is not None:
            os.sched_setaffinity(self.process.pid, {cpu})
            os.sched_setaffinity(0, {other})

    def _ready(self):
        readable, _, _ = select.select([self.process.stdout], [], [], START_S)
        words = self.process.stdout.readline().split() if readable else []
        if words[:1] != ["ready"]:
            self.process.kill()
            self.process.wait()
            raise NotStarted(self.said() or "the server said nothing")
        return int(words[1])

    @property
    def alive(self):
        return self.process.poll() is None

    def said(self):
        """What the server wrote to its standard error, the end of it."""
        self.log.seek(0)
        return self.log.read()[-4000:].strip()

    def session(self, **options):
        """A Session of our client, not connected yet."""
        scheme = "https" if self.secure else "http"
        if self.secure:
            options |= {"ssl": self.client_tls, "server_hostname": "localhost"}
        return Session(f"{scheme}://127.0.0.1:{self.port}", **options)

    async def streams(self, *, plain=False):
        """A pair of asyncio streams; `plain`: without TLS, whatever the server wants."""
        context = None if plain else self.raw_tls
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=context)

    def stop(self):
        """End the server; return (exit code or None where it had to be killed, its last words)."""
        try:
            self.process.send_signal(signal.SIGTERM)
            out, _ = self.process.communicate(timeout=STOP_S)
            code = self.process.returncode
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None, None
        try:
            return code, json.loads(out.strip().splitlines()[-1])
        except (IndexError, ValueError):
            return code, None
