"""Which twin runs, and that nothing falls back in silence."""

import os
import shutil
import subprocess
import sys
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from time import process_time

import pytest

import h2ws_fast
from h2ws_fast import _twins

PACKAGE = Path(h2ws_fast.__file__).parent
COMPILED = "import h2ws_fast, h2ws_fast.engine.kernels as k; print(h2ws_fast.COMPILED, k.__file__)"


def run(code, folder=None, **switches):
    """Run Python code in a process of its own; return its output, or its last line of error."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("H2WS_FAST_")
    }
    environment.update(switches)
    environment["PYTHONPATH"] = os.pathsep.join([str(folder)] if folder else sys.path)
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=folder or "/",
        capture_output=True,
        text=True,
        timeout=60,
    )
    if result.returncode:
        return result.stderr.strip().splitlines()[-1]
    return result.stdout.strip()


@pytest.fixture
def compiled():
    if not _twins.COMPILED:
        pytest.skip("no compiled twin here")


@pytest.fixture
def copy(tmp_path):
    """A copy of the package; `copy / "engine"` may be spoiled."""
    shutil.copytree(PACKAGE, tmp_path / "h2ws_fast", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "h2ws_fast"


def extensions(folder):
    return {path for suffix in EXTENSION_SUFFIXES for path in folder.rglob(f"*{suffix}")}


def test_the_extension_runs_where_it_is_there(compiled):
    says, _, path = run(COMPILED).partition(" ")
    assert says == "True"
    assert path.endswith(tuple(EXTENSION_SUFFIXES))


def test_the_pure_twin_runs_on_demand():
    says, _, path = run(COMPILED, H2WS_FAST_PURE="1").partition(" ")
    assert says == "False"
    assert path.endswith("kernels.py")
    zero = run(COMPILED, H2WS_FAST_PURE="0")
    assert zero.startswith(str(_twins.COMPILED) if "H2WS_FAST_PURE" not in os.environ else "")


def test_the_pure_twin_runs_where_nothing_was_built(copy):
    for path in extensions(copy):
        path.unlink()
    assert run(COMPILED, copy.parent).startswith("False")
    required = run(COMPILED, copy.parent, H2WS_FAST_REQUIRE_COMPILED="1")
    assert required.startswith("ImportError: extensions are missing for ")
    assert "run pip install -e . again" in required


def test_compiled_and_pure_cannot_both_be_demanded():
    error = run(COMPILED, H2WS_FAST_REQUIRE_COMPILED="1", H2WS_FAST_PURE="1")
    assert error.startswith("ImportError: H2WS_FAST_PURE and H2WS_FAST_REQUIRE_COMPILED are both")


def test_half_a_build_does_not_import(compiled, copy):
    assert run(COMPILED, copy.parent).startswith("True")
    (copy / "engine" / "novelty.py").write_text("")
    (copy / "engine" / "novelty.pxd").write_text("")
    error = run(COMPILED, copy.parent)
    assert error.startswith("ImportError: extensions are missing for engine.novelty: run pip")
    assert run(COMPILED, copy.parent, H2WS_FAST_PURE="1").startswith("False")


@pytest.mark.parametrize("suffix", (".py", ".pxd", ".pyx"))
def test_a_stale_extension_does_not_import(compiled, copy, suffix):
    source = copy / "engine" / f"kernels{suffix}"
    if suffix == ".pyx" and not source.exists():
        pytest.skip("a wheel has no .pyx")
    source.write_bytes(source.read_bytes() + b"\n# changed\n")
    error = run(COMPILED, copy.parent)
    # Whoever cimports a `.pxd` is stale with it, and may be imported first.
    assert error.startswith("ImportError: the extension h2ws_fast.engine.")
    assert error.endswith(
        f" was not built from the engine/kernels{suffix} beside it: run pip install -e . again"
    )
    assert run(COMPILED, copy.parent, H2WS_FAST_PURE="1").startswith("False")


def test_the_twins_stand_side_by_side(compiled):
    fast, slow = _twins.load("compiled"), _twins.load("pure")
    assert fast is not slow
    assert fast.__name__ == "h2ws_fast.engine"
    assert slow is _twins.load_pure()
    kernels = [import_module(".kernels", twin.__name__) for twin in (fast, slow)]
    assert kernels[0].__file__.endswith(tuple(EXTENSION_SUFFIXES))
    assert kernels[1].__file__.endswith("kernels.py")
    for shared in (".constants", "..errors"):
        assert import_module(shared, fast.__name__) is import_module(shared, slow.__name__)
    with pytest.raises(ValueError, match="pure"):
        _twins.load("slow")


def test_the_pure_twin_is_the_only_one_where_it_was_chosen():
    code = (
        "from h2ws_fast import _twins; import h2ws_fast.engine as e;"
        "print(_twins.load('pure') is e, _twins.load_pure() is e); _twins.load('compiled')"
    )
    error = run(code, H2WS_FAST_PURE="1")
    assert error == "ImportError: the pure twin was chosen by H2WS_FAST_PURE=1"
    assert run(code.rpartition(";")[0], H2WS_FAST_PURE="1") == "True True"


def test_choosing_and_checking_are_cheap(compiled):
    """They must not be what a start of a program waits for."""
    sources = [path for path in PACKAGE.rglob("*.p*") if path.suffix in (".py", ".pxd", ".pyx")]
    spent = []
    for _ in range(5):
        _twins._hashes.clear()
        began = process_time()
        assert _twins._missing_extensions()[0] == []
        for path in sources:
            _twins._hash(path.relative_to(PACKAGE).as_posix())
        spent.append(process_time() - began)
    assert min(spent) < 0.03


def test_each_flag_of_a_stream_is_a_bit_of_its_own():
    source = Path(_twins.__file__).with_name("engine").joinpath("constants.py").read_text()
    table = source.split("# Stream.flags\n")[1].split("OWED")[0]
    flags = [int(line.split(" = ")[1].split()[0], 16) for line in table.splitlines()]
    assert len(flags) >= 15
    assert all(flag.bit_count() == 1 and flag < 1 << 32 for flag in flags)
    assert len(set(flags)) == len(flags)
