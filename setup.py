"""Builds the extensions: every `.pxd` in the package names one.

`name.pxd` beside `name.py` means that the same file is also compiled; where there is a
`name.pyx` (what needs C itself) that is compiled instead, two of them together with their part of
`csrc/`. Everything else stands in `pyproject.toml`.

H2WS_FAST_PURE=1 builds no extension and needs neither a compiler nor Cython: the wheel is then
`py3-none-any`. Nothing falls back to that silently.

H2WS_FAST_SANITIZE=1 builds for `make fuzz` and `make test-sanitized`, with clang: every access is
checked by AddressSanitizer, UndefinedBehaviorSanitizer and Cython, and every branch is counted.
"""

import os
import shlex
import shutil
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
PACKAGE = "h2ws_fast"
PURE = os.environ.get("H2WS_FAST_PURE", "") not in ("", "0")
SANITIZE = os.environ.get("H2WS_FAST_SANITIZE", "") not in ("", "0")
# What is linked in from `csrc/`. The dispatch pointers are there once: with the kernels.
CSRC = {
    "kernels": ("dispatch", "huffman", "mask", "utf8"),
    "stream_map": ("map",),
}
GENERATED = Path("build", "cython-checked" if SANITIZE else "cython")
DIRECTIVES = {
    "language_level": 3,
    "annotation_typing": False,
    "boundscheck": SANITIZE,
    "nonecheck": SANITIZE,  # None is not instrumented: AddressSanitizer sees no read beyond it
    "wraparound": False,
    "cdivision": True,
    "freethreading_compatible": True,
}
DEBUG = "-g" if os.environ.get("H2WS_FAST_DEBUG") else "-g0"
JOBS = int(os.environ.get("H2WS_FAST_JOBS", "2"))
# -g0: Python's own flags ask for -g, which costs a quarter of the time.
OPTIMIZED = ["/O2"] if sys.platform == "win32" else ["-O3", "-fvisibility=hidden", DEBUG]
# Whoever loads the extensions brings the sanitizers' runtime. Python calls functions through
# pointers of other types by design, hence not `function`. What Cython writes adds 0 to null
# pointers, hence not `pointer-overflow`: the kernels alone are built with it by `make sanitize`.
SANITIZED = [
    "-O1",
    "-g1",
    "-fno-omit-frame-pointer",
    "-fno-wrapv",  # which Python asks for, and then no signed overflow is one
    "-fsanitize=fuzzer-no-link,address,undefined",
    "-fno-sanitize=function,pointer-overflow",
    "-fno-sanitize-recover=undefined",
]

# Cython's own init function, renamed, returns the module's definition. A slot that runs before
# all others hands the hashes of the sources to `_twins.check`, which refuses a stale extension.
#
# What Python passes and C cannot hold is wrong as any other value is: a ValueError, and not an
# OverflowError, which is none. Nor is 1.5 the stream 1: only what has `__index__` is an int. This is
# behind the check for an int that fits, and costs those nothing.
WRAPPER = """\
#define PY_SSIZE_T_CLEAN
#include <Python.h>

static inline void h2ws_check_overflow(void) {{
    if (PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_OverflowError))
        PyErr_SetString(PyExc_ValueError, "a number is out of range: its type in C is smaller");
}}
#define H2WS_CONVERSION(type, function)                           \\
    static inline type h2ws_##function(PyObject *number) {{        \\
        type value = function(number);                            \\
        if (value == (type)-1) h2ws_check_overflow();             \\
        return value;                                             \\
    }}
H2WS_CONVERSION(long, PyLong_AsLong)
H2WS_CONVERSION(long long, PyLong_AsLongLong)
H2WS_CONVERSION(unsigned long, PyLong_AsUnsignedLong)
H2WS_CONVERSION(unsigned long long, PyLong_AsUnsignedLongLong)
H2WS_CONVERSION(Py_ssize_t, PyLong_AsSsize_t)
H2WS_CONVERSION(double, PyFloat_AsDouble)
#define PyLong_AsLong h2ws_PyLong_AsLong
#define PyLong_AsLongLong h2ws_PyLong_AsLongLong
#define PyLong_AsUnsignedLong h2ws_PyLong_AsUnsignedLong
#define PyLong_AsUnsignedLongLong h2ws_PyLong_AsUnsignedLongLong
#define PyLong_AsSsize_t h2ws_PyLong_AsSsize_t
#define PyFloat_AsDouble h2ws_PyFloat_AsDouble
#define PyExc_OverflowError PyExc_ValueError
#define nb_int nb_index

#define PyInit_{name} h2ws_cython_{name}
#include "{cython}"
#undef PyInit_{name}

static int h2ws_check_sources(PyObject *module) {{
    PyObject *twins = PyImport_ImportModule("{package}._twins");
    PyObject *result;
    if (twins == NULL) return -1;
    result = PyObject_CallMethod(twins, "check", "Os", module, "{hashes}");
    Py_DECREF(twins);
    if (result == NULL) return -1;
    Py_DECREF(result);
    return 0;
}}

PyMODINIT_FUNC PyInit_{name}(void);
PyMODINIT_FUNC PyInit_{name}(void) {{
    static PyModuleDef_Slot slots[16];
    PyObject *made = h2ws_cython_{name}();
    PyModuleDef *definition = (PyModuleDef *)made;
    PyModuleDef_Slot *slot = slots;
    const PyModuleDef_Slot *from;
    if (made == NULL || slots[0].slot != 0) return made;
    slot->slot = Py_mod_exec;
    slot->value = (void *)h2ws_check_sources;
    for (from = definition->m_slots; from->slot != 0; from++) *++slot = *from;
    definition->m_slots = slots;
    return made;
}}
"""


def fail(line):
    """End the build with one line that says what to do."""
    raise SystemExit(f"h2ws_fast: {line}")


if sys.version_info < (3, 11):  # noqa: UP036  (run without pip, nothing else says so)
    fail(
        f"Python 3.11 or later is needed, this is {sys.version.split()[0]}: "
        "sudo apt install python3.11-dev python3.11-venv"
    )


def check_prerequisites():
    """Missing tools end here, before a page of a compiler's output."""
    if os.name != "posix":
        return
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    if not shutil.which(command[0]):
        fail(
            f"no C compiler ({command[0]}): sudo apt install gcc python3-dev "
            "(or set H2WS_FAST_PURE=1 to install without extensions, much slower)"
        )
    headers = {sysconfig.get_path("include"), sysconfig.get_path("platinclude")}
    if not any(path and Path(path, "Python.h").exists() for path in headers):
        fail(
            "Python.h is missing: sudo apt install python3-dev gcc "
            "(or set H2WS_FAST_PURE=1 to install without extensions, much slower)"
        )


def wrap(source, tree):
    """Write the C file that is compiled in place of Cython's; return its path."""
    from importlib.util import source_hash

    generated = GENERATED / source.with_suffix(".c")
    wrapper = generated.with_name(f"{source.stem}_module.c")
    hashes = {
        # Where it stands seen from the package: the only place to look for it when imported.
        Path(path).resolve().relative_to(ROOT / PACKAGE).as_posix(): source_hash(
            Path(path).read_bytes()
        ).hex()
        for path in tree.all_dependencies(str(source))
        if Path(path).resolve().is_relative_to(ROOT / PACKAGE)
    }
    twin = source.with_suffix(".py")
    hashes[twin.relative_to(PACKAGE).as_posix()] = source_hash(twin.read_bytes()).hex()
    text = WRAPPER.format(
        name=source.stem,
        cython=generated.name,
        package=PACKAGE,
        hashes=" ".join(f"{path}={value}" for path, value in sorted(hashes.items())),
    )
    if not wrapper.exists() or wrapper.read_text() != text:
        wrapper.write_text(text)
    return str(wrapper), [str(generated), str(twin)]


def extensions():
    """Find what is to be compiled; run Cython where a C file is older than what it was made of."""
    check_prerequisites()
    try:
        from Cython.Build import cythonize
        from Cython.Build.Dependencies import create_dependency_tree
    except ImportError:
        fail("Cython is missing: pip install cython (or set H2WS_FAST_PURE=1)")
    found = []
    for pxd in sorted(Path(PACKAGE).rglob("*.pxd")):
        source = pxd.with_suffix(".pyx")
        if not source.exists():
            source = pxd.with_suffix(".py")
        if not source.exists() or source.stem == "__init__":
            continue
        csrc = [f"csrc/{name}.c" for name in CSRC.get(source.stem, ())]
        found.append(
            Extension(
                ".".join(source.with_suffix("").parts),
                [str(source), *csrc],
                include_dirs=["csrc"] if csrc else [],
                depends=sorted(map(str, Path("csrc").glob("*.h"))) if csrc else [],
                extra_compile_args=SANITIZED if SANITIZE else OPTIMIZED,
                extra_link_args=SANITIZED if SANITIZE else [],
                language="c",
            )
        )
    made = cythonize(
        found,
        compiler_directives=DIRECTIVES,
        build_dir=str(GENERATED),
        # Where processes are not forked they would run this file again.
        nthreads=JOBS if sys.platform == "linux" else 0,
        quiet=True,
        show_all_warnings=False,
    )
    tree = create_dependency_tree(quiet=True)
    for extension, before in zip(made, found, strict=True):
        wrapper, depends = wrap(Path(before.sources[0]), tree)
        extension.sources[0] = wrapper
        extension.depends = [*extension.depends, *depends]
    return made


class BuildExtensions(build_ext):
    """build_ext with several compilers at a time, and an error that names the way out."""

    def finalize_options(self):
        super().finalize_options()
        if self.parallel is None:
            self.parallel = JOBS

    def run(self):
        try:
            super().run()
        except Exception as error:
            fail(
                f"the extensions do not compile ({error}). Setting H2WS_FAST_PURE=1 "
                "installs without them, much slower."
            )


# Metadata and sdists need no compiler and no Cython.
building = any(
    name in sys.argv for name in ("build_ext", "build", "bdist_wheel", "editable_wheel", "install")
)
setup(
    ext_modules=extensions() if building and not PURE else [],
    cmdclass={"build_ext": BuildExtensions},
)
