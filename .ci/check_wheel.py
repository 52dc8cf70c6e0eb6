"""Check what is in a wheel: check_wheel.py compiled|pure FILE."""

import sys
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import PurePosixPath

kind, path = sys.argv[1:]
names = [PurePosixPath(name) for name in zipfile.ZipFile(path).namelist()]
package = [name for name in names if not name.parts[0].endswith(".dist-info")]
extensions = [name for name in package if name.name.endswith(tuple(EXTENSION_SUFFIXES))]
pxds = [name for name in package if name.suffix == ".pxd"]
wrong = [
    str(name)
    for name in package
    if name.parts[0] != "h2ws_fast"
    or (
        (name.suffix not in (".py", ".pyi", ".pxd", ".html") and name not in extensions)
        and name.name != "py.typed"
    )
]
if wrong:
    sys.exit(f"{path} holds what it should not: {', '.join(wrong)}")
if PurePosixPath("h2ws_fast/py.typed") not in package or not pxds:
    sys.exit(f"{path} lacks py.typed or the .pxd files")
built = {name.parent / name.name.partition(".")[0] for name in extensions}
expected = {name.with_suffix("") for name in pxds} if kind == "compiled" else set()
if built != expected:
    sys.exit(
        f"{path} has the extensions {sorted(map(str, built))}, not {sorted(map(str, expected))}"
    )
if (kind == "pure") != path.endswith("-py3-none-any.whl"):
    sys.exit(f"{path} is not a {kind} wheel by its name")
print(f"{PurePosixPath(path).name}: {len(package)} files, {len(extensions)} extensions")
