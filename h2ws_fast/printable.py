"""Text of a peer, as a log, a terminal or the message of an exception may have it."""

__all__ = ["SHOWN", "printable"]

SHOWN = 200  # characters of one reason, field or path


def printable(text: object, limit: int = SHOWN) -> str:
    r"""Return a peer's `str` or `bytes` on one line, without anything that a terminal obeys.

    Line ends, control characters, escape sequences, marks that turn the direction of text and
    octets that are not UTF-8 become escapes such as `\n`, `\x1b`, `\u202e`; a backslash is doubled,
    so that no peer can make up an escape. What is longer than `limit` characters is cut, and how
    much was cut is said. None is "".
    """
    if text is None:
        return ""
    if isinstance(text, bytes | bytearray | memoryview):
        # Four octets make a character at most: no need to read the rest.
        octets = bytes(text[: 4 * limit + 4])
        more = len(text) - len(octets)
        shown = octets.decode("utf-8", "surrogateescape")
        unit = "octets" if more else "characters"
    else:
        shown = str(text)
        more = 0
        unit = "characters"
    if len(shown) > limit:
        more += len(shown) - limit
        shown = shown[:limit]
    if not shown.isprintable() or "\\" in shown:
        shown = "".join([_escape(each) for each in shown])
    return f"{shown}... ({more} {unit} more)" if more else shown


def _escape(each: str) -> str:
    if each == "\\":
        return "\\\\"
    if each.isprintable():
        return each
    number = ord(each)
    if 0xDC80 <= number <= 0xDCFF:  # an octet that is not UTF-8
        return f"\\x{number - 0xDC00:02x}"
    return each.encode("unicode_escape").decode("ascii")
