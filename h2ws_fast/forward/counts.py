"""What was forwarded."""

from __future__ import annotations

__all__ = ["Counts"]


class Counts:
    """Of one rule, or of all."""

    def __init__(self) -> None:
        self.opened = 0
        self.open = 0
        self.failed = 0
        self.sent = 0  # octets towards the target
        self.received = 0

    def __str__(self) -> str:
        return (
            f"{self.open} open, {self.opened} in all, {self.failed} failed, "
            f"{self.sent} octets sent, {self.received} received"
        )
