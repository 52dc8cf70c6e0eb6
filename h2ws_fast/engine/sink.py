"""Where a stream's events go: RFC-free. `Connection.attach` puts a sink on a stream."""

from .kernels import bytes_message, data_event, text_message


class Sink:
    """Receives what happens on one stream, by direct call. Subclass it, or attach a callable.

    The methods are called while bytes are being received; they may call any verb of the connection
    but `receive_data`. Whoever takes a message calls `consumed(stream_id, credit)` when done.
    """

    __slots__ = ()

    def _message(self, data, credit):
        """A WebSocket message: `str` or `bytes`."""

    def _data(self, data, credit):
        """Octets of a body or tunnel."""

    def _event(self, event):
        """Anything else."""


class CallbackSink(Sink):
    """Turns the calls back into events for a plain callable."""

    __slots__ = ("stream_id", "callback")

    def __init__(self, stream_id, callback):
        self.stream_id = stream_id
        self.callback = callback

    def _message(self, data, credit):
        if type(data) is bytes:
            self.callback(bytes_message(self.stream_id, data, credit))
        else:
            self.callback(text_message(self.stream_id, data, credit))

    def _data(self, data, credit):
        self.callback(data_event(self.stream_id, data, credit))

    def _event(self, event):
        self.callback(event)
