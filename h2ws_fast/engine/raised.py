"""Calls of the application's functions that must not break off what calls them.

Whoever changes this changes `raised.pyx`; `tests/engine/test_raised.py` feeds both.
"""


class Raised:
    """What a function called by `attempt` raised, in the place of its result."""

    __slots__ = ("error",)

    def __init__(self, error):
        self.error = error


def attempt(function, argument):
    """Call a function with one argument; return what it returned, or `Raised` with its error."""
    try:
        return function(argument)
    except BaseException as error:
        return Raised(error)
