"""What a gateway is told in a file."""

import ssl
from pathlib import Path

import pytest

from h2ws_fast.gateway import Aware
from h2ws_fast.gateway.config import Config, RouteConfig


def route(**changes):
    return {"route": [RouteConfig(["http://127.0.0.1:1"], **changes)]}


WHOLE = """
listen = "[::1]:8443"
certfile = "cert.pem"
keyfile = "key.pem"
tokens = ["websocket", "connect-udp"]
forwarded = "both"
trusted = ["10.0.0.0/8"]
proxy_protocol = true
access_log = true
stats = "[::1]:9901"
drain = 5
max_connections = 7
open_timeout = 30
tunnel_timeout = 3600

[[route]]
backends = ["http://127.0.0.1:1", "http://127.0.0.1:2"]
balance = "least"

[[route]]
host = "*.example.org"
path = "/chat"
http = "h2"
connections = 2
verify = false
websocket_aware = true
bidirectional = true
h1_connections = 9
ping_interval = 3
max_size = 1000
compression = false
backends = ["https://127.0.0.1:3"]
"""


def read(tmp_path, text):
    file = tmp_path / "gateway.toml"
    file.write_text(text)
    return Config.read(file)


def test_a_whole_file(tmp_path):
    config = read(tmp_path, WHOLE)
    assert config.address == ("::1", 8443)
    assert (config.certfile, config.keyfile) == ("cert.pem", "key.pem")
    assert config.proxy_protocol and config.stats_address == ("::1", 9901)
    assert (config.access_log, config.drain, config.max_connections) == (True, 5, 7)
    assert (config.open_timeout, config.body_timeout, config.tunnel_timeout) == (30, 300, 3600)
    table = config.table()
    assert "connect-udp" in table and "foo" not in table
    routes = config.routes(table)
    chat = routes.find("a.example.org", "/chat")
    assert [backend.address for backend in chat.backends] == ["https://127.0.0.1:3"]
    assert chat.backends[0].http == "h2"
    assert chat.aware == Aware(3, 20.0, 1000, None)
    assert chat.backends[0]._opens and not config.settings()
    rest = routes.find("other", "/")
    assert not rest.aware and not rest.backends[0]._opens
    assert [backend.address for backend in rest.backends] == [
        "http://127.0.0.1:1",
        "http://127.0.0.1:2",
    ]
    assert config.forwarding().trusts("10.1.2.3") and not config.forwarding().trusts("11.1.2.3")


def test_every_token(tmp_path):
    table = read(tmp_path, 'tokens = ["websocket", "*"]').table()
    assert "foo" in table and table["websocket"].needs_key and "h2c" not in table


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("listen = 8443", "listen is str"),
        ("drain = true", "drain is float"),
        ('access_log = "yes"', "access_log is bool"),
        ("trusted = [1]", "trusted is list"),
        ("colour = 1", "'colour', which nobody knows"),
        ("route = 1", "written \\[\\[route\\]\\]"),
        ("[[route]]", "route 1 lacks backends"),
        ('[[route]]\nbackends = "http://a"', "route 1: backends is list"),
        ('[[route]]\nbackends = ["http://a"]\nway = 1', "route 1 has 'way'"),
        ("listen = [", "Invalid value"),
    ],
)
def test_what_makes_no_sense_is_said(tmp_path, text, words):
    with pytest.raises(ValueError, match=words):
        read(tmp_path, text)


@pytest.mark.parametrize("listen", ["8443", "a:b", "a:99999", ":x"])
def test_an_address_has_a_port(listen):
    with pytest.raises(ValueError, match="host:port"):
        _ = Config(listen=listen).address


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"drain": -1.0}, "drain"),
        ({"answer_timeout": 0.0}, "answer_timeout"),
        ({"open_timeout": -1.0}, "open_timeout"),
        ({"body_timeout": 0.0}, "body_timeout"),
        ({"tunnel_timeout": 0.0}, "tunnel_timeout"),
        ({"max_connections": 0}, "max_connections"),
        ({"memory_budget": -5}, "memory_budget"),
        ({"stats": "9901"}, "stats is host:port"),
        ({"trusted": ["x"]}, "x"),
        (route(bidirectional=True, http="h1"), "needs HTTP/2"),
        (route(websocket_aware=True, max_size=2**20 + 1), "above that of all"),
        (route(websocket_aware=True, ping_timeout=-1.0), "ping_timeout"),
        (route(h1_connections=0), "h1_connections"),
        (route(connect_timeout=0.0), "connect_timeout"),
        ({}, "no route"),
    ],
)
def test_a_whole_configuration_is_looked_at_before_it_serves(changes, words):
    with pytest.raises(ValueError, match=words):
        Config(**changes).check()


@pytest.mark.parametrize("address", ["https://h:1", "HTTPS://h:1", "wss://h:1", "h:1"])
def test_cafile_and_verify_hold_however_a_backend_over_tls_is_written(
    address, client_tls, certificate
):
    def context(**options):
        route = RouteConfig(["http://h:2", address], **options).make(Config().table())
        cleartext, secure = (backend._ssl for backend in route.upstream.backends)
        assert cleartext is None
        return secure

    assert context(verify=False).verify_mode == ssl.CERT_NONE
    told = context(cafile=certificate[0])
    assert told.verify_mode == ssl.CERT_REQUIRED
    assert told.get_ca_certs() == client_tls.get_ca_certs() != context().get_ca_certs()


def test_streams_that_backends_open_are_let_through_where_the_file_says_so(tmp_path):
    config = read(tmp_path, "bidirectional = true")
    assert config.settings().enable_bidirectional_connect


def test_backends_of_which_the_same_is_said_stay(tmp_path, certificate):
    """Their health, connections and what was found out of them with them."""
    text = """
[[route]]
backends = ["http://a:1", "http://a:1", "https://b:1"]
cafile = "{cafile}"
connections = {connections}
[[route]]
path = "/more"
backends = ["http://c:1"]
"""
    cafile = tmp_path / "authorities.pem"
    cafile.write_bytes(Path(certificate[0]).read_bytes())
    known = {}

    def backends(connections=4):
        config = read(tmp_path, text.format(cafile=cafile, connections=connections))
        return [upstream.backends for upstream in config.routes(config.table(), known).upstreams]

    (more, first), again = sorted(backends(), key=len), sorted(backends(), key=len)
    assert again == [more, first]
    assert len(set(first)) == 3  # who is named twice is two
    changed = sorted(backends(5), key=len)
    assert changed[0] == more and not set(changed[1]) & set(first)
    cafile.write_bytes(cafile.read_bytes() + b"\n")
    renewed = sorted(backends(), key=len)
    assert renewed[0] == more and not set(renewed[1]) & set(first)


def test_no_route_is_nothing_to_serve():
    with pytest.raises(ValueError, match="no route"):
        Config().routes(Config().table())
