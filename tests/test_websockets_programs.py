"""Programs written for websockets: each says here what it says there, with one import changed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("websockets")

ROOT = Path(__file__).parent.parent
PROGRAMS = ROOT / "examples" / "websockets"

pytestmark = pytest.mark.skipif(
    not PROGRAMS.is_dir(), reason="examples/ is not here: not a source tree"
)


def said(path):
    # A script's own folder stands in sys.path instead of the current one; a proxy of the machine's
    # leads to no server of these.
    paths = filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))
    names = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    done = subprocess.run(
        [sys.executable, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**names, "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("program", sorted(path.name for path in PROGRAMS.glob("*.py")))
def test_program_says_the_same(program, tmp_path):
    if program == "router.py":
        pytest.importorskip("werkzeug")
    source = (PROGRAMS / program).read_text()
    assert "from h2ws_fast.websockets." in source
    other = tmp_path / program
    other.write_text(source.replace("from h2ws_fast.websockets.", "from websockets."))
    heard = said(PROGRAMS / program)
    assert heard
    assert heard == said(other)


def test_there_is_a_program_for_each_subject():
    found = {path.stem for path in PROGRAMS.glob("*.py")}
    assert found == {"echo", "broadcast", "chat", "router", "streaming", "reconnect", "proxies"}
