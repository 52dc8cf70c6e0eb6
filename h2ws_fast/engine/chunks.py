"""What waits on the streams of a connection until it may leave.

Whoever changes this changes `chunks.pyx`; `tests/engine/test_chunks.py` feeds both.
"""

from .kernels import unmask

NONE = 0  # no node: the end of a chain


class Chunks:
    """The octets that wait on a connection's streams, as chains of nodes.

    A stream keeps the first and the last node of its chain. A node refers to the user's `bytes`
    or ASCII `str` (nothing is copied until `pour`), with the head of its WebSocket frame before it.
    """

    __slots__ = ("_free", "_nodes", "pushed")

    def __init__(self):
        self._nodes = [None]  # node 0 is NONE
        self._free = []
        self.pushed = 0  # octets of the node that came last

    def push(self, data, behind):
        """Hold `bytes` or ASCII `str` as they are, in the chain that ends with the node `behind`
        (NONE: in a chain of its own); return the node, of `pushed` octets."""
        return self._new(data if type(data) is bytes else data.encode(), behind)

    def push_frame(self, first_octet, data, masked, key, behind):
        """Hold one WebSocket frame (RFC 6455 section 5.2), shortest length, as `push` does.

        first_octet is FIN, RSV and opcode; data is `bytes` or ASCII `str`; where `masked` is true
        the frame carries `key` and its payload is masked by it.
        """
        if type(data) is not bytes:
            data = data.encode()
        n = len(data)
        bit = 0x80 if masked else 0
        if n < 126:
            head = bytes((first_octet, bit | n))
        elif n < 65536:
            head = bytes((first_octet, bit | 126)) + n.to_bytes(2, "big")
        else:
            head = bytes((first_octet, bit | 127)) + n.to_bytes(8, "big")
        if masked:
            head += key.to_bytes(4, "little")
            data = unmask(data, 0, n, key)
        return self._new(head + data, behind)

    def _new(self, data, behind):
        node = [NONE, data, 0]
        if self._free:
            index = self._free.pop()
            self._nodes[index] = node
        else:
            index = len(self._nodes)
            self._nodes.append(node)
        self.pushed = len(data)
        if behind:
            self._nodes[behind][0] = index
        return index

    def size(self, node):
        """Octets of this node that were not poured yet."""
        data = self._nodes[node]
        return len(data[1]) - data[2]

    def pour(self, node, out, n):
        """Move n octets of the chain that starts at `node` into an OutBuffer with room for them.

        Return the node that is now first, NONE where the chain ended. The chain holds at least n.
        """
        nodes = self._nodes
        while n:
            entry = nodes[node]
            data = entry[1]
            at = entry[2]
            left = len(data) - at
            if left > n:
                out.put(data[at : at + n])
                entry[2] = at + n
                return node
            out.put(data[at:] if at else data)
            n -= left
            nodes[node] = None
            self._free.append(node)
            node = entry[0]
        while node and self.size(node) == 0:  # an empty chunk right behind goes as well
            entry = nodes[node]
            nodes[node] = None
            self._free.append(node)
            node = entry[0]
        return node

    def drop(self, node):
        """Forget the chain that starts at `node`."""
        while node:
            entry = self._nodes[node]
            self._nodes[node] = None
            self._free.append(node)
            node = entry[0]
