"""The `h2ws-fast` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version

from .._twins import COMPILED

__all__ = ["CommandError", "main", "twin", "version"]


class CommandError(Exception):
    """What ends a command with one line for its user, and with this exit code."""

    def __init__(self, words: str, exit_code: int = 1) -> None:
        super().__init__(words)
        self.exit_code = exit_code


def twin() -> str:
    """Say which twin of the engine runs."""
    return "compiled" if COMPILED else "pure Python"


def version() -> str:
    """Return the version of the package, "source" in a tree that was never installed."""
    try:
        return installed_version("h2ws_fast")
    except PackageNotFoundError:
        return "source"


def _parser() -> argparse.ArgumentParser:
    from . import check, connect, echo, forward, gateway, serve, serve_tunnels

    parser = argparse.ArgumentParser(
        prog="h2ws-fast",
        description="WebSockets over HTTP/2 (RFC 8441): an echo server, a client, ASGI, a "
        "gateway, tunnels, and a check of other servers.",
        epilog="h2ws-fast COMMAND --help tells more of each.",
    )
    parser.add_argument(
        "--version", action="version", version=f"h2ws-fast {version()} ({twin()} engine)"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    echo.add_parser(commands)
    connect.add_parser(commands)
    serve.add_parser(commands)
    gateway.add_parser(commands)
    forward.add_parser(commands)
    serve_tunnels.add_parser(commands)
    check.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except CommandError as error:
        print(f"h2ws-fast: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more while it exits.
        sys.stdout = None  # nothing may be written any more
        return 1
