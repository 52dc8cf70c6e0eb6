"""What a measured case is, in whatever contender: a round of work that can be repeated."""

import abc
import gc
import time

clock = time.thread_time  # the machine may be shared: time that others take does not count


class Case(abc.ABC):
    """Work in rounds. `prepare` is not timed, `round` is, `check` says what came out.

    `messages` is how many messages (handshakes, frames, calls) one round handles.
    """

    messages = 1

    def prepare(self):  # noqa: B027  # many have nothing to prepare
        """Bring everything to where a round can start: fresh state, windows reopened."""

    @abc.abstractmethod
    def round(self):
        """Do the work that is measured."""

    @abc.abstractmethod
    def check(self):
        """Do the round once, keeping everything; return the digest of what came out."""


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
