"""HAProxy, nghttpx and Caddy before a server of the tests."""

import contextlib
import os
import subprocess

from tests.support.programs import free_port, program, running, wait_for_port

HAPROXY = """
global
    maxconn 100
    {settings}
defaults
    mode http
    retries 0
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout tunnel 30s
frontend one
    bind 127.0.0.1:{h1} {bind}
    default_backend ours
frontend two
    bind 127.0.0.1:{h2} proto h2
    default_backend ours
backend ours
    server it 127.0.0.1:{port} {server}
"""

CADDY = """
{{
    admin off
    auto_https off
    servers {{
        protocols h1 h2c
    }}
}}
http://127.0.0.1:{front} {{
    bind 127.0.0.1
    reverse_proxy {scheme}://127.0.0.1:{port}
}}
"""


@contextlib.contextmanager
def haproxy(port, folder, *, settings="", bind="", server="proto h2", certificate=None):
    """Yield two ports: of `bind`, which tells versions apart, and of HTTP/2 alone in cleartext.

    `certificate`, a path and its key's: the first is for TLS.
    """
    if certificate is not None:
        both = folder / "both.pem"
        both.write_bytes(b"".join(path.read_bytes() for path in certificate))
        bind = f"ssl crt {both} alpn h2,http/1.1"
    command, h1, h2 = haproxy_of(port, folder, settings=settings, bind=bind, server=server)
    with running(command, stderr=subprocess.DEVNULL) as process:
        wait_for_port(h1, process)
        yield h1, h2


def haproxy_of(port, folder, *, settings="", bind="", server="proto h2"):
    """The command that runs it, and its two ports."""
    h1, h2 = free_port(), free_port()
    config = folder / "haproxy.cfg"
    config.write_text(
        HAPROXY.format(h1=h1, h2=h2, port=port, settings=settings, bind=bind, server=server)
    )
    return [program("haproxy"), "-db", "-q", "-f", str(config)], h1, h2


@contextlib.contextmanager
def nghttpx(port, folder, *, backend="proto=h2", trusting=False, certificate=None):
    """Yield its port, twice: it tells HTTP/2 in cleartext by its first octets.

    `trusting`: any certificate of the backend will do. `certificate`, a path and its key's: it is
    for TLS.
    """
    command, front = nghttpx_of(
        port, folder, backend=backend, trusting=trusting, certificate=certificate
    )
    with running(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        wait_for_port(front, process)
        yield front, front


def nghttpx_of(port, folder, *, backend="proto=h2", trusting=False, certificate=None):
    """The command that runs it, and its port."""
    front = free_port()
    command = [
        program("nghttpx", "nghttp2-proxy"),
        "--conf=/dev/null",
        "--workers=1",
        f"--frontend=127.0.0.1,{front}" + ("" if certificate else ";no-tls"),
        f"--backend=127.0.0.1,{port};;{backend}",
        f"--pid-file={folder}/pid",
        *(["--insecure"] if trusting else []),
        *(map(str, reversed(certificate)) if certificate else []),
    ]
    return command, front


@contextlib.contextmanager
def caddy(port, folder, *, scheme="http"):
    """Yield its port, which tells HTTP/2 in cleartext by its first octets.

    It has WebSockets over HTTP/1.1 alone. `scheme` is "http" or "h2c": what it speaks to the server.
    """
    front = free_port()
    config = folder / "Caddyfile"
    config.write_text(CADDY.format(front=front, scheme=scheme, port=port))
    command = [program("caddy"), "run", "--config", str(config), "--adapter", "caddyfile"]
    own = {**os.environ, "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with running(command, stderr=subprocess.DEVNULL, env=own) as process:
        wait_for_port(front, process)
        yield front
