"""What the peer has used of each limit. See `limits.py` for what each one is for."""

from .limits import UNLIMITED

SMALL = 256  # octets of a DATA frame that is worth one
# Smaller ones that are forgiven: so many a second, since who types or tells of events may do so all
# day; and the first of each body, since forms and reports consist of a few pieces. The head of its
# request costs the engine as much as these do, so that nobody gains by opening streams for them.
# (Rust's h2 forgives what has END_STREAM, and what was read.)
SMALL_RATE = 100
SMALL_FREE = 16


class Bucket:
    """A token bucket: `burst` at once, `rate` more each second."""

    __slots__ = ("burst", "level", "rate", "stamp")

    def __init__(self, burst, rate):
        self.burst = burst
        self.rate = rate
        self.level = burst
        self.stamp = 0.0

    def take(self, now):
        """Take one; False where none is left."""
        if now > self.stamp:
            self.level += (now - self.stamp) * self.rate
            if self.level > self.burst:
                self.level = self.burst
            self.stamp = now
        if self.level < 1:
            return False
        self.level -= 1
        return True

    def give(self, n):
        """Put n back, up to `burst`."""
        self.level += n
        if self.level > self.burst:
            self.level = self.burst


class Guard:
    """Counts; a method returns the name of the limit that was passed, or None."""

    __slots__ = (
        "control_frames",
        "data_frames_sent",
        "dribbles",
        "empty_frames",
        "glitches",
        "goaways",
        "hits",
        "limits",
        "local_resets",
        "notify",
        "pending_resets",
        "priority_frames",
        "resets",
        "small_data",
        "streams",
        "window_updates",
        "_dribble_bucket",
        "_dribble_mark",
        "_glitch_bucket",
        "_ping_bucket",
        "_ping_mark",
        "_reset_bucket",
        "_settings_bucket",
        "_small_at",
    )

    def __init__(self, limits):
        self.limits = limits
        self._reset_bucket = None  # all made on need: most peers need none of them
        self._glitch_bucket = None
        self._dribble_bucket = None
        self._dribble_mark = 0
        self._settings_bucket = None
        self._ping_bucket = None
        self._ping_mark = 0
        self.dribbles = 0
        self.notify = None
        self.control_frames = 0
        self.data_frames_sent = 0
        self.empty_frames = 0
        self.glitches = 0
        self.goaways = 0
        self.local_resets = 0
        self.pending_resets = 0
        self.priority_frames = 0
        self.resets = 0
        self.small_data = limits.small_data
        self._small_at = 0.0
        self.streams = 0
        self.window_updates = 0
        self.hits = None

    def count(self, name):
        """Count that a limit was reached; return how often it was."""
        if self.hits is None:
            self.hits = {}
        count = self.hits.get(name, 0) + 1
        self.hits[name] = count
        return count

    def hit(self, name):
        """Count that a limit was reached, tell of the first time; return its name."""
        if self.count(name) == 1 and self.notify is not None:
            self.notify(name)
        return name

    def reset(self, now):
        """The peer reset a stream that nobody had ended."""
        self.resets += 1
        return self.refusal(now)

    def local_reset(self, now):
        """A fault of the peer made us reset a stream."""
        self.local_resets += 1
        if self.local_resets > self.limits.max_local_resets:
            return self.hit("max_local_resets")
        return self.refusal(now)

    def refusal(self, now):
        """A new stream was refused for want of something that is ours: only the rate counts."""
        if self._reset_bucket is None:
            self._reset_bucket = Bucket(self.limits.reset_burst, self.limits.reset_rate)
        return None if self._reset_bucket.take(now) else self.hit("reset_burst")

    def dribble(self, n, data_frames, now):
        """n DATA frames were cut to a few octets by the peer's windows, of `data_frames` in all."""
        if self._dribble_bucket is None:
            self._dribble_bucket = Bucket(self.limits.dribble_burst, self.limits.dribble_rate)
        self._dribble_bucket.give(data_frames - self._dribble_mark - n)
        self._dribble_mark = data_frames
        self.dribbles += n
        while n > 0:
            n -= 1
            if not self._dribble_bucket.take(now):
                return self.hit("dribble_burst")
        return None

    def glitch(self, now):
        """Something odd was ignored."""
        self.glitches += 1
        if self._glitch_bucket is None:
            self._glitch_bucket = Bucket(self.limits.glitch_burst, self.limits.glitch_rate)
        return None if self._glitch_bucket.take(now) else self.hit("glitch_burst")

    def goaway(self):
        """A GOAWAY after the first takes back more streams."""
        self.goaways += 1
        return self.hit("max_goaways") if self.goaways > self.limits.max_goaways else None

    def control_frame(self):
        """The peer caused a control frame that now waits to leave."""
        self.control_frames += 1
        if self.control_frames > self.limits.max_control_frames:
            return self.hit("max_control_frames")
        return None

    def settings(self, now):
        """SETTINGS that are not the peer's first."""
        if self._settings_bucket is None:
            self._settings_bucket = Bucket(self.limits.settings_burst, self.limits.settings_rate)
        return None if self._settings_bucket.take(now) else self.hit("settings_burst")

    def ping(self, data_frames, now):
        """A PING to answer; `data_frames` were sent, and each of them gives one back."""
        if self._ping_bucket is None:
            self._ping_bucket = Bucket(self.limits.ping_burst, self.limits.ping_rate)
        self._ping_bucket.give(data_frames - self._ping_mark)
        self._ping_mark = data_frames
        return None if self._ping_bucket.take(now) else self.hit("ping_burst")

    def empty_frame(self):
        """An empty frame without END_STREAM."""
        self.empty_frames += 1
        if self.empty_frames > self.limits.max_empty_frames:
            return self.hit("max_empty_frames")
        return None

    def window_update(self):
        """Envoy's formula: 5 + 2 x (streams + 10 x DATA frames sent)."""
        self.window_updates += 1
        allowed = self.limits.max_window_updates
        if allowed != UNLIMITED:
            allowed = 5 + 2 * self.streams + allowed * self.data_frames_sent
        return self.hit("max_window_updates") if self.window_updates > allowed else None

    def priority(self):
        """A PRIORITY or PRIORITY_UPDATE frame."""
        self.priority_frames += 1
        allowed = self.limits.max_priority_frames
        if allowed != UNLIMITED:
            allowed *= 1 + self.streams
        return self.hit("max_priority_frames") if self.priority_frames > allowed else None

    def body_data(self, stream, n, now):
        """A DATA frame of n > 0 octets in a body: small ones cost, octets and time refund."""
        if n < SMALL and stream.small < SMALL_FREE:
            stream.small += 1
            return None
        if now > self._small_at:
            self.small_data += int(min(now - self._small_at, 3600.0) * SMALL_RATE * SMALL)
            self._small_at = now
        if self.small_data > self.limits.small_data:
            self.small_data = self.limits.small_data
        self.small_data += n if n >= SMALL else n - (SMALL - n)
        if self.small_data > self.limits.small_data:
            self.small_data = self.limits.small_data
        return self.hit("small_data") if self.small_data < 0 else None
