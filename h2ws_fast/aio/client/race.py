"""TCP to whichever address of a name answers first: RFC 8305, Happy Eyeballs."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

__all__ = ["ATTEMPT_DELAY_S", "MAX_ADDRESSES", "adopt", "connect_tcp", "in_turn", "race"]

# Section 5: "A simple implementation can have a fixed delay [...] a recommended value for a default
# delay is 250 milliseconds."
ATTEMPT_DELAY_S = 0.25
# A name with a thousand addresses must not make a client knock at a thousand doors.
MAX_ADDRESSES = 16

# What getaddrinfo returns: family, type, protocol, canonical name, socket address.
Found: TypeAlias = "tuple[Any, int, int, str, Any]"


async def connect_tcp(
    protocol: Any,
    host: str,
    port: int,
    tls: dict[str, Any],
    *,
    family: int = 0,
    proto: int = 0,
    flags: int = 0,
    local_addr: tuple[str, int] | None = None,
    happy_eyeballs_delay: float | None = ATTEMPT_DELAY_S,
) -> Any:
    """Connect a protocol to `host` and `port`, with TLS where `tls` says so; return the transport.

    The addresses of a name are tried in the order of the system's resolver, families in turn, at
    most `MAX_ADDRESSES` of them: the next one begins `happy_eyeballs_delay` seconds after the last
    or when that has failed, and the first that answers wins. None: one after the other. The loops'
    `create_connection` does not do it (uvloop) or only where told (asyncio).

    `local_addr` is bound before; an address of the other family than its own is not tried. Raises
    OSError: the only one there was, or one with the text of all.
    """
    loop = asyncio.get_running_loop()
    found = await _resolve(loop, host, port, family, proto, flags)
    local: list[Found] | None = None
    if local_addr is not None:
        local = await _resolve(loop, *local_addr, family, proto, flags)
        families = {each[0] for each in local}
        found = [each for each in found if each[0] in families]
    turns = list(in_turn(found))[:MAX_ADDRESSES]
    if not turns:
        raise OSError(f"{host!r} has no address that can be connected to from here")
    if len(turns) == 1:
        transport, _ = await loop.create_connection(
            lambda: protocol,
            _numeric(turns[0]),
            port,
            family=turns[0][0],
            proto=proto,
            flags=flags,
            local_addr=local_addr,
            **tls,
        )
        return transport
    return await adopt(protocol, await race(loop, turns, local, happy_eyeballs_delay), tls)


async def adopt(protocol: Any, sock: socket.socket, tls: dict[str, Any]) -> Any:
    """Make a transport of a connected socket, which is the transport's from then on."""
    loop = asyncio.get_running_loop()
    ours = not isinstance(loop, asyncio.BaseEventLoop)
    try:
        transport, _ = await loop.create_connection(lambda: protocol, sock=sock, **tls)
    except (OSError, asyncio.CancelledError):
        if ours:
            _let_go(sock)
        else:
            sock.close()
        raise
    except BaseException:
        sock.close()
        raise
    if ours and transport.is_closing():
        _let_go(sock)
    return transport


def _let_go(sock: socket.socket) -> None:
    # uvloop forgets to tell a socket that is lost while its transport begins that its descriptor was
    # closed. Closed once more, when the socket is collected, it may be somebody else's by then.
    if sock.fileno() >= 0:
        sock.detach()


def _numeric(found: Found) -> str:
    address = found[4]
    scope = address[3] if len(address) > 3 else 0
    return f"{address[0]}%{scope}" if scope and "%" not in address[0] else str(address[0])


async def _resolve(
    loop: asyncio.AbstractEventLoop, host: str, port: int, family: int, proto: int, flags: int
) -> list[Found]:
    # An address is no question for a resolver: no thread is started for it.
    with contextlib.suppress(socket.gaierror):
        numeric = flags | socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return list(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, proto, numeric))
    return list(
        await loop.getaddrinfo(
            host, port, family=family, type=socket.SOCK_STREAM, proto=proto, flags=flags
        )
    )


def in_turn(found: Iterable[Found]) -> Iterator[Found]:
    """Addresses with their families in turn, beginning with that of the first: section 4."""
    families: dict[Any, list[Found]] = {}
    for each in found:
        families.setdefault(each[0], []).append(each)
    for row in itertools.zip_longest(*families.values()):
        yield from (each for each in row if each is not None)


async def _connect(
    loop: asyncio.AbstractEventLoop, to: Found, local: list[Found] | None
) -> socket.socket:
    family, kind, proto, _, address = to
    sock = socket.socket(family, kind, proto)
    try:
        sock.setblocking(False)
        if local is not None:
            sock.bind(next(each[4] for each in local if each[0] == family))
        await loop.sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def race(
    loop: asyncio.AbstractEventLoop,
    turns: list[Found],
    local: list[Found] | None = None,
    delay: float | None = ATTEMPT_DELAY_S,
) -> socket.socket:
    """Return a connected socket to the first that answers, which the caller owns. `turns`, `local`
    and `delay` are the addresses and `happy_eyeballs_delay` of `connect_tcp`; raises as that does.
    """
    running: set[asyncio.Task[socket.socket]] = set()
    errors: list[OSError] = []
    waiting = iter(turns)
    left = len(turns)
    winner: socket.socket | None = None
    try:
        try:
            while left or running:
                if left:
                    left -= 1
                    running.add(loop.create_task(_connect(loop, next(waiting), local)))
                done, running = await asyncio.wait(
                    running, timeout=delay if left else None, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    error = task.exception()
                    if error is None and winner is None:
                        winner = task.result()
                    elif error is None:
                        task.result().close()
                    elif isinstance(error, OSError):
                        errors.append(error)
                    else:
                        raise error
                if winner is not None:
                    return winner
        finally:
            await _drop(running)
    except BaseException:
        if winner is not None:
            winner.close()
        raise
    if len(errors) == 1 or len({str(error) for error in errors}) == 1:
        raise errors[0]
    raise OSError(errors[0].errno, "; ".join(str(error) for error in errors))


async def _drop(running: set[asyncio.Task[socket.socket]]) -> None:
    # Those that were slower. One may have come to its end in the meantime.
    for task in running:
        task.add_done_callback(_close)
        task.cancel()
    if running:
        await asyncio.wait(running)


def _close(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()
