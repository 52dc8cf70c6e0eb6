"""The C kernels' own tests, where there is a compiler: `make sanitize` runs them under ASan too."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2] / "csrc" / "tests"


@pytest.mark.row("6455-x-3")  # in place: only C can mask in place
def test_the_kernels_without_python(tmp_path):
    if not TESTS.exists():
        pytest.skip("no csrc/ beside these tests")
    if not (shutil.which("make") and shutil.which(os.environ.get("CC", "cc").split()[0])):
        pytest.skip("no compiler here")
    result = subprocess.run(
        ["make", "-C", str(TESTS), f"BUILD={tmp_path}", "check"], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "\nok\n" in result.stdout
