"""The section `asgi`: its client believes no wrong answer, and absent servers are named."""

import contextlib
import subprocess
import sys

import pytest

from . import asgi, requests
from .contenders import Different
from .load import Failed
from .servers import NotStarted, Server, hold

STANDALONE = next(peer for peer in asgi.PEERS if peer.name == asgi.ALONE)
TOLD = """finished in 10.55ms, 9479.57 req/s, 1.21MB/s
requests: 100 total, 100 started, 100 done, {0} succeeded, {1} failed, 0 errored, 0 timeout
status codes: {0} 2xx, 0 3xx, 0 4xx, {1} 5xx
"""


@pytest.fixture(scope="module")
def server():
    if sys.platform == "win32":
        pytest.skip("the servers' CPU time and memory are read as Linux tells them")
    with contextlib.closing(Server(STANDALONE)) as started:
        yield started


@pytest.fixture
def body(tmp_path):
    path = tmp_path / "body"
    path.write_bytes(asgi.BODY)
    return str(path)


def get(expected=asgi.TEXT):
    return asgi.Requests("GET", b"", expected, 200, None)


def test_the_answers_of_the_application_are_what_is_expected(server, body):
    get().compare(server)
    asgi.Requests("POST", asgi.BODY, asgi.BODY, 200, body).compare(server)


def test_another_answer_ends_the_run(server):
    with pytest.raises(Different, match="an answer differs"):
        get(b"Hello, world!").compare(server)


@pytest.mark.parametrize("kind", ["GET", "POST"])
def test_without_h2load_our_own_client_asks(server, body, kind):
    asked = get() if kind == "GET" else asgi.Requests("POST", asgi.BODY, asgi.BODY, 200, body)
    asked.h2load = None
    assert "bench.requests" in asked.command(server)
    assert asked.measure(server, 0) > 0


def test_our_own_client_fails_where_the_answer_differs(server):
    command = [sys.executable, "-m", "bench.requests", "--port", str(server.port)]
    done = subprocess.run([*command, "--expect", "other"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "an answer differs from what was expected\n"


def test_what_h2load_counts_as_answered():
    whole = subprocess.CompletedProcess([], 0, TOLD.format(100, 0), "")
    part = subprocess.CompletedProcess([], 0, TOLD.format(99, 1), "")
    asked = get()
    asked.h2load = "h2load"
    assert asked.answered(whole) == 100
    with pytest.raises(Failed, match="99 succeeded"):
        asked.answered(part)
    with pytest.raises(Failed, match="refused"):
        asked.answered(subprocess.CompletedProcess([], 1, "", "refused"))


@pytest.mark.parametrize(
    ("block", "good"),
    [
        (b"\x88rest", True),
        (b"\x20\x3f\xe1\x1f\x88", False),  # a size in several octets: no server here sends one
        (b"\x20\x88", True),
        (b"\x08\x03200", True),
        (b"\x48\x82\x10\x01", True),
        (b"\x8e", False),
        (b"\x08\x03500", False),
    ],
)
def test_the_status_is_read(block, good):
    assert bool(requests.OK.match(block)) is good


def test_idle_websockets_share_connections(server):
    with contextlib.closing(hold(server, 2, streams=3)) as held:
        assert held.process.poll() is None
    assert held.process.returncode == 0


def test_what_refuses_websockets_cannot_hold_any():
    class Nobody:
        peer, port = STANDALONE, 1

    with pytest.raises(NotStarted):
        hold(Nobody, 1)


def test_absent_servers_are_named(monkeypatch):
    class Notes:
        notes = []

        def note(self, text):
            self.notes.append(text)

    monkeypatch.setattr(asgi, "missing", lambda peer: ["granian"])
    assert list(asgi.started(Notes())) == []
    assert len(Notes.notes) == len(asgi.PEERS)
    assert Notes.notes[4] == (
        'left out: granian: granian not installed (pip install -e ".[bench-asgi]")'
    )
