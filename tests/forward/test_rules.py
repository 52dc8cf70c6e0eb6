"""What is forwarded to where, as it is written."""

import pytest

from h2ws_fast.forward import PortRange, Rule, StreamRule, remote_rule, socks_rule, tcp_rule
from h2ws_fast.forward.lease import Lease
from h2ws_fast.forward.rules import stream_name


@pytest.mark.parametrize(
    ("text", "rule", "authority"),
    [
        ("5432:db:5433", ("127.0.0.1", 5432, "db", 5433), "db:5433"),
        ("0:db.example:1", ("127.0.0.1", 0, "db.example", 1), "db.example:1"),
        ("0.0.0.0:80:192.0.2.1:8080", ("0.0.0.0", 80, "192.0.2.1", 8080), "192.0.2.1:8080"),
        ("[::1]:53:[2001:db8::1]:53", ("::1", 53, "2001:db8::1", 53), "[2001:db8::1]:53"),
        (":80:a:80", ("", 80, "a", 80), "a:80"),
    ],
)
def test_rules(text, rule, authority):
    assert Rule.parse(text) == rule
    assert Rule.parse(text).authority == authority


@pytest.mark.parametrize(
    "text",
    [
        "",
        "80",
        "80:a",
        "80:a:0",
        "80:a:65536",
        "65536:a:1",
        "x:a:1",
        "80::1",
        "a:b:c:d:e",
        "-1:a:1",
        "80:[::1:53",
        "80:[::1]x:53",
        "80:a b:53",
        "80:::1:53",
        "٣:a:1",
    ],
)
def test_what_is_no_rule(text):
    with pytest.raises(ValueError):
        Rule.parse(text)


def test_socks_rules():
    assert socks_rule("1080") == ("127.0.0.1", 1080)
    assert socks_rule("[::1]:1080") == ("::1", 1080)
    for text in ("", "x", "1:2:3", "65536"):
        with pytest.raises(ValueError):
            socks_rule(text)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("80:bytestream:/", ("127.0.0.1", 80, "bytestream", "/")),
        ("0:Tok.en:/a:/b?c=d", ("127.0.0.1", 0, "tok.en", "/a:/b?c=d")),
        ("[::1]:5432:db:/main", ("::1", 5432, "db", "/main")),
    ],
)
def test_rules_of_streams(text, rule):
    assert tcp_rule(text) == StreamRule(*rule)
    assert str(tcp_rule(text)) == f"{rule[2]}:{rule[3]}"


def test_a_rule_without_a_path_is_none_of_a_stream():
    assert StreamRule.parse("80:a:80") is None
    assert tcp_rule("80:a:80") == Rule("127.0.0.1", 80, "a", 80)


@pytest.mark.parametrize(
    "text", ["80:/a", ":/a", "80:two words:/a", "80::/a", "x:y:/a", "80:a:/ü", "1:2:80:a:/b"]
)
def test_what_is_no_rule_of_a_stream(text):
    with pytest.raises(ValueError):
        tcp_rule(text)


def test_names_of_streams():
    assert stream_name("ByteStream:/a") == ("bytestream", "/a")
    for text in ("", "bytestream", ":/a", "a:b", "/a"):
        with pytest.raises(ValueError):
            stream_name(text)


def test_rules_of_the_other_way():
    assert remote_rule("80:a:81") == Rule("127.0.0.1", 80, "a", 81)
    assert remote_rule("[0:0::1]:0:a:81").bind == "::1"
    for text in ("localhost:80:a:81", ":80:a:81", "[fe80::1%lo]:80:a:81"):
        with pytest.raises(ValueError):
            remote_rule(text)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("8080", [("127.0.0.1", 8080)], [("127.0.0.1", 0), ("127.0.0.1", 8081), ("::1", 8080)]),
        ("0", [("127.0.0.1", 0)], [("127.0.0.1", 1), ("0.0.0.0", 0)]),
        ("0.0.0.0:1-9", [("0.0.0.0", 1), ("0.0.0.0", 9)], [("0.0.0.0", 0), ("127.0.0.1", 5)]),
        ("[::0:1]:80-80", [("::1", 80)], [("::", 80), ("127.0.0.1", 80)]),
    ],
)
def test_ports_that_may_be_listened_on(text, inside, outside):
    ports = PortRange.parse(text)
    assert all(ports.includes(*each) for each in inside)
    assert not any(ports.includes(*each) for each in outside)


@pytest.mark.parametrize("text", ["", "9-8", "80-", "-80", "1-2-3", "localhost:80", "*:80", ":80"])
def test_what_is_no_range_of_ports(text):
    with pytest.raises(ValueError):
        PortRange.parse(text)


def test_leases():
    lease = Lease("::1", 8080, "0123456789abcdef", 3)
    assert lease.path == "/listen/%3A%3A1/8080/0123456789abcdef/3"
    assert Lease.parse(lease.path) == lease
    assert lease.place == "[::1]:8080"
    assert Lease.parse("/listen/0%3A0%3A%3A1/8080/0123456789abcdef/3") == lease
