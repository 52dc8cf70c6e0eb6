"""One request on its way through the gateway: from its head to the end of what it opened."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from ..aio.h1.answer import MAX_INFORMED
from ..engine.constants import CANCEL, INTERNAL_ERROR, NO_ERROR, REFUSED_STREAM
from ..engine.dialect import Upgrade
from ..engine.events import Informed, Opened, Reset, Responded
from ..errors import LocalProtocolError, StreamClosed
from .fields import Refused, answer_fields, nominated, response_fields, trailer_fields
from .keepalive import ask_peer
from .relay import Half

if TYPE_CHECKING:
    from .opened import Onward, OwnWire
    from .table import Token
    from .upstream import Upstream
    from .wire import GatewayWire

__all__ = ["LAST_WORDS_S", "Crossing"]

# May be sent again where a backend has not answered: RFC 9110 section 9.2.2.
IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))
MAX_TRIES = 3
REFUSED_S = 0.05  # before another try where a backend has no room, then twice as long: see `Pool`
LAST_WORDS_S = 1.0  # what was said before an end shall arrive
NOTHING: set[bytes] = set()
LOOKS = 4  # at what moves, in each `body_timeout` and `tunnel_timeout`


class Crossing:
    """Carries one request from `front` to a backend, and the answer back.

    Or the other way round, a stream that a backend opens: then the client is what is asked.
    A task runs until the backend has the request; from then on there are only events.
    """

    __slots__ = (
        "_answered",
        "_backend",
        "_bodiless",
        "_fields",
        "_informed",
        "_method",
        "_named",
        "_path",
        "_seen",
        "_started",
        "_still",
        "_tries",
        "_upstream",
        "address",
        "authority",
        "back",
        "expects",
        "front",
        "how",
        "left",
        "opened",
        "over",
        "status",
        "switches",
        "task",
        "timer",
        "token",
    )

    def __init__(
        self,
        wire: GatewayWire | OwnWire,
        event: Any,
        upstream: Upstream | Onward,
        fields: Any,
        how: Token | None = None,
    ) -> None:
        self.how = how  # where the request itself says how it is to be asked for
        self.switches = False  # it came in the dialect, and so does the answer
        self.token: str | None = None if event.protocol is None else event.protocol.lower()
        self._method = "CONNECT" if self.token else event.method
        self._path = event.path
        self._upstream: Upstream | Onward | None = upstream
        self._fields = fields
        # What Connection makes fields of one hop: of the request, and of the answer.
        self._named = (nominated(event.headers), NOTHING)
        self._backend: Any = None  # with which it counts
        self.address = ""  # of that backend, also when it is over
        self.left: tuple[Any, ...] = ()  # backends that hung up on it
        self.authority = event.authority
        self._started = wire.hub.time()
        self._tries = 0
        self._informed = 0  # interim answers
        self._seen = 0  # octets, both ways, at the last look
        self._still = 0  # looks at which there were no more
        self._answered = False  # the client has the head of an answer
        self.opened = False  # the tunnel is open
        self.over = False
        self.status = 0
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.expects = any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in event.headers
        )
        self.front = Half(self, wire, event.stream_id)
        self.back = Half(self)
        self.front.other = self.back
        self.back.other = self.front
        self._bodiless = event.ended and self.token is None
        if self._bodiless:
            self.front.ended = True
            self.front.early = None
        wire.conn.attach(event.stream_id, self.front)
        wire.route(event.stream_id, self.front.feed)

    # -- towards the backend --------------------------------------------------------------------

    def start(self) -> None:
        """Begin, or begin again."""
        wire = self.front.wire
        self._tries += 1
        if self.token is not None and self.timer is None:
            self._set_clock(wire.server.options.patience_s)
        self.task = wire.hub.loop.create_task(self._run())
        wire._own(self.task)

    async def _run(self) -> None:
        upstream = self._upstream
        assert upstream is not None
        try:
            await upstream.start(self)
        except asyncio.CancelledError:
            if not self.over:  # the gateway shuts down
                self._refuse(503, "shutting down")
            raise
        except Refused as error:
            self._refuse(error.status, error.reason)
        except Exception:
            self.front.wire.server.logger.exception("a request could not be forwarded")
            self._refuse(500, "the gateway failed")
        finally:
            self.task = None

    @property
    def whole(self) -> bool:
        """Is there nothing to come behind the request's head?"""
        return self.front.ended and self.front.early is None

    @property
    def again(self) -> bool:
        """Was it sent before, in vain?"""
        return self._tries > 1

    @property
    def head(self) -> list[tuple[Any, Any]]:
        """The request's head, with its pseudo-fields."""
        return self._fields  # type: ignore[no-any-return]

    def begun(self, wire: Any, stream_id: int, backend: Any) -> None:
        """The backend has the head: `wire` and `stream_id` are the other end.

        `backend.release()` is called once, when it is over.
        """
        self._backend = backend
        self.address = backend.address
        if self.over:
            self._undo(wire, stream_id)
            return
        back = self.back
        back.wire = wire
        back.stream_id = stream_id
        back.early = None
        wire.conn.attach(stream_id, back)
        body = self.token is None or (self.how is not None and self.how.body)
        if body and self.front.early is not None:
            self.front.flow()
        wire.touch()
        if self.front.ended:
            self._await_answer()

    def _undo(self, wire: Any, stream_id: int) -> None:
        try:
            wire.conn.reset(stream_id, CANCEL)
        except StreamClosed:
            pass
        wire.touch()
        self._let_go()

    def _late(self) -> None:
        self.timer = None
        self._blame()
        self._refuse(504, "the backend did not answer in time")

    def _blame(self) -> None:
        if self._backend is not None:
            self._backend.unanswered(self.front.wire.hub.time())

    # -- what the ends tell ---------------------------------------------------------------------

    def heard(self, half: Half, event: Any) -> None:
        """An event that is neither octets nor their end."""
        kind = type(event)
        if self.over:
            return
        if half is self.front:
            if kind is Reset:
                self._give_up()
        elif kind is Reset:
            self._backend_lost(event)
        elif kind is Responded:
            self._respond(event)
        elif kind is Opened:
            self._open(event)
        elif kind is Informed:
            self._inform(event)

    def trailers(self, half: Half, fields: Any) -> Any:
        """What of trailers goes on."""
        return trailer_fields(fields, self._named[half is self.back])

    def ended(self, half: Half) -> None:
        """One side has ended, and the other end knows."""
        if self.over:
            return
        if self.opened:
            if self.front.ended and self.back.ended:
                self._finish()
        elif half is self.back:
            self._answer_ended()
        else:
            self._await_answer()

    def failed(self, half: Half, error: Exception) -> None:
        """The other end takes no more."""
        self.front.wire.server.logger.debug("a crossing ended: %s", error)
        self._break(INTERNAL_ERROR)

    # -- towards the client ---------------------------------------------------------------------

    def _inform(self, event: Any) -> None:
        self._informed += 1
        if self._informed > MAX_INFORMED:
            self._blame()
            self._refuse(502, "too many interim answers")
            return
        # RFC 9110 section 15.2: a proxy forwards them, but for a 100 that nobody waits for.
        waits = self.token is None or (self.how is not None and self.how.body)
        if event.status == 100 and not (waits and self.expects):
            return
        self.expects = self.expects and event.status != 100
        fields = response_fields(event.headers, tunnel=False)
        self._say([(":status", str(event.status)), *fields], False)

    def _respond(self, event: Any) -> None:
        if self.token is not None and 200 <= event.status <= 299:
            # Over HTTP/2 a 2xx would open a tunnel to who does not know of one.
            self._refuse(502, "the backend did not change the protocol")
            return
        self._heard_of_it()
        self.status = event.status
        self._answered = True
        self._named = (self._named[0], nominated(event.headers))
        fields = answer_fields(event.status, event.headers, self.front.wire)
        if self._say([(":status", str(event.status)), *fields], event.ended) and event.ended:
            self.back.ended = True
            self._answer_ended()
        elif not self.over:
            self._watch(self.front.wire.server.body_timeout)

    def _heard_of_it(self) -> None:
        self._stop_clock()
        self._backend.answered(self.back.wire)

    def _open(self, event: Any) -> None:
        self._heard_of_it()
        self._answered = self.opened = True
        self._named = (NOTHING, NOTHING)
        self.status = event.status
        self.front.early = None
        if self.expects and self.front.wire.http_version == "1.1":
            # RFC 9110 section 7.8: the 100 comes first.
            self._say([(":status", "100")], False)
        fields = response_fields(event.headers, tunnel=True)
        self._upstream_known()
        if self.switches and self.token is not None:
            fields.append(Upgrade.switched(self.token))
        if not self._say([(":status", "200"), *fields], False, True):
            return
        server = self.front.wire.server
        for half in (self.front, self.back):
            ask_peer(half.wire, server.options.limits)
        self._watch(server.tunnel_timeout)

    # -- what stands still ----------------------------------------------------------------------

    def _watch(self, patience: float | None) -> None:
        if patience is not None and patience != float("inf"):
            step = patience / LOOKS
            self.timer = self.front.wire.hub.loop.call_later(step, self._look, step)

    def _look(self, step: float) -> None:
        # A few times in what it has: that costs the octets themselves nothing.
        seen = self.front.octets + self.back.octets
        if seen != self._seen or self._holds(self.front) or self._holds(self.back):
            self._seen = seen
            self._still = 0
        else:
            self._still += 1
        if self._still < LOOKS:
            self.timer = self.front.wire.hub.loop.call_later(step, self._look, step)
            return
        self.timer = None
        server = self.front.wire.server
        kind = "idle_tunnels" if self.opened else "stalled_bodies"
        server.counts[kind] += 1
        server.admission.note("stream %d is given up (%s)", self.front.stream_id, kind)
        self._break(CANCEL if self.opened else INTERNAL_ERROR)

    @staticmethod
    def _holds(half: Half) -> bool:
        # Does something wait for this end? How long it may is for `write_timeout` to say.
        try:
            return bool(half.wire.conn.waiting(half.stream_id))
        except (StreamClosed, LocalProtocolError):
            return False

    def _upstream_known(self) -> None:
        # What only a beginning needs is not kept for as long as a tunnel lives.
        self._fields = None
        self._upstream = None

    def _say(self, fields: Any, end: bool, octets: bool = False) -> bool:
        front = self.front
        try:
            front.wire.conn.respond(front.stream_id, fields, end, octets)
        except StreamClosed:
            return False
        except (LocalProtocolError, ValueError) as error:
            self.front.wire.server.logger.warning("an answer cannot be forwarded: %s", error)
            self._answered = False
            self._refuse(502, "the backend's answer cannot be forwarded")
            return False
        front.wire.touch()
        return True

    def _answer_ended(self) -> None:
        # RFC 9113 section 8.1: an answer may be complete before its request is.
        self._finish()
        front = self.front
        if self.token is not None:
            if self.how is not None and self.how.body:
                self._reset_back(NO_ERROR)  # no more of it is wanted
        elif not front.ended:
            self._reset_back(NO_ERROR)
            front.drop()
            front.wire.discard(front.stream_id)

    # -- ends that are none ---------------------------------------------------------------------

    def _backend_lost(self, event: Any) -> None:
        if event.retryable and not self._answered and self._may_repeat():
            self._again(REFUSED_S if event.error_code == REFUSED_STREAM else 0)
        elif self.opened and self.back.ended:
            self._part(self.front)
        elif self._answered:
            self._break(CANCEL if self.opened else INTERNAL_ERROR)
        else:
            if event.error_code != REFUSED_STREAM:
                self._blame()
            self._refuse(502, f"the backend gave up: {event.reason}")

    def _may_repeat(self) -> bool:
        if self._tries >= MAX_TRIES or not self._repeats():
            return False
        wire = self.back.wire
        if wire.http_version == "2" or wire.client.reused:
            return True
        # A connection that waited too long for another request dies with it; a new one that ends
        # without an answer is its backend's doing, and another backend may do better. Not for a tunnel:
        # what it was asked for may have begun.
        if self.token is not None:
            return False
        self.left = (*self.left, self._backend)
        upstream: Any = self._upstream  # an Onward has HTTP/2 alone
        if not upstream.has_others(self):
            return False
        self._blame()
        return True

    def _repeats(self) -> bool:
        # May all that was sent be sent again?
        how = self.how
        method, whole = self._method, self._bodiless
        if self.token is not None:  # an Upgrade is a GET where it does not say what it is
            method, whole = ("GET", True) if how is None else (how.method, not how.body)
        # RFC 9113 section 8.7: what was refused may be tried again whatever its method, since nothing
        # was done; over HTTP/1.1 it is only likely that nothing was.
        refused = self.back.wire.http_version == "2"
        return whole and (refused or method in IDEMPOTENT)

    def _again(self, delay_s: float) -> None:
        self._stop_clock()
        self._let_go()
        self.back.early = []
        self.back.wire = None
        if delay_s:
            delay_s *= 2 ** (self._tries - 1) * random.uniform(0.5, 1)
            self.timer = self.front.wire.hub.loop.call_later(delay_s, self._start_again)
        else:
            self.start()

    def _start_again(self) -> None:
        self.timer = None
        self.start()

    def _give_up(self) -> None:
        # The client has gone.
        self.status = self.status or 499
        if self.opened and self.front.ended:
            self._part(self.back)
            return
        self._finish()
        self._reset_back(CANCEL)

    def _part(self, half: Half) -> None:
        # One end has ended its side, and then said that it hears nothing any more, as HAProxy does
        # behind each tunnel: what it said before shall arrive.
        self._finish()
        half.wire.hub.loop.call_later(LAST_WORDS_S, self._cut, half)

    def _cut(self, half: Half) -> None:
        try:
            half.wire.conn.reset(half.stream_id, CANCEL)
        except (StreamClosed, LocalProtocolError):
            return
        half.wire.touch()

    def _break(self, code: int) -> None:
        # Behind the head of an answer there is only this to say that it went wrong.
        if self.over:
            return
        self._finish()
        front = self.front
        try:
            front.wire.conn.reset(front.stream_id, code)
        except (StreamClosed, LocalProtocolError):
            pass
        else:
            front.wire.touch()
        self._reset_back(CANCEL)

    def _refuse(self, status: int, reason: str) -> None:
        if self.over:
            return
        if self._answered:
            self._break(INTERNAL_ERROR)
            return
        self.status = status
        self._finish()
        self._reset_back(CANCEL)
        self.front.wire.refuse_request(self.front, self.token, status, reason)

    def _reset_back(self, code: int) -> None:
        back = self.back
        wire = back.wire
        if wire is None:
            return
        try:
            wire.conn.reset(back.stream_id, code)
        except (StreamClosed, LocalProtocolError):
            return  # it is over, or the connection serves another one by now
        wire.touch()

    def _await_answer(self) -> None:
        # From the end of a request on: its body has a pace of its own.
        if self.token is None and not self._answered and not self.over and self.timer is None:
            self._set_clock(self.front.wire.server.answer_timeout)

    def _set_clock(self, patience: float | None) -> None:
        if patience is not None and patience != float("inf"):
            self.timer = self.front.wire.hub.loop.call_later(patience, self._late)

    def _stop_clock(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _let_go(self) -> None:
        backend, self._backend = self._backend, None
        if backend is not None:
            backend.release()

    def _finish(self) -> None:
        self.over = True
        self._stop_clock()
        self._upstream_known()
        if self.task is not None and self.task is not asyncio.current_task():
            self.task.cancel()
        self._let_go()
        wire = self.front.wire
        wire.crossed(self, self._method, self._path, wire.hub.time() - self._started)
