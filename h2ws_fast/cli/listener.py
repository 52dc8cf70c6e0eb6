"""The socket that a command listens on."""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import Any

from . import CommandError

__all__ = ["BACKLOG", "bind", "bind_path", "inherited", "listening", "url_of"]

BACKLOG = 4096


def bind(host: str, port: int, *, share: bool = False) -> socket.socket:
    """Return a socket that listens on `host` and `port`, 0 for a free one.

    With `share` it only holds the port, for others made by `listening`. Raises CommandError where
    the address cannot be had.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        if share and port:
            # Whoever else has the port, even one that would share it, is somebody else.
            listening(family, address, share=False).close()
        return listening(family, address, share=share)
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno == errno.EADDRINUSE:
            reason = "the address is in use; choose another --port, or 0 for any"
        raise CommandError(f"cannot listen on {host}:{port}: {reason}") from error


def listening(family: int, address: Any, *, share: bool) -> socket.socket:
    """Return a bound socket; it listens unless it is one of several that `share` the port."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
        if not share:
            listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def bind_path(path: str) -> socket.socket:
    """Return a Unix socket that listens at `path`, for everybody who may enter its folder.

    A socket that another process left there is replaced. Raises CommandError.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise CommandError("this system has no Unix sockets")
    listener = socket.socket(socket.AF_UNIX)
    try:
        if os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode):
            os.remove(path)
        listener.bind(path)
        os.chmod(path, 0o666)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise CommandError(f"cannot listen at {path}: {error.strerror or error}") from error
    return listener


def inherited(fd: int) -> socket.socket:
    """Return a socket around a file descriptor that the parent process handed over."""
    try:
        listener = socket.socket(fileno=os.dup(fd))
        listener.listen(BACKLOG)
    except OSError as error:
        raise CommandError(f"cannot listen on file descriptor {fd}: {error.strerror}") from error
    return listener


def url_of(listener: socket.socket, host: str, *, secure: bool) -> str:
    """Return the URL under which `host` asks a listener."""
    host = host or "localhost"
    if ":" in host:
        host = f"[{host}]"
    return f"{'https' if secure else 'http'}://{host}:{listener.getsockname()[1]}"
