"""Resident octets of a server for each connection with one idle WebSocket, beside a bare echo's."""

import time

from .hold import raise_file_limit
from .memory import resident
from .report import Table
from .servers import BARE, PEERS, NotStarted, Server, certificate, hold

WANTED = 20_000
BESIDE = 64  # files that are no connections


def run(bench):
    whole = (bench.only or bench.check) and not bench.quick
    wanted = WANTED if whole else 500 if bench.quick else 2000
    files = wanted + BESIDE
    count = min(wanted, raise_file_limit(files) - BESIDE)
    if count < wanted:
        bench.note(
            f"{count} connections and not {wanted}: this process may not open more files, and may not "
            f"change that. Raise its hard limit to {files}: as root by `ulimit -n {files}` before, of a "
            f"container by `--ulimit nofile={files}`, of a login in /etc/security/limits.conf"
        )
    elif count < WANTED:
        bench.note(f"{count} idle connections here; --check and --only connections open {WANTED}")
    table = Table(
        f"connections: resident octets of the server for each of {count}, one idle WebSocket each",
        ["bare echo", "h2ws_fast", "over it", "ratio"],
        ["", "", "", "x"],
        "after one 31 octet message was echoed on each; kernel memory is not counted",
    )
    ours = next(peer for peer in PEERS if peer.module == "callback")
    with certificate() as files:
        for transport, key in (("cleartext", "connections"), ("TLS", "connections tls")):
            try:
                bare, held = (each(bench, peer, count, transport, files) for peer in (BARE, ours))
            except NotStarted as error:
                bench.note(f"left out: connections over {transport}: {error}")
                continue
            table.add(transport, bare, held, held - bare, held / bare)
            if count == WANTED or not bench.check:
                bench.figure(key, (held - bare) / 1024 if key == "connections" else held / bare)
    bench.table(table)


def each(bench, peer, count, transport, files):
    """Octets a connection."""
    bench.progress(f"{count} connections to {peer.name} over {transport}")
    tls = transport == "TLS"
    server = Server(peer, files if tls else None)
    try:
        hold(server, 50, tls).close()  # what the first connections alone cost
        time.sleep(0.3)
        before = resident(server.pid)
        client = hold(server, count, tls)
        time.sleep(0.5)
        held = resident(server.pid)
        client.close()
    finally:
        server.close()
    return (held - before) / count
