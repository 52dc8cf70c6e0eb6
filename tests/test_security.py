"""SECURITY.md says what the code does: every limit, its default, and the name it is counted under."""

import inspect
import re
from pathlib import Path

import pytest

import h2ws_fast.engine
from h2ws_fast import serve
from h2ws_fast.aio.server import introduction
from h2ws_fast.engine import Connection, Limits, Role, Settings

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "SECURITY.md"
SOURCES = Path(h2ws_fast.engine.__file__).parent

pytestmark = pytest.mark.skipif(not DOCUMENT.exists(), reason="no source tree: no SECURITY.md")


def tables():
    """{limit: (default, what it stops, others, counter)} of each table of limits."""
    found = []
    for line in DOCUMENT.read_text("utf-8").splitlines():
        if line.startswith("| limit |"):
            found.append({})
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if found and len(cells) == 5 and cells[0] not in ("limit", "---"):
            found[-1][cells[0].strip("`")] = cells[1:]
    return found


# The defaults of `max_pending_resets` and `max_continuations`: None follows a setting.
FOLLOWS = ("`max_concurrent_streams`", "8, or 1.25 `max_header_list_size` / 16 384 if more")


def number(text):
    return None if text in ("none", *FOLLOWS) else float(text.replace(" ", ""))


def given(value):
    """A default as the document has it: for a Limits, infinity and 2^62 are none."""
    return None if value is None or value in (float("inf"), 2**62) else float(value)


def test_every_limit_of_a_connection_stands_there_with_its_default():
    limits, *_ = tables()
    # What is computed of two limits is seen of the pure twin alone.
    names = [name for name in dir(Limits()) if name != "whole_message" and name[0] != "_"]
    assert sorted(limits) == sorted(names)
    for name, (default, stops, others, _) in limits.items():
        assert number(default) == given(getattr(Limits(), name)), name
        assert stops and others, name


def test_every_limit_of_a_server_stands_there_with_its_default():
    _, limits, *_ = tables()
    settings = Settings(**{})
    for name, (default, stops, others, _) in limits.items():
        if name in inspect.signature(serve).parameters:
            actual = inspect.signature(serve).parameters[name].default
        elif name == "max_concurrent_streams":
            entries = dict(settings.entries(False))
            actual = entries[0x3]
        else:
            actual = getattr(settings, name)
        assert number(default) == given(actual), name
        assert stops and others, name
    for name in inspect.signature(serve).parameters:
        if name.startswith("max_connections") or name.endswith("_budget"):
            assert name in limits, name


def counted():
    """Every name under which the sources count."""
    verbs = "hit|_hit|count|reached|count_hit|too_big|_on_idle|refuse"
    calls = rf'\b(?:{verbs})\(\s*(?:[\w.]+,\s*)?"(\w+)"'
    names = set()
    for path in [*SOURCES.glob("*.py"), *(SOURCES.parent / "aio").rglob("*.py")]:
        names.update(re.findall(calls, path.read_text("utf-8")))
    for name in ("head.py", "chunks.py"):
        source = (SOURCES.parent / "aio" / "h1" / name).read_text("utf-8")
        names.update(re.findall(r'InvalidHead\(4\d\d, "[^"]*", "(\w+)"\)', source))
    admission = (SOURCES.parent / "aio" / "server" / "admission.py").read_text("utf-8")
    return names | set(re.findall(r'name = "(\w+)"', admission))


def test_counters_are_names_that_are_counted():
    named = set()
    for table in tables():
        for *_, counters in table.values():
            if not counters.startswith("none"):
                named.update(re.findall(r"`(\w+)`", counters))
    # Nor is anything that is counted left out.
    assert counted() == named
    assert Connection(Role.SERVER).stats()["limits"] == {}


def test_the_limit_of_a_proxys_head_stands_there():
    *_, limits = tables()
    assert {name: number(default) for name, (default, *_) in limits.items()} == {
        "PROXY head": introduction.MAX_HEAD
    }


def test_limits_of_http_1_1_stand_there():
    from h2ws_fast.aio.h1 import chunks, head, reader

    # A constant of a compiled module is in its source alone.
    pace = (SOURCES.parent / "aio" / "h1" / "pace.py").read_text("utf-8")
    _, _, limits, _ = tables()
    assert {name: number(default) for name, (default, *_) in limits.items()} == {
        "first line": head.MAX_LINE,
        "head": head.MAX_HEAD,
        "fields of a head": head.MAX_FIELDS,
        "first line of a chunk, all trailers": reader.MAX_CHUNK_LINE,
        f"chunks under {chunks.SMALL_CHUNK} octets": chunks.SMALL_CHUNKS,
        "requests ahead of their turn": reader.MAX_AHEAD,
        "body that nobody has taken": reader.MAX_UNTAKEN,
        "body behind its answer": reader.MAX_UNREAD,
        "messages that nobody has taken": int(re.search(r"^MAX_UNREAD = (\d+)", pace, re.M)[1]),
    }
    text = DOCUMENT.read_text("utf-8")
    assert f"gives one back, each second {chunks.SMALL_CHUNKS_RATE};" in text
    assert f"a client has {reader.KEEP_ALIVE_S:.0f} seconds" in text


def test_limits_of_a_proxy_stand_there_with_their_defaults():
    from h2ws_fast import Dialer
    from h2ws_fast.aio.client.race import MAX_ADDRESSES
    from h2ws_fast.aio.server import dialer, lookups
    from h2ws_fast.masque import UdpProxy

    told = told_in("## Limits of a proxy for TCP and UDP")
    tcp, udp = inspect.signature(Dialer).parameters, inspect.signature(UdpProxy).parameters
    shared = ("max_sockets", "dial_timeout")
    for name in shared:
        assert told.pop(name) == [tcp[name].default] == [udp[name].default], name
    name = "max_sockets_per_client"
    assert told.pop(name) == [tcp[name].default, udp[name].default]
    for name in ("max_time_wait", "half_closed_timeout"):
        assert told.pop(name) == [tcp[name].default], name
    assert told.pop("max_waiting") == [udp["max_waiting"].default]
    assert told.pop("idle_timeout") == [udp["idle_timeout"].default]
    assert tcp["idle_timeout"].default is udp["rate"].default is None
    assert told.pop("rate") == []
    at_once = [lookups.AT_ONCE, lookups.AT_ONCE_PER_CLIENT]
    assert told.pop("names looked up at once") == at_once
    assert told.pop("addresses of a name that are tried") == [MAX_ADDRESSES, dialer.MAX_DIALLED]
    assert set(told) <= {"of a proxy", "---"}


def test_limits_of_ports_for_clients_stand_there_with_their_defaults():
    from h2ws_fast.forward import Ports

    told = told_in("## Limits of ports for clients")
    parameters = inspect.signature(Ports).parameters.values()
    limits = {
        each.name: [each.default] for each in parameters if type(each.default) in (int, float)
    }
    assert {name: told.pop(name) for name in limits} == limits
    assert set(told) <= {"of ports for clients", "---"}


def told_in(section):
    """What a section's table says: the numbers of each limit."""
    told = {}
    for line in (
        DOCUMENT.read_text("utf-8").partition(section)[2].partition("\n## ")[0].splitlines()
    ):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4:
            told[cells[0].strip("`")] = [
                int(each.replace(" ", "")) for each in re.findall(r"\d[\d ]*", cells[1])
            ]
    return told


def test_limits_of_a_client_stand_there_with_their_defaults():
    from h2ws_fast import Pool, Session
    from h2ws_fast.aio.client.pool import MAX_TRIES
    from h2ws_fast.aio.client.race import MAX_ADDRESSES
    from h2ws_fast.aio.client.redirect import MAX_REDIRECTS
    from h2ws_fast.aio.client.session import MAX_WAITING
    from h2ws_fast.aio.h1.answer import MAX_INFORMED, MAX_REFUSAL
    from h2ws_fast.aio.h1.head import MAX_FIELDS, MAX_HEAD, MAX_LINE

    told = told_in("## Limits of a client")
    parameters = inspect.signature(Pool).parameters
    for name in ("max_connections", "max_idle", "max_waiting", "open_timeout"):
        assert told.pop(name) == [parameters[name].default], name
    assert inspect.signature(Session).parameters["max_waiting"].default == MAX_WAITING
    assert told.pop("attempts for one stream") == [MAX_TRIES]
    assert told.pop("redirects") == [MAX_REDIRECTS]
    assert told.pop("addresses of a name") == [MAX_ADDRESSES]
    assert told.pop("octets of a refusal's body") == [MAX_REFUSAL]
    heads = [MAX_HEAD, MAX_FIELDS, MAX_LINE, MAX_INFORMED]
    assert told.pop("octets of a head over HTTP/1.1") == heads
    assert set(told) <= {"of a client", "---"}
