"""Asking for WebSockets on an HTTP/2 connection, for `h2ws-fast check`."""

from __future__ import annotations

from typing import NamedTuple

from ..aio.uri import Target
from ..engine import constants as c
from ..errors import H2WSError
from ..printable import printable
from .probe import Exchange, Fields, Probe, error_name
from .remedies import ERRORS, reset_remedy, status_remedy
from .report import Report

__all__ = ["Asked", "Handshakes", "received"]

BACKEND_S = 0.1  # after a 200: what a backend behind a proxy has to end the stream again
NOT_SENT = {  # RFC 9113 section 6.5.2: what holds for a setting that was not sent
    c.SETTINGS_INITIAL_WINDOW_SIZE: c.DEFAULT_WINDOW,
}


class Asked(NamedTuple):
    """What the user wants: fields of the handshake, and whether the server echoes (None: see)."""

    headers: Fields
    subprotocols: list[str]
    echo: bool | None
    seconds: float


class Handshakes:
    """Opens WebSockets on a connection, and words what became of them."""

    def __init__(self, target: Target, asked: Asked, report: Report) -> None:
        self.target = target
        self.asked = asked
        self.report = report
        self._probe: Probe | None = None
        self._pings = 0

    @property
    def probe(self) -> Probe:
        """The connection."""
        assert self._probe is not None
        return self._probe

    def _value(self, setting: int) -> int | None:
        value = NOT_SENT.get(setting)
        for each in self.probe.seen.settings:
            value = each.get(setting, value)
        return value

    async def _ping(self) -> bool:
        self._pings += 1
        return await self.probe.ping(b"check%03d" % (self._pings % 1000), self.asked.seconds)

    def _ask(self) -> int:
        return self.probe.websocket(
            self.target.authority,
            self.target.path,
            scheme=self.target.scheme,
            headers=self.asked.headers,
            subprotocols=self.asked.subprotocols,
        )

    def _exchange(self, stream_id: int) -> Exchange:
        return self.probe.exchanges[stream_id]

    async def _open(self, name: str) -> int | None:
        # A WebSocket, or a finding that says why there is none.
        report, probe = self.report, self.probe
        try:
            stream_id = self._ask()
        except H2WSError as error:
            self._not_asked(name, error)
            return None
        exchange = self._exchange(stream_id)
        await probe.until(lambda: exchange.answered, self.asked.seconds)
        took = exchange.took
        if exchange.opened:
            # What follows the 200 at once belongs to the answer. A proxy answers the PING itself:
            # its backend has some time more.
            await self._ping()
            await probe.until(lambda: exchange.over, BACKEND_S)
            if stream_id in probe.seen.ends and exchange.size == 0 and not received(exchange):
                report.fail(
                    name,
                    f"status {exchange.status}, and the stream was ended at once",
                    "the application, or the backend of a proxy, took it for an ordinary request: "
                    "its server announces extended CONNECT and does not know it, or no WebSocket "
                    "is at this path. Withdraw the setting, or use a server that hands "
                    "WebSockets on",
                    took,
                )
                return None
            if exchange.over and not received(exchange):
                report.fail(
                    name,
                    f"status {exchange.status}, then {self._ending(stream_id)}",
                    self._why_ended(stream_id),
                    took,
                )
                return None
            return stream_id
        if exchange.status is not None:
            await probe.until(lambda: exchange.over, min(1.0, self.asked.seconds))
            said = printable(exchange.body.decode("utf-8", "replace").strip())
            moved = exchange.field(b"location")
            report.fail(
                name,
                f"status {exchange.status}"
                + (f", location {moved}" if moved else "")
                + (f": {said}" if said else ""),
                status_remedy(exchange.status),
                took,
            )
            report.facts.setdefault("status", exchange.status)
            return None
        if exchange.over:
            report.fail(name, self._ending(stream_id), self._why_ended(stream_id), took)
        elif probe.over:
            report.fail(name, probe.why(), "the log of the server or proxy says why", took)
        else:
            probe.forget(stream_id)
            report.fail(
                name,
                f"no answer within {self.asked.seconds:g} s",
                "a proxy may keep the request until its body ends, which a WebSocket's never does; "
                "or the backend does not answer",
            )
        return None

    def _not_asked(self, name: str, error: H2WSError) -> None:
        # The connection takes no stream any more.
        goaway = self.probe.seen.goaway
        code = c.REFUSED_STREAM if goaway is None else goaway[0]
        why = str(error) if goaway is None and not self.probe.over else self.probe.why()
        remedy = "the log of the server or proxy says why"
        self.report.fail(name, f"not asked: {why}", ERRORS.get(code, remedy))

    def _ending(self, stream_id: int) -> str:
        # How a stream, or the connection under it, came to its end.
        probe = self.probe
        exchange = self._exchange(stream_id)
        closed = exchange.closed
        if stream_id in probe.seen.resets:
            return f"RST_STREAM({error_name(probe.seen.resets[stream_id])})"
        if exchange.reset is not None and not exchange.reset.remote:
            return f"the server broke HTTP/2: {printable(exchange.reset.reason)}"
        if probe.over:
            return probe.why()
        if closed is not None:
            if closed.sent is not None and not closed.received_first:
                code, reason = closed.sent
                if code != c.NORMAL_CLOSURE:
                    # The engine failed the WebSocket for what the server did.
                    return f"the server broke the protocol: Close {code} sent{_quoted(reason)}"
            if closed.received is not None:
                return f"Close {closed.received[0]}{_quoted(closed.received[1])}"
        return "END_STREAM without a Close"

    def _why_ended(self, stream_id: int) -> str:
        code = self.probe.seen.resets.get(stream_id)
        if code is not None:
            return reset_remedy(code)
        return "the log of the server or proxy says why; h2ws-fast connect --trace shows all frames"


def received(exchange: Exchange) -> bool:
    """Did the server send a Close?"""
    return exchange.closed is not None and exchange.closed.received is not None


def _quoted(reason: str) -> str:
    return f" '{printable(reason)}'" if reason else ""
