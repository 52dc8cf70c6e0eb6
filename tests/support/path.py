"""Two hosts and a path between them: a delay, a rate, a queue, and packets that are lost.

    python -m tests.support.path RATE DELAY LOST IP

makes two network namespaces, prints their names, and passes IP packets between them until it is
ended: RATE octets a second each way, DELAY seconds each way, a queue of ten round trips, and every
LOST-th large packet dropped. It needs Linux, root, and `ip` of iproute2, whose path is IP. What TCP
makes of it is the kernel's own doing.
"""

import collections
import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import time

NEAR, FAR = "10.77.0.1", "10.77.0.2"
MTU = 1500
LARGE = 1000  # octets: a packet that carries data
QUEUE = 20  # delays: how long a packet waits at most for those before it
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000


def ip(*arguments):
    subprocess.run([PROGRAM, *arguments], check=True)


class Host:
    """A namespace, whose packets come and go through `file`."""

    def __init__(self, name, address):
        self.name = name
        self.file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        device = f"h2ws{os.getpid() % 100_000}{address[-1]}"
        request = struct.pack("16sH22x", device.encode(), IFF_TUN | IFF_NO_PI)
        fcntl.ioctl(self.file, TUNSETIFF, request)
        ip("netns", "add", name)
        ip("link", "set", device, "netns", name)
        for change in (
            f"addr add {address}/30 dev {device}",
            f"link set {device} mtu {MTU} up",
            "link set lo up",
        ):
            ip("-n", name, *change.split())


class Way:
    """What is under way from one host to the other."""

    def __init__(self, source, target, rate, delay, lost):
        self.source = source.file
        self.target = target.file
        self.rate = rate
        self.delay = delay
        self.lost = lost
        self.free = 0.0  # when the link has sent what it has
        self.large = 0
        self.packets = collections.deque()

    def take(self):
        packet = os.read(self.source, 65536)
        now = time.monotonic()
        if len(packet) > LARGE:
            self.large += 1
            if self.large % self.lost == 0:
                return
        if self.free - now > QUEUE * self.delay:
            return
        self.free = max(self.free, now) + len(packet) / self.rate
        self.packets.append((self.free + self.delay, packet))

    def give(self):
        """Return the seconds until a packet is due."""
        while self.packets:
            wait = self.packets[0][0] - time.monotonic()
            if wait > 0:
                return wait
            os.write(self.target, self.packets.popleft()[1])
        return 1.0


def main(rate, delay, lost):
    hosts = []
    try:
        for end, address in (("near", NEAR), ("far", FAR)):
            hosts.append(Host(f"h2ws-{os.getpid()}-{end}", address))
        near, far = hosts
        ways = [Way(near, far, rate, delay, lost), Way(far, near, rate, delay, lost)]
        print(near.name, far.name, flush=True)
        while True:
            wait = min(way.give() for way in ways)
            ready, _, _ = select.select([near.file, far.file], [], [], wait)
            for way in ways:
                if way.source in ready:
                    way.take()
    except KeyboardInterrupt:
        pass
    finally:
        for host in hosts:
            ip("netns", "delete", host.name)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    PROGRAM = sys.argv[4]  # of iproute2, which need not be in our PATH
    main(float(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
