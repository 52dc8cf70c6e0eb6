"""A server in a process of its own, to be attacked and measured from outside.

`python -m tests.support.target '{"limits": {...}, "settings": {...}, "serve": {...}}'` is the
process: WebSockets echo, and some paths are what attacks need. `Target` starts one and reads its
CPU time and memory from /proc.
"""

import asyncio
import contextlib
import json
import logging
import os
import subprocess
import sys
import tempfile

import pytest

from h2ws_fast.aio.tls import client_context, server_context
from tests.support.attacker import Attacker
from tests.support.programs import end, read_line

TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


class Target:
    """The server's process. `certificate`: a certificate's file and its key's, for TLS."""

    def __init__(self, *, limits=None, settings=None, certificate=None, **options):
        if not os.path.exists("/proc/self/clear_refs"):
            pytest.skip("memory and CPU are read from Linux's /proc")
        self._log = tempfile.TemporaryFile("w+")
        told = {"limits": limits or {}, "settings": settings or {}, "serve": options}
        self.tls = None
        if certificate is not None:
            told["certificate"] = [str(path) for path in certificate]
            self.tls = client_context(cafile=certificate[0])
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "tests.support.target", json.dumps(told)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            bufsize=0,
        )
        try:
            self.port = int(read_line(self.process))
        except BaseException:
            self.stop()
            raise

    @property
    def alive(self):
        return self.process.poll() is None

    def attack(self, *settings, **options):
        """An Attacker of this server."""
        options.setdefault("tls", self.tls)
        return Attacker(self.port, *settings, **options)

    def stats(self):
        """What `Server.stats()` says, and what the application counts."""
        asker = self.attack()
        asker.send(asker.request(1, path="/stats"))
        assert asker.read_until(lambda: asker.ended_streams, 20), "GET /stats was not answered"
        asker.close()
        return json.loads(asker.data[1])

    def log(self):
        """What it wrote to stderr so far."""
        self._log.seek(0)
        return self._log.read()

    def cpu(self):
        """Seconds of CPU time it has used."""
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def memory(self, name="VmRSS"):
        """Octets of memory: VmRSS now, VmHWM at the most since `forget_peak`."""
        with open(f"/proc/{self.process.pid}/status") as file:
            for line in file:
                if line.startswith(name + ":"):
                    return int(line.split()[1]) * 1024
        raise AssertionError(name)

    def forget_peak(self):
        with open(f"/proc/{self.process.pid}/clear_refs", "w") as file:
            file.write("5")

    def stop(self):
        end(self.process, 3)
        self.process.stdout.close()
        self._log.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.stop()


# -- the process ----------------------------------------------------------------------------------


class Application:
    """What the server runs, and what it counts."""

    def __init__(self):
        self.working = 0
        self.most = 0  # handlers of requests at work at once
        self.pushed = 0  # octets that /push has sent
        self.server = None
        self.dialer = self.udp = None

    async def handler(self, ws):
        path = ws.request.path
        if path == "/asleep":
            await ws.wait_closed()
        elif path == "/push":
            while True:
                await ws.send(bytes(10_000))
                self.pushed += 10_000
        elif path == "/tired":
            read = 0
            while read < 8_000_000:
                read += len(await ws.recv())
            await ws.wait_closed()
        elif path == "/heedless":
            while "max_queued" not in self.server.stats()["limits"]:
                for _ in range(10):
                    ws.send(bytes(10_000))  # what fails says so to who awaits it
                await asyncio.sleep(0)
            await ws.wait_closed()
        else:
            async for message in ws:
                await ws.send(message)

    def proxies(self, tcp, udp):
        """Be a proxy for TCP and UDP, with these arguments; their counters are among the others."""
        from h2ws_fast import Dialer
        from h2ws_fast.masque import UdpProxy

        logging.getLogger("h2ws_fast").setLevel(logging.INFO)
        self.dialer, self.udp = Dialer(private=True, **tcp), UdpProxy(private=True, **udp)
        return {"connect": self.dialer, "tunnels": {"connect-udp": self.udp}}

    def proxied(self):
        if self.dialer is None:
            return {}
        return {"tcp": [self.dialer.sockets, self.dialer.refused], "udp": self.udp.stats()}

    def process_request(self, ws, request):
        return asyncio.sleep(30) if request.path == "/unanswered" else None

    async def on_request(self, request):
        from h2ws_fast import Response

        self.working += 1
        self.most = max(self.most, self.working)
        try:
            if request.path == "/stats":
                counts = {"most": self.most, "pushed": self.pushed, "working": self.working}
                return Response(
                    200, body=json.dumps({**self.server.stats(), **self.proxied(), **counts})
                )
            if request.path.startswith("/bytes/"):
                return Response(200, body=pieces(int(request.path.removeprefix("/bytes/"))))
            if request.path == "/slow":
                await asyncio.sleep(60)
            if request.path == "/wide":
                return Response(200, headers=[("x-wide", "y" * 8000)])
            if request.path == "/read":
                return Response(200, body=str(len(await request.read())))
            return Response(200, body="fine")
        finally:
            self.working -= 1


async def pieces(count):
    for _ in range(count // 10_000):
        yield bytes(10_000)


async def main(told):
    from h2ws_fast import ConnectionClosed, serve
    from h2ws_fast.engine import Limits, Settings

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    application = Application()

    async def handler(ws):
        with contextlib.suppress(ConnectionClosed):
            await application.handler(ws)

    options = told["serve"]
    if "proxies" in options:
        options.update(application.proxies(**options.pop("proxies")))
    server = await serve(
        handler,
        "127.0.0.1",
        0,
        on_request=application.on_request,
        process_request=application.process_request,
        limits=Limits(**{"close_timeout_s": 3.0, **told["limits"]}),
        settings=Settings(**told["settings"]),
        ssl=server_context(*told["certificate"]) if "certificate" in told else None,
        **options,
    )
    application.server = server
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        uvloop = None
    factory = None if uvloop is None else uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main(json.loads(sys.argv[1])))
