"""Talking over a WebSocket, and closing it, for `h2ws-fast check`."""

from __future__ import annotations

import time
from typing import Any

from ..engine import constants as c
from ..errors import H2WSError
from .handshakes import Handshakes, received
from .probe import Exchange, error_name

__all__ = ["AFTER_OPENING", "Conversations"]

ECHOES = ("text", "binary", "fragments", "large")
AFTER_OPENING = (
    "subprotocol",
    "compression",
    *ECHOES,
    "ping",
    "second",
    "close",
)
LARGE = 2**20
# With which an application closes that awaits text: Unsupported Data, Invalid Payload Data, Policy
# Violation, Internal Error (RFC 6455 section 7.4.1).
TEXT_ALONE = (1003, 1007, 1008, 1011)
ECHO_S = 3.0  # a server that echoes does it sooner


class Conversations(Handshakes):
    """What is done with an open WebSocket, to its end."""

    async def converse(self, stream_id: int) -> None:
        """Do all of it, on a WebSocket that was just opened."""
        self._negotiated(self._exchange(stream_id))
        stream_id = await self._echoes(stream_id)
        if self.probe.over:
            self.report.skip("the connection is over", "ping", "second", "close")
            return
        if self._exchange(stream_id).over:
            # A server that does not like our messages may have closed: go on with another.
            reopened = await self._open("ping")
            if reopened is None:
                self.report.skip("no WebSocket", "second", "close")
                return
            stream_id = reopened
        if await self._ws_ping(stream_id):
            await self._second()
        else:
            self.report.skip("the first one is stuck", "second")
        await self._close(stream_id)

    def _negotiated(self, exchange: Exchange) -> None:
        asked = self.asked.subprotocols
        if not asked:
            self.report.skip("none offered: --subprotocol NAME does", "subprotocol")
        elif exchange.subprotocol is None:
            self.report.warn(
                "subprotocol",
                f"none chosen of {', '.join(asked)}",
                "the server knows none of them, or a proxy drops sec-websocket-protocol; browsers "
                "that offered some then fail the WebSocket",
            )
        else:
            self.report.ok("subprotocol", f"{exchange.subprotocol} chosen of {', '.join(asked)}")
        chosen = exchange.field(b"sec-websocket-extensions")
        if chosen is None:
            self.report.skip(
                "permessage-deflate was offered and not taken: messages stay plain", "compression"
            )
        else:
            self.report.ok("compression", f"{chosen}; what follows is compressed, both ways")

    async def _echoes(self, stream_id: int) -> int:
        # Returns the WebSocket that was talked to last.
        if self.asked.echo is False:
            self.report.skip("--no-echo", *ECHOES)
            return stream_id
        text = "h2ws-fast check: ☃"
        found = await self._echo(stream_id, "text", [text], min(ECHO_S, self.asked.seconds))
        if not found:
            return stream_id
        binary = bytes(range(256))
        fragments = ["h2ws-", "fast ", "check: ☃"]
        steps: list[tuple[str, list[Any]]] = [
            ("binary", [binary]),
            ("fragments", fragments),
            ("large", [binary * (LARGE // 256)]),
        ]
        while steps:
            name, parts = steps.pop(0)
            if await self._echo(stream_id, name, parts, self.asked.seconds):
                continue
            if self._takes_text_alone(stream_id, name):
                reopened = await self._open("fragments")
                if reopened is not None:
                    stream_id = reopened
                    steps[-1] = ("large", ["0123456789abcdef" * (LARGE // 16)])
                    continue
                steps.pop(0)  # it has its finding
            self.report.skip("no echo before", *[left for left, _ in steps])
            break
        return stream_id

    def _takes_text_alone(self, stream_id: int, name: str) -> bool:
        # Did an application that is not said to echo everything close for a binary message?
        exchange = self._exchange(stream_id)
        return (
            name == "binary"
            and self.asked.echo is None
            and received(exchange)
            and exchange.closed.received[0] in TEXT_ALONE
        )

    async def _echo(self, stream_id: int, name: str, parts: list[Any], seconds: float) -> bool:
        # Say a message, in fragments where it has several parts; did it come back?
        probe, exchange = self.probe, self._exchange(stream_id)
        whole = parts[0][:0].join(parts)
        before = len(exchange.messages)
        begun = time.monotonic()
        try:
            if len(parts) == 1:
                probe.conn.send_message(stream_id, whole)
            else:
                for at, part in enumerate(parts):
                    probe.conn.send_fragment(stream_id, part, at == len(parts) - 1)
                    probe.flush()
        except H2WSError:
            pass  # it is over, which the next lines find
        probe.flush()

        def came() -> bool:
            return whole in exchange.messages[before:] or exchange.over

        await probe.until(came, seconds)
        took = time.monotonic() - begun
        others = exchange.messages[before:]
        if whole in others:
            self.report.ok(name, f"{_size(whole)} echoed", took)
            return True
        if name == "text" and self.asked.echo is None:
            # No server must echo: it was a question.
            if exchange.over:
                why = f"it does not echo but ended the WebSocket: {self._ending(stream_id)}"
            elif others:
                why = "it answers something else: no echo server"
            else:
                why = f"no echo within {seconds:g} s: no echo server"
            self.report.skip(why, *ECHOES)
            return False
        self._no_echo(stream_id, name, whole, others, seconds)
        if name == "text":
            self.report.skip("no echo before", *ECHOES[1:])
        return False

    def _no_echo(
        self, stream_id: int, name: str, whole: Any, others: list[Any], seconds: float
    ) -> None:
        report, probe = self.report, self.probe
        exchange = self._exchange(stream_id)
        if exchange.over and received(exchange) and exchange.closed.received[0] == 1009:
            report.warn(
                name,
                f"{_size(whole)} are too much for it: {self._ending(stream_id)}",
                "the server's limit on messages; raise it where the application needs more",
            )
        elif self._takes_text_alone(stream_id, name):
            report.warn(
                name,
                f"{_size(whole)} sent, then {self._ending(stream_id)}: it takes text alone",
                "what the application is written for, it seems; one that awaits text and is sent "
                "anything else fails, mostly with 1011, where 1003 would tell the client why",
            )
        elif exchange.over or probe.over:
            report.fail(
                name,
                f"{_size(whole)} sent, then {self._ending(stream_id)}",
                self._why_ended(stream_id),
            )
        elif waiting := probe.conn.waiting(stream_id):
            stream, rest = probe.seen.credit.get(stream_id, 0), probe.seen.credit.get(0, 0)
            report.fail(
                name,
                f"stalled: {waiting} octets wait after {seconds:g} s. WINDOW_UPDATE gave "
                f"{stream} octets for the stream, {rest} for the connection",
                "the server or proxy takes the octets and gives no credit back, or the "
                "application does not read",
            )
        elif others:
            kind = "text" if isinstance(others[0], str) else "binary"
            wanted = "text" if isinstance(whole, str) else "binary"
            report.fail(
                name,
                f"sent {wanted} of {_size(whole)}, got {kind} of {_size(others[0])} that "
                "is not the same",
                "the application changes messages, or something in between breaks them",
            )
        else:
            report.fail(
                name,
                f"no echo within {seconds:g} s",
                "does the application echo this? --no-echo leaves it out",
            )

    async def _ws_ping(self, stream_id: int) -> bool:
        probe, exchange = self.probe, self._exchange(stream_id)
        begun = time.monotonic()
        word = b"h2ws-fast"
        try:
            probe.conn.ping(stream_id, word)
        except H2WSError:
            pass  # it is over, which the next lines find
        probe.flush()
        await probe.until(lambda: word in exchange.pongs or exchange.over, self.asked.seconds)
        if word in exchange.pongs:
            self.report.ok("ping", "the WebSocket's ping has its pong", time.monotonic() - begun)
            return True
        if exchange.over or probe.over:
            seen = f"ping sent, then {self._ending(stream_id)}"
            self.report.fail("ping", seen, self._why_ended(stream_id))
        else:
            self.report.fail(
                "ping",
                f"no pong within {self.asked.seconds:g} s",
                "every WebSocket must answer pings (RFC 6455 section 5.5.2): keepalives of "
                "clients will close it. A server that is not reading answers none",
            )
        return False

    async def _second(self) -> None:
        if self._value(c.SETTINGS_MAX_CONCURRENT_STREAMS) == 1:
            self.report.skip("the server allows one stream at once", "second")
            return
        stream_id = await self._open("second")
        if stream_id is not None:
            self.report.ok(
                "second",
                "another WebSocket beside it, on the same connection",
                self._exchange(stream_id).took,
            )
            self.probe.close(stream_id)

    async def _close(self, stream_id: int) -> None:
        probe, report = self.probe, self.report
        exchange = self._exchange(stream_id)
        if exchange.over or probe.over:
            report.skip(f"it is over already: {self._ending(stream_id)}", "close")
            return
        begun = time.monotonic()
        probe.close(stream_id, "check")
        seen = probe.seen

        def ended() -> bool:
            return stream_id in seen.ends or stream_id in seen.resets

        await probe.until(ended, self.asked.seconds)
        took = time.monotonic() - begun
        if ended():
            await self._ping()  # a RST_STREAM behind END_STREAM
        reset = seen.resets.get(stream_id)
        closed = exchange.closed
        if closed is None or closed.received is None:
            if reset is not None or ended() or probe.over:
                report.fail(
                    "close",
                    f"Close 1000 sent, answered with {self._ending(stream_id)} and no Close",
                    "a server must answer Close with Close (RFC 6455 section 5.5.1) before it ends "
                    "the stream: browsers tell their pages 1006, and may use HTTP/1.1 from then on",
                    took,
                )
            else:
                probe.forget(stream_id)
                report.fail(
                    "close",
                    f"Close 1000 sent, no Close within {self.asked.seconds:g} s",
                    "the server does not take part in the closing handshake: clients wait for "
                    "their timeouts",
                )
            return
        code = closed.received[0]
        answer = "Close without a code" if code == c.NO_STATUS_RCVD else f"Close {code}"
        if stream_id in seen.ends:
            after = f", then RST_STREAM({error_name(reset)})" if reset is not None else ""
            words = f"Close 1000 answered with {answer} and END_STREAM{after}"
            if code in (c.NORMAL_CLOSURE, c.NO_STATUS_RCVD):
                report.ok("close", words, took)
            else:
                report.warn("close", words, "a server answers with the code it got", took)
        elif reset is not None:
            report.warn(
                "close",
                f"Close 1000 answered with {answer}, then RST_STREAM({error_name(reset)}) "
                "instead of END_STREAM",
                "a reset may overtake or discard the Close on its way: clients see 1006 now and "
                "then, and browsers may go back to HTTP/1.1 for this origin. End the stream",
                took,
            )
        elif probe.over:
            report.fail("close", f"{answer} came, then {probe.why()}", "the connection should stay")
        else:
            probe.forget(stream_id)
            report.fail(
                "close",
                f"Close 1000 answered with {answer}; no END_STREAM within {self.asked.seconds:g} s",
                "the stream stays half open and counts against MAX_CONCURRENT_STREAMS for ever: "
                "RFC 8441 section 5 has the end of the TCP connection become END_STREAM",
            )


def _size(data: Any) -> str:
    if len(data) == LARGE:
        return "1 MiB"
    octets = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return f"{len(octets)} octets"
