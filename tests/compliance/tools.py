"""The suites themselves: found, or installed once into a cache outside the clone.

    $XDG_CACHE_HOME/h2ws_fast/compliance     (~/.cache without it)

h2spec is built by Go from the versions in `go/go.sum`; Autobahn|Testsuite is installed by pip for
a Python 2.7, the only one that it runs on, in the versions of `autobahn.txt`. The proxies are the
system's own.
"""

import asyncio
import os
import re
import shutil
import tempfile
from pathlib import Path

from .processes import Unable, output_of

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "h2ws_fast/compliance")
BUILD_SECONDS = 300


def _find(name, *folders):
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(folders))


def proxy(name, package):
    """The path of a proxy."""
    found = _find(name, "/usr/sbin", "/sbin")
    if found is None:
        raise Unable(f"{name} is not installed: sudo apt install {package}")
    return found


async def proxy_versions():
    """Return {name: version} of the proxies."""
    nghttpx = await output_of([proxy("nghttpx", "nghttp2-proxy"), "--version"])
    haproxy = await output_of([proxy("haproxy", "haproxy"), "-v"])
    return {
        "nghttpx": re.search(r"nghttp2/(\S+)", nghttpx)[1],
        "haproxy": re.search(r"version (\S+)", haproxy)[1],
    }


# -- h2spec --------------------------------------------------------------------------------------


def h2spec_version():
    """The version of h2spec that is pinned."""
    return re.search(r"/h2spec (v[\d.]+)", (HERE / "go/go.mod").read_text())[1]


async def h2spec():
    """Return the path of h2spec."""
    program = CACHE / f"h2spec-{h2spec_version()}"
    if not program.exists():
        go = _find("go", "/usr/local/go/bin", "/usr/lib/go/bin")
        if go is None:
            raise Unable("Go is not installed, which builds h2spec: sudo apt install golang-go")
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            built = Path(folder, "h2spec")
            await output_of(
                [go, "build", "-o", built, "github.com/summerwind/h2spec/cmd/h2spec"],
                cwd=HERE / "go",
                seconds=BUILD_SECONDS,
            )
            built.rename(program)
    return program


# -- Autobahn|Testsuite --------------------------------------------------------------------------


def autobahn_version():
    """The version of Autobahn|Testsuite that is pinned."""
    return re.search(r"^autobahntestsuite==(.+)$", (HERE / "autobahn.txt").read_text(), re.M)[1]


# A folder of its own instead of a virtualenv, which Python 2.7 has not; its .pth files count.
WSTEST = (
    "import site, sys; site.addsitedir(sys.argv.pop(1)); "
    "from autobahntestsuite.wstest import run; run()"
)


async def _python2():
    # H2WS_FAST_PYTHON2, one on PATH, or one of pyenv's (whose shims refuse what is not chosen).
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for attempt in ("look", "install"):
        named = os.environ.get("H2WS_FAST_PYTHON2")
        candidates = [named, shutil.which("python2.7")]
        candidates += sorted(root.glob("versions/2.7.*/bin/python2.7"))
        for candidate in filter(None, candidates):
            try:
                await output_of([candidate, "-m", "ensurepip", "--version"])
            except Unable:
                continue
            return candidate
        pyenv = _find("pyenv", str(root / "bin"))
        if attempt == "look" and pyenv is not None:
            await output_of([pyenv, "install", "--skip-existing", "2.7.18"], seconds=600)
    raise Unable(
        "there is no Python 2.7, the only one that Autobahn|Testsuite runs on: put python2.7 on the "
        "path, name one in H2WS_FAST_PYTHON2, or install pyenv (https://github.com/pyenv/pyenv), which "
        "builds it (sudo apt install gcc make curl libssl-dev zlib1g-dev libffi-dev; pyenv install "
        "2.7.18)"
    )


async def wstest():
    """Return the command that runs wstest."""
    python = await _python2()
    folder = CACHE / f"autobahn-{autobahn_version()}"
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            try:
                await output_of([python, "-m", "pip", "--version"])
            except Unable:
                await output_of([python, "-m", "ensurepip", "--user"], seconds=BUILD_SECONDS)
            target = Path(scratch, "site")
            pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "-q"]
            await output_of(
                [*pip, "--target", target, "-r", HERE / "autobahn.txt"], seconds=BUILD_SECONDS
            )
            target.rename(folder)
    return [python, "-u", "-c", WSTEST, str(folder)]


async def prepare(suites, say):
    """Install what is missing for the suites named, all at once."""
    ready = {"h2spec": h2spec, "autobahn": wstest}
    say(f"looking for the suites in {CACHE}; what is missing is built there")
    await asyncio.gather(*(ready[suite]() for suite in suites))
