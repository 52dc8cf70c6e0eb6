"""The events of the hot path: what arrived as often as messages do.

Whoever changes this changes `arrivals.pyx`; `tests/engine/test_arrivals.py` feeds both.
"""


class TextMessage:
    """A WebSocket text message arrived: `data` is `str`.

    `credit` is what it counts while nobody has taken it: its octets, and 64 for what holds them.
    When the application has taken it, `Connection.consumed(stream_id, credit)` lets the peer send
    as much again (not needed with `auto_credit=True`).
    """

    __slots__ = ("stream_id", "data", "credit")

    def __init__(self, stream_id=0, data="", credit=0):
        self.stream_id = stream_id
        self.data = data
        self.credit = credit

    def __eq__(self, other):
        return type(other) is TextMessage and _fields(self) == _fields(other)

    __hash__ = None

    def __repr__(self):
        return f"TextMessage(stream_id={self.stream_id}, data={self.data!r}, credit={self.credit})"


class BytesMessage:
    """A WebSocket binary message arrived: `data` is `bytes`. See `TextMessage` for `credit`."""

    __slots__ = ("stream_id", "data", "credit")

    def __init__(self, stream_id=0, data=b"", credit=0):
        self.stream_id = stream_id
        self.data = data
        self.credit = credit

    def __eq__(self, other):
        return type(other) is BytesMessage and _fields(self) == _fields(other)

    __hash__ = None

    def __repr__(self):
        return f"BytesMessage(stream_id={self.stream_id}, data={self.data!r}, credit={self.credit})"


class Data:
    """Octets of a body or tunnel arrived: `data` is `bytes`, and their number is `credit`."""

    __slots__ = ("stream_id", "data", "credit")

    def __init__(self, stream_id=0, data=b"", credit=0):
        self.stream_id = stream_id
        self.data = data
        self.credit = credit

    def __eq__(self, other):
        return type(other) is Data and _fields(self) == _fields(other)

    __hash__ = None

    def __repr__(self):
        return f"Data(stream_id={self.stream_id}, data={self.data!r}, credit={self.credit})"


def _fields(event):
    return event.stream_id, event.data, event.credit


def text_message(stream_id, data, credit):
    event = TextMessage.__new__(TextMessage)
    event.stream_id = stream_id
    event.data = data
    event.credit = credit
    return event


def bytes_message(stream_id, data, credit):
    event = BytesMessage.__new__(BytesMessage)
    event.stream_id = stream_id
    event.data = data
    event.credit = credit
    return event


def data_event(stream_id, data, credit):
    event = Data.__new__(Data)
    event.stream_id = stream_id
    event.data = data
    event.credit = credit
    return event
