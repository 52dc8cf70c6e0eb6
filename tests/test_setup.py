"""What an installation lacks ends it in one line that says what to do."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

if not (ROOT / "setup.py").exists():
    pytest.skip("there is no setup.py outside of the source tree", allow_module_level=True)

OLD = "import setuptools.command.build_ext; sys.version_info = (3, 10, 4, 'final', 0); sys.version = '3.10.4 (main)'"
NO_HEADERS = "import sysconfig; sysconfig.get_path = lambda name: '/no/such/folder'"
NO_CYTHON = "sys.modules['Cython'] = None; sys.modules['Cython.Build'] = None"


@pytest.fixture
def source(tmp_path):
    """A source tree of one small module."""
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    package = tmp_path / "h2ws_fast"
    package.mkdir()
    shutil.copy(ROOT / "h2ws_fast/_twins.py", package)
    (package / "__init__.py").write_text("")
    (package / "small.py").write_text("def twice(number):\n    return number * 2\n")
    (package / "small.pxd").write_text("cpdef long twice(long number)\n")
    return tmp_path


def build(source, before="", *, command="build_ext", **switches):
    """Run `setup.py COMMAND` after some Python; return the exit code and what stderr says."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("H2WS_FAST_")
    }
    environment.update(switches)
    code = (
        f"import runpy, sys; {before or 'pass'}; sys.path.insert(0, '.')\n"
        f"sys.argv = ['setup.py', '-q', {command!r}]\n"
        "runpy.run_path('setup.py', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=source,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("before", "switches", "line"),
    [
        (
            OLD,
            {},
            "h2ws_fast: Python 3.11 or later is needed, this is 3.10.4: "
            "sudo apt install python3.11-dev python3.11-venv\n",
        ),
        (
            NO_HEADERS,
            {},
            "h2ws_fast: Python.h is missing: sudo apt install python3-dev gcc "
            "(or set H2WS_FAST_PURE=1 to install without extensions, much slower)\n",
        ),
        (
            "",
            {"CC": "/no/such/compiler -pthread"},
            "h2ws_fast: no C compiler (/no/such/compiler): sudo apt install gcc python3-dev "
            "(or set H2WS_FAST_PURE=1 to install without extensions, much slower)\n",
        ),
        (
            NO_CYTHON,
            {},
            "h2ws_fast: Cython is missing: pip install cython (or set H2WS_FAST_PURE=1)\n",
        ),
    ],
    ids=["old Python", "no headers", "no compiler", "no Cython"],
)
@pytest.mark.parametrize("command", ["build_ext", "bdist_wheel", "editable_wheel"])
@pytest.mark.skipif(os.name != "posix", reason="elsewhere the compiler speaks for itself")
def test_what_is_missing_is_a_line(source, before, switches, line, command):
    assert build(source, before, command=command, **switches) == (1, line)


@pytest.mark.skipif(os.name != "posix", reason="needs the command `false`")
def test_what_does_not_compile_is_a_line_behind_the_compilers(source):
    pytest.importorskip("Cython")
    code, told = build(source, CC="false")
    assert code == 1 and "Traceback" not in told
    last = told.splitlines()[-1]
    assert last.startswith("h2ws_fast: the extensions do not compile (")
    assert last.endswith("Setting H2WS_FAST_PURE=1 installs without them, much slower.")


@pytest.mark.parametrize("before", [NO_HEADERS, NO_CYTHON], ids=["no headers", "no Cython"])
def test_the_pure_twin_and_metadata_need_none_of_it(source, before):
    assert build(source, before, command="build", H2WS_FAST_PURE="1")[0] == 0
    assert list(source.rglob("small*.so")) == []
    assert build(source, before, command="egg_info")[0] == 0


def tracked():
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("this is no clone")
    told = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {name for name in told.stdout.split("\0") if name}


def test_a_source_distribution_has_whatever_is_tracked(tmp_path):
    """Its benchmark and its tests run as those of a clone; what serves the repository stays there."""
    wanted = {name for name in tracked() if not name.startswith(".")}
    for name in wanted:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, tmp_path)
    code, told = build(tmp_path, command="sdist")
    assert code == 0, told
    (archive,) = (tmp_path / "dist").iterdir()
    with tarfile.open(archive) as packed:
        held = {name.partition("/")[2] for name in packed.getnames()}
    assert sorted(wanted - held) == []
