"""Autobahn|Testsuite over HTTP/2.

It speaks HTTP/1.1 only. As the client it talks to nghttpx or HAProxy, which turn its Upgrade into an
extended CONNECT towards our server; as the server it stands behind nghttpx, which turns our client's
extended CONNECT into an Upgrade.

Sections 1 to 7, 9 and 10, and 12 and 13, which are about compression: a thousand messages a case.
The server takes no context over, as is its default, behind nghttpx, and both behind HAProxy; the
client takes over what the suite agrees to.
"""

import contextlib
import json
import sys
from collections import Counter
from pathlib import Path

from tests.support.programs import free_port

from . import tools
from .processes import Unable, of_twin, running, served, wait_for_port

NAME = "autobahn"
SECTIONS = [f"{section}.*" for section in (1, 2, 3, 4, 5, 6, 7, 10)]
CASES = 247  # in SECTIONS
LARGE = [  # section 9: limits and performance
    f"9.{group}.{number}"
    for group, size in enumerate((6, 6, 9, 9, 6, 6, 6, 6), 1)
    for number in range(1, size + 1)
]
DEFLATE = [  # sections 12 and 13
    f"{section}.{group}.{number}"
    for section, groups in ((12, 5), (13, 7))
    for group in range(1, groups + 1)
    for number in range(1, 19)
]
ACCEPTED = {"OK", "NON-STRICT", "INFORMATIONAL"}

HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel 60s
frontend suite
    bind 127.0.0.1:{front}
    default_backend ours
backend ours
    server ours 127.0.0.1:{back} proto h2
"""


@contextlib.asynccontextmanager
async def nghttpx(back, folder, *, client=False):
    """nghttpx before a port: HTTP/2 to our server, or with `client` HTTP/1.1 to the suite's."""
    front = free_port()
    command = [
        tools.proxy("nghttpx", "nghttp2-proxy"),
        "--conf=/dev/null",
        "--workers=1",
        f"--frontend=127.0.0.1,{front};no-tls",
        f"--backend=127.0.0.1,{back};;proto={'http/1.1' if client else 'h2'}",
        f"--pid-file={folder}/pid",
    ]
    if client:
        command.append("--host-rewrite")  # the suite demands its own port there
    async with running(command, log=Path(folder, "nghttpx.log")) as process:
        await wait_for_port(front, process, "nghttpx")
        yield front


@contextlib.asynccontextmanager
async def haproxy(back, folder):
    """HAProxy before our server."""
    front = free_port()
    config = Path(folder, "haproxy.cfg")
    config.write_text(HAPROXY.format(front=front, back=back))
    command = [tools.proxy("haproxy", "haproxy"), "-db", "-f", str(config)]
    async with running(command, log=Path(folder, "haproxy.log")) as process:
        await wait_for_port(front, process, "HAProxy")
        yield front


class Job:
    """One run over the cases chosen."""

    def __init__(self, role, proxy, twin, more):
        self.role = role
        self.proxy = proxy
        self.twin = twin
        self.chosen = SECTIONS + more
        self.expected = CASES + len(more)
        where = "behind" if role == "server" else "before"
        self.label = f"{NAME}: {twin} {role} {where} {proxy.__name__}"
        self.done = 0

    @property
    def progress(self):
        return f"{self.done} of {self.expected}"

    async def run(self, folder):
        """Return (result, complaints)."""
        if self.role == "server":
            await self._judge_server(folder)
        else:
            await self._judge_client(folder)
        return self._verdict(json.loads(Path(folder, "out/index.json").read_text()))

    def _specification(self, folder, **more):
        path = Path(folder, "spec.json")
        always = {
            "outdir": f"{folder}/out",
            "cases": self.chosen,
            "exclude-cases": [],
            "exclude-agent-cases": {},
        }
        path.write_text(json.dumps({**always, **more}))
        return path

    async def _judge_server(self, folder):
        # Both interfaces of the library take part.
        options = ["--callbacks"] if self.proxy is nghttpx else ["--takeover"]
        wstest = await tools.wstest()
        async with served(self.twin, *options) as back, self.proxy(back, folder) as front:
            server = {"agent": "ours", "url": f"ws://127.0.0.1:{front}"}
            path = self._specification(folder, servers=[server])
            command = [*wstest, "-m", "fuzzingclient", "-s", str(path)]
            async with running(command) as suite:
                async for line in suite.stdout:
                    self.done += line.startswith(b"Running test case")
                if await suite.wait():
                    raise Unable(f"wstest ended with {suite.returncode}: {line.decode()}")

    async def _judge_client(self, folder):
        wstest = await tools.wstest()
        port = free_port()
        path = self._specification(folder, url=f"ws://127.0.0.1:{port}")
        command = [*wstest, "-m", "fuzzingserver", "-u", "0", "-s", str(path)]
        async with running(command, log=Path(folder, "log")) as suite:
            await wait_for_port(port, suite, "wstest")
            async with nghttpx(port, folder, client=True) as front:
                client = [sys.executable, "-m", "tests.compliance.client", str(front), "ours"]
                async with running(client, environment=of_twin(self.twin)) as process:
                    first = (await process.stdout.readline()).decode().split()
                    if first != [str(self.expected), self.twin]:
                        raise Unable(f"our client began with {first}")
                    async for _ in process.stdout:
                        self.done += 1
                    if await process.wait():
                        raise Unable(f"our client ended with {process.returncode}")

    def _verdict(self, index):
        (agent,) = index.values()
        complaints = []
        if len(agent) != self.expected:
            complaints.append(f"{len(agent)} of {self.expected} cases ran")
        for case, verdict in agent.items():
            found = (verdict["behavior"], verdict["behaviorClose"])
            if not ACCEPTED.issuperset(found):
                complaints.append(f"{case}: {found[0]}, closing {found[1]}")
        result = {
            "role": self.role,
            "proxy": self.proxy.__name__,
            "twin": self.twin,
            "cases": len(agent),
            "behavior": _counts(agent, "behavior"),
            "behaviorClose": _counts(agent, "behaviorClose"),
        }
        return result, complaints

    def summary(self, result):
        """One line."""
        parts = [f"{result['cases']} cases"]
        for name in ("behavior", "behaviorClose"):
            counts = result[name].items()
            parts.append(f"{name} " + ", ".join(f"{count} {verdict}" for verdict, count in counts))
        return "; ".join(parts)


def _counts(agent, name):
    return dict(sorted(Counter(verdict[name] for verdict in agent.values()).items()))


def jobs(selection):
    """Both roles on each twin, and of what takes long what `chosen` leaves."""
    more = chosen(selection.turn)
    pairs = [("server", nghttpx), ("server", haproxy), ("client", nghttpx)]
    return [Job(role, proxy, twin, more) for twin in selection.twins for role, proxy in pairs]


def chosen(turn):
    """A tenth of section 9, and three cases of 12 and 13; all of them where `turn` is None."""
    if turn is None:
        return LARGE + DEFLATE
    return LARGE[turn % 10 :: 10] + DEFLATE[turn % 72 :: 72]


async def versions():
    """What the runs stand on."""
    return {"version": tools.autobahn_version(), "proxies": await tools.proxy_versions()}
