"""A message that arrives in more than one piece: RFC 6455 section 5.4."""

from .buffers import Buffer


class Assembly:
    """A message that is still arriving.

    Where messages are handed over in pieces (`streaming`) it stays from then on: `buffer` is empty,
    `passed` counts what went on, and between messages `opcode` is 0. A compressed message has RSV1
    in `opcode`; of what came of it, `packed` octets, the buffer holds what they expand to,
    `mark` octets of it before the frame that is arriving.
    """

    __slots__ = (
        "buffer",
        "opcode",
        "utf8",
        "frames",
        "empty_frames",
        "passed",
        "packed",
        "mark",
        "streaming",
    )

    def begin(self, opcode):
        """A message begins; nothing of it came yet."""
        self.opcode = opcode
        self.utf8 = 0
        self.frames = 1
        self.empty_frames = 0
        self.passed = 0
        self.packed = 0
        self.mark = 0


def new_assembly(opcode):
    """Begin a message that comes in pieces; opcode 0: it is not there yet."""
    assembly = Assembly.__new__(Assembly)
    assembly.buffer = Buffer()
    assembly.streaming = False
    assembly.begin(opcode)
    return assembly
