"""Where a proxy may lead: the forms of addresses, lists of hosts, and how names are looked up."""

import asyncio
import errno
import socket
import threading

import pytest

from h2ws_fast.aio.server import addresses
from h2ws_fast.aio.server.lookups import Lookups
from h2ws_fast.aio.server.targets import Refused, Targets

from .test_connect import resolving

row = pytest.mark.row

TCP = socket.SOCK_STREAM


async def found(targets, host="a.example", port=443):
    """The addresses that a client is led to, or the (status, error) of the refusal."""
    try:
        return [entry[1][0] for entry in await targets.find(None, host, port, TCP, "me")]
    except Refused as refused:
        return refused.status, refused.error


PROHIBITED = (403, "destination_ip_prohibited")
DENIED = (403, "http_request_denied")


# -- addresses -----------------------------------------------------------------------------------


def without(monkeypatch, number, families=(socket.AF_INET6,)):
    """Let sockets of these families fail."""
    real = socket.socket

    def made(family=-1, *arguments, **options):
        if family in families:
            raise OSError(number, "in the kernel's words")
        return real(family, *arguments, **options)

    monkeypatch.setattr(addresses.socket, "socket", made)


@row("SEC-8-1")
async def test_a_machine_without_ipv6(monkeypatch):
    without(monkeypatch, errno.EAFNOSUPPORT)
    both = Targets(resolve=resolving("2606:4700::1111", "1.1.1.1"))
    assert "1.1.1.1" in await found(both)


@row("SEC-8-1")
async def test_an_address_that_cannot_be_judged_is_not_dialled(monkeypatch):
    without(monkeypatch, errno.EACCES)
    both = Targets(resolve=resolving("2606:4700::1111", "1.1.1.1"))
    assert await found(both) == ["1.1.1.1"]


async def test_no_descriptors_are_left(monkeypatch):
    without(monkeypatch, errno.EMFILE, (socket.AF_INET, socket.AF_INET6))
    assert await found(Targets(resolve=resolving("1.1.1.1"))) == (503, "connection_limit_reached")


@row("SEC-8-1")
@pytest.mark.parametrize(
    "spelling",
    [
        *("8.8.8.8", "::ffff:8.8.8.8", "::FFFF:808:808", "64:ff9b::808:808", "2002:808:808::1"),
        *("2a00:1450:0::1", "2A00:1450::0001"),
    ],
)
async def test_own_addresses_in_each_form(monkeypatch, spelling):
    """Of a machine that has public ones: the kernel would send from them to themselves."""
    mine = {addresses.parsed(each) for each in ("8.8.8.8", "2a00:1450::1")}
    monkeypatch.setattr(
        addresses, "source_towards", lambda address: address if address in mine else None
    )
    assert await found(Targets(resolve=resolving(spelling))) == PROHIBITED
    assert await found(Targets(resolve=resolving("9.9.9.9"))) == ["9.9.9.9"]


async def test_a_mapped_address_is_dialled_as_what_it_is():
    targets = Targets(private=True, resolve=resolving("::ffff:127.0.0.1", "::1"))
    assert await targets.find(None, "a.example", 5, TCP, "me") == [
        (socket.AF_INET, ("127.0.0.1", 5)),
        (socket.AF_INET6, ("::1", 5)),
    ]


@row("SEC-8-1")
async def test_denied_networks():
    denied = ["198.51.100.0/24", "2001:db8::/32"]
    for address in ("198.51.100.7", "::ffff:198.51.100.7", "64:ff9b::c633:6407", "2001:db8::7"):
        targets = Targets(private=True, deny=denied, resolve=resolving(address, "127.0.0.1"))
        assert await found(targets) == ["127.0.0.1"]
    with pytest.raises(ValueError):
        Targets(deny=["198.51.100.7/24"])
    with pytest.raises(TypeError):
        Targets(deny="198.51.100.0/24")


async def test_a_name_with_a_thousand_addresses():
    many = [f"10.0.{number // 250}.{number % 250}" for number in range(1000)]
    assert len(await found(Targets(private=True, resolve=resolving(*many)))) == 16


# -- lists ---------------------------------------------------------------------------------------


@row("SEC-8-2")
@pytest.mark.parametrize(
    ("entry", "host", "port", "right"),
    [
        ("2001:db8::1", "2001:db8::1", 5, True),
        ("2001:DB8:0::1", "2001:db8::1", 5, True),
        ("[2001:db8::1]", "2001:DB8:0:0::1", 5, True),
        ("[2001:DB8::1]:5", "2001:db8::1", 5, True),
        ("[2001:db8::1]:5", "2001:db8::1", 6, False),
        ("2001:db8::1", "2001:db8::2", 5, False),
        ("A.example", "a.Example", 5, True),
        ("a.example:5", "A.EXAMPLE", 5, True),
        ("a.example:5", "a.example", 6, False),
        ("a.example:5", "a.example.", 5, False),
        ("192.0.2.1:5", "192.0.2.1", 5, True),
        ("192.0.2.1", "192.0.2.10", 5, False),
    ],
)
async def test_hosts_are_compared_in_one_spelling(entry, host, port, right):
    targets = Targets([entry], private=True, resolve=resolving("127.0.0.1"))
    assert await found(targets, host, port) == (["127.0.0.1"] if right else DENIED)


def test_a_list_that_makes_no_sense():
    with pytest.raises(ValueError):
        Targets(["a.example:https"])


# -- names ---------------------------------------------------------------------------------------


class Names:
    """A resolver of the system's that is silent about names, until it is told to answer."""

    def __init__(self, monkeypatch):
        self.asked = []
        self.answer = threading.Event()
        self.real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self.getaddrinfo)

    def getaddrinfo(self, host, port, *arguments, flags=0, **options):
        if flags & socket.AI_NUMERICHOST:
            return self.real(host, port, *arguments, flags=flags, **options)
        self.asked.append(host)
        if host.startswith("silent") and not self.answer.wait(20):
            raise socket.gaierror("nobody answered")
        return [(socket.AF_INET, TCP, 6, "", ("127.0.0.1", port))]


@pytest.fixture
def names(monkeypatch):
    it = Names(monkeypatch)
    yield it
    it.answer.set()


async def asked(names, count):
    async with asyncio.timeout(10):
        while len(names.asked) < count:
            await asyncio.sleep(0.005)


async def test_a_silent_name_server_stops_nobody_else(names):
    lookups = Lookups()
    tasks = [
        asyncio.ensure_future(lookups.find("one", f"silent{number}", 1, TCP))
        for number in range(20)
    ]
    await asked(names, 4)
    # Who asks for an address, and who is another.
    ((*_, address),) = await lookups.find("one", "127.1", 1, TCP)
    assert address == ("127.0.0.1", 1)
    ((*_, address),) = await lookups.find("two", "a.example", 1, TCP)
    assert address == ("127.0.0.1", 1)
    # The others of the first wait their turn, also where those who asked have given up.
    for task in tasks[:10]:
        task.cancel()
    await asyncio.wait(tasks[:10])
    assert sorted(names.asked) == sorted([*(f"silent{number}" for number in range(4)), "a.example"])
    names.answer.set()
    assert len(await asyncio.gather(*tasks[10:])) == 10
    assert len(names.asked) == 5 + 10


async def test_so_many_names_at_once(names):
    lookups = Lookups(at_once=3, per_client=2)
    tasks = [
        asyncio.ensure_future(lookups.find(number // 2, f"silent{number}", 1, TCP))
        for number in range(8)
    ]
    await asked(names, 3)
    await asyncio.sleep(0.05)
    assert len(names.asked) == 3
    names.answer.set()
    await asyncio.gather(*tasks)
    assert len(names.asked) == 8


async def test_what_a_lookup_raises(monkeypatch):
    lookups = Lookups()

    def fails(host, port, **options):
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    with pytest.raises(socket.gaierror):
        await lookups.find("me", "a.example", 1, TCP)
    monkeypatch.undo()
    with pytest.raises(UnicodeError):
        await lookups.find("me", "a" * 64 + ".example", 1, TCP)

    def none(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none)
    for _ in range(6):  # nobody's turn is lost
        with pytest.raises(OSError, match="no thread"):
            await lookups.find("me", "a.example", 1, TCP)


async def test_no_thread_is_left_that_keeps_the_process(names):
    task = asyncio.ensure_future(Lookups().find("me", "silent", 1, TCP))
    await asked(names, 1)
    (thread,) = (each for each in threading.enumerate() if each.name == "h2ws_fast-lookup")
    assert thread.daemon
    task.cancel()
    await asyncio.wait([task])
