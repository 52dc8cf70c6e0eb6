"""`h2ws-fast check` where a server stalls: each step ends at its time limit, and says what it saw.

All servers are looked at at once, since a check that waits does nothing else.
"""

import asyncio

import pytest

from h2ws_fast.cli.report import FAILED, OK, SKIPPED, WARNING
from tests.support import frames as f
from tests.support.checked import Talker, changed, closes, examine
from tests.support.within import within
from tests.support.wrong import WrongServer
from tests.support.ws_frames import CONTINUATION, TEXT

PATIENCE = 1  # seconds that a step may take


def silent(self, peer, *_):
    """Take it and say nothing."""


def says_hello(self, peer, stream_id, opcode, payload, fin):
    peer.ws(stream_id, TEXT, b"hello")


def says_question_marks(self, peer, stream_id, opcode, payload, fin):
    peer.ws(stream_id, TEXT, payload if opcode == TEXT else b"?", fin=fin)


def without_fragments(self, peer, stream_id, opcode, payload, fin):
    if fin and opcode != CONTINUATION:
        peer.ws(stream_id, opcode, payload)


class Stuck(WrongServer):
    stuck = False

    def unknown(self, peer, stream_id):
        super().unknown(peer, stream_id)
        self.stuck = True

    def ping(self, peer, frame):
        if not self.stuck:
            super().ping(peer, frame)


class LosesItsSetting(WrongServer):
    def connect(self, peer, stream_id):
        peer.close()
        self.settings = ()


class WaitsInHttp1(WrongServer):
    async def answer(self, peer):
        await asyncio.sleep(30)


NO_ECHO = ["--no-echo"]

# name -> server, options, findings
STALLS = {
    "mail": (
        Talker(b"220 mail.example ESMTP\r\n" * 3, stay=True),
        [],
        [("settings", FAILED, "what comes is no HTTP: 220 mail"), ("http/1.1", FAILED, "")],
    ),
    "silent": (
        Talker(b"", stay=True),
        [],
        [("settings", FAILED, "no SETTINGS within 1 s"), ("http/1.1", FAILED, "no answer")],
    ),
    "no-ping": (
        Talker(f.settings(), stay=True),
        [],
        [("settings", FAILED, "no answer to a PING within 1 s")],
    ),
    "no-answer": (
        changed(connect=silent),
        [],
        [("websocket", FAILED, "no answer within 1 s"), ("request", OK, "")],
    ),
    "no-echo": (
        changed(echo=silent),
        [],
        [
            ("text", SKIPPED, "no echo within 1 s: no echo server"),
            ("large", SKIPPED, "no echo server"),
            ("close", OK, ""),
        ],
    ),
    "no-echo-where-there-should-be": (
        changed(echo=silent),
        ["--echo"],
        [("text", FAILED, "no echo within 1 s"), ("binary", SKIPPED, "no echo before")],
    ),
    "something-else": (
        changed(echo=says_hello),
        [],
        [("text", SKIPPED, "answers something else"), ("close", OK, "")],
    ),
    "something-else-where-an-echo-should-be": (
        changed(echo=says_hello),
        ["--echo"],
        [("text", FAILED, "got text of 5 octets")],
    ),
    "another-type": (
        changed(echo=says_question_marks),
        [],
        [
            ("text", OK, ""),
            ("binary", FAILED, "sent binary of 256 octets, got text of 1 octets"),
            ("fragments", SKIPPED, "no echo before"),
            ("ping", OK, ""),
        ],
    ),
    "fragments": (
        changed(echo=without_fragments),
        [],
        [
            ("binary", OK, ""),
            ("fragments", FAILED, "no echo within 1 s"),
            ("large", SKIPPED, "no echo before"),
        ],
    ),
    "no-credit": (
        changed(credit=False, large=silent),
        [],
        [("large", FAILED, "WINDOW_UPDATE gave 0 octets for the stream, 0 for the connection")],
    ),
    "no-pong": (
        changed(ws_ping=silent),
        NO_ECHO,
        [("ping", FAILED, "no pong within 1 s"), ("second", SKIPPED, ""), ("close", OK, "")],
    ),
    "half-open": (
        changed(close=closes()),
        NO_ECHO,
        [("close", FAILED, "with Close 1000; no END_STREAM within 1 s"), ("request", OK, "")],
    ),
    "no-close": (
        changed(close=closes(close=False)),
        NO_ECHO,
        [("close", FAILED, "no Close within 1 s"), ("request", OK, "")],
    ),
    "no-response": (
        changed(request=silent),
        NO_ECHO,
        [("request", FAILED, "no answer to GET / within 1 s"), ("unknown-protocol", OK, "")],
    ),
    "no-refusal": (
        changed(unknown=silent),
        NO_ECHO,
        [
            ("unknown-protocol", FAILED, "no answer within 1 s"),
            ("after-refusal", SKIPPED, "no refusal"),
        ],
    ),
    "stuck": (
        Stuck(),
        NO_ECHO,
        [("unknown-protocol", FAILED, "no PING is answered any more")],
    ),
    "loses-its-setting": (
        LosesItsSetting(),
        [],
        [("unknown-protocol", SKIPPED, "another connection has no setting")],
    ),
    "http/1.1": (
        WaitsInHttp1(),
        NO_ECHO,
        [("close", OK, ""), ("http/1.1", WARNING, "no answer to GET with Upgrade within 1 s")],
    ),
}


@pytest.fixture(scope="module")
def stalled():
    async def one(server, options):
        async with server:
            url = f"ws://127.0.0.1:{server.port}/"
            return await examine(url, *options, patience=PATIENCE)

    async def every():
        return await asyncio.gather(*[one(*stall[:2]) for stall in STALLS.values()])

    return dict(zip(STALLS, within(60, every()), strict=True))


@pytest.mark.parametrize("name", STALLS)
def test_a_stall(stalled, name):
    found = stalled[name]
    wanted = STALLS[name][2]
    for each in wanted:
        found(*each)
    assert found.exit_code == (1 if any(each[1] == FAILED for each in wanted) else 0) or (
        name == "loses-its-setting"
    )


def test_tls_that_stalls():
    async def main():
        async with Talker(b"", stay=True) as server:
            url = f"wss://127.0.0.1:{server.port}/"
            return await examine(url, "--insecure", patience=0.3)

    found = within(30, main())
    assert "ws://" in found("tls", FAILED, "did not end within 0.3 s").remedy
    assert found.exit_code == 3
