"""httpx is needed where it is asked for, and nowhere else."""

import subprocess
import sys

import pytest

WITHOUT = "import sys; sys.modules['httpx'] = None; "


def python(code):
    return subprocess.run(
        [sys.executable, "-c", WITHOUT + code], capture_output=True, text=True, timeout=30
    )


def test_package_needs_no_httpx():
    done = python("import h2ws_fast, h2ws_fast.cli; print('fine')")
    assert (done.stdout, done.returncode) == ("fine\n", 0), done.stderr


@pytest.mark.parametrize("name", ["", ".transport"])
def test_missing_httpx_is_named_in_a_line(name):
    done = python(f"import h2ws_fast.httpx{name}")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        'ImportError: h2ws_fast.httpx needs httpx: pip install "h2ws_fast[httpx]"'
    )
    assert "During handling" not in done.stderr
