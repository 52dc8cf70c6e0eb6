"""HAProxy before the gateway, which says by the PROXY protocol for whom it connects."""

import json
import sys

import pytest

from h2ws_fast import connect
from h2ws_fast.aio import tls
from tests.support.programs import (
    Echo,
    GatewayCommand,
    free_port,
    program,
    running,
    wait_for_port,
)
from tests.support.within import within

PROXY = """
defaults
    mode {mode}
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend one
    bind 127.0.0.1:{front}
    default_backend ours
backend ours
    server it 127.0.0.1:{port} {send}
"""


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is an address of Linux alone")
@pytest.mark.parametrize("send", ["send-proxy", "send-proxy-v2"])
@pytest.mark.parametrize("mode", ["tcp", "http"])
def test_haproxy_says_for_whom_it_connects(tmp_path, send, mode):
    """With TLS through it, and as a proxy of HTTP: backends hear of the client either way."""
    config, front = tmp_path / "proxy.cfg", free_port()
    options = ["--proxy-protocol", "--trusted", "127.0.0.1"]
    if mode == "http":
        options.append("--cleartext")

    async def ask(http):
        scheme, ssl = ("ws", None) if mode == "http" else ("wss", tls.client_context(verify=False))
        uri = f"{scheme}://127.0.0.1:{front}/headers"
        local = ("127.0.0.2", 0)
        async with connect(uri, http=http, proxy=None, ssl=ssl, local_addr=local) as ws:
            assert json.loads(await ws.recv())["x-forwarded-for"] == "127.0.0.2"

    with (
        Echo("--cleartext") as echo,
        GatewayCommand("--upstream", echo.url, *options) as gate,
    ):
        config.write_text(PROXY.format(mode=mode, front=front, port=gate.port, send=send))
        with running([program("haproxy"), "-db", "-q", "-f", str(config)], stderr=-3) as process:
            wait_for_port(front, process)
            for http in ("h1", "h2") if mode == "tcp" else ("h1",):
                within(30, ask(http))
        assert gate.stop()[0] == 0
