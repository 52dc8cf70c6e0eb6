"""What a measured case is, in whatever contender: a round of work that can be repeated."""

import gc
import time

clock = time.thread_time  # the machine may be shared: time that others take does not count


class Case:
    """Work in rounds. `messages` is how many messages (handshakes, calls) one round handles.

    A subclass has `round()`, the work that is measured, and `check()`, which does it once, keeps
    everything and returns the digest of what came out; what is only held (Idle) has neither.
    """

    messages = 1

    def prepare(self):
        """Not timed: bring everything to where a round can start, with windows reopened."""


class Once(abc.ABC):
    """Work that is done once, and measures itself."""

    messages = 1

    @abc.abstractmethod
    def once(self):
        """Do it; return what was found, by name."""


def measure(case, seconds):
    """Repeat the round for about so long; return CPU seconds a message."""
    spent, rounds = 0.0, 0
    gc.collect()
    while rounds == 0 or spent < seconds:
        case.prepare()
        started = clock()
        case.round()
        spent += clock() - started
        rounds += 1
    return spent / (rounds * case.messages)
