"""A handler's coroutine as its task has it.

Stepping a task for each message costs as much as everything else a handler's message costs: asyncio
looks into its own futures, and calls methods of any other. Where a handler waits for a message, it
therefore goes on without its task, which keeps waiting; whatever else comes of that, another future,
the end, an error, is kept, and the task takes it in its next step.
"""

import asyncio
import sys
from asyncio.tasks import _enter_task, _leave_task

from .hub import Driver, Waiter
from .step import step

NOTHING = object()

# The tasks that run, by loop, where asyncio keeps them up to 3.13: `_enter_task` and `_leave_task`
# take 900 instructions more to set and delete one, half of what a handler costs over a callback.
CURRENT = asyncio.tasks._current_tasks if sys.version_info < (3, 14) else None


class HandlerCoroutine(Driver):
    """What a handler's task runs in place of `coroutine`. `task` must be set once there is one.

    All that a coroutine has beside (`cr_frame`, `__qualname__`) is the coroutine's.
    """

    __slots__ = ("coroutine", "error", "held", "task", "waiter")

    def __init__(self, coroutine):
        self.coroutine = coroutine
        self.task = None
        self.waiter = None  # what it waits for, known to that
        self.held = NOTHING  # what it has yielded without the task ...
        self.error = None  # ... or how it has ended

    def __getattr__(self, name):
        return getattr(self.coroutine, name)

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    def send(self, value):
        """A step of the task."""
        self._leave()
        held = self.held
        if held is not NOTHING:
            self.held = NOTHING
            return self._yield(held)
        if self.error is not None:
            self._end()
        try:
            return self._yield(self.coroutine.send(value))
        except BaseException:
            self.task = None
            raise

    def throw(self, kind, value=None, traceback=None):
        """A step of the task, which was cancelled or waited for what failed."""
        self._leave()
        if value is None:
            value = kind() if isinstance(kind, type) else kind
        if self.error is not None:
            if isinstance(self.error, StopIteration):
                self.error = value  # as asyncio has it: who is cancelled in its last step is that
            self._end()
        held = self.held
        if held is not NOTHING:
            # Cancelled in the step that has yielded this: what it waits for is cancelled first.
            self.held = NOTHING
            if held is not None and type(held) is not Waiter and held.cancel(*value.args):
                return held
        try:
            return self._yield(self.coroutine.throw(value))
        except BaseException:
            self.task = None
            raise
        finally:
            value = None  # whose traceback has this frame

    def close(self):
        """The task will not run it to its end."""
        self._leave()
        self.task = None
        self.coroutine.close()

    def _yield(self, yielded):
        if type(yielded) is Waiter:
            waiter = yielded
            waiter.driver = self
            self.waiter = waiter
        return yielded

    def _leave(self):
        # Where it waited it waits no longer.
        waiter = self.waiter
        if waiter is not None:
            self.waiter = None
            waiter.driver = None

    def _end(self):
        error = self.error
        self.error = None
        self.task = None
        try:
            raise error
        finally:
            error = None  # whose traceback has this frame

    def _go_on(self, waiter, context):
        loop = waiter.hub.loop
        current = CURRENT
        if current is None or loop in current:
            _enter_task(loop, self.task)
        else:
            current[loop] = self.task
        try:
            yielded = step(self.coroutine, context)
        except BaseException as error:
            self.error = error
            return False
        finally:
            if current is None or current.get(loop) is not self.task:
                _leave_task(loop, self.task)
            else:
                del current[loop]
        if yielded is waiter and not waiter.cancelling:
            waiter._asyncio_future_blocking = False  # as the task says to whom it hears
            return True
        self.held = yielded
        return False
