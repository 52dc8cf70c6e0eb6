"""What the connections of one event loop share, and what their readers wait with.

Every read of a loop goes through one buffer, which holds nothing between reads: the engine has
consumed it all before `buffer_updated` returns. An idle connection therefore owns no buffer.
"""

import asyncio
import contextvars
import logging
import threading
import weakref

from ..engine.buffers import Pool

logger = logging.getLogger("h2ws_fast.aio")

# What a stream's reader asks for at a time is not less than what one read brings: a piece that is
# more is taken apart, one more copy of every octet (bench/transport.py: 220 us of user time a MiB
# at the receiver, and 130 with this).
READ_BUFFER = 262144
LARGE_BLOCK = 4 * 2**20

# Waiter.state
IDLE = 0
YIELDED = 1  # handed to whoever drives the reader, who has not said yet whom to wake
ARMED = 2
WOKEN = 3


class Spoke:
    """What a Hub writes for: a Wire, of which nothing else is known here."""

    __slots__ = ()

    def _leave(self, now):
        """Verbs were called outside of a batch: write what they left behind."""

    def abort(self):
        """Writing failed: give the connection up."""


class Hub:
    """What the connections of one event loop share."""

    __slots__ = (
        "__weakref__",
        "buffer",
        "busy",
        "current",
        "dirty",
        "done",
        "known",
        "loop",
        "pool",
        "reads",
        "ready",
        "scheduled",
        "stepping",
        "time",
    )

    def __init__(self, loop):
        self.loop = loop
        self.time = loop.time
        # glibc gives the top of its heap back to the system at 128 KiB and maps what is larger, a
        # page fault for each page of each batch, until it sees a large block come and go: a 16 KiB
        # echo costs 1.5 us less from then on. Elsewhere this does nothing.
        bytes(LARGE_BLOCK)
        # A view: asyncio's TLS slices what it gets, and a slice of a bytearray is a copy.
        self.buffer = memoryview(bytearray(READ_BUFFER))
        self.pool = Pool()
        self.busy = False  # the engine reads from `buffer` right now
        self.current = None  # the Spoke whose batch is being handled
        self.dirty = []  # Spokes with something to send or to tell
        self.ready = []  # Waiters to wake
        self.scheduled = False
        self.stepping = False  # a reader that was woken runs right now
        self.reads = None  # of tunnels, past their transports
        self.known = {}  # what clients remember of origins, and texts that requests share
        # What a woken reader's task is told: a future that is done, since asyncio looks into its
        # own futures and calls methods of any other.
        self.done = loop.create_future()
        self.done.set_result(None)

    def schedule(self):
        """Make `flush` run soon."""
        if not self.scheduled:
            # In this order: in debug mode `call_soon` raises where another thread calls.
            self.loop.call_soon(self.flush)
            self.scheduled = True

    def flush(self):
        """Wake who is ready and write what verbs left behind."""
        self.scheduled = False
        if self.ready:
            self.wake()
        dirty = self.dirty
        if not dirty:
            return
        self.dirty = []
        now = self.time()
        for spoke in dirty:
            try:
                spoke._leave(now)
            except Exception:
                logger.exception("writing to a connection failed")
                spoke.abort()

    def wake(self):
        """Run every reader that got something. Never called from inside a task."""
        while self.ready:
            ready = self.ready
            self.ready = []
            for waiter in ready:
                waiter.run()


_thread = threading.local()


def running_hub():
    """Return the Hub of the running event loop."""
    loop = asyncio.get_running_loop()
    reference = getattr(_thread, "hub", None)
    hub = None if reference is None else reference()
    if hub is None or hub.loop is not loop:
        hub = Hub(loop)
        _thread.hub = weakref.ref(hub)
    return hub


def reraise(error):
    """Raise it: for `call_soon`, since the loop heeds what a transport that calls us swallows."""
    raise error


class Driver:
    """Who can go on at a Waiter without its task: a HandlerCoroutine, of which no more is known here."""

    __slots__ = ()

    def _go_on(self, waiter, context):
        """Take what has come. False: the task must step, and is told the rest."""


class Waiter:
    """What a reader yields to its task while it has nothing to read: a future used again and again.

    It looks like a future just as far as `asyncio.Task` looks: the task sets
    `_asyncio_future_blocking`, asks for the loop, adds its callback, and may cancel.
    """

    __slots__ = (
        "_asyncio_future_blocking",
        "callback",
        "cancelling",
        "context",
        "driver",
        "hub",
        "state",
    )

    def get_loop(self):
        return self.hub.loop

    def add_done_callback(self, callback, *, context=None):
        if self.state != YIELDED:
            raise RuntimeError("only the task that awaits a message may wait for it")
        self.callback = callback
        self.context = contextvars.copy_context() if context is None else context
        self.state = ARMED

    def remove_done_callback(self, callback):
        if self.state != ARMED or self.callback != callback:
            return 0
        self.reset()
        return 1

    def done(self):
        return self.state == IDLE or self.state == WOKEN

    def cancelled(self):
        return False

    def result(self):
        return None

    def exception(self):
        return None

    def cancel(self, msg=None):
        if self.state != ARMED:
            # Woken already: the task remembers it for its next step, which must come.
            self.cancelling = True
            return False
        callback = self.callback
        context = self.context
        self.reset()
        # From here on nobody waits: a message that comes now stays for the next reader.
        future = self.hub.loop.create_future()
        future.cancel(msg)
        self.hub.loop.call_soon(callback, future, context=context)
        return True

    def begin(self):
        """Somebody is about to wait: False where somebody already does."""
        if self.state != IDLE:
            return False
        self.state = YIELDED
        self._asyncio_future_blocking = True
        return True

    def reset(self):
        """Nobody waits any more."""
        self.state = IDLE
        self.callback = None
        self.context = None

    def wake(self):
        """There is something to read: run the reader at the end of the batch, or soon."""
        if self.state == ARMED:
            self.state = WOKEN
            self.hub.ready.append(self)
            if self.hub.current is None:
                self.hub.schedule()

    def wake_at_once(self):
        """There is something large to read: run the reader while that stands in the cache.

        Inside of a read that is, as a callback would: what the engine lets its sinks call, the
        reader may call.
        """
        hub = self.hub
        if hub.busy and not hub.stepping and self.state == ARMED:
            self.state = WOKEN
            self.run()
        else:
            self.wake()

    def run(self):
        """Let the reader's task go on, in its own context and outside of any other task."""
        if self.state != WOKEN:
            return
        hub = self.hub
        callback = self.callback
        context = self.context
        self.reset()
        stepping = hub.stepping
        hub.stepping = True
        try:
            if self.driver is not None and not self.cancelling:
                if self.driver._go_on(self, context):
                    self.callback = callback
                    self.context = context
                    self.state = ARMED
                    return
            self.cancelling = False
            context.run(callback, hub.done)
        except (SystemExit, KeyboardInterrupt) as error:
            # The transport that called us would swallow it; the loop does not.
            hub.loop.call_soon(reraise, error)
        except BaseException as error:
            hub.loop.call_exception_handler(
                {"message": "a task could not be woken", "exception": error}
            )
        finally:
            hub.stepping = stepping


def new_waiter(hub):
    waiter = Waiter.__new__(Waiter)
    waiter.hub = hub
    waiter.state = IDLE
    waiter.callback = None
    waiter.context = None
    waiter._asyncio_future_blocking = False
    waiter.driver = None
    waiter.cancelling = False
    return waiter
