"""One of aioquic's own example programs, DNS over QUIC, over HTTP/2: its transport is exchanged."""

import asyncio
import importlib.metadata
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from h2ws_fast import quic
from tests.support.programs import missing, module

ROOT = Path(__file__).parents[2]


def example(name, where):
    """The program, of the release that is installed; its wheels leave the examples out."""
    version = importlib.metadata.version("aioquic")
    options = ("--quiet", "--no-deps", "--no-binary", ":all:", "--dest", str(where))
    fetched = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, f"aioquic=={version}"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    archives = list(where.glob("aioquic-*.tar.gz"))
    if not archives:
        missing("an example of aioquic's", f"pip download failed: {fetched.stderr[-200:]}")
    with tarfile.open(archives[0]) as archive:
        octets = archive.extractfile(f"aioquic-{version}/examples/{name}").read()
    program = where / name
    program.write_bytes(octets)
    return program


def resolver():
    """A protocol that answers each question for an A record with one address."""
    import dnslib as dns

    class Resolver(quic.QuicConnectionProtocol):
        def quic_event_received(self, event):
            if isinstance(event, quic.StreamDataReceived) and event.data:
                question = dns.DNSRecord.parse(event.data[2:])
                answer = question.reply()
                answer.add_answer(dns.RR("example.org", rdata=dns.A("192.0.2.7"), ttl=60))
                octets = bytes(answer.pack())
                octets = struct.pack("!H", len(octets)) + octets
                self._quic.send_stream_data(event.stream_id, octets, end_stream=True)

    return Resolver


@pytest.mark.timeout(330)  # a download, and what builds its metadata
def test_dns_over_quic(tmp_path):
    module("aioquic")
    module("dnslib")
    create_protocol = resolver()
    program = example("doq_client.py", tmp_path)

    async def run():
        async with quic.serve("127.0.0.1", 0, create_protocol=create_protocol) as server:
            port = server.sockets[0].getsockname()[1]
            asked = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.support.exchanged", str(program)),
                *("--host", "127.0.0.1", "--port", str(port), "--query-name", "example.org"),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                cwd=ROOT,
            )
            try:
                async with asyncio.timeout(60):
                    said, _ = await asked.communicate()
            finally:
                if asked.returncode is None:
                    asked.kill()
                    await asked.wait()
            return asked.returncode, said.decode()

    code, said = asyncio.run(run())
    assert code == 0, said
    assert "Received DNS answer" in said and "192.0.2.7" in said, said
