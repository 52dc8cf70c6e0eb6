"""Hands to the application what a stream received: to its sink, or into the list of events."""

from .constants import CLOSED, OVER
from .events import SinkFailed
from .stream import Channel


class Delivery(Channel):
    """A channel with sinks, and with a list of events for streams that have none."""

    __slots__ = ("interrupt", "queue")

    def events(self):
        """Return what verbs, timeouts and drained streams caused since the last call.

        Raises what a sink raised that is no Exception (Ctrl-C), once; no event is lost by it.
        """
        if self.interrupt is not None:
            error = self.interrupt
            self.interrupt = None
            raise error
        events = self.queue
        self.queue = None
        return [] if events is None else events

    def tell(self, event):
        """Let `events` return this, or `receive_data` where it is being called."""
        if self.queue is None:  # an idle connection has no list
            self.queue = []
        self.queue.append(event)
        return 0

    def deliver_to(self, stream, data, credit):
        """Hand a message to the stream's sink, which has no DIRECT."""
        # Apart, since a `try` costs 30 instructions wherever it stands.
        sink = stream.sink
        try:
            answer = sink._message(data, credit)
            if answer is not None:
                self.take_answer(stream, answer)
        except BaseException as error:
            self.sink_failed(stream, error)

    def take_answer(self, stream, answer):
        """A sink returned this: it is sent back."""
        layer = stream.layer
        error = layer.answer(self, stream, answer)
        if error is not None:
            self.sink_failed(stream, error)

    def emit(self, stream, event):
        sink = stream.sink
        if sink is None:
            self.tell(event)
        else:
            try:
                sink._event(event)
            except BaseException as error:
                self.sink_failed(stream, error)
        return 0

    def sink_failed(self, stream, error):
        """Only this stream suffers. What is no Exception leaves once everything was read."""
        if not isinstance(error, Exception):
            if self.interrupt is None:
                self.interrupt = error
            return
        self.tell(SinkFailed(stream.id, error))
        if stream.state != CLOSED and not stream.flags & OVER:
            self.fail_application(stream)

    def fail_application(self, stream):
        """The application failed on a stream: 1011 for a WebSocket, else INTERNAL_ERROR."""
