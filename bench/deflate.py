"""permessage-deflate: messages of 1 KiB beside the same zlib bare, and what a WebSocket keeps.

`python -m bench.deflate NAME` holds idle WebSockets, compressed or plain, and prints the resident
octets of each; `run` starts it, in a process of its own for each figure.
"""

import gc
import json
import random
import statistics
import subprocess
import sys
import time

from .report import Table

NAME = b"permessage-deflate"
COUNT = 400
SIZE = 1024
HELD = 2000  # idle WebSockets, a connection for each 500

TAKEOVER = {"server_no_context_takeover": False, "client_no_context_takeover": False}


def messages():
    """As an application would send them: JSON of 1 KiB, no two alike."""
    words = random.Random(7692)
    made = []
    for number in range(COUNT):
        item = {
            "id": number,
            "type": "update",
            "user": {"name": f"user{words.randrange(1000)}", "email": f"u{number}@example.com"},
            "items": [
                {
                    "sku": f"{words.getrandbits(32):08x}",
                    "price": words.randrange(10000) / 100,
                    "quantity": words.randrange(10),
                    "tags": ["a", "b", words.choice(["red", "green", "blue"])],
                }
                for _ in range(8)
            ],
        }
        made.append(json.dumps(item).encode()[:SIZE].ljust(SIZE))
    return made


class Pair:
    """The engine's way and the library's, over the same messages."""

    def __init__(self, codec, takeover, payloads):
        from h2ws_fast.engine import Role
        from h2ws_fast.engine.agreement import ServerPerMessageDeflateFactory
        from h2ws_fast.engine.h1 import Upgraded

        options = TAKEOVER if takeover else {}
        factory = ServerPerMessageDeflateFactory(**options, threshold=0, codec=codec)
        self.agreed = factory.accept(NAME)[1]
        self.conn = Upgraded(Role.SERVER, auto_credit=True, agreed=self.agreed)
        self.takeover = takeover
        self.payloads = payloads
        self.packed = 0
        self.engine = self.agreed.compressor()

    def ours(self):
        send, pull = self.conn.send_message, self.conn.data_to_send
        for data in self.payloads:
            send(1, data)
        octets = 0
        while buffers := pull():
            octets += sum(map(len, buffers))
        self.packed = octets

    def bare(self):
        engine = self.engine
        for data in self.payloads:
            if not self.takeover:
                engine = self.agreed.compressor()
            _ = engine.compress(data) + engine.flush(2)


class Reading(Pair):
    """The same of what arrives, unmasked by the engine too."""

    def __init__(self, codec, takeover, payloads):
        import zlib

        super().__init__(codec, takeover, payloads)
        self.parts = []
        for data in payloads:
            if not takeover:
                self.engine = self.agreed.compressor()
            self.parts.append(self.engine.compress(data) + self.engine.flush(2))
        self.frames = []
        for part in self.parts:
            n = len(part) - 4
            head = b"\xc2" + (bytes((0x80 | n,)) if n < 126 else b"\xfe" + n.to_bytes(2, "big"))
            self.frames.append(head + bytes(4) + part[:-4])
        self.zlib = zlib
        self.packed = sum(map(len, self.frames))

    def ours(self):
        receive = self.conn.receive_data
        for frame in self.frames:
            receive(frame)

    def bare(self):
        engine = self.zlib.decompressobj(-15)
        for part in self.parts:
            if not self.takeover:
                engine = self.zlib.decompressobj(-15)
            engine.decompress(part, SIZE + 1)


def compared(pair, runs):
    """Microseconds a message each way, and the median of the ratios of interleaved runs."""
    ours, bare = [], []
    pair.ours()
    pair.bare()
    for _ in range(runs):
        for times, way in ((ours, pair.ours), (bare, pair.bare)):
            began = time.process_time()
            way()
            times.append((time.process_time() - began) / len(pair.payloads) * 1e6)
    ratio = statistics.median([a / b for a, b in zip(ours, bare, strict=True)])
    return min(ours), min(bare), ratio


def run(bench):
    if "compiled" not in bench.contenders:
        return
    try:
        import isal  # noqa: F401

        codecs = ("zlib", "isal")
    except ImportError:
        bench.note("left out: isal is not installed: pip install h2ws_fast[fast-deflate]")
        codecs = ("zlib",)
    payloads = messages()
    runs = 5 if bench.quick else 31
    table = Table(
        "deflate: messages of 1 KiB of JSON, the engine beside the library bare",
        ["us", "bare", "against bare", "size"],
        ["", "", "x", ""],
        note="CPU a message; framing, queues and unmasking are the engine's. Alone: without context "
        "takeover, a server's default",
    )
    worst = 0.0
    for codec in codecs:
        for takeover in (False, True):
            label = f"{codec}, {'taken over' if takeover else 'alone'}"
            bench.progress(label)
            pair = Pair(codec, takeover, payloads)
            mine, bare, ratio = compared(pair, runs)
            table.add(f"send, {label}", mine, bare, ratio, pair.packed / len(payloads) / SIZE)
            if codec == "zlib":
                worst = max(worst, ratio)
    for takeover in (False, True):
        label = f"receive, {'taken over' if takeover else 'alone'}"
        bench.progress(label)
        pair = Reading("zlib", takeover, payloads)
        mine, bare, ratio = compared(pair, runs)
        table.add(label, mine, bare, ratio, pair.packed / len(payloads) / SIZE)
    bench.figure("deflate", worst)
    bench.table(table)
    table = Table(
        "deflate: resident octets an idle WebSocket of a server",
        ["octets"],
        note=f"{HELD} on connections of 500; each has sent and received 1 KiB of JSON",
    )
    for name in ("plain", "default", "taken over"):
        bench.progress(f"idle: {name}")
        command = [sys.executable, "-m", "bench.deflate", name]
        octets = int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
        table.add(name, octets)
        if name == "default":
            bench.figure("deflate idle", octets)
    bench.table(table)


def held(name):
    """Resident octets of each of many idle WebSockets."""
    from h2ws_fast.engine import Connection, Role
    from h2ws_fast.engine.agreement import (
        ClientPerMessageDeflateFactory,
        ServerPerMessageDeflateFactory,
    )

    from .memory import resident

    data = messages()[0]
    options = TAKEOVER if name == "taken over" else {}
    offer = None if name == "plain" else ClientPerMessageDeflateFactory()
    accept = None if name == "plain" else ServerPerMessageDeflateFactory(**options)
    kept = []

    def move(one, other):
        events = []
        while buffers := one.data_to_send():
            for buffer in buffers:
                events += other.receive_data(bytes(buffer))
        return events

    def fill(streams):
        client = Connection(Role.CLIENT, auto_credit=True)
        server = Connection(Role.SERVER, auto_credit=True)
        for _ in range(2):
            move(client, server)
            move(server, client)
        for _ in range(streams):
            stream_id = client.connect_websocket("example.com", deflate=offer)
            move(client, server)
            server.accept_websocket(stream_id, deflate=accept)
            move(server, client)
            client.send_message(stream_id, data)
            move(client, server)
            server.send_message(stream_id, data)
            move(server, client)
            assert (server.deflated(stream_id) is None) == (name == "plain")
        kept.append(server)

    fill(50)
    gc.collect()
    before = resident()
    for _ in range(HELD // 500):
        fill(500)
    gc.collect()
    return (resident() - before) // HELD


if __name__ == "__main__":
    print(held(sys.argv[1]))
