"""A handler for each path: `route`, with the URL maps of werkzeug."""

from __future__ import annotations

import os
import ssl as ssl_module
import urllib.parse
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Literal

from ..http import Request, Response
from ..websocket import WebSocket
from .server import Server, serve

if TYPE_CHECKING:
    from werkzeug.routing import Map

__all__ = ["Router", "route", "unix_route"]


class Router:
    """What `route` asks: `route_request` finds the handler of a request, `handler` runs it.

    `server_name` is the server's name as clients see it, for redirects; None takes it from the
    request. `url_scheme` is "ws" or "wss".
    """

    def __init__(
        self, url_map: Map, server_name: str | None = None, url_scheme: str = "ws"
    ) -> None:
        self.url_map = url_map
        self.server_name = server_name
        self.url_scheme = url_scheme
        for rule in url_map.iter_rules():
            rule.websocket = True

    def get_server_name(self, connection: WebSocket, request: Request) -> str:
        """The authority for redirects."""
        return request.authority if self.server_name is None else self.server_name

    def redirect(self, connection: WebSocket, url: str) -> Response:
        """The answer where a rule has `redirect_to`."""
        response = connection.respond(302, f"Found at {url}\n")
        response.headers["location"] = url
        return response

    def not_found(self, connection: WebSocket) -> Response:
        """The answer where no rule matches."""
        return connection.respond(404, "Not Found\n")

    def route_request(self, connection: WebSocket, request: Request) -> Response | None:
        """Choose the handler of this WebSocket, or say why there is none."""
        from werkzeug.exceptions import HTTPException, NotFound
        from werkzeug.routing import RequestRedirect

        if not isinstance(connection, WebSocket):
            return None  # a tunnel has its handler already
        path, _, query = request.path.partition("?")
        try:
            adapter = self.url_map.bind(
                server_name=self.get_server_name(connection, request), url_scheme=self.url_scheme
            )
            handler, kwargs = adapter.match(
                path_info=urllib.parse.unquote(path), query_args=query, websocket=True
            )
        except RequestRedirect as redirect:
            return self.redirect(connection, redirect.new_url)
        except NotFound:
            return self.not_found(connection)
        except HTTPException as error:  # an authority that is none, for one
            return connection.respond(error.code or 500, f"{error.name}\n")
        connection.handler = handler
        connection.handler_kwargs = kwargs
        return None

    async def handler(self, connection: WebSocket) -> None:
        """Run the handler that was chosen."""
        ws: Any = connection
        await ws.handler(ws, **ws.handler_kwargs)


def route(
    url_map: Map,
    *args: Any,
    server_name: str | None = None,
    ssl: ssl_module.SSLContext | Literal[True] | None = None,
    create_router: type[Router] | None = None,
    **kwargs: Any,
) -> Server:
    """Serve WebSockets whose handlers stand in a `werkzeug.routing.Map` as endpoints of its rules.

    A handler is called with the WebSocket and, by name, what the rule found in the path. Paths
    without a rule are answered 404, a rule's `redirect_to` 302. `server_name` and `ssl=True` are
    for redirects behind a proxy: the name that clients know, and that they use TLS. A
    `process_request` is asked before the map is. All else as `serve` has it.

    Needs werkzeug. Raises ImportError without it.
    """
    import werkzeug.routing  # noqa: F401  # fails here and not with the first client

    if ssl is not None and ssl is not True:
        kwargs["ssl"] = ssl
    router = (create_router or Router)(url_map, server_name, "ws" if ssl is None else "wss")
    earlier = kwargs.pop("process_request", None)
    if earlier is None:
        return serve(router.handler, *args, process_request=router.route_request, **kwargs)

    async def process_request(connection: WebSocket, request: Request) -> Response | None:
        response: Response | Awaitable[Response | None] | None = earlier(connection, request)
        if isinstance(response, Awaitable):
            response = await response
        return router.route_request(connection, request) if response is None else response

    return serve(router.handler, *args, process_request=process_request, **kwargs)


def unix_route(
    url_map: Map, path: str | bytes | os.PathLike[str] | None = None, **kwargs: Any
) -> Server:
    """As `route`, on a Unix socket."""
    return route(url_map, unix=True, path=path, **kwargs)
