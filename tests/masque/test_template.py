"""URI templates and targets: RFC 9298 sections 2 and 3.1."""

import pytest

from h2ws_fast.aio.http import Headers
from h2ws_fast.masque import BadTarget, UriTemplate, uses_capsules
from h2ws_fast.masque.template import DEFAULT_PATH, check_target

row = pytest.mark.row
BOTH = "{target_host}/{target_port}"


@row("9298-2-1")
@pytest.mark.parametrize(
    ("text", "path"),
    [
        (f"https://proxy.example{DEFAULT_PATH}", "/.well-known/masque/udp/a.example/53/"),
        (f"https://proxy.example:4443/masque/{BOTH}", "/masque/a.example/53"),
        (
            "https://proxy.example/masque?h={target_host}&p={target_port}",
            "/masque?h=a.example&p=53",
        ),
        (
            "https://proxy.example/masque{?target_host,target_port}",
            "/masque?target_host=a.example&target_port=53",
        ),
        (
            "https://proxy.example/m?x=1{&target_port,target_host}",
            "/m?x=1&target_port=53&target_host=a.example",
        ),
        ("https://proxy.example/m/{target_host,target_port}", "/m/a.example,53"),
        (f"https://proxy.example/{{who}}/{BOTH}", "//a.example/53"),
        (f"/only/{BOTH}", "/only/a.example/53"),
    ],
)
def test_templates_that_are_used(text, path):
    template = UriTemplate(text)
    assert template.expand("a.example", 53) == path
    assert template.match(path) == ("a.example", 53)
    assert template.match(path + "x/y") is None


@row("9298-2-1")
@pytest.mark.parametrize(
    ("text", "empty", "paths"),
    [
        (
            "/m{?x,target_host,y,target_port,z}",
            "/m?target_host=a.example&target_port=53",
            [
                "/m?x=1&target_host=a.example&target_port=53",
                "/m?x=&target_host=a.example&y=2&target_port=53&z=3",
            ],
        ),
        (
            "/m/{x,target_host,target_port,z}",
            "/m/a.example,53",
            ["/m/1,a.example,53,2"],
        ),
        (
            f"/m{{?x,y}}/{BOTH}",
            "/m/a.example/53",
            ["/m?x=1/a.example/53", "/m?y=1/a.example/53", "/m?x=1&y=2/a.example/53"],
        ),
        (
            "/m?a=b{&target_host,target_port}{&x}",
            "/m?a=b&target_host=a.example&target_port=53",
            ["/m?a=b&target_host=a.example&target_port=53&x=1"],
        ),
    ],
)
def test_further_variables_may_be_undefined(text, empty, paths):
    """RFC 6570 section 3.2.1: the client of a template that has them need not know them."""
    template = UriTemplate(text)
    assert template.expand("a.example", 53) == empty
    for path in (empty, *paths):
        assert template.match(path) == ("a.example", 53)
    for path in (f"{empty}&q=1", empty.replace("a.example", "a/example"), f"/{empty}"):
        assert template.match(path) is None


@row("9298-2-1")
@pytest.mark.parametrize(
    "text",
    [
        "",
        f"masque/{BOTH}",  # not absolute
        f"//proxy.example/{BOTH}",  # no scheme
        f"https:///{BOTH}",  # no authority
        "https://proxy.example{?target_host,target_port}",  # no path
        f"https://{{target_host}}.example/{BOTH}",  # a variable before the path
        "https://proxy.example/{target_host}",  # one of both is missing
        "https://proxy.example/{target_port}",
        f"https://proxy.example/{BOTH}/{{target_port}}",
        f"https://proxy.example/ü/{BOTH}",
        f"https://proxy.example/a b/{BOTH}",
        f"https://proxy.example/{BOTH}\n",
        f"https://proxy.example/{BOTH}#fragment",
        *(
            f"https://proxy.example/{{{operator}target_host}}/{{target_port}}"
            for operator in "+#./;!|@="
        ),
        "https://proxy.example/{target_host:3}/{target_port}",  # level 4
        "https://proxy.example/{target_host*}/{target_port}",
        "https://proxy.example/{target_host}/{target_port",
        "https://proxy.example/target_host}/{target_port}",
        "https://proxy.example/{}/{target_host}/{target_port}",
        f"https://proxy.example/<a>/{BOTH}",
    ],
)
def test_templates_that_are_not(text):
    with pytest.raises(ValueError):
        UriTemplate(text)


@row("9298-3-1")
@pytest.mark.parametrize(
    ("host", "expanded"),
    [
        ("192.0.2.6", "192.0.2.6"),
        ("2001:db8::42", "2001%3Adb8%3A%3A42"),
        ("::1", "%3A%3A1"),
        ("a-b.example", "a-b.example"),
        ("with!sub=delims", "with%21sub%3Ddelims"),
    ],
)
def test_hosts(host, expanded):
    template = UriTemplate("https://p.example" + DEFAULT_PATH)
    path = template.expand(host, 443)
    assert path == f"/.well-known/masque/udp/{expanded}/443/"
    assert template.match(path) == (host, 443)


@row("9298-3-1")
@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("", "53"),
        ("a.example", ""),
        *(("a.example", port) for port in ("0", "65536", "abc", "-1", "+1", "1.5", "١", "000053")),
        ("fe80::1%eth0", "53"),
        ("[::1]", "53"),
        ("::1::", "53"),
        ("1:2", "53"),
        ("a b", "53"),
        ("a/b", "53"),
        ("a@b", "53"),
        ("ü.example", "53"),
        ("a\0b", "53"),
        ("x" * 254, "53"),
    ],
)
def test_targets_that_are_none(host, port):
    with pytest.raises(BadTarget):
        check_target(host, port)


@row("9298-3-1")
@pytest.mark.parametrize(
    "target", ["fe80::1%25eth0/53", "/53", "a.example/", "a/0", "a%2Fb/53", "a%00b/53", "%FF/53"]
)
def test_paths_that_ask_for_none(target):
    with pytest.raises(BadTarget):
        UriTemplate(DEFAULT_PATH).match(f"/.well-known/masque/udp/{target}/")


@row("9297-3.4-1")
@pytest.mark.parametrize("value", ["?1", " ?1 ", "?1;x=2", '?1; a="b;c"; d', "?1;e=:YQ==:"])
def test_capsule_protocol_is_said(value):
    assert uses_capsules(Headers([("capsule-protocol", value)]))


@row("9297-3.4-1")
@pytest.mark.parametrize(
    "value", ["?0", "1", '"?1"', "?2", "?1, ?1", "?1;X", "(?1)", "true", "", "?1 x", "?0;x=1"]
)
def test_capsule_protocol_is_not_said(value):
    assert not uses_capsules(Headers([("capsule-protocol", value)]))


@row("9297-3.4-1")
def test_a_field_that_comes_twice_is_none():
    assert not uses_capsules(Headers([("capsule-protocol", "?1")] * 2))
    assert not uses_capsules(Headers())
