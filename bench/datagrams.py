"""UDP packets in capsules, through both ends of the engine in one process (RFC 9297, 9298)."""

import random
import statistics

from .cases import Case
from .contenders import COMPILED, PURE, compare, ratio
from .report import Table
from .wire import extended_connect

SIZE = 1200  # what QUIC begins with
BATCH = 16
PATH = "/.well-known/masque/udp/192.0.2.6/443/"
REQUEST = extended_connect("connect-udp", PATH, capsule_protocol="?1")


class Datagrams(Case):
    """Packets go from a client to a proxy and come back: written as capsules, framed, read and
    given back to the window at both ends. `messages` counts each packet once each way."""

    def __init__(self, size, count):
        from h2ws_fast.engine import Connection, Role, capsules

        self.messages = 2 * count
        rng = random.Random(size)
        self.packets = [rng.randbytes(size) for _ in range(count)]
        self.client = Connection(Role.CLIENT)
        self.proxy = Connection(Role.SERVER)
        self.write = capsules.udp_datagram
        self.readers = [capsules.CapsuleReader(contexts=True) for _ in range(2)]
        self._carry(self.client, self.proxy)
        self._carry(self.proxy, self.client)
        self.client.request(REQUEST, end_stream=False)
        self._carry(self.client, self.proxy)
        self.proxy.respond(1, [(":status", "200")])
        self._carry(self.proxy, self.client)

    @staticmethod
    def _carry(sender, receiver):
        events = []
        while buffers := sender.data_to_send():
            events += receiver.receive_data(b"".join(buffers))
        return events

    def _way(self, sender, receiver, reader, packets):
        write, send = self.write, sender.send_data
        for packet in packets:
            send(1, write(packet))
        found = []
        for event in self._carry(sender, receiver):
            found += reader.receive(event.data)
            receiver.consumed(1, event.credit)
        self._carry(receiver, sender)  # WINDOW_UPDATE
        return found

    def _there_and_back(self):
        for at in range(0, len(self.packets), BATCH):
            packets = self.packets[at : at + BATCH]
            there = self._way(self.client, self.proxy, self.readers[0], packets)
            yield self._way(self.proxy, self.client, self.readers[1], there)

    def round(self):
        back = 0
        for packets in self._there_and_back():
            back += len(packets)
        assert back == len(self.packets), back

    def check(self):
        from .wire import digest

        back = [packet for packets in self._there_and_back() for packet in packets]
        assert back == self.packets, "the boundaries are lost"
        return digest([(1, False, packet) for packet in back])


def run(bench):
    table = Table(
        "datagrams: UDP packets as capsules, there and back through both ends of the engine",
        [COMPILED, PURE, "pure/compiled"],
        ["", "", "x"],
        f"packets a second and core, {BATCH} in a batch, boundaries compared",
    )
    for size in (64, SIZE):
        bench.progress(f"{size} octets")
        running = [bench.contenders[n] for n in (COMPILED, PURE) if n in bench.contenders]
        times = compare(running, "datagrams", bench.runs, bench.seconds, size=size, count=320)
        rates = [1 / statistics.median(times[n]) if n in times else None for n in (COMPILED, PURE)]
        both = COMPILED in times and PURE in times
        table.add(f"{size} octets", *rates, ratio(times[PURE], times[COMPILED]) if both else None)
        if size == SIZE and COMPILED in times:
            bench.figure("datagrams", rates[0])
    bench.table(table)
