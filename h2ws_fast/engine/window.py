"""The receiving half of a flow-control window: RFC 9113 section 5.2 and 6.9.

`left` is what the peer may still send, `due` what it will be granted again with the next
WINDOW_UPDATE. `due` may be negative: octets of an incomplete message are granted at once, since a
message larger than the window could not arrive otherwise, and are charged when it is complete. It is also
lowered, by more than any window has, where the peer is to get nothing for a while.
"""

HELD_BACK = 1 << 40


class Window:
    """What the peer may send, on a stream or on the connection."""

    __slots__ = ("left", "due")

    def earn(self, n, size):
        """n octets are free again in a window of `size`: return the increment to announce, or 0.

        Announced in halves of the window, so that single octets do not cause single updates.
        """
        self.due += n
        if self.due * 2 < size or self.due <= 0:
            return 0
        increment = self.due
        self.due = 0
        self.left += increment
        return increment

    def withhold(self, held):
        """Grant nothing from now on, or all that is due. To do again what is so does nothing."""
        if held != (self.due < -(HELD_BACK >> 1)):
            self.due += -HELD_BACK if held else HELD_BACK
