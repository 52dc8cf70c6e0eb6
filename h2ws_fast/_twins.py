"""Which twin runs: the compiled modules, or the same sources interpreted.

A `name.pxd` beside `name.py` says that the module is also compiled. All of them are, or none:

- every extension is there: the compiled twin runs, `COMPILED` is true;
- none is there: the pure twin runs (a pure wheel, or a source tree that was never built);
- some are there: ImportError, since half of each would be neither.

`H2WS_FAST_PURE=1` runs the pure twin although the extensions are there.
`H2WS_FAST_REQUIRE_COMPILED=1` makes it an ImportError that one is missing.

Tests and benchmarks take both twins of `h2ws_fast.engine` side by side with `load`.
"""

import importlib
import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import source_hash, spec_from_file_location
from types import ModuleType
from typing import Any

__all__ = ["COMPILED", "check", "load", "load_pure", "warn_if_pure"]

PACKAGE = "h2ws_fast"
ALIAS = "h2ws_fast_pure"  # the tree of the pure twin beside the compiled one
ROOT = os.path.dirname(os.path.abspath(__file__))
# Both twins raise the same errors, or `except StreamClosed` would miss the other's.
SHARED = ("_twins", "errors", "engine.constants")


def _switch(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0")


def _missing_extensions() -> tuple[list[str], int]:
    """Return the compilable modules without an extension, and how many have one."""
    missing = []
    found = 0
    folders = [ROOT]
    for folder in folders:
        with os.scandir(folder) as entries:
            names = set()
            for entry in entries:
                if "." in entry.name:
                    names.add(entry.name)
                elif entry.name[0] != "_" and entry.is_dir():
                    folders.append(entry.path)
        for name in names:
            stem, _, suffix = name.partition(".")
            if suffix != "pxd" or f"{stem}.py" not in names or stem == "__init__":
                continue
            if any(stem + suffix in names for suffix in EXTENSION_SUFFIXES):
                found += 1
            else:
                module = os.path.relpath(os.path.join(folder, stem), ROOT)
                missing.append(module.replace(os.sep, "."))
    return sorted(missing), found


class _Sources:
    """A finder that gives the `.py` of a module, whatever lies beside it."""

    def __init__(self, package: str) -> None:
        self.prefix = package + "."

    def find_spec(
        self, name: str, path: object = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith(self.prefix):
            return None
        place = os.path.join(ROOT, *name[len(self.prefix) :].split("."))
        package = os.path.join(place, "__init__.py")
        if os.path.isfile(package):
            return spec_from_file_location(name, package, submodule_search_locations=[place])
        if os.path.isfile(place + ".py"):
            return spec_from_file_location(name, place + ".py")
        return None


def _choose() -> bool:
    """Decide for this process, and put the finder in place where the pure twin was asked for."""
    missing, found = _missing_extensions()
    pure = _switch("H2WS_FAST_PURE")
    if _switch("H2WS_FAST_REQUIRE_COMPILED"):
        if pure:
            raise ImportError(
                "H2WS_FAST_PURE and H2WS_FAST_REQUIRE_COMPILED are both set: unset one"
            )
        if missing or not found:
            raise ImportError(
                f"extensions are missing for {', '.join(missing) or 'all modules'}, and "
                "H2WS_FAST_REQUIRE_COMPILED is set: run pip install -e . again"
            )
    if pure:
        sys.meta_path.insert(0, _Sources(PACKAGE))
        return False
    if found and missing:
        raise ImportError(
            f"extensions are missing for {', '.join(missing)}: run pip install -e . again "
            "(or set H2WS_FAST_PURE=1)"
        )
    return found > 0


_hashes: dict[str, str | None] = {}


def _hash(path: str) -> str | None:
    if path not in _hashes:
        try:
            with open(os.path.join(ROOT, path), "rb") as file:
                _hashes[path] = source_hash(file.read()).hex()
        except FileNotFoundError:  # a wheel has no `.pyx`
            _hashes[path] = None
    return _hashes[path]


def check(module: ModuleType, sources: str) -> None:
    """Refuse an extension that was made of other sources than those beside it.

    Every extension calls this before it runs, with what the build embedded: `path=hash`, divided
    by spaces, for its own source and each `.pxd` it depends on.
    """
    for source in sources.split():
        path, _, built = source.partition("=")
        found = _hash(path)
        if found is not None and found != built:
            raise ImportError(
                f"the extension {module.__name__} was not built from the {path} beside it: "
                "run pip install -e . again",
                name=module.__name__,
                path=getattr(module, "__file__", None),
            )


def load_pure() -> ModuleType:
    """Return the pure twin's `engine` package, beside the compiled one where that runs.

    Its modules are `h2ws_fast_pure.engine.*`; errors and constants are shared.
    """
    if not COMPILED:
        return importlib.import_module(f"{PACKAGE}.engine")
    if ALIAS not in sys.modules:
        root = ModuleType(ALIAS, "The pure twin of h2ws_fast.")
        root.__path__ = [ROOT]
        sys.modules[ALIAS] = root
        for name in SHARED:
            sys.modules[f"{ALIAS}.{name}"] = importlib.import_module(f"{PACKAGE}.{name}")
        sys.meta_path.insert(0, _Sources(ALIAS))
    return importlib.import_module(f"{ALIAS}.engine")


def load(twin: str) -> ModuleType:
    """Return the `engine` package of a twin, "compiled" or "pure".

    Raises ImportError where this process has no compiled twin.
    """
    if twin == "pure":
        return load_pure()
    if twin != "compiled":
        raise ValueError(f'a twin is "compiled" or "pure", not {twin!r}')
    if not COMPILED:
        raise ImportError(
            "the pure twin was chosen by H2WS_FAST_PURE=1"
            if _switch("H2WS_FAST_PURE")
            else "the extensions are not built: run pip install -e ."
        )
    return importlib.import_module(f"{PACKAGE}.engine")


_warned: list[bool] = []


def warn_if_pure(log: Any) -> None:
    """Warn, once in a process, that the pure twin runs, and say what helps: never silently slow."""
    if not COMPILED and not _warned:
        _warned.append(True)
        log.warning(
            "the pure twin of h2ws_fast runs: for the compiled one, install a wheel for this "
            "platform or a C compiler, run pip install -e . again, and unset H2WS_FAST_PURE"
        )


COMPILED: bool = _choose()
