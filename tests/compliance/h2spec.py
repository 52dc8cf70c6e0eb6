"""h2spec: generic, http2 and hpack, strict, against our server, and `h2ws-fast serve` on uvicorn.

It judges by RFC 7540. Two of its cases demand an error for a stream that depends on itself, which
RFC 9113 no longer knows: a server with the default settings reads over it (row 9113-6.2-3), one
with `no_rfc7540_priorities=False` answers as RFC 7540 section 5.3.1 says. So each twin and
transport runs twice: with that setting all cases pass, by default all but those two. `serve` runs
with its option of that meaning, `--rfc7540-priorities`, and in cleartext with `--http h2`: what is
no preface is otherwise answered in HTTP/1.1, which h2spec cannot read.

h2spec takes a dropped TCP connection for an answer: `behaviour/test_h2spec_codes.py` asserts the
codes of the same cases at the octets.
"""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from . import tools
from .processes import output_of, served, served_by_command

NAME = "h2spec"
CASES = 146
# For an answer; a case that passes needs a few milliseconds of it, on a machine that has time.
SECONDS = 10
DEPENDS_ON_ITSELF = {
    "http2/5.3.1: Sends HEADERS frame that depend on itself",
    "http2/5.3.1: Sends PRIORITY frame that depend on itself",
}


class Job:
    """One run over all cases."""

    server = "serve"

    def __init__(self, twin, transport, heed_rfc7540):
        self.twin = twin
        self.transport = transport
        self.heed_rfc7540 = heed_rfc7540
        self.tolerated = set() if heed_rfc7540 else DEPENDS_ON_ITSELF
        self.settings = "no_rfc7540_priorities=False" if heed_rfc7540 else "default"
        self.label = f"{NAME}: {twin} server, {transport}, {self.settings} settings"
        self.progress = ""

    async def run(self, folder):
        """Return (result, complaints)."""
        report = Path(folder, "h2spec.xml")
        command = [await tools.h2spec(), "generic", "http2", "hpack", "--strict"]
        command += ["--host", "127.0.0.1", "--timeout", str(SECONDS)]
        command += ["--junit-report", report]
        command += ["--tls", "--insecure"] if self.transport == "TLS" else []
        async with self._served() as port:
            # It ends with 1 where a case failed: what its report says is what counts.
            shell = ["sh", "-c", '"$@"; test $? -le 1', "sh", *command, "--port", str(port)]
            await output_of(shell, seconds=600)
        return self._judge(report)

    def _served(self):
        options = ["--tls"] if self.transport == "TLS" else []
        options += ["--heed-rfc7540"] if self.heed_rfc7540 else []
        return served(self.twin, *options)

    def _judge(self, report):
        cases = failed = skipped = 0
        failures = {}
        # It writes the octets of a PING as they are: zeros, which no XML may hold.
        text = re.sub("[^\t\n -\ufffd]", "\ufffd", report.read_text(errors="replace"))
        for case in ElementTree.fromstring(text.encode()).iter("testcase"):
            cases += 1
            outcomes = {child.tag: child.text for child in case}
            if "skipped" in outcomes:
                skipped += 1
            elif outcomes:
                failed += 1
                name = f"{case.get('package')}: {case.get('classname')}"
                failures[name] = "; ".join(filter(None, outcomes.values())).replace("\n", ", ")
        complaints = [
            f"failed {name}: {failures[name]}" for name in sorted(failures.keys() - self.tolerated)
        ]
        complaints += [f"now passes {each}" for each in sorted(self.tolerated - failures.keys())]
        if cases != CASES or skipped or failed != len(failures):
            complaints.append(f"{cases} of {CASES} cases, {skipped} skipped, {failed} failed")
        result = {
            "server": self.server,
            "twin": self.twin,
            "transport": self.transport,
            "settings": self.settings,
            "cases": cases,
            "passed": cases - skipped - failed,
            "failed": sorted(failures),
            "skipped": skipped,
        }
        return result, complaints

    def summary(self, result):
        """One line."""
        alone = len(self.tolerated.intersection(result["failed"]))
        note = f" ({alone} tolerated)" if alone else ""
        return f"{result['passed']} of {result['cases']} cases passed{note}"


class CommandJob(Job):
    """One run over all cases, against `h2ws-fast serve`."""

    server = "h2ws-fast serve"

    def __init__(self, twin, transport):
        super().__init__(twin, transport, heed_rfc7540=True)
        self.options = ["--rfc7540-priorities"]
        if transport == "cleartext":
            self.options += ["--cleartext", "--http", "h2"]
        self.settings = " ".join(self.options)
        self.label = f"{NAME}: {twin} {self.server} {self.settings}, {transport}"

    def _served(self):
        return served_by_command(self.twin, *self.options)


def jobs(selection):
    """All runs, the quick ones too: a run takes seconds."""
    ours = [
        Job(twin, transport, heed)
        for twin in selection.twins
        for transport in ("cleartext", "TLS")
        for heed in (True, False)
    ]
    # Both twins and both transports, if not each with each: what reads octets is the same.
    return [*ours, *map(CommandJob, selection.twins, ("TLS", "cleartext"))]


async def versions():
    """What the runs stand on."""
    return {"version": tools.h2spec_version()}
