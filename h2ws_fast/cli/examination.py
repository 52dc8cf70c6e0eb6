"""What `h2ws-fast check` asks of an HTTP/2 connection, one thing after the other.

The order is that of a browser's day: SETTINGS, the WebSocket, messages, a second WebSocket, the
closing handshake; then whether the connection survived what it was used for. Where one step makes
another pointless, that one is skipped and says so.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from ..aio.uri import Target
from ..engine import constants as c
from ..errors import H2WSError
from ..printable import printable
from ..trace import SETTINGS
from .conversations import AFTER_OPENING, Conversations
from .handshakes import Asked
from .probe import Fields, Probe
from .remedies import NO_SETTING, reset_remedy, status_remedy
from .report import Report

__all__ = ["CHECKS", "Examination"]

CHECKS = (
    "settings",
    "max-streams",
    "window",
    "setting",
    "websocket",
    *AFTER_OPENING,
    "request",
    "unknown-protocol",
    "after-refusal",
)

FEW_STREAMS = 100  # RFC 9113 section 6.5.2 recommends no fewer
UNKNOWN = "h2ws-fast-check"  # a :protocol that nobody has


class Examination(Conversations):
    """The steps on one connection; where the server ends it, a later step may have a fresh one."""

    def __init__(
        self,
        target: Target,
        asked: Asked,
        report: Report,
        connect: Callable[[], Awaitable[Probe | None]],
    ) -> None:
        super().__init__(target, asked, report)
        self.works = False  # a WebSocket over HTTP/2 was opened
        self._connect = connect

    async def run(self, probe: Probe) -> None:
        """Examine a connection that was just made."""
        self._probe = probe
        try:
            await self._examine()
        finally:
            await self.probe.end()

    async def _examine(self) -> None:
        if not await self._settings():
            self.report.skip("no HTTP/2", *CHECKS[1:])
            return
        self._look_at_settings()
        can = self._setting()
        if can:
            stream_id = await self._websocket()
            if stream_id is None:
                self.report.skip("no WebSocket", *AFTER_OPENING)
            else:
                await self.converse(stream_id)
        else:
            self.report.skip("the setting is missing", "websocket", *AFTER_OPENING)
        await self._request()
        if can:
            await self._refusal()
        else:
            self.report.skip("the setting is missing", "unknown-protocol", "after-refusal")

    # -- SETTINGS -------------------------------------------------------------------------------

    async def _settings(self) -> bool:
        probe, report = self.probe, self.report
        begun = time.monotonic()
        probe.start()
        came = await probe.until(lambda: probe.conn.settings_received, self.asked.seconds)
        seen = probe.seen
        # The server may have ended it behind its SETTINGS.
        alive = came and await self._ping()
        if seen.settings:
            report.facts["settings"] = {
                SETTINGS.get(key, f"{key:#06x}"): value
                for each in seen.settings
                for key, value in each.items()
            }
        if alive:
            sent = [f"{name} = {value}" for name, value in report.facts["settings"].items()]
            report.ok(
                "settings",
                "\n".join(sent) or "an empty SETTINGS frame",
                time.monotonic() - begun,
            )
            return True
        if probe.over and seen.is_http2:
            code = seen.goaway[0] if seen.goaway else c.NO_ERROR
            remedy = "the log of the server says why; it may be full, or shutting down"
            if code:
                remedy = reset_remedy(code)
            report.fail("settings", probe.why(), remedy)
        elif seen.beginning.startswith(b"HTTP/"):
            line = printable(seen.beginning.partition(b"\r\n")[0])
            remedy = "it does not speak HTTP/2 in cleartext, or not on this port: wss:// with ALPN?"
            report.fail("settings", f"it answers in HTTP/1.1: {line}", remedy)
        elif seen.beginning and not seen.is_http2:
            remedy = "no HTTP here: is it the right port? TLS (wss://, https://) instead?"
            shown = printable(seen.beginning[:24])
            report.fail("settings", f"what comes is no HTTP: {shown}", remedy)
        elif probe.over:
            remedy = (
                "it does not know HTTP/2's preface: does the port speak TLS (wss://, https://)?"
            )
            report.fail("settings", probe.why(), remedy)
        elif came:
            remedy = "it speaks HTTP/2 and answers no PING, which every peer must: a stuck server?"
            report.fail("settings", f"no answer to a PING within {self.asked.seconds:g} s", remedy)
        else:
            remedy = "an HTTP/1.1 server waiting for the rest of a request does that"
            report.fail("settings", f"no SETTINGS within {self.asked.seconds:g} s", remedy)
        return False

    def _look_at_settings(self) -> None:
        streams = self._value(c.SETTINGS_MAX_CONCURRENT_STREAMS)
        if streams is None:
            self.report.ok("max-streams", "no limit on WebSockets and requests at once")
        elif streams == 0:
            self.report.fail(
                "max-streams",
                "0: nothing may be asked on this connection",
                "servers that shut down or are overloaded do that; otherwise raise the limit",
            )
        elif streams < FEW_STREAMS:
            self.report.warn(
                "max-streams",
                f"{streams} WebSockets and requests at once",
                "each open WebSocket holds one for as long as it lives, and what is beyond waits "
                "silently: raise the server's limit to the number of WebSockets a client may have",
            )
        else:
            self.report.ok("max-streams", f"{streams} WebSockets and requests at once")
        window = self._value(c.SETTINGS_INITIAL_WINDOW_SIZE) or 0
        seen = f"{window} octets may be sent on a stream before the server answers"
        if window == 0:
            self.report.warn(
                "window",
                f"{seen}: each WebSocket begins by waiting for its WINDOW_UPDATE",
                "legal, and stalls clients that do not expect it: allow some kilobytes",
            )
        else:
            self.report.ok("window", seen)

    def _setting(self) -> bool:
        value = self._value(c.SETTINGS_ENABLE_CONNECT_PROTOCOL)
        name = "SETTINGS_ENABLE_CONNECT_PROTOCOL"
        if value == 1:
            self.report.ok("setting", f"{name} = 1: extended CONNECT may be used")
            return True
        seen = "not sent" if value is None else f"= {value}"
        self.report.fail("setting", f"{name} {seen}", NO_SETTING)
        return False

    # -- opening --------------------------------------------------------------------------------

    async def _websocket(self) -> int | None:
        stream_id = await self._open("websocket")
        if stream_id is None:
            return None
        self.works = True
        exchange = self._exchange(stream_id)
        self.report.facts["status"] = exchange.status
        seen = f"status {exchange.status} to {self.target.path}"
        self.report.ok("websocket", seen, exchange.took)
        return stream_id

    # -- the connection afterwards --------------------------------------------------------------

    async def _request(self) -> None:
        probe, report = self.probe, self.report
        if probe.over:
            report.fail(
                "request",
                f"the connection did not live on: {probe.why()}",
                "one stream's end is no reason to end the connection, with all that is on it",
            )
            return
        fields = self._fields("GET", "/")
        try:
            stream_id = probe.request(fields)
        except H2WSError as error:
            self._not_asked("request", error)
            return
        exchange = self._exchange(stream_id)
        await probe.until(lambda: exchange.answered, self.asked.seconds)
        took = exchange.took
        if exchange.status is not None:
            if not await probe.until(lambda: exchange.over, min(1.0, self.asked.seconds)):
                probe.forget(stream_id)
            words = f"GET / on the same connection: status {exchange.status}"
            if exchange.status == 421 or exchange.status >= 502:
                report.warn("request", words, status_remedy(exchange.status), took)
            else:
                report.ok("request", words, took)
        elif exchange.over or probe.over:
            report.fail(
                "request", f"GET / got {self._ending(stream_id)}", self._why_ended(stream_id)
            )
        else:
            probe.forget(stream_id)
            report.fail(
                "request",
                f"no answer to GET / within {self.asked.seconds:g} s",
                "pages and WebSockets share this connection: is it stuck, or only this path?",
            )

    def _fields(self, method: str, path: str, protocol: str | None = None) -> Fields:
        fields = [(":method", method)]
        if protocol is not None:
            fields.append((":protocol", protocol))
        fields += [
            (":scheme", self.target.scheme),
            (":authority", self.target.authority),
            (":path", path),
        ]
        return fields + [
            (name.lower(), value)
            for name, value in self.asked.headers
            if not name.lower().startswith("sec-websocket-")
        ]

    async def _refusal(self) -> None:
        report = self.report
        if self.probe.over or self.probe.conn.draining:
            await self.probe.end()
            fresh = await self._connect()
            if fresh is None:
                report.skip("the server takes no other connection", *CHECKS[-2:])
                return
            self._probe = fresh
            fresh.start()
            if not await fresh.until(lambda: fresh.conn.can_connect, self.asked.seconds):
                report.skip("another connection has no setting", *CHECKS[-2:])
                return
        if not await self._unknown():
            report.skip("there was no refusal", "after-refusal")
            return
        if not self.works:
            report.ok("after-refusal", "the connection answers a PING after refusals")
            return
        stream_id = await self._open("after-refusal")
        if stream_id is not None:
            exchange = self._exchange(stream_id)
            report.ok("after-refusal", "a WebSocket opens on the same connection", exchange.took)
            self.probe.close(stream_id)
            await self.probe.until(lambda: exchange.over, min(1.0, self.asked.seconds))

    async def _unknown(self) -> bool:
        # An extended CONNECT that no server takes; does the connection live on?
        probe, report = self.probe, self.report
        name = "unknown-protocol"
        fields = self._fields("CONNECT", self.target.path, UNKNOWN)
        try:
            stream_id = probe.request(fields, end_stream=False)
        except H2WSError as error:
            self._not_asked(name, error)
            return False
        exchange = self._exchange(stream_id)
        await probe.until(lambda: exchange.answered, self.asked.seconds)
        took = exchange.took
        if not exchange.answered and not probe.over:
            probe.forget(stream_id)
            report.fail(
                name,
                f":protocol = {UNKNOWN}: no answer within {self.asked.seconds:g} s",
                "answer 501 to protocols that are not served (RFC 9220 section 3)",
            )
            return False
        if not await probe.until(lambda: exchange.over, min(0.3, self.asked.seconds)):
            probe.forget(stream_id)
        status = exchange.status
        got = f"status {status}" if status is not None else self._ending(stream_id)
        words = f":protocol = {UNKNOWN}: {got}"
        if not await self._ping():
            report.fail(
                name,
                f"{words}, and the connection ended: {probe.why()}"
                if probe.over
                else f"{words}, and no PING is answered any more",
                "one refused stream must not take all others with it: answer 501",
                took,
            )
            return False
        if status is None:
            report.warn(name, words, "a status (501) tells the client more than a reset", took)
        elif 200 <= status < 300 and stream_id in probe.seen.ends:
            report.warn(
                name,
                f"{words}, and the end of the stream",
                "it was answered as an ordinary request: answer 501 to what is not served",
                took,
            )
        elif 200 <= status < 300:
            report.fail(
                name,
                words,
                "it opens a WebSocket whatever :protocol says: look at it, and answer 501",
                took,
            )
            return False
        elif status < 400:
            report.warn(name, words, "answer 501 to protocols that are not served", took)
        else:
            report.ok(name, words, took)
        return True
