"""`h2ws-fast check` in the process of a test, and servers for it."""

import argparse
import asyncio

from h2ws_fast.aio import tls, uri
from h2ws_fast.cli import check
from h2ws_fast.cli.report import FAILED, WARNING, Report
from tests.support import frames as f
from tests.support.within import within
from tests.support.wrong import WrongServer
from tests.support.ws_frames import CLOSE

__all__ = ["Found", "Talker", "answers", "changed", "closes", "examine", "look"]

LONG = 10  # seconds that a step may take


class Found:
    """The findings by their names, and the exit code."""

    def __init__(self, report, lines):
        self.report = report
        self.by_name = {finding.name: finding for finding in report.findings}
        assert len(self.by_name) == len(report.findings), "a name twice"
        self.lines = lines
        self.exit_code = report.exit_code

    def __call__(self, name, verdict, words=""):
        finding = self.by_name[name]
        assert (finding.verdict, words in finding.seen) == (verdict, True), finding
        assert bool(finding.remedy) == (verdict in (WARNING, FAILED)), finding
        return finding


async def examine(url, *options, patience=LONG):
    parser = argparse.ArgumentParser()
    check.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["check", "--timeout", str(patience), *options, url])
    target = uri.parse(url)
    context = None
    if target.secure:
        context = tls.client_context(verify=not arguments.insecure, cafile=arguments.cafile)
    lines = []
    report = Report(lines.append)
    await check.check(arguments, target, context, report)
    assert all(len(line) < 80 for line in lines), lines
    return Found(report, lines)


def look(server, *options, patience=LONG):
    """Check a server that is made for one test."""

    async def both():
        async with server:
            url = f"ws://127.0.0.1:{server.port}/"
            return await examine(url, *options, patience=patience)

    return within(30, both())


def changed(*bases, **attributes):
    """A WrongServer with other methods or attributes."""
    return type("Changed", (*bases, WrongServer), attributes)()


class Talker:
    """A server that says some octets to everybody, and leaves or stays."""

    def __init__(self, octets, *, stay=False):
        self.octets, self.stay = octets, stay

    async def __aenter__(self):
        async def connected(reader, writer):
            writer.write(self.octets)
            try:
                while self.stay and await reader.read(65536):
                    pass
                if not self.stay:
                    await reader.read(1)
            finally:
                writer.close()

        self.server = await asyncio.start_server(connected, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()


def answers(status, *fields, body=b""):
    def connect(self, peer, stream_id):
        peer.headers(stream_id, [(":status", str(status)), *fields], end_stream=not body)
        if body:
            peer.send(f.data(stream_id, body, end_stream=True))

    return connect


def closes(*, code=None, end=None, reset=None, close=True):
    def answer(self, peer, stream_id, payload):
        if close:
            peer.ws(stream_id, CLOSE, payload if code is None else code.to_bytes(2, "big"))
        if end:
            peer.send(f.data(stream_id, b"", end_stream=True))
        if reset is not None:
            peer.send(f.rst_stream(stream_id, reset))

    return answer
