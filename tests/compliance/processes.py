"""Processes that end with the block that began them, however it is left."""

import asyncio
import contextlib
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Unable(Exception):
    """Something is missing or did not start: there is no verdict."""


async def _end(process):
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


@contextlib.asynccontextmanager
async def running(command, *, environment=None, log=None):
    """A process; its stdout is read by the caller unless it goes to the file `log` too."""
    output = asyncio.subprocess.PIPE if log is None else log.open("wb")
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=None if log is None else asyncio.subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            cwd=ROOT,
        )
    finally:
        if log is not None:
            output.close()
    try:
        yield process
    finally:
        await _end(process)


async def output_of(command, *, cwd=None, seconds=60):
    """What a command prints; Unable where it fails."""
    command = [str(part) for part in command]
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=cwd,
        )
    except OSError as error:
        raise Unable(f"{' '.join(command)}: {error}") from error
    try:
        async with asyncio.timeout(seconds):
            output, _ = await process.communicate()
    except TimeoutError:
        raise Unable(f"{' '.join(command)} took more than {seconds} s") from None
    finally:
        await _end(process)
    text = output.decode(errors="replace")
    if process.returncode:
        raise Unable(f"{' '.join(command)} ended with {process.returncode}:\n{text[-2000:]}")
    return text


async def wait_for_port(port, process, name):
    """Wait until a process accepts connections on a port."""
    for _ in range(200):
        if process.returncode is not None:
            raise Unable(f"{name} ended with {process.returncode}")
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.05)
    raise Unable(f"{name} does not accept on port {port}")


def of_twin(twin):
    """The environment in which a process runs one twin."""
    if twin == "pure":
        return {"H2WS_FAST_PURE": "1", "H2WS_FAST_REQUIRE_COMPILED": ""}
    return {"H2WS_FAST_PURE": "", "H2WS_FAST_REQUIRE_COMPILED": "1"}


@contextlib.asynccontextmanager
async def served(twin, *options):
    """Our server on one twin; yields its port."""
    command = [sys.executable, "-m", "tests.compliance.server", *options]
    async with _saying(command, twin, rf"(?P<port>\d+) {twin}\n") as port:
        yield port


@contextlib.asynccontextmanager
async def served_by_command(twin, *options):
    """The application of `tests.compliance.application` by `h2ws-fast serve`; yields its port."""
    command = [sys.executable, "-m", "h2ws_fast", "serve", "tests.compliance.application:app"]
    command += ["--port", "0", "--log-level", "critical", "--no-access-log", *options]
    engine = "pure Python" if twin == "pure" else twin
    async with _saying(command, twin, rf".* serve: {engine} engine, .*:(?P<port>\d+)\n") as port:
        yield port


@contextlib.asynccontextmanager
async def forwarding(twin, back, http):
    """`h2ws-fast gateway` before a port of 127.0.0.1 that speaks `http`; yields its own port."""
    command = [sys.executable, "-m", "h2ws_fast", "gateway", "--listen", "127.0.0.1:0"]
    command += ["--cleartext", "--upstream", f"http://127.0.0.1:{back}", "--http", http]
    engine = "pure Python" if twin == "pure" else twin
    pattern = rf".* gateway: {engine} engine, .*\n.*:(?P<port>\d+)\n"
    async with _saying(command, twin, pattern) as port:
        yield port


@contextlib.asynccontextmanager
async def _saying(command, twin, pattern):
    async with running(command, environment=of_twin(twin)) as process:
        said = ""
        async with asyncio.timeout(30):
            for _ in range(pattern.count(r"\n")):
                said += (await process.stdout.readline()).decode()
        found = re.fullmatch(pattern, said)
        if found is None:
            raise Unable(f"our server did not start on the {twin} twin: {said}")
        yield int(found["port"])
        if process.returncode is not None:
            raise Unable(f"our server ended with {process.returncode}")
