"""A Cython module of another project cimports our `.pxd` files as they are installed."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import h2ws_fast
from h2ws_fast import _twins
from h2ws_fast.engine.events import TextMessage

SETUP = """
from Cython.Build import cythonize
from setuptools import Extension, setup
setup(
    name="taster",
    ext_modules=cythonize(
        [Extension("taster", ["taster.pyx"])], include_path=[{path!r}], quiet=True
    ),
)
"""


@pytest.mark.timeout(300)
def test_a_foreign_module_cimports_the_engine(tmp_path):
    if not _twins.COMPILED:
        pytest.skip("the pure twin has no C interface")
    pytest.importorskip("Cython")
    pytest.importorskip("setuptools")
    compiler = os.environ.get("CC", "cc").split()[0]
    if not shutil.which(compiler):
        pytest.skip(f"no compiler here ({compiler})")
    shutil.copy(Path(__file__).parent / "foreign" / "taster.pyx", tmp_path)
    (tmp_path / "setup.py").write_text(SETUP.format(path=str(Path(h2ws_fast.__file__).parents[1])))
    built = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=tmp_path,
        env={**os.environ, "CFLAGS": "-O1"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (library,) = [path for path in tmp_path.iterdir() if path.suffix in (".so", ".pyd")]
    spec = importlib.util.spec_from_file_location("taster", library)
    taster = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(taster)
    data = b"\x20\x20\x20\x20" + bytes(octet ^ 0x20 for octet in b"foreign tea")
    expected = (b"foreign tea", b"foreign tea", TextMessage(1, "foreign tea", len(data)))
    assert taster.taste(data) == expected
