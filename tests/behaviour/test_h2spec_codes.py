"""The codes that h2spec does not insist on: each of its error cases, octet for octet."""

import pytest

from tests.support import frames as f
from tests.support.h2spec_cases import ANSWERED, CASES, Say


def test_every_error_case_is_here():
    # h2spec 2.2.1: 82 cases end in VerifyConnectionError, VerifyStreamError or
    # VerifyConnectionClose, and three wait for GOAWAY or RST_STREAM alone.
    assert len(CASES) == 85


@pytest.mark.parametrize("number", CASES)
def test_the_code_is_the_one_demanded(server, number):
    case = CASES[number]
    peer = server(settings=dict(case.settings), handshake=case.preface)
    if not case.preface:
        peer.sent()
    say = Say()
    told = []
    for chunk in case.chunks(say):
        if chunk is ANSWERED:
            peer.feed(*told)
            told.clear()
            peer.conn.respond(1, [(":status", "200")])
            peer.conn.send_data(1, b"test", end_stream=True)
            assert peer.sent()[-1].end_stream
            peer.more()
        else:
            told.append(chunk)
    peer.feed(*told)
    if case.stream_id is None:
        peer.expect_connection_error(case.code)
        return
    if case.stream_id != 1:
        peer.feed(f.rst_stream(1))  # the others have used up what may be open at once
    # The connection lives on, and so does the table of its field blocks.
    peer.encoder = say.encoder
    peer.next_id = case.stream_id + 2
    frames = peer.expect_stream_error(case.stream_id, case.code)
    assert frames[-1].kind == f.RST_STREAM
