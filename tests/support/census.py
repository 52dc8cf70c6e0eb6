"""What a process holds: objects of ours, blocks of Python's allocator, resident octets."""

import collections
import ctypes
import gc
import os
import sys

# AddressSanitizer keeps what was freed.
SANITIZED = "asan" in os.environ.get("LD_PRELOAD", "")


class Census:
    """A count of everything, taken after a collection. `found`: how much garbage that collected."""

    def __init__(self):
        self.found = gc.collect()
        gc.collect()
        self.garbage = len(gc.garbage)
        self.objects = collections.Counter(
            f"{type(each).__module__}.{type(each).__qualname__}"
            for each in gc.get_objects()
            if str(type(each).__module__).startswith(("h2ws_fast", "asyncio", "_asyncio", "uvloop"))
        )
        give_back()
        self.resident = resident()
        self.blocks = sys.getallocatedblocks() if hasattr(sys, "getallocatedblocks") else 0

    def more_than(self, before):
        """Objects of which there are more than before."""
        return {
            name: count - before.objects[name]
            for name, count in self.objects.items()
            if count > before.objects[name]
        }


def resident():
    """Octets of this process in memory; 0 where the system does not say, or says too much."""
    if SANITIZED:
        return 0
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def give_back():
    """Let the C library return what is free, so that only what is held counts."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        pass  # not glibc
