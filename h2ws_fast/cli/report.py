"""What `h2ws-fast check` found out: one finding for each thing it looked at."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["FAILED", "OK", "SKIPPED", "WARNING", "Finding", "Report"]

OK, WARNING, FAILED, SKIPPED = "ok", "warning", "failed", "skipped"

COLORS = {OK: "32", WARNING: "33;1", FAILED: "31;1", SKIPPED: "2"}
WIDTH = 79
NAME_AT = 9
TEXT_AT = 27

# Without these no connection was made: the exit code tells it from a server that does it wrong.
REACHING = ("dns", "tcp", "tls")
UNREACHED = 3


class Finding(NamedTuple):
    """One thing that was looked at. `seconds`: how long the server took, where that was measured."""

    name: str
    verdict: str
    seen: str
    remedy: str = ""
    seconds: float | None = None


class Report:
    """The findings in their order, each written as soon as it is there.

    `write` is given lines of text; those that were skipped for the same reason share one.
    """

    def __init__(self, write: Callable[[str], object], *, color: bool = False) -> None:
        self.findings: list[Finding] = []
        self.facts: dict[str, Any] = {}
        self._write = write
        self._color = color
        self._skipped: list[Finding] = []

    def add(self, finding: Finding) -> Finding:
        """Keep a finding, and write it."""
        self.findings.append(finding)
        if finding.verdict == SKIPPED:
            if self._skipped and self._skipped[0].seen != finding.seen:
                self.flush()
            self._skipped.append(finding)
        else:
            self.flush()
            self._line(finding.verdict, finding.name, _timed(finding))
            if finding.remedy:
                self._text(finding.remedy, "-> ")
        return finding

    def flush(self) -> None:
        """Write what was skipped last: nothing of the same reason follows."""
        skipped, self._skipped = self._skipped, []
        if len(skipped) == 1:
            self._line(SKIPPED, skipped[0].name, skipped[0].seen)
        elif skipped:
            names = ", ".join(finding.name for finding in skipped)
            self._line(SKIPPED, f"{len(skipped)} checks", f"{skipped[0].seen}: {names}")

    def ok(self, name: str, seen: str, seconds: float | None = None) -> Finding:
        """As it should be."""
        return self.add(Finding(name, OK, seen, "", seconds))

    def warn(self, name: str, seen: str, remedy: str, seconds: float | None = None) -> Finding:
        """It works, and somebody will have trouble with it."""
        return self.add(Finding(name, WARNING, seen, remedy, seconds))

    def fail(self, name: str, seen: str, remedy: str, seconds: float | None = None) -> Finding:
        """It does not work."""
        return self.add(Finding(name, FAILED, seen, remedy, seconds))

    def skip(self, seen: str, *names: str) -> None:
        """Not looked at, and why."""
        for name in names:
            self.add(Finding(name, SKIPPED, seen))

    def count(self, verdict: str) -> int:
        """How many findings have this verdict?"""
        return sum(finding.verdict == verdict for finding in self.findings)

    @property
    def unreached(self) -> bool:
        """Was there no connection at all?"""
        return any(each.verdict == FAILED and each.name in REACHING for each in self.findings)

    @property
    def exit_code(self) -> int:
        """0 if nothing failed, 1 if something did, 3 if the server was not even reached."""
        if self.unreached:
            return UNREACHED
        return 1 if self.count(FAILED) else 0

    def summary(self) -> str:
        """Count the verdicts on one line."""
        counts = [(self.count(each), each) for each in (OK, WARNING, FAILED, SKIPPED)]
        words = {WARNING: "warnings"}
        return ", ".join(
            f"{count} {words.get(each, each) if count != 1 else each}"
            for count, each in counts
            if count or each in (OK, FAILED)
        )

    def as_json(self) -> dict[str, Any]:
        """Return all of it, for `json.dumps`."""
        return {
            "exit_code": self.exit_code,
            **self.facts,
            "checks": [finding._asdict() for finding in self.findings],
        }

    def _line(self, verdict: str, name: str, text: str) -> None:
        shown = f"{verdict:<{NAME_AT}}"
        if self._color:
            shown = f"\x1b[{COLORS[verdict]}m{shown}\x1b[0m"
        self._text(text, f"{name:<{TEXT_AT - NAME_AT}}", shown)

    def _text(self, text: str, before: str, verdict: str = "") -> None:
        # Wrapped as if a verdict stood in front: its color takes no columns.
        indent = " " * TEXT_AT
        head = f"{' ' * NAME_AT}{before}" if verdict else f"{indent}{before}"
        lines: list[str] = []
        for paragraph in text.split("\n"):
            lines += textwrap.wrap(
                paragraph,
                WIDTH,
                initial_indent=head if not lines else indent,
                subsequent_indent=indent if verdict else indent + "   ",
                break_on_hyphens=False,
            ) or [(head if not lines else indent).rstrip()]
        if verdict:
            lines[0] = verdict + lines[0][NAME_AT:]
        for line in lines:
            self._write(line)


def _timed(finding: Finding) -> str:
    if finding.seconds is None:
        return finding.seen
    return f"{finding.seen} ({finding.seconds * 1000:.1f} ms)"
