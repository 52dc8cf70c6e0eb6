"""The values of `priority` and PRIORITY_UPDATE against a grammar: RFC 9218, RFC 9651 section 4.2."""

import importlib
import re

KEY = rb"[a-z*][a-z0-9_\-.*]*"
ITEM = (
    rb"(?:\?[01]"
    rb'|"(?:\\["\\]|[ !#-\[\]-~])*"'
    rb"|:[A-Za-z0-9+/=]*:"
    rb"|@-?[0-9]{1,15}"
    rb"|-?[0-9]{1,12}\.[0-9]{1,3}"
    rb"|-?[0-9]{1,15}"
    rb"|[A-Za-z*][A-Za-z0-9!#$%&'*+\-.^_`|~:/]*)"
)
PARAMETERS = rb"(?:; *%b(?:=%b)?)*" % (KEY, ITEM)
LIST = rb"\( *(?:%b%b(?: +%b%b)* *)?\)" % (ITEM, PARAMETERS, ITEM, PARAMETERS)
MEMBER = rb"(%b)(?:=(%b|%b))?%b" % (KEY, ITEM, LIST, PARAMETERS)
DICTIONARY = re.compile(rb" *(?:%b(?:[ \t]*,[ \t]*%b)*[ \t]*)?" % (MEMBER, MEMBER))
NEXT = re.compile(rb"[ \t,]*" + MEMBER)


def model(value):
    """The (urgency, incremental) of a value, each -1 where it says nothing; None: no Dictionary."""
    if len(value) > 512 or not DICTIONARY.fullmatch(value):
        return None
    urgency = incremental = -1
    at = 0
    while (member := NEXT.match(value, at)) is not None:
        at = member.end()
        key, said = member[1], member[2]
        if key == b"u":
            number = int(said) if said and re.fullmatch(rb"-?[0-9]+", said) else -1
            urgency = number if 0 <= number <= 7 else -1
        elif key == b"i":
            incremental = {None: 1, b"?1": 1, b"?0": 0}.get(said, -1)
    return urgency, incremental


def run(twin, data):
    """Read each line of the input."""
    priority = importlib.import_module(".priority", twin.__name__)
    seen = []
    for value in data.split(b"\n"):
        expected = model(value)
        assert priority.parse(value) == expected, (value, expected)
        rank = priority.read_priority(value)
        assert rank == -1 if expected is None else 0 <= rank < 16
        replaced = priority.replaced(rank & 15, value)
        assert (replaced == -1) == (expected is None)
        seen.append((rank, replaced, priority.chosen(6, value)))
    return seen
