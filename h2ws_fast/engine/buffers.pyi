# What of the buffers an application sees: the pool.

from typing import final

@final
class Pool:
    def __init__(self, capacity: int = 65536) -> None: ...
