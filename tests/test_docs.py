"""What the documents say exists and runs."""

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import h2ws_fast
from h2ws_fast import engine
from h2ws_fast.cli import main
from h2ws_fast.engine import Limits, Settings
from tests.support.certificates import write_certificate
from tests.support.programs import free_port, module, running, wait_for_port

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"

pytestmark = pytest.mark.skipif(not README.exists(), reason="README.md is not here: no source tree")

DOCUMENTS = [README, *sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md"))]


def blocks(document):
    return re.findall(r"^```python\n(.*?)^```", document.read_text("utf-8"), re.M | re.S)


def functions(path):
    tree = ast.parse(path.read_text("utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)", document.read_text("utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (document.parent / target).exists(), target


def test_the_tests_of_the_lineage_exist():
    text = (ROOT / "docs" / "lineage.md").read_text("utf-8")
    named = re.findall(r"`([a-z_/0-9]+\.py)::(test_\w+)`", text)
    assert len(named) > 40
    for file, name in named:
        assert name in functions(ROOT / "tests" / file), f"{file}::{name}"
    # Every row of a table names one, or says that there is none.
    rows = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    for row in rows:
        last = row.rstrip(" |").rsplit("|", 1)[1]
        assert "::test_" in last or last.strip() in ("none", "test"), row


def environment():
    paths = filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def test_the_two_programs_call_each_other(tmp_path):
    (program,) = blocks(ROOT / "docs" / "transport.md")
    path = tmp_path / "program.py"
    path.write_text(program.replace("8765", str(free_port())), "utf-8")
    done = subprocess.run(
        [sys.executable, path], capture_output=True, text=True, timeout=60, env=environment()
    )
    # The pure twin says that it runs.
    said = [line for line in done.stderr.splitlines() if "pure twin of h2ws_fast runs" not in line]
    assert (said, done.returncode) == ([], 0)
    assert sorted(done.stdout.splitlines()) == ["1000 lines", "3", "HELLO"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs the signals of POSIX")
def test_the_readmes_server_and_client_work(tmp_path):
    server, client, _ = blocks(README)
    cert, key = write_certificate(tmp_path)
    cert.rename(tmp_path / "cert.pem")
    key.rename(tmp_path / "key.pem")
    port = free_port()
    for name, code in (("server.py", server), ("client.py", client)):
        assert "8443" in code
        (tmp_path / name).write_text(code.replace("8443", str(port)))
    options = {"cwd": tmp_path, "env": environment()}
    with running([sys.executable, "server.py"], **options) as process:
        wait_for_port(port, process)
        done = subprocess.run(
            [sys.executable, "client.py"], capture_output=True, text=True, timeout=60, **options
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "b'hello\\n'\nhello\n"


def test_the_readmes_engine_works(tmp_path):
    (tmp_path / "engine.py").write_text(blocks(README)[2])
    done = subprocess.run(
        [sys.executable, "engine.py"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env=environment(),
    )
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="has one loop alone, and fewer tests")
def test_the_readmes_number_of_floods_is_that_of_the_tests():
    pytest.importorskip("uvloop")
    (said,) = re.findall(r"\| (\d+) tests with it, .*\| `make abuse` \|", README.read_text("utf-8"))
    left = {name: value for name, value in environment().items() if name != "H2WS_FAST_PART"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "tests/abuse"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env=left | {"H2WS_FAST_ABUSE_FULL": "1", "PYTEST_ADDOPTS": "-p no:cacheprovider"},
    )
    assert done.returncode == 0, done.stdout[-2000:]
    (collected,) = re.findall(r"^(\d+) tests collected", done.stdout, re.M)
    assert said == collected


def test_the_names_that_the_documents_import_exist():
    import h2ws_fast

    text = "".join((ROOT / "docs" / name).read_text("utf-8") for name in ("aio.md", "client.md"))
    for name in re.findall(r"`([A-Z]\w+)`", text):
        known = hasattr(h2ws_fast, name) or name == "None"
        assert known, name


def test_the_options_in_the_documents_exist(capsys):
    module("uvicorn")
    text = (ROOT / "docs" / "cli.md").read_text("utf-8")

    def told(*command):
        try:
            code = main([*command, "--help"])
        except SystemExit as left:  # argparse
            code = left.code
        assert not code
        return set(re.findall(r"--[a-z-]+", capsys.readouterr().out))

    own = set().union(
        told(),
        *map(told, ("echo", "connect", "check", "gateway", "forward", "serve-tunnels")),
    )
    assert set(re.findall(r"`(--[a-z-]+)", text)) <= own | told("serve")
    # Those of `serve` are uvicorn's, and not repeated.
    assert own - {"--help"} <= set(re.findall(r"--[a-z-]+", text))


def test_the_checks_in_the_documents_exist():
    from h2ws_fast.cli.examination import CHECKS

    checks = {"dns", "tcp", "tls", "alpn", *CHECKS, "http/1.1"}
    listed = set(re.findall(r"`([a-z0-9./-]+)`", (ROOT / "docs" / "cli.md").read_text("utf-8")))
    assert checks <= listed
    text = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    named = set(re.findall(r"`([a-z0-9./-]+)`,? (?:ok|warning|failed|skipped)", text))
    assert len(named) > 5 and named <= checks


@pytest.mark.skipif(sys.platform == "win32", reason="needs the signals of POSIX")
def test_the_asgi_application_of_the_documents_works(tmp_path):
    module("fastapi")
    module("uvicorn")
    text = (ROOT / "docs" / "asgi.md").read_text("utf-8")
    application, tuned, worker, alone = blocks(ROOT / "docs" / "asgi.md")
    (tmp_path / "app.py").write_text(application)
    known = {}
    exec(compile(tuned, "protocol", "exec"), known)
    assert Limits(**known["Tuned"].h2_limits) and Settings(**known["Tuned"].h2_settings)
    compile(worker, "worker", "exec")
    cert, key = write_certificate(tmp_path)
    cert.rename(tmp_path / "cert.pem")
    key.rename(tmp_path / "key.pem")
    port = free_port()
    (tmp_path / "alone.py").write_text(alone.replace("8000", str(port)))
    (line,) = re.findall(r"`uvicorn (app:app .*--ssl-certfile [a-z.]+)`", text)
    options = {"cwd": tmp_path, "env": environment()}
    client = [sys.executable, "-m", "h2ws_fast", "connect"]
    for command in (
        ["-m", "uvicorn", *line.split(), "--port", str(port)],
        ["alone.py"],
    ):
        with running([sys.executable, *command], **options) as process:
            wait_for_port(port, process)
            done = subprocess.run(
                [*client, "--insecure", "--http", "h2", f"wss://localhost:{port}/ws"],
                input="hello\n",
                capture_output=True,
                text=True,
                timeout=60,
                **options,
            )
        assert done.stdout == "hello\n", done.stderr


def test_every_public_name_says_what_it_is():
    """Whatever the stubs of the engine promise, too: `help()` is asked for those at run time."""
    for package in (h2ws_fast, engine, engine.events):
        for name in package.__all__:
            found = getattr(package, name)
            if isinstance(found, type) or callable(found):
                assert found.__doc__, f"{package.__name__}.{name}"
    for name in ("connection", "endpoint", "h1"):
        stub = ast.parse((ROOT / f"h2ws_fast/engine/{name}.pyi").read_text("utf-8"))
        for kind in (node for node in stub.body if isinstance(node, ast.ClassDef)):
            named = getattr(importlib.import_module(f"h2ws_fast.engine.{name}"), kind.name)
            for verb in (node for node in kind.body if isinstance(node, ast.FunctionDef)):
                if not verb.name.startswith("_") and not verb.decorator_list:
                    assert getattr(named, verb.name).__doc__, f"{kind.name}.{verb.name}"
