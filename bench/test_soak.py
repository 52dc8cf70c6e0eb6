"""The soak judges what it must."""

import argparse

import pytest

from .soak import attacks, friends, strangers  # noqa: F401  # their visits go into the table
from .soak.command import arguments
from .soak.ledger import Ledger, Mismatch
from .soak.octets import Messages
from .soak.verdict import GROWTH_BLOCKS, GROWTH_RESIDENT, Verdict
from .soak.visits import KINDS, MAX_MESSAGE, Visit
from .wire import websocket_frame


def found():
    """What a soak in which all went well finds."""
    lull = {
        "at_s": 1.0,
        "resident": 50_000_000,
        "blocks": 100_000,
        "errors": 0,
        "error_texts": [],
        "garbage": 0,
        "pending_futures": 1,
        "objects": {"Connection": 1},
        "cpu_s": 1.0,
    }
    return {
        "messages": 10,
        "mismatches": 0,
        "errors_unexpected": 0,
        "texts": [],
        "before": dict(lull),
        "lulls": [dict(lull), dict(lull)],
    }


def judged(change=None, code=0, last_words=(("tasks", 0),), said="", tasks=()):
    what = found()
    if change is not None:
        change(what, what["lulls"][-1])
    verdict = Verdict(argparse.Namespace(seed=1), what, False)
    verdict.judge(code, last_words and dict(last_words), said, list(tasks))
    return verdict.passed


def test_a_good_soak_passes():
    assert judged()


def set_first(name, value):
    return lambda what, last: what.__setitem__(name, value)


def set_last(name, value):
    return lambda what, last: last.__setitem__(name, value)


@pytest.mark.parametrize(
    "change",
    [
        set_first("messages", 0),
        set_first("mismatches", 1),
        set_first("errors_unexpected", 1),
        set_last("resident", 50_000_001 + GROWTH_RESIDENT),
        set_last("blocks", 100_001 + GROWTH_BLOCKS),
        set_last("errors", 1),
        set_last("garbage", 1),
        set_last("pending_futures", 2),
        set_last("objects", {"Connection": 2}),
        set_last("objects", {"Connection": 1, "Stream": 1}),
    ],
)
def test_what_was_found_fails_it(change):
    assert not judged(change)


@pytest.mark.parametrize(
    "ending",
    [
        {"code": 1},
        {"code": None},
        {"last_words": None},
        {"last_words": (("tasks", 1),)},
        {"said": "Traceback"},
        {"tasks": ["<Task>"]},
    ],
)
def test_a_bad_end_fails_it(ending):
    assert not judged(**ending)


@pytest.mark.parametrize("got", [b"abd", b"ab", b"abcd", "abc", b""])
def test_a_wrong_echo_is_a_mismatch(got):
    ledger = Ledger()
    ledger.echoed(b"abc", b"abc")
    assert (ledger.messages, ledger.octets, ledger.mismatches) == (1, 3, 0)
    with pytest.raises(Mismatch):
        ledger.echoed(b"abc", got)
    assert (ledger.messages, ledger.mismatches) == (1, 1)


def test_the_seed_decides_what_a_visit_does():
    def choices(seed):
        for number in range(50):
            v = Visit(None, None, seed, number)
            message = v.message()
            yield v.name, message, tuple(v.pieces(message))

    assert list(choices(1)) == list(choices(1))
    assert list(choices(1)) != list(choices(2))


def test_messages_have_every_size_and_kind():
    messages = [Visit(None, None, 1, number).message() for number in range(2000)]
    sizes = {len(m if isinstance(m, bytes) else m.encode()) for m in messages}
    assert min(sizes) == 0 and max(sizes) == MAX_MESSAGE
    assert {type(m) for m in messages} == {str, bytes}
    assert any(isinstance(m, str) and not m.isascii() for m in messages)
    assert len({Visit(None, None, 1, number).name for number in range(2000)}) == len(KINDS)


def test_the_client_of_octets_puts_messages_together():
    octets = b"".join(
        (
            websocket_frame(b"one", 1, fin=False),
            websocket_frame(b"ping", 9),
            websocket_frame(b"two", 0),
            websocket_frame(bytes(70_000)),
        )
    )
    expected = [(9, b"ping"), (1, b"onetwo"), (2, bytes(70_000))]
    assert Messages().feed(octets) == expected
    one_by_one = Messages()
    got = [m for at in range(len(octets)) for m in one_by_one.feed(octets[at : at + 1])]
    assert got == expected


def test_options_that_make_no_sense_are_refused(capsys):
    for argv in (["--minutes", "0"], ["--clients", "0"], ["--only", "nobody"]):
        with pytest.raises(SystemExit):
            arguments(argv)
    assert arguments(["--seed", "7"]).seed == 7
