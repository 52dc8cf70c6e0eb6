"""What gunicorn is told of requests: the hooks `pre_request` and `post_request`, the access log.

Requests, responses and environments have the names that gunicorn's own have, since hooks and
`--access-logformat` use them.
"""

from __future__ import annotations

import datetime
import logging
import time
from typing import Any

from .application import ASGIApplication, Message, Receive, Scope, Send

__all__ = ["Accounts", "Request", "Response"]


class Request:
    """A request as gunicorn's hooks know it. `headers` have names in capitals."""

    def __init__(self, scope: Scope) -> None:
        root = scope["root_path"]
        self.method: str = scope["method"]
        self.path: str = scope["path"].removeprefix(root)
        self.raw_path: bytes = scope["raw_path"].removeprefix(root.encode())
        self.query: str = scope["query_string"].decode("latin-1")
        self.fragment = ""
        self.uri = self.raw_path.decode("latin-1") + (f"?{self.query}" if self.query else "")
        major, _, minor = scope["http_version"].partition(".")
        self.version = (int(major), int(minor or 0))
        self.scheme: str = scope["scheme"]
        self.remote_addr: tuple[str, int] | None = scope["client"]
        self.headers = [
            (name.decode("latin-1").upper(), value.decode("latin-1"))
            for name, value in scope["headers"]
        ]

    def environ(self) -> dict[str, str]:
        """What an access log names with `{...}e`."""
        major, minor = self.version
        known = {
            "REQUEST_METHOD": self.method,
            "RAW_URI": self.uri,
            "PATH_INFO": self.path,
            "QUERY_STRING": self.query,
            "SERVER_PROTOCOL": "HTTP/2" if major == 2 else f"HTTP/{major}.{minor}",
            "REMOTE_ADDR": self.remote_addr[0] if self.remote_addr else "-",
        }
        for name, value in self.headers:
            known["HTTP_" + name.replace("-", "_")] = value
        return known


class Response:
    """A response as gunicorn's hooks know it: its status, its headers, and how long its body is."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.headers: list[tuple[str, str]] = []
        self.sent = 0

    def add(self, message: Message, *, bodyless: bool) -> None:
        """Take note of what the application sent."""
        kind = message["type"]
        if kind == "http.response.start":
            self.status = message["status"]
            self.headers = [
                (bytes(name).decode("latin-1"), bytes(value).decode("latin-1"))
                for name, value in message.get("headers", ())
            ]
        elif bodyless:
            return
        elif kind == "http.response.body":
            self.sent += len(message.get("body", b""))
        elif kind == "http.response.pathsend":
            lengths = [value for name, value in self.headers if name.lower() == "content-length"]
            self.sent = int(lengths[0]) if lengths else 0


class Accounts:
    """An application around another, which tells gunicorn's worker of its requests.

    WebSockets are none, as with gunicorn's own worker.
    """

    def __init__(self, app: ASGIApplication, worker: Any) -> None:
        self._app = app
        self._worker = worker
        self._log = worker.log
        cfg = worker.cfg
        before, after = cfg.pre_request, cfg.post_request
        # What gunicorn has where nothing is said: a line for debugging, and nothing.
        quiet = not worker.log.error_log.isEnabledFor(logging.DEBUG)
        self._before = None if quiet and before is cfg.settings["pre_request"].default else before
        self._after = None if after is cfg.settings["post_request"].default else after

    @property
    def wanted(self) -> bool:
        """Is there anybody to tell?"""
        told = self._before is not None or self._after is not None
        return bool(told or self._log.access_log_enabled)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application for one scope."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        response = Response(500)  # where the application answers nothing
        bodyless = request.method == "HEAD"

        async def note(message: Message) -> None:
            await send(message)
            response.add(message, bodyless=bodyless)

        begun = time.monotonic()
        try:
            if self._before is not None:
                self._before(self._worker, request)
            await self._app(scope, receive, note)
        finally:
            self._tell(request, response, time.monotonic() - begun)

    def answered(self, scope: Scope, status: int) -> None:
        """Log a request that the application was not asked about."""
        self._tell(Request(scope), Response(status), 0.0, hooks=False)

    def _tell(
        self, request: Request, response: Response, elapsed_s: float, *, hooks: bool = True
    ) -> None:
        try:
            environ = request.environ()
            elapsed = datetime.timedelta(seconds=elapsed_s)
            self._log.access(response, request, environ, elapsed)
            if hooks and self._after is not None:
                self._after(self._worker, request, environ, response)
        except Exception:
            self._log.exception("Exception in post_request hook")
