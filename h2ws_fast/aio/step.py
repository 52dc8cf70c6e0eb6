"""A step of a coroutine that no task takes.

Whoever changes this changes `step.pyx`; `tests/aio/test_handler.py` feeds both.
"""


def step(coroutine, context):
    """Let a coroutine go on in a context that is not entered; return what it yields.

    Raises what it raises, and StopIteration with its result where it ends.
    """
    return context.run(coroutine.send, None)
