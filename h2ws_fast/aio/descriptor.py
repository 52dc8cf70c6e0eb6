"""Octets to and from a descriptor that does not block, past whatever transport owns it.

The descriptor must be open: its number is reused as soon as it is not. Linux alone has `epoll`, and
nobody calls these elsewhere.
"""

import os
import select

MOST = 256  # descriptors in one answer


def send(fd, data):
    """Return how many octets of `data` the system took: 0 where it takes none, or would complain."""
    try:
        return os.write(fd, data)
    except OSError:
        return 0


def receive(fd, room):
    """Return octets that have come, at most as many as `room`, a writable memoryview, has place for.

    b"" says that no more will come, None that there are none now. Raises OSError.
    """
    try:
        n = os.readv(fd, (room,))
    except BlockingIOError:
        return None
    return room[:n].tobytes()


class Poll:
    """Which of many descriptors have something to read: epoll(7), which tells each news once.

    Whoever is told must read all there is, or ask to be told `again`. Raises OSError where the system
    refuses, also from `add`.
    """

    __slots__ = ("_epoll", "_found")

    def __init__(self):
        self._epoll = select.epoll()
        self._found = []

    def fileno(self):
        """Its own descriptor, on which there is something while there is on any of them."""
        return self._epoll.fileno()

    def close(self):
        """Give the descriptor back. Nothing may be asked afterwards."""
        self._epoll.close()

    def add(self, fd):
        """Watch this descriptor."""
        self._epoll.register(fd, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)

    def again(self, fd):
        """Tell of it once more if it still has something."""
        self._epoll.modify(fd, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)

    def remove(self, fd):
        """Watch it no more."""
        self._epoll.unregister(fd)

    def ask(self):
        """Return how many have news, without waiting: `which` and `plain` tell of each."""
        self._found = self._epoll.poll(0, MOST)
        return len(self._found)

    def which(self, index):
        """A descriptor that has news."""
        return self._found[index][0]

    def plain(self, index):
        """Is that nothing but octets, neither an end nor an error?"""
        return self._found[index][1] == select.EPOLLIN
