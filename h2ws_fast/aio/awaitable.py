"""Awaitables made by hand.

What a call hands out has its result as a rule, and then awaiting it is no more than two calls of C.
They pass for coroutines: `asyncio.create_task(ws.send(message))` works.
"""

ENDED = object()  # nothing to yield any more


class Awaited:
    """A coroutine without a body: it has its result or error already, or waits for one future.

    `source()` makes that future when the first `await` comes, or returns None where there is no
    need to wait any more.
    """

    __slots__ = ("error", "source", "value", "waiting")

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        result = self._step()
        if result is ENDED:
            raise StopIteration(self.value)
        return result

    def send(self, value):
        result = self._step()
        if result is ENDED:
            raise StopIteration(self.value)
        return result

    def _step(self):
        # What is to be yielded; ENDED says that nothing is, and that `value` is the result.
        waiting = self.waiting
        if waiting is None:
            if self.error is not None:
                raise self.error
            if self.source is None:
                return ENDED
            future = self.source()
            if future is None:
                return ENDED
            waiting = future.__await__()
            self.waiting = waiting
        try:
            return next(waiting)
        except StopIteration as stop:
            self.value = stop.value
            return ENDED

    def throw(self, kind, value=None, traceback=None):
        waiting = self.waiting
        if waiting is not None:
            if value is None and traceback is None:
                return waiting.throw(kind)
            return waiting.throw(kind, value, traceback)
        if value is None:
            value = kind() if isinstance(kind, type) else kind
        raise value

    def close(self):
        waiting = self.waiting
        if waiting is not None:
            self.waiting = None
            waiting.close()

    def done(self):
        """Is there nothing to wait for? After a `send` that need not wait this is true."""
        return self._is_ready()

    def _is_ready(self):
        return self.waiting is None and self.error is None and self.source is None


def _awaited():
    result = Awaited.__new__(Awaited)
    result.value = None
    result.error = None
    result.source = None
    result.waiting = None
    return result


def finished(value):
    """An Awaited that has its result."""
    result = _awaited()
    result.value = value
    return result


def failed(error):
    """An Awaited that raises."""
    result = _awaited()
    result.error = error
    return result


def pending(source):
    """An Awaited that waits for the future which `source` makes."""
    result = _awaited()
    result.source = source
    return result


def following(coroutine):
    """An Awaited that ends as `coroutine` does."""
    result = _awaited()
    result.waiting = coroutine.__await__()
    return result


READY = finished(None)


if hasattr(Awaited, "__pyx_vtable__"):
    # Compiled: the interpreter drives it by C slots, as it does a Receiver.
    _set_slots()  # noqa: F821  # stands in the .pxd
