"""The dynamic table of HPACK: RFC 7541 sections 2.3.2 and 4.

A list with the oldest entry at `_first`: inserting appends, evicting moves `_first` on and now and
then cuts off what lies before it, so that both cost O(1). Entries are ready-made fields, so that an
indexed field costs its receiver one reference.
"""

ENTRY_OVERHEAD = 32  # RFC 7541 section 4.1


class DynamicTable:
    """Entries by index (`get`, newest first) and, when searchable, by field or name (`find`).

    Both ends keep one; the encoder's is searchable. `size` and `max_size` are as RFC 7541
    section 4.1 counts them.
    """

    __slots__ = ("size", "max_size", "_entries", "_first", "_dropped", "_numbers")

    def __init__(self, max_size, searchable):
        self.size = 0
        self.max_size = max_size
        self._entries = []
        self._first = 0
        self._dropped = 0  # entries cut off the list: the number of its item 0
        self._numbers = {} if searchable else None  # field -> number of its newest entry, name too

    def count(self):
        """Entries in the table."""
        return len(self._entries) - self._first

    def get(self, index):
        """The entry at `index`, 0 being the newest; None beyond the oldest."""
        if index >= len(self._entries) - self._first:
            return None
        return self._entries[len(self._entries) - 1 - index]

    def find(self, key):
        """The index of the newest entry with this field (a tuple) or name (`bytes`), or -1."""
        number = self._numbers.get(key)
        if number is None:
            return -1
        return self._dropped + len(self._entries) - 1 - number

    def insert(self, field):
        """Add the newest entry, evicting the oldest; one larger than the table empties it."""
        name = field[0]
        value = field[1]
        need = len(name) + len(value) + ENTRY_OVERHEAD
        if need > self.max_size:
            # RFC 7541 section 4.4: "It is not an error to attempt to add an entry that is larger
            # than the maximum size; an attempt to add an entry larger than the maximum size
            # causes the table to be emptied of all existing entries ..."
            self._evict(0)
            return
        self._evict(self.max_size - need)
        if self._numbers is not None:
            number = self._dropped + len(self._entries)
            self._numbers[field] = number
            self._numbers[name] = number
        self._entries.append(field)
        self.size += need

    def resize(self, max_size):
        """Change the maximum size, evicting what is too much: RFC 7541 section 4.3."""
        self.max_size = max_size
        self._evict(max_size)

    def _evict(self, size):
        """Drop the oldest entries until at most `size` is left."""
        while self.size > size:
            field = self._entries[self._first]
            self._entries[self._first] = None
            name = field[0]
            value = field[1]
            self.size -= len(name) + len(value) + ENTRY_OVERHEAD
            if self._numbers is not None:
                self._forget(field, self._dropped + self._first)
            self._first += 1
        if self._first > 8 and self._first * 2 > len(self._entries):
            del self._entries[: self._first]
            self._dropped += self._first
            self._first = 0

    def _forget(self, field, number):
        if self._numbers[field] == number:
            del self._numbers[field]
        if self._numbers[field[0]] == number:
            del self._numbers[field[0]]
