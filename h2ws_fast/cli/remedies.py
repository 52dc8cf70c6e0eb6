"""What the answers of servers and proxies mean where a WebSocket was asked for, and what helps."""

from __future__ import annotations

from ..engine import constants as c

__all__ = ["ERRORS", "NO_SETTING", "reset_remedy", "status_remedy"]

STATUSES = {
    400: "the request was not understood: a proxy in between may have lost :protocol or "
    "sec-websocket-version, or the server does not know extended CONNECT and says so by 400",
    401: "credentials are missing: --header 'Authorization: ...', or user:password@ in the URL",
    403: "not allowed: servers look at the Origin (--origin https://the.page), at cookies and "
    "tokens (--header); ASGI applications that close before they accept answer 403 as well",
    404: "no WebSocket has this path: check it, and the prefix that a proxy adds or takes away",
    405: "the route is for GET alone: over HTTP/2 a WebSocket is opened with CONNECT, so the "
    "framework must route it whatever its method is, or its HTTP/2 WebSockets be switched off",
    407: "a proxy wants credentials of its own before anything passes",
    408: "the server waited for more of the request: a proxy that holds the tunnel back?",
    421: "this connection is not for this host: its certificate covers the name, its server does "
    "not serve it. Give each host its own certificate, or the server all of its names",
    426: "it wants another version, or HTTP/1.1's Upgrade: the proxy in between passed the request "
    "on as an ordinary one",
    429: "too many: wait, or ask for a higher limit",
    500: "the application failed: its log says why",
    501: "the server has the setting and no handler for WebSockets: install one, or withdraw "
    "SETTINGS_ENABLE_CONNECT_PROTOCOL so that clients use HTTP/1.1 at once",
    502: "the proxy did not understand its backend: does that speak what the proxy sends "
    "(HTTP/1.1 Upgrade, or extended CONNECT and its setting)?",
    503: "no backend takes it: all are down, full, or shutting down",
    504: "the backend did not answer the proxy: does it know the way WebSockets reach it?",
}
REDIRECTED = "WebSocket clients follow no redirection: use the URL it names"

ERRORS = {
    c.PROTOCOL_ERROR: "the server does not know extended CONNECT on this stream, although it has "
    "the setting: a proxy that passes the setting on for a backend without it?",
    c.INTERNAL_ERROR: "the server failed: its log says why",
    c.FLOW_CONTROL_ERROR: "one side counts windows wrongly: h2ws-fast connect --trace shows them",
    c.REFUSED_STREAM: "refused before anything was done: too many streams, or shutting down",
    c.CANCEL: "given up: the backend has gone, or a timeout of the proxy was reached",
    c.CONNECT_ERROR: "the proxy could not reach its backend, or was cut off from it",
    c.ENHANCE_YOUR_CALM: "a limit on the rate of resets, pings or other frames was reached: open "
    "and close less often, ping less often, or raise the server's limit",
    c.INADEQUATE_SECURITY: "TLS is too old for HTTP/2: TLS 1.2 or later with an AEAD suite",
    c.HTTP_1_1_REQUIRED: "the server wants HTTP/1.1 for this: it should not send the setting then",
}

NO_SETTING = (
    "no client may open WebSockets over HTTP/2 here; browsers use HTTP/1.1 on a connection of "
    "their own. The server, or the proxy nearest to the client, must send it: Apache H2WebSockets "
    "on; Go GODEBUG=http2xconnect=1; HAProxy 2.4, Envoy (allow_connect), nghttpx and h2ws_fast "
    "can; nginx and many cloud load balancers cannot"
)


def status_remedy(status: int) -> str:
    """Say what a refusal with this status asks for."""
    if 300 <= status < 400:
        return REDIRECTED
    if status in STATUSES:
        return STATUSES[status]
    if status >= 500:
        return "the server failed: its log says why"
    return "the server refused: its answer and its log say why"


def reset_remedy(code: int) -> str:
    """Say what a stream that was reset with this error code asks for."""
    return ERRORS.get(code, "h2ws-fast connect --trace shows what went before; so may the log")
