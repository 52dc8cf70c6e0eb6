"""`make mutate`: disable each check of the pure engine and see that a test fails.

Exits 1 where fewer than 95 of 100 mutants die, or where one survives that `survivors.toml` does
not explain. Without `--part` it also writes `docs/mutants.md`; with it, the number of checks that
this counts must be the number of today.
"""

import argparse
import re
import sys
import time
import tomllib
from pathlib import Path

from . import sites

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs" / "mutants.md"
FOLDERS = [
    "tests/engine",
    "tests/behaviour",
    "tests/aio/test_ws_handshake_h1.py",
    "tests/aio/test_client_h1.py",
]
NEEDED = 0.95

HEADING = """\
# Mutants

Do the tests notice when a check is missing? `make mutate` disables each check of the engine that
signals an error, one after the other, and runs the tests in which that check held: for what a peer
may send only tests that claim a row of the [requirements](conformance.md), for arguments of the
caller any test. Where a check counts a limit, or a comment or message at it names the section of an
RFC that the requirements have, the test must claim a row of that limit or section. The other checks
name no rule, and a test of any row counts. Generated: do not edit.
"""


def share(verdicts):
    return sum(bool(verdict.killer) for verdict in verdicts) / len(verdicts)


def line(name, verdicts):
    dead = sum(bool(verdict.killer) for verdict in verdicts)
    return f"{name}: {dead} of {len(verdicts)} ({share(verdicts):.1%})"


def groups(verdicts):
    """What is counted: all, and by whom a mutant must be killed."""
    return {
        "Killed": verdicts,
        "of what a peer may send, where the rule is named, by a test of that rule": [
            verdict for verdict in verdicts if verdict.site.named
        ],
        "of what a peer may send, by a test of some rule": [
            verdict for verdict in verdicts if verdict.site.peer and not verdict.site.named
        ],
        "of what a caller may pass, by any test": [
            verdict for verdict in verdicts if not verdict.site.peer
        ],
    }


def is_of_today(found):
    """Does docs/mutants.md count as many checks as there are?"""
    counted = re.search(r"Killed: \d+ of (\d+)", DOCUMENT.read_text("utf-8"))
    if int(counted[1]) == len(found):
        return True
    print(f"docs/mutants.md counts {counted[1]} checks of {len(found)}: make mutate")
    return False


def document(verdicts, reasons):
    modules = {}
    for verdict in verdicts:
        modules.setdefault(verdict.site.module, []).append(verdict)
    text = [HEADING, "\n"]
    for name, some in groups(verdicts).items():
        text.append(f"- {line(name, some)}\n")
    text.append("\n| module | killed | of |\n|---|---|---|\n")
    for module, own in modules.items():
        dead = sum(bool(verdict.killer) for verdict in own)
        text.append(f"| {module} | {dead} | {len(own)} |\n")
    text.append("\n## Survivors\n\n| where | check | why it lives |\n|---|---|---|\n")
    for verdict in verdicts:
        if not verdict.killer:
            site = verdict.site
            check = f"`{site.check}` -> `{site.signal}`".replace("|", "\\|")
            reason = reasons.get(site.key, "not explained yet")
            text.append(f"| {site.module}.{site.function} | {check} | {reason} |\n")
    return "".join(text)


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument(
        "--part", metavar="I/N", default="0/1", help="only every N-th mutant, from the I-th on"
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes at once (default 2)")
    parser.add_argument("--killers", action="store_true", help="print who killed which")
    options = parser.parse_args()
    part, parts = (int(number) for number in options.part.split("/"))
    begun = time.monotonic()
    found = sites.install()
    if parts > 1 and not is_of_today(found):
        return 1
    from . import arena  # it imports pytest, and so what the tests import

    verdicts = arena.run(found, FOLDERS, part=part, parts=parts, jobs=options.jobs)
    reasons = tomllib.loads((HERE / "survivors.toml").read_text())
    if options.killers:
        for verdict in verdicts:
            print(f"{verdict.site.key}\n    {verdict.killer} {' '.join(verdict.rows)}")
    faults = 0
    for verdict in verdicts:
        if not verdict.killer:
            site = verdict.site
            known = reasons.get(site.key)
            faults += known is None
            print(f"survived: {site.module}.py:{site.line} {site.key}")
            print(f"    {known or 'NOT EXPLAINED'} ({verdict.met} tests met it)")
    if parts == 1:
        DOCUMENT.write_text(document(verdicts, reasons), "utf-8")
        gone = set(reasons) - {site.key for site in found}
        for key in sorted(gone):
            faults += 1
            print(f"survivors.toml explains what is not there: {key}")
    print(f"{time.monotonic() - begun:.0f} s")
    for name, some in groups(verdicts).items():
        if some:
            print(line(name, some))
            faults += share(some) < NEEDED
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
