"""`docs/compliance.json`: the last run of all suites in full, and whether it still counts."""

import datetime
import json
import platform
import subprocess

from .processes import ROOT, Unable

RECORD = ROOT / "docs" / "compliance.json"
JUDGED = ("h2ws_fast/engine", "h2ws_fast/aio", "csrc")
# The quick selection runs on every change; what it leaves out (nine tenths of Autobahn's large
# messages) is to be run again before more commits than these have touched what is judged.
COMMITS = 25


def git(*arguments):
    """What git prints; Unable where it fails."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise Unable(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def commit():
    """The commit that is judged; None while what is judged differs from it."""
    if git("status", "--porcelain", "--", "h2ws_fast", "csrc", "tests/compliance"):
        return None
    return git("rev-parse", "HEAD")


def write(judged, suites):
    """Record {suite: {version ..., runs: [...]}} for a commit."""
    record = {
        "commit": judged,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "python": platform.python_version(),
        "suites": suites,
    }
    RECORD.write_text(json.dumps(record, indent=1) + "\n")


def check():
    """Return what the record says of itself; Unable where it is too old."""
    try:
        record = json.loads(RECORD.read_text())
    except FileNotFoundError:
        raise Unable("there is no docs/compliance.json: make compliance") from None
    judged = record["commit"]
    since = int(git("rev-list", "--count", f"{judged}..HEAD", "--", *JUDGED))
    text = (
        f"docs/compliance.json is of {record['date']}, {judged[:12]}; {since} commits have changed "
        f"the engine, its kernels or the layer of asyncio since, of {COMMITS} allowed"
    )
    if since > COMMITS:
        raise Unable(f"{text}: make compliance")
    return text
