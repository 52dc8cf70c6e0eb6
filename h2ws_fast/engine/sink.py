"""Where a stream's events go. `Connection.attach` puts a sink on a stream."""

from .arrivals import bytes_message, data_event, text_message


class Sink:
    """Receives what happens on one stream, by direct call. Subclass it, or attach a callable.

    The methods are called while bytes are being received; they may call any verb of the connection
    but `receive_data`. Whoever takes a message calls `consumed(stream_id, credit)` when done.
    """

    __slots__ = ()

    def _message(self, data, credit):
        """A WebSocket message: `str` or `bytes`. One that is returned is sent back."""

    def _data(self, data, credit):
        """Octets of a body or tunnel."""

    def _event(self, event):
        """Anything else."""


def make_sink(stream_id, sink, on_message, auto_credit):
    """What `attach` puts on a stream: a Sink made of what it was given, or None."""
    if on_message is not None:
        if not callable(on_message):
            raise TypeError("on_message must be callable")
        if not auto_credit:
            raise ValueError("on_message returns no credit: make the connection with auto_credit")
    elif sink is None or isinstance(sink, Sink):
        return sink
    if not callable(sink):
        raise TypeError(
            "sink must be a callable beside on_message, else a Sink, a callable or None"
        )
    return CallbackSink(stream_id, sink, on_message)


class CallbackSink(Sink):
    """Turns the calls back into events for a plain callable.

    On a stream with the flag DIRECT `on_message` is called in its place: no event is made, and none is
    looked into, 30 ns less a message.
    """

    __slots__ = ("callback", "on_message", "stream_id")

    def __init__(self, stream_id, callback, on_message):
        self.stream_id = stream_id
        self.callback = callback
        self.on_message = on_message

    def _message(self, data, credit):
        if type(data) is bytes:
            self.callback(bytes_message(self.stream_id, data, credit))
        else:
            self.callback(text_message(self.stream_id, data, credit))
        return None

    def _data(self, data, credit):
        self.callback(data_event(self.stream_id, data, credit))

    def _event(self, event):
        self.callback(event)
