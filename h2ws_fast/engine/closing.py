"""What a Close frame may say, and what the two of a WebSocket said: RFC 6455 sections 5.5.1 and 7."""

from .constants import ABNORMAL_CLOSURE, NO_STATUS_RCVD


def is_close_code(code):
    """May this close code stand in a Close frame? RFC 6455 section 7.4 and the IANA registry."""
    if 1000 <= code <= 1014:
        return code != 1004 and code != NO_STATUS_RCVD and code != ABNORMAL_CLOSURE
    return 3000 <= code <= 4999


def check_close(code, reason, client):
    """Raise ValueError or TypeError for what must not stand in a Close frame of ours."""
    if not isinstance(reason, str):
        raise TypeError("reason must be str")
    if code is None:
        if reason:
            raise ValueError("a Close without a code has no reason")
        return
    if (
        not isinstance(code, int)
        or not 0 < code < 5000
        or not is_close_code(code)
        or (code == 1010 and not client)
    ):
        raise ValueError(f"close code {code!r} must not be sent: RFC 6455 section 7.4")
    if len(reason.encode()) > 123:
        raise ValueError("reason must not exceed 123 octets of UTF-8")


class Closing:
    """The Close frames of a WebSocket, each way: code 1005 stands for a frame without a code."""

    __slots__ = ("received_code", "received_reason", "sent_code", "sent_reason")


def new_closing():
    """Nothing was said yet."""
    closing = Closing.__new__(Closing)
    closing.received_code = 0
    closing.received_reason = ""
    closing.sent_code = 0
    closing.sent_reason = ""
    return closing
