"""The server that is attacked, and what every attack is measured by.

All of them meet a server with the default limits, in a process of its own. While an attack runs
somebody else's WebSocket echoes on its own connection. Afterwards

- the server is there, and that WebSocket has echoed on, its slowest echo within `LATENCY_S`: the
  longest that reading one batch of a flood may take, with a loaded machine's share;
- at the most the server's memory has grown by `memory` octets: what the limits of the attack add up
  to and the parser's buffers, each test says why;
- it has used at most `cpu` seconds: an attack must be over within the first thousands of frames,
  and never cost more than reading what was sent. The pure twin, and a build whose memory is
  checked, has `SLOWER` times as long, and `LARGER` times as much memory.

Every attack on `target` runs in cleartext, and over TLS with `H2WS_FAST_ABUSE_FULL=1` (`make
abuse`); otherwise one in six does, and `H2WS_FAST_TURN` says which of the six parts. It also says
which kind of an attack that has several `in_turn` is made.
"""

import contextlib
import os
import zlib

import pytest

import h2ws_fast
from tests.support.attacker import Bystander
from tests.support.certificates import write_certificate
from tests.support.target import Target

MIB = 2**20
# AddressSanitizer keeps what was freed, and Python's debug allocator fences every block in.
SANITIZED = "asan" in os.environ.get("LD_PRELOAD", "")
CHECKED = SANITIZED or os.environ.get("PYTHONMALLOC") == "debug"
LATENCY_S = 2.0 if h2ws_fast.COMPILED and not CHECKED else 5.0
SLOWER = (1 if h2ws_fast.COMPILED else 20) * (10 if CHECKED else 1)
LARGER = (1 if h2ws_fast.COMPILED else 4) * (4 if CHECKED else 1)


FULL = os.environ.get("H2WS_FAST_ABUSE_FULL", "") not in ("", "0")
PARTS = 6
TURN = int(os.environ.get("H2WS_FAST_TURN", "0")) % PARTS
TLS_CPU = 2  # ciphering what is sent costs as much as reading it
TLS_MEMORY = 4 * MIB  # its buffers, of each connection


def pytest_generate_tests(metafunc):
    if "target" in metafunc.fixturenames:
        metafunc.parametrize("target", ("cleartext", "tls"), indirect=True)


def pytest_collection_modifyitems(config, items):
    left = [item for item in items if not FULL and not is_due(item)]
    items[:] = [item for item in items if item not in left]
    config.hook.pytest_deselected(items=left)


def is_due(item):
    kind = getattr(item, "callspec", None)
    if kind is None or kind.params.get("target") != "tls":
        return True
    return zlib.crc32(item.nodeid.encode()) % PARTS == TURN


def in_turn(of_all):
    """Those of an attack's kinds that run this time: one, all with `make abuse`."""
    return of_all if FULL else [of_all[TURN % len(of_all)]]


@pytest.fixture(scope="session")
def _targets():
    targets = {}
    yield targets
    for target in targets.values():
        target.stop()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    return write_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def target(_targets, request, certificate):
    """The server with the default limits; one for all tests, so that it must survive each."""
    kind = request.param
    if kind not in _targets or not _targets[kind].alive:
        _targets[kind] = Target(certificate=certificate if kind == "tls" else None)
    return _targets[kind]


@pytest.fixture
def siege():
    """`with siege(target, "name of the limit"): attack`; `also` names limits that may be met too."""
    return _siege


@contextlib.contextmanager
def _siege(target, *limits, also=(), memory=4 * MIB, cpu=0.5, latency=LATENCY_S):
    if target.tls is not None:
        cpu, memory = cpu * TLS_CPU, memory + TLS_MEMORY
    counted = target.stats()["limits"]
    with Bystander(target.port, target.tls) as bystander:
        target.forget_peak()
        resident = target.memory()
        used = target.cpu()
        yield bystander
        assert target.alive, "the server has died"
        used = target.cpu() - used
        grown = target.memory("VmHWM") - resident
    assert bystander.failure is None, bystander.failure
    assert bystander.latencies, "the other WebSocket never echoed"
    worst = max(bystander.latencies)
    print(f"CPU {used:.2f} s, memory {grown / MIB:.1f} MiB, slowest echo {worst * 1000:.0f} ms")
    assert worst < latency, f"the other WebSocket waited {worst:.2f} s"
    assert SANITIZED or grown < memory * LARGER, f"memory grew by {grown / MIB:.1f} MiB"
    assert used < cpu * SLOWER, f"{used:.2f} s of CPU time"
    after = target.stats()["limits"]
    news = {name for name in after if after[name] > counted.get(name, 0)}
    assert set(limits) <= news <= {*limits, *also}, news
