"""What few WebSockets need, or only at their end: the others have no room for it."""


def still_waiting(futures):
    """Return the list of futures to which one more comes, without those that are done by now.

    Somebody may wait again and again, each time with a timeout.
    """
    if futures is None:
        return []
    if len(futures) & 15 == 15:
        return [each for each in futures if not (each[0] if type(each) is tuple else each).done()]
    return futures


class Extra:
    """Made when the first of it is needed."""

    __slots__ = (
        "callback",
        "closers",
        "conflated",
        "drainers",
        "id",
        "logger",
        "parts",
        "paused",
        "pings",
        "sending",
    )

    def __init__(self):
        self.callback = None  # the callback of messages, while they are held back
        self.paused = False
        self.conflated = None  # the latest message of `broadcast` that has no room yet
        self.parts = None  # messages in pieces, once `recv_streaming` was called
        self.id = None
        self.logger = None
        self.pings = None  # payload -> (future, when)
        self.drainers = None  # futures of send()
        self.closers = None  # futures of close(), wait_closed() and late send()
        self.sending = None  # a future, while a fragmented message is being sent
