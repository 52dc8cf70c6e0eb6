"""h2spec's error cases on a real socket: the code arrives before the end of the connection."""

import asyncio

import pytest

from h2ws_fast import Response
from h2ws_fast.engine import Settings
from tests.support import frames as f
from tests.support.h2spec_cases import ANSWERED, CASES, Say
from tests.support.raw import RawClient


@pytest.mark.row("9113-6.8-7")
@pytest.mark.parametrize("number", CASES)
async def test_the_code_arrives(clear, number):
    case = CASES[number]
    say = Say()
    parts = [[]]
    for chunk in case.chunks(say):
        if chunk is ANSWERED:
            parts.append([])
        else:
            parts[-1].append(chunk)
    may_answer = asyncio.Event()
    if len(parts) > 1:
        may_answer.set()

    async def on_request(request):
        await may_answer.wait()
        return Response(200, {}, b"test")

    settings = Settings(**dict(case.settings))
    async with clear.serve(on_request=on_request, settings=settings, http=["h2"]):
        peer = await RawClient.connect(clear.port, greet=case.preface)
        for i, part in enumerate(parts):
            if i:
                await peer.expect(f.HEADERS, 1)
                while not (await peer.expect(f.DATA, 1)).end_stream:
                    pass
            peer.send(*part)
        if case.stream_id is None:
            frames = await peer.until_eof()
            assert [x.error_code for x in frames if x.kind == f.GOAWAY] == [case.code]
            assert frames[-1].kind == f.GOAWAY
        else:
            reset = await peer.expect(f.RST_STREAM)
            assert (reset.stream_id, reset.error_code) == (case.stream_id, case.code)
            may_answer.set()
            if case.stream_id != 1:
                peer.send(f.rst_stream(1))
            peer.send(f.ping(b"still on"))
            pong = await peer.expect(f.PING, skip=(f.HEADERS, f.DATA, f.SETTINGS, f.WINDOW_UPDATE))
            assert pong.ack and pong.payload == b"still on"
            peer.send(say.headers(case.stream_id + 2))
            frame = pong
            while (frame.kind, frame.stream_id) != (f.HEADERS, case.stream_id + 2):
                frame = await peer.frame()
            assert f.GOAWAY not in [x.kind for x in peer.frames]
        peer.close()
