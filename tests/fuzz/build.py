"""Builds what is fuzzed, with clang: `python -m tests.fuzz.build` builds the extensions alone.

The extensions come with AddressSanitizer, UndefinedBehaviorSanitizer and counted branches into
`build/checked`; the programs of the fuzzer into `build/fuzz`.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PROGRAMS = ROOT / "build" / "fuzz"
CHECKED = ROOT / "build" / "checked"
CLANG = shlex.split(os.environ.get("CLANG", "clang"))
KERNELS = sorted(path.stem.removeprefix("fuzz_") for path in ROOT.glob("csrc/fuzz/fuzz_*.c"))
FLAGS = ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=fuzzer,address,undefined"]


def compile_kernels():
    for name in KERNELS:
        sources = [*ROOT.glob("csrc/*.c"), ROOT / f"csrc/fuzz/fuzz_{name}.c"]
        command = [*CLANG, "-std=c11", "-Wall", "-Wextra", "-Werror", *FLAGS]
        command += ["-fno-sanitize-recover=all", f"-I{ROOT / 'csrc'}", *map(str, sources)]
        subprocess.run([*command, "-o", str(PROGRAMS / f"c_{name}")], check=True)


def compile_extensions():
    """The package with instrumented extensions, in `build/checked`."""
    if not shutil.which(CLANG[0]):
        sys.exit(f"there is no {CLANG[0]}: sudo apt install clang, or say CLANG=")
    environment = {**os.environ, "CC": shlex.join(CLANG), "H2WS_FAST_SANITIZE": "1"}
    environment.pop("H2WS_FAST_PURE", None)
    command = [sys.executable, "setup.py", "-q", "build", "--build-lib", str(CHECKED)]
    command += ["--build-temp", f"{CHECKED}.o"]
    subprocess.run(
        command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=None
    )


def compile_harness(names):
    """One program; each target is a link to it."""
    variable = sysconfig.get_config_var
    places = [place for place in (variable("LIBDIR"), variable("LIBPL")) if place]
    command = [*CLANG, *FLAGS, f'-DPYTHON="{sys.executable}"']
    command += [f"-I{sysconfig.get_path('include')}", str(HERE / "harness.c")]
    # The extensions find the counters and the sanitizers' runtime in the program.
    command += ["-rdynamic", *(f"-L{place}" for place in places)]
    command += [f"-Wl,-rpath,{places[0]}", f"-lpython{variable('LDVERSION')}"]
    command += shlex.split(f"{variable('LIBS') or ''} {variable('SYSLIBS') or ''}")
    program = PROGRAMS / "harness"
    subprocess.run([*command, "-o", str(program)], check=True)
    for name in names:
        link = PROGRAMS / name
        link.unlink(missing_ok=True)
        link.symlink_to(program.name)


if __name__ == "__main__":
    compile_extensions()
