"""What is forwarded to where, as it is written."""

import pytest

from h2ws_fast.forward import Rule, socks_rule


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
