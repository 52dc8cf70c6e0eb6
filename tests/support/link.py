"""A network in between: TCP connections through a link of so many octets a second and a delay.

    python -m tests.support.link PORT RATE DELAY

listens on a port of its own, which it prints, and passes each connection on to PORT. It takes what
the link takes and no more, as a router with a short queue does.
"""

import asyncio
import collections
import socket
import sys

RECEIVE_BUFFER = 32768  # the kernel doubles it
QUEUE = 65536  # octets beyond what is on its way
PIECE = 8192


class Direction:
    """One way of one connection."""

    def __init__(self, source, target, rate, delay):
        self.source = source
        self.target = target
        self.rate = rate
        self.delay = delay
        self.under_way = collections.deque()
        self.size = 0
        self.changed = asyncio.Event()

    async def run(self):
        async with asyncio.TaskGroup() as group:
            group.create_task(self.read())
            group.create_task(self.write())

    async def read(self):
        loop = asyncio.get_running_loop()
        most = self.rate * self.delay + QUEUE
        free = 0.0  # when the link has sent what it has
        while True:
            data = await loop.sock_recv(self.source, PIECE)
            free = max(free, loop.time()) + len(data) / self.rate
            self.under_way.append((free + self.delay, data))
            self.size += len(data)
            self.changed.set()
            if not data:
                return
            while self.size > most:
                self.changed.clear()
                await self.changed.wait()

    async def write(self):
        loop = asyncio.get_running_loop()
        while True:
            while not self.under_way:
                self.changed.clear()
                await self.changed.wait()
            due, data = self.under_way.popleft()
            wait = due - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            if not data:
                self.target.shutdown(socket.SHUT_WR)
                return
            await loop.sock_sendall(self.target, data)
            self.size -= len(data)
            self.changed.set()


def endpoint():
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    sock.setblocking(False)
    return sock


async def carry(near, port, rate, delay):
    near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with near, endpoint() as far:
        await asyncio.get_running_loop().sock_connect(far, ("127.0.0.1", port))
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ways = [Direction(near, far, rate, delay), Direction(far, near, rate, delay)]
        await asyncio.gather(*(way.run() for way in ways), return_exceptions=True)


async def main(port, rate, delay):
    tasks = set()
    with endpoint() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        print(listener.getsockname()[1], flush=True)
        while True:
            near, _ = await asyncio.get_running_loop().sock_accept(listener)
            tasks.add(asyncio.create_task(carry(near, port, rate, delay)))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
