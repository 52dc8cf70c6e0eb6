"""A file that is sent: read by other threads, a piece at a time.

How few copies there may be. Octets of a file stand between frame headers, beside other streams and
mostly in TLS, so the kernel cannot be told to send them (sendfile). It could in cleartext HTTP/1.1,
but sendfile waits for the disk in the thread that calls it, which is the event loop's, and uvloop
has none. A mapped file (mmap) would save one copy, and wait for the disk in the event loop just the
same, where the engine touches a page that is not in memory; and where somebody shortens the file
meanwhile the process ends by SIGBUS. So each piece is read by a thread, without a buffer of
Python's in between, into the `bytes` that the engine keeps by reference until they leave: one copy
out of the kernel, and the one into the frames that TLS or the socket is given.
"""

from __future__ import annotations

import os
import threading
from typing import Any

__all__ = ["File"]


class File:
    """A file from its first octet to its last. Every method may wait for the disk.

    `size` is known, and `left` counts what was not read, once `begin` has returned. With the last
    octet the file is closed; `over` says that it is.
    """

    __slots__ = ("_lock", "_path", "_raw", "left", "over", "size")

    def __init__(self, path: Any) -> None:
        self._path = path
        self._lock = threading.Lock()  # a thread may read still when nobody waits for it any more
        self._raw: Any = None
        self.over = False
        self.size = 0
        self.left = 0

    def begin(self, limit: int) -> bytes:
        """Open it and return the first octets, at most `limit`. Raises OSError."""
        with self._lock:
            self._raw = open(self._path, "rb", buffering=0)
            self.size = self.left = os.fstat(self._raw.fileno()).st_size
            return self._read(limit)

    def read(self, limit: int) -> bytes:
        """Return the next octets. Raises RuntimeError where there are fewer than there were."""
        with self._lock:
            return self._read(limit)

    def _read(self, limit: int) -> bytes:
        limit = min(self.left, limit)
        piece: bytes = self._raw.read(limit)
        if limit and not piece:
            raise RuntimeError("The file became shorter while it was sent")
        self.left -= len(piece)
        if not self.left:
            self._close()
        return piece

    def close(self) -> None:
        """Close it before its end."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        self.over = True
        if self._raw is not None:
            self._raw.close()
