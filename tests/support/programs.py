"""Programs that a test needs: another HTTP/2 implementation, a browser, our own command.

A test without its program is skipped, and says which; with `H2WS_FAST_REQUIRE_PEERS=1`, which
`.ci/run` sets, it fails instead.
"""

import contextlib
import importlib.util
import os
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import pytest

PORTS = random.SystemRandom()  # no test's seed makes it give the same ones to two processes
REQUIRED = os.environ.get("H2WS_FAST_REQUIRE_PEERS", "") not in ("", "0")


def missing(what, remedy):
    """Skip, or fail where it is required."""
    reason = f"{what} is not installed: {remedy}"
    if REQUIRED:
        pytest.fail(f"{reason} (H2WS_FAST_REQUIRE_PEERS is set)", pytrace=False)
    pytest.skip(reason)


def program(name, package=None):
    """The path of a program; skips, or fails where it is required, where there is none."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        missing(name, f"sudo apt install {package or name}")
    return found


def module(name):
    """Skip, or fail where it is required, where a Python module is not installed."""
    if importlib.util.find_spec(name) is None:
        missing(name, f"pip install {name}")


def node_module(name, folder):
    """Skip, or fail where it is required, where Node finds no such module for scripts in a folder."""
    found = subprocess.run(
        [program("node", "nodejs"), "-e", f"require.resolve({name!r})"],
        cwd=folder,
        capture_output=True,
    )
    if found.returncode:
        missing(name, f"npm install --prefix {folder}")


def free_port():
    """A port of 127.0.0.1 that nobody has, and that nobody gets who asks the system for any, which
    gives those from 32768 on, or higher: so it is free still when a program takes it. Browsers
    refuse some up to 10080."""
    while True:
        port = PORTS.randrange(11_000, 32_768)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def bind_packets(make):
    """A socket of TCP that `make()` gives, and one for packets on the same address and port: TCP's is
    any that is free, and with UDP that may be somebody's."""
    for _ in range(20):
        stream = make()
        packets = socket.socket(stream.family, socket.SOCK_DGRAM)
        try:
            packets.bind(stream.getsockname())
        except OSError:
            packets.close()
            stream.close()
        else:
            return stream, packets
    raise AssertionError("no port is free for TCP and UDP")


def wait_for_port(port, process, seconds=60):
    """Wait until something accepts on a port; fail where the process ends before."""
    due = time.monotonic() + seconds
    while time.monotonic() < due:
        assert process.poll() is None, f"{process.args[0]} ended with {process.returncode}"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"{process.args[0]} does not accept on port {port}")


def end(process, patience_s):
    """End a process that may be over; kill it where it takes longer."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def running(arguments, **options):
    """A process that is ended with the block, by its own number and whole."""
    process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, **options)
    try:
        yield process
    finally:
        end(process, 5)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def read_line(process, seconds=60, output="stdout"):
    """The next line of a process's output, which must be unbuffered (`bufsize=0`)."""
    stream = getattr(process, output)
    line = b""
    while not line.endswith(b"\n"):
        readable, _, _ = select.select([stream], [], [], seconds)
        assert readable, f"{process.args} said nothing for {seconds} s but {line!r}"
        octet = stream.read(1)
        if not octet:
            break
        line += octet
    return line.decode()


COMMAND = [sys.executable, "-u", "-m", "h2ws_fast"]


class Command:
    """A command of ours that serves, in a process of its own."""

    def __init__(self, *arguments, stderr=subprocess.PIPE, **options):
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            bufsize=0,
            **options,
        )
        try:
            said = self._first_words()
            found = re.search(r"listening on (https?)://(.+):(\d+)\n", said)
            assert found, said
        except BaseException:
            self.process.kill()
            self.process.communicate()
            raise
        self.scheme, self.host, port = found.groups()
        self.port = int(port)

    def _first_words(self):
        self.first = read_line(self.process)
        return self.first

    @property
    def uri(self):
        return f"{'wss' if self.scheme == 'https' else 'ws'}://{self.host}:{self.port}"

    @property
    def url(self):
        return f"{self.scheme}://{self.host}:{self.port}"

    def stop(self, number=signal.SIGINT):
        """End it; return its exit code, and what else it wrote to stdout and stderr."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out.decode(), (err or b"").decode()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        end(self.process, 10)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None and not stream.closed:
                stream.close()


class Echo(Command):
    """`h2ws-fast echo` on a free port."""

    def __init__(self, *options):
        super().__init__("echo", "--port", "0", *options)

    def _first_words(self):
        self.first = read_line(self.process)
        return self.first + read_line(self.process)


class Serve(Command):
    """`h2ws-fast serve` on a free port; what it logs is in `log()`."""

    def __init__(self, app, *options, environment=None):
        module("uvicorn")
        self._log = tempfile.TemporaryFile()
        super().__init__(
            *("serve", app, "--port", "0", "--no-use-colors", *options),
            stderr=self._log,
            env={**os.environ, **(environment or {})},
        )

    def log(self):
        self._log.seek(0)
        return self._log.read().decode()

    def wait_for(self, words, count=1, seconds=60):
        """Wait until it has logged some words so often."""
        due = time.monotonic() + seconds
        while self.log().count(words) < count:
            assert time.monotonic() < due and self.process.poll() is None, self.log()
            time.sleep(0.05)

    def __exit__(self, *exc_info):
        super().__exit__(*exc_info)
        self._log.close()


class GatewayCommand(Command):
    """`h2ws-fast gateway` on a free port."""

    def __init__(self, *options):
        super().__init__("gateway", "--listen", "127.0.0.1:0", *options)

    def _first_words(self):
        self.first = read_line(self.process)
        return self.first + read_line(self.process)
