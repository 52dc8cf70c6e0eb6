"""Autobahn|Testsuite over HTTP/2 and over HTTP/1.1.

It speaks HTTP/1.1 only: with our server and our client directly. For HTTP/2 it talks as the client
to nghttpx or HAProxy, which turn its Upgrade into an extended CONNECT towards our server; as the
server it stands behind nghttpx, which turns our client's extended CONNECT into an Upgrade. Our own
gateway does both: what the suite sees then was carried over both versions, by both sides of ours.

Sections 1 to 7, 9 and 10, and 12 and 13, which are about compression: a thousand messages a case.
The server takes no context over, as is its default, behind nghttpx, and both behind HAProxy and
over HTTP/1.1; the client takes over what the suite agrees to.
"""

import contextlib
import json
import sys
import textwrap
from collections import Counter
from pathlib import Path

from tests.support.programs import free_port

from . import tools
from .processes import Unable, forwarding, of_twin, running, served, wait_for_port

NAME = "autobahn"


def numbered(groups):
    """The cases of groups: "1.2:8" has eight, from 1.2.1 on."""
    pairs = [group.split(":") for group in groups.split()]
    return [f"{group}.{n}" for group, count in pairs for n in range(1, int(count) + 1)]


CASES = numbered(
    "1.1:8 1.2:8 2:11 3:7 4.1:5 4.2:5 5:20 6.1:3 6.2:4 6.3:2 6.4:4 6.5:5 6.6:11 6.7:4 6.8:2 6.9:4 "
    "6.10:3 6.11:5 6.12:8 6.13:5 6.14:10 6.15:1 6.16:3 6.17:5 6.18:5 6.19:5 6.20:7 6.21:8 6.22:34 "
    "6.23:7 7.1:6 7.3:6 7.5:1 7.7:13 7.9:9 7.13:2 10.1:1"
)
LARGE = numbered("9.1:6 9.2:6 9.3:9 9.4:9 9.5:6 9.6:6 9.7:6 9.8:6")  # limits and performance
DEFLATE = numbered(
    "12.1:18 12.2:18 12.3:18 12.4:18 12.5:18 "
    "13.1:18 13.2:18 13.3:18 13.4:18 13.5:18 13.6:18 13.7:18"
)
FEW = 8  # of CASES the quick selection takes one in so many where messages come as elsewhere
ACCEPTED = {"OK", "NON-STRICT", "INFORMATIONAL"}
# The suite gives most cases a second, those of 6.5 to 6.23 half of one, and no option changes it:
# a machine that stands still for so long fails them. Where that time ran out, a case runs once
# more, and the output and docs/compliance.json say so; what fails again is a complaint.
TIMEOUTS = ("wasOpenHandshakeTimeout", "wasCloseHandshakeTimeout", "wasServerConnectionDropTimeout")
MOST_REPEATED = 3  # of one run: more are no accident
# What a complaint repeats of a case's report, and how many entries of its log.
ENDED = (
    *("closedByMe", "failedByMe", "droppedByMe", "wasClean", "wasNotCleanReason", *TIMEOUTS),
    *("localCloseCode", "remoteCloseCode", "remoteCloseReason"),
)
LAST = 12

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


def gateway(back, folder, *, client=False, twin):
    """Our own before a port, where nghttpx may stand too."""
    return forwarding(twin, back, "h1" if client else "h2")


WAYS = (  # without a proxy: over HTTP/1.1
    ("server", nghttpx),
    ("server", haproxy),
    ("server", gateway),
    ("server", None),
    ("client", nghttpx),
    ("client", gateway),
    ("client", None),
)


class Job:
    """One run over the cases chosen; without a proxy, over HTTP/1.1."""

    def __init__(self, role, proxy, twin, cases):
        self.role = role
        self.proxy = proxy
        self.twin = twin
        self.chosen = cases
        self.expected = len(cases)
        where = "over HTTP/1.1"
        if proxy is not None:
            where = f"{'behind' if role == 'server' else 'before'} {proxy.__name__}"
        self.label = f"{NAME}: {twin} {role} {where}"
        self.done = 0
        self.repeated = {}  # what failed in time, and its first report

    @property
    def progress(self):
        return f"{self.done} of {self.expected}"

    async def run(self, folder):
        """Return (result, complaints)."""
        agent = await self._judge(folder)
        complaints = []
        if len(agent) != self.expected:
            complaints.append(f"{len(agent)} of {self.expected} cases ran")
        late = [
            case for case, verdict in agent.items() if not accepted(verdict) and late_in(verdict)
        ]
        if len(late) <= MOST_REPEATED:
            self.repeated = {case: agent[case] for case in late}
        if self.repeated:
            again = Path(folder, "again")
            again.mkdir()
            agent |= await Job(self.role, self.proxy, self.twin, late)._judge(again)
        for case, verdict in agent.items():
            if not accepted(verdict):
                complaints.append(explained(case, verdict))
                if case in self.repeated:
                    complaints[-1] += "\nbefore, " + explained(case, self.repeated[case])
        return self._result(agent), complaints

    async def _judge(self, folder):
        # {case: its verdict, with its report where that is needed}
        if self.role == "server":
            await self._judge_server(folder)
        else:
            await self._judge_client(folder)
        reports = Path(folder, "out")
        (agent,) = json.loads(Path(reports, "index.json").read_text()).values()
        for verdict in agent.values():
            if not accepted(verdict):
                verdict |= json.loads(Path(reports, verdict["reportfile"]).read_text())
        return agent

    def _before(self, port, folder, **how):
        # What stands before a port; its own.
        if self.proxy is None:
            return contextlib.nullcontext(port)
        if self.proxy is gateway:
            how["twin"] = self.twin
        return self.proxy(port, folder, **how)

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
        if self.proxy is None:
            options.append("--http1")
        wstest = await tools.wstest()
        async with served(self.twin, *options) as back, self._before(back, folder) as front:
            server = {"agent": "ours", "url": f"ws://127.0.0.1:{front}"}
            path = self._specification(folder, servers=[server])
            command = [*wstest, "-m", "fuzzingclient", "-s", str(path)]
            async with running(command) as suite:
                line = b""
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
            async with self._before(port, folder, client=True) as front:
                client = [sys.executable, "-m", "tests.compliance.client", str(front), "ours"]
                if self.proxy is None:
                    client.append("--http1")
                if self.proxy is gateway:  # which leaves Host as it is
                    client.append(f"--named={port}")
                async with running(client, environment=of_twin(self.twin)) as process:
                    first = (await process.stdout.readline()).decode().split()
                    if first != [str(self.expected), self.twin]:
                        raise Unable(f"our client began with {first}")
                    async for _ in process.stdout:
                        self.done += 1
                    if await process.wait():
                        raise Unable(f"our client ended with {process.returncode}")

    def _result(self, agent):
        result = {
            "role": self.role,
            "proxy": None if self.proxy is None else self.proxy.__name__,
            "twin": self.twin,
            "cases": len(agent),
            "behavior": _counts(agent, "behavior"),
            "behaviorClose": _counts(agent, "behaviorClose"),
        }
        if self.repeated:
            result["repeated"] = {
                case: [verdict["behavior"], verdict["behaviorClose"]]
                for case, verdict in self.repeated.items()
            }
        return result

    def summary(self, result):
        """One line, and below it what was repeated and why."""
        parts = [f"{result['cases']} cases"]
        for name in ("behavior", "behaviorClose"):
            counts = result[name].items()
            parts.append(f"{name} " + ", ".join(f"{count} {verdict}" for verdict, count in counts))
        lines = ["; ".join(parts)]
        for case, verdict in self.repeated.items():
            lines.append(textwrap.indent("repeated: " + explained(case, verdict), "  "))
        return "\n".join(lines)


def accepted(verdict):
    """Is it neither a failure nor unclean?"""
    return ACCEPTED.issuperset((verdict["behavior"], verdict["behaviorClose"]))


def late_in(report):
    """Did the suite's own time run out in this case?"""
    return any(report[name] for name in TIMEOUTS) or any(
        entry[0] in ("KLE", "TIE") for entry in report["wirelog"]
    )


def explained(case, report):
    """A case's verdict and what its report says of it; "me" is the suite."""
    lines = [
        f"{report['result']} {report['resultClose']}",
        f"after {report['duration']} ms: "
        + ", ".join(f"{name} {report[name]}" for name in ENDED if report[name] is not None),
        f"expected {_short(report['expected'])}, {report['expectedClose']}",
        f"received {_short(report['received'])}",
    ]
    # RO and TO: octets; RF and TF: frames; KL, TI and CT: a timer to fail, to close, to go on is
    # set; KLE, TIE and CTE: it has run out.
    lines += [_short(entry) for entry in report["wirelog"][-LAST:]]
    verdict = f"{case}: {report['behavior']}, closing {report['behaviorClose']}\n"
    return verdict + textwrap.indent("\n".join(lines), "  ")


def _short(value):
    text = str(value)
    return text if len(text) <= 300 else f"{text[:300]}... of {len(text)}"


def _counts(agent, name):
    return dict(sorted(Counter(verdict[name] for verdict in agent.values()).items()))


def jobs(selection):
    """Both roles, over HTTP/2 and over HTTP/1.1 and from one to the other, on each twin."""
    turn = selection.turn
    found = []
    for twin in selection.twins:
        more = chosen(turn, twin)
        for role, proxy in WAYS:
            cases = CASES + more
            if proxy in (None, gateway) and turn is not None:
                # The layer of messages is the same: what differs is how octets come to it.
                cases = CASES[turn % FEW :: FEW] + more[-1:]
            found.append(Job(role, proxy, twin, cases))
    return found


def chosen(turn, twin):
    """A tenth of section 9, and three cases of 12 and 13. Where `turn` is None, all of them, but
    for the pure twin a sixth of 12 and 13: what takes the time there is zlib, the same for both."""
    if turn is None:
        return LARGE + (DEFLATE if twin == "compiled" else DEFLATE[::6])
    return LARGE[turn % 10 :: 10] + DEFLATE[turn % 72 :: 72]


async def versions():
    """What the runs stand on."""
    return {"version": tools.autobahn_version(), "proxies": await tools.proxy_versions()}
