"""The URI template by which a UDP proxy is asked for a target: RFC 9298 section 2, RFC 6570.

https://proxy.example/.well-known/masque/udp/{target_host}/{target_port}/
https://proxy.example/proxy{?target_host,target_port}
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import quote, unquote_to_bytes, urlsplit

__all__ = ["DEFAULT_PATH", "BadTarget", "UriTemplate", "check_target"]

DEFAULT_PATH = "/.well-known/masque/udp/{target_host}/{target_port}/"
VARIABLES = ("target_host", "target_port")

EXPRESSION = re.compile(r"\{([^{}]*)\}")
# What an operator puts before the first value, and between two. RFC 9298 section 2 leaves out all
# other operators of RFC 6570.
OPERATORS = {"": ("", ","), "?": ("?", "&"), "&": ("&", "&")}
NAME = re.compile(r"(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2})+(?:\.(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2})+)*")
# RFC 3986 section 3.2.2, without what is percent-encoded.
REG_NAME = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=]{1,253}")
PORT = re.compile(r"[0-9]{1,5}")


class BadTarget(ValueError):
    """No host and port that UDP packets could be sent to: RFC 9298 section 3.1."""


def check_target(host: str, port: str | int) -> tuple[str, int]:
    """Return host and port, or raise BadTarget.

    The host is an IPv4 address, an IPv6 address without brackets and zone, or a registered name.
    """
    text = str(port)
    if not PORT.fullmatch(text) or not 1 <= int(text) <= 65535:
        raise BadTarget(f"a target's port is from 1 to 65535, not {port!r}")
    if ":" in host:
        try:
            if "%" in host:
                raise ValueError
            return str(ipaddress.IPv6Address(host)), int(text)
        except ValueError:
            raise BadTarget(f"no IPv6 address without a zone: {host!r}") from None
    if not REG_NAME.fullmatch(host):
        raise BadTarget(f"no host: {host!r}")
    return host, int(text)


def _taken_apart(operator: str, names: list[str]) -> str:
    # The pattern of what an expression becomes. Variables but ours may be undefined: RFC 6570
    # section 3.2.1 leaves them out, with what would stand between them and others.
    first, between = map(re.escape, OPERATORS[operator])
    ours = [at for at, name in enumerate(names) if name in VARIABLES]
    values = []
    for name in names:
        value = "[^/?#&,]*"
        if name in VARIABLES:
            value = f"(?P<{name}>{value})"
        # RFC 6570 sections 3.2.8 and 3.2.9: these name the variable, too.
        values.append(f"{re.escape(name)}={value}" if operator else value)
    if not ours:
        one = f"(?:{'|'.join(values)})"
        return f"(?:{first}{one}(?:{between}{one}){{0,{len(names) - 1}}})?"
    pattern = first + "".join(f"(?:{value}{between})?" for value in values[: ours[0]])
    pattern += values[ours[0]]
    for at in range(ours[0] + 1, len(names)):
        pattern += f"{between}{values[at]}" if at in ours else f"(?:{between}{values[at]})?"
    return pattern


class UriTemplate:
    """A template of a UDP proxy, with both `target_host` and `target_port`.

    `scheme` and `authority` are those of the proxy; a template that begins with a slash has neither,
    as a proxy knows itself. Raises ValueError for what RFC 9298 section 2 does not allow.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        if not text.isascii() or any(not 0x21 <= ord(each) <= 0x7E for each in text):
            raise ValueError(f"a URI template is printable ASCII: {text!r}")
        if text.startswith("/") and not text.startswith("//"):
            self.scheme = self.authority = ""
            self._path = text
        else:
            before = text.partition("{")[0]
            parts = urlsplit(before)
            if not parts.scheme or not parts.netloc:
                raise ValueError(f"a URI template begins with a scheme and an authority: {text!r}")
            self.scheme, self.authority = parts.scheme, parts.netloc
            self._path = text[len(parts.scheme) + 3 + len(parts.netloc) :]
        if not self._path.startswith("/"):
            raise ValueError(f"the path of a URI template begins with a slash: {text!r}")
        if "#" in self._path:
            raise ValueError(f"a URI template has no fragment: {text!r}")
        self._pattern = self._compile()

    def _compile(self) -> re.Pattern[str]:
        # What the path of a request is taken apart by; finds out what is wrong on the way.
        pattern, at, seen = "", 0, []
        for expression in EXPRESSION.finditer(self._path):
            pattern += self._literal(self._path[at : expression.start()])
            at = expression.end()
            operator, names = self._names(expression[1])
            seen += names
            pattern += _taken_apart(operator, names)
        pattern += self._literal(self._path[at:])
        for name in VARIABLES:
            if seen.count(name) != 1:
                raise ValueError(f"a URI template has {name} once: {self.text!r}")
        return re.compile(pattern)

    def _literal(self, text: str) -> str:
        if "{" in text or "}" in text or any(each in "\"'<>\\^`|" for each in text):
            raise ValueError(f"no URI template: {self.text!r}")
        return re.escape(text)

    def _names(self, expression: str) -> tuple[str, list[str]]:
        operator = expression[:1] if expression[:1] in OPERATORS else ""
        names = expression[len(operator) :].split(",")
        for name in names:
            # Neither another operator nor a modifier of level 4 is part of a name.
            if not NAME.fullmatch(name):
                raise ValueError(f"{{{expression}}} may not stand in the template of a UDP proxy")
        return operator, names

    def expand(self, host: str, port: int) -> str:
        """Return the path (and query) that asks for this target. Raises BadTarget."""
        host, port = check_target(host, port)
        values = {"target_host": quote(host, safe="-._~"), "target_port": str(port)}

        def expanded(expression: re.Match[str]) -> str:
            operator, names = self._names(expression[1])
            first, between = OPERATORS[operator]
            known = [name for name in names if name in values]  # others are undefined: left out
            if operator:
                parts = [f"{name}={values[name]}" for name in known]
            else:
                parts = [values[name] for name in known]
            return first + between.join(parts) if parts else ""

        return EXPRESSION.sub(expanded, self._path)

    def match(self, path: str) -> tuple[str, int] | None:
        """Return the target that the path of a request asks for; None where it is another's.

        Raises BadTarget where it is this one's, and asks for no target.
        """
        found = self._pattern.fullmatch(path)
        if found is None:
            return None
        try:
            host, port = (unquote_to_bytes(found[name]).decode("ascii") for name in VARIABLES)
        except UnicodeDecodeError as error:
            raise BadTarget("a target is ASCII") from error
        return check_target(host, port)

    def __repr__(self) -> str:
        return f"UriTemplate({self.text!r})"
