"""Programs for QUIC's streams, over HTTP/2: the interface is that of aioquic."""

import asyncio
import struct

import pytest

from h2ws_fast import Session, quic
from h2ws_fast.aio import opener
from h2ws_fast.engine import Settings


def port_of(server):
    return server.sockets[0].getsockname()[1]


def here(**arguments):
    return quic.serve("127.0.0.1", 0, **arguments)


def url(server):
    return f"http://127.0.0.1:{port_of(server)}"


# -- a program as it is written for aioquic: questions and answers, a stream for each --------------


class Questions(quic.QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.answers = {}
        self.octets = {}

    async def ask(self, name):
        data = name.encode()
        stream_id = self._quic.get_next_available_stream_id()
        self._quic.send_stream_data(stream_id, struct.pack("!H", len(data)) + data, end_stream=True)
        waiter = self._loop.create_future()
        self.answers[stream_id] = waiter
        self.transmit()
        return await asyncio.shield(waiter)

    def quic_event_received(self, event):
        if isinstance(event, quic.StreamDataReceived):
            octets = self.octets.setdefault(event.stream_id, bytearray())
            octets += event.data
            if event.end_stream and event.stream_id in self.answers:
                length = struct.unpack("!H", octets[:2])[0]
                self.answers.pop(event.stream_id).set_result(octets[2 : 2 + length].decode())


class Answers(quic.QuicConnectionProtocol):
    def quic_event_received(self, event):
        if isinstance(event, quic.StreamDataReceived) and event.data:
            length = struct.unpack("!H", event.data[:2])[0]
            answer = event.data[2 : 2 + length].upper()
            self._quic.send_stream_data(
                event.stream_id, struct.pack("!H", len(answer)) + answer, end_stream=True
            )
            self.transmit()


async def test_a_program_of_questions_and_answers():
    async with (
        here(create_protocol=Answers) as server,
        quic.connect(url(server), create_protocol=Questions) as client,
    ):
        await client.wait_connected()
        names = [f"name-{number}.example" for number in range(50)]
        answers = await asyncio.gather(*(client.ask(name) for name in names))
        assert answers == [name.upper() for name in names]
        assert client._quic.get_next_available_stream_id() == 200


# -- streams ---------------------------------------------------------------------------------------


class Recorder(quic.QuicConnectionProtocol):
    """Keeps every event, and is found by the test."""

    made = None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.events = []
        self.more = asyncio.Event()
        if Recorder.made is not None and not Recorder.made.done() and not self._quic._is_client:
            Recorder.made.set_result(self)

    def quic_event_received(self, event):
        self.events.append(event)
        self.more.set()

    async def until(self, kind, stream_id=None):
        while True:
            for event in self.events:
                if type(event) is kind and stream_id in (None, getattr(event, "stream_id", None)):
                    return event
            self.more.clear()
            await self.more.wait()

    async def octets(self, stream_id):
        def last(event):
            return type(event) is quic.StreamDataReceived and event.stream_id == stream_id

        while not any(last(event) and event.end_stream for event in self.events):
            self.more.clear()
            await self.more.wait()
        return b"".join(event.data for event in self.events if last(event))


class Both:
    """A client and a server that record, and are connected."""

    def __init__(self, **arguments):
        self.arguments = arguments | {"create_protocol": Recorder}

    async def __aenter__(self):
        Recorder.made = asyncio.get_running_loop().create_future()
        self.listener = await here(**self.arguments)
        self.connecting = quic.connect(url(self.listener), **self.arguments)
        self.client = await self.connecting.__aenter__()
        self.server = await Recorder.made
        return self.client, self.server

    async def __aexit__(self, *error):
        Recorder.made = None
        await self.connecting.__aexit__(*error)
        self.listener.close()
        await self.listener.wait_closed()


async def test_both_ends_open_streams_of_both_kinds():
    async with Both() as (client, server):
        for opener, taker, first in ((client, server, 0), (server, client, 1)):
            assert type(opener.events[0]) is quic.HandshakeCompleted
            for one_way in (False, True):
                for number in range(2):
                    stream_id = opener._quic.get_next_available_stream_id(one_way)
                    assert stream_id == first + 2 * one_way + 4 * number
                    opener._quic.send_stream_data(stream_id, b"some ")
                    opener._quic.send_stream_data(stream_id, b"octets", end_stream=True)
                    assert await taker.octets(stream_id) == b"some octets"
                    if one_way:
                        with pytest.raises(ValueError):
                            taker._quic.send_stream_data(stream_id, b"the wrong way")
                    else:
                        taker._quic.send_stream_data(stream_id, bytes(200_000), True)
                        assert await opener.octets(stream_id) == bytes(200_000)
        for end in (client, server):
            while end._quic._channels:
                await asyncio.sleep(0.01)
            kinds = {type(event) for event in end.events}
            assert kinds == {quic.HandshakeCompleted, quic.StreamDataReceived}


@pytest.mark.parametrize("verb", ["reset_stream", "stop_stream"])
async def test_a_stream_is_ended_in_the_middle(verb):
    async with Both() as (client, server):
        client._quic.send_stream_data(0, b"begun")
        await server.until(quic.StreamDataReceived, 0)
        getattr(client._quic, verb)(0, 0x77)
        assert await server.until(quic.StreamReset, 0) == quic.StreamReset(0x77, 0)
        assert await server.until(quic.StopSendingReceived, 0) == quic.StopSendingReceived(0x77, 0)
        client._quic.send_stream_data(4, b"others go on", True)
        assert await server.octets(4) == b"others go on"
        server._quic.send_stream_data(4, b"", True)
        assert await client.octets(4) == b""


async def test_the_end_of_the_connection_is_an_event():
    async with Both() as (client, server):
        client.close()
        for end in (client, server):
            await end.wait_closed()
            assert type(end.events[-1]) is quic.ConnectionTerminated


@pytest.mark.parametrize("way", ["leaves", "closes"])
async def test_who_goes_while_streams_are_open_hears_of_their_ends(way):
    """Of one that the server alone has ended, of one that waits for a place, of one just begun."""
    settings = Settings(max_concurrent_streams=1, enable_bidirectional_connect=True)
    Recorder.made = asyncio.get_running_loop().create_future()
    async with await here(create_protocol=Recorder, settings=settings) as listener:
        async with quic.connect(url(listener), create_protocol=Recorder) as client:
            readers = []
            for number in range(3):
                reader, writer = await client.create_stream()
                readers.append((reader, writer))
                writer.write(b"some octets")
                if number == 0:
                    server = await Recorder.made
                    await server.until(quic.StreamDataReceived, 0)
                    server._quic.send_stream_data(0, b"", True)
                elif number == 1:
                    await asyncio.sleep(0.1)
            if way == "closes":
                client.close()
        async with asyncio.timeout(5):
            await client.wait_closed()
            assert await readers[0][0].read() == b""
            for reader, _ in readers[1:]:
                with pytest.raises(ConnectionResetError):
                    await reader.read()
        assert type(client.events[-1]) is quic.ConnectionTerminated
        assert not client._quic._channels
    Recorder.made = None


async def test_a_priority_that_no_field_may_have_opens_nothing():
    async with Both() as (client, _):
        for wrong, error in (("u=1\n", ValueError), (1, TypeError), (b"u=1", TypeError)):
            with pytest.raises(error):
                await client.create_stream(priority=wrong)
        assert client._quic.get_next_available_stream_id() == 0 and not client._quic._channels


async def test_a_stream_waits_for_others_of_the_connection_too():
    settings = Settings(max_concurrent_streams=1, enable_bidirectional_connect=True)
    async with Both(settings=settings) as (client, server):
        client._quic.send_stream_data(0, b"here", True)
        assert await server.octets(0) == b"here"
        other = await server._quic._opener.tunnel("quic-stream", headers={"quic-stream-id": "401"})
        server._quic.send_stream_data(1, b"waits", True)
        await asyncio.sleep(0.1)
        assert not any(type(event) is quic.StreamReset for event in server.events)
        other.abort()
        assert await client.octets(1) == b"waits"


async def test_a_code_that_does_not_fit_changes_nothing():
    async with Both() as (client, server):
        client._quic.send_stream_data(0, b"begun")
        await server.until(quic.StreamDataReceived, 0)
        for code in (2**32, 2**62 - 1, -1):
            with pytest.raises(ValueError, match="32 bits"):
                client._quic.reset_stream(0, code)
            with pytest.raises(ValueError, match="32 bits"):
                client._quic.stop_stream(0, code)
        client._quic.send_stream_data(0, b", and ended", True)
        assert await server.octets(0) == b"begun, and ended"


@pytest.mark.parametrize("end", ["client", "server"])
async def test_a_stream_beyond_the_limit_waits(end):
    """RFC 9000 section 4.6: for one to end, and not for a time."""
    settings = Settings(max_concurrent_streams=1, enable_bidirectional_connect=True)
    async with Both(settings=settings) as ends:
        mine, theirs = ends if end == "client" else ends[::-1]
        first = mine._quic.get_next_available_stream_id()
        mine._quic.send_stream_data(first, b"one")
        await theirs.until(quic.StreamDataReceived, first)
        for number in (1, 2):
            mine._quic.send_stream_data(first + 4 * number, b"more", True)
        await asyncio.sleep(0.3)
        heard = [event for event in theirs.events if type(event) is quic.StreamDataReceived]
        assert [event.stream_id for event in heard] == [first]
        theirs._quic.send_stream_data(first, b"", True)
        mine._quic.send_stream_data(first, b"", True)

        async def answer(stream_id):
            assert await theirs.octets(stream_id) == b"more"
            theirs._quic.send_stream_data(stream_id, b"", True)

        await asyncio.gather(answer(first + 4), answer(first + 8))


async def test_a_number_is_taken_once():
    """Whether its stream is open or over."""
    heard = asyncio.Queue()

    class Server(quic.QuicConnectionProtocol):
        def quic_event_received(self, event):
            if isinstance(event, quic.StreamDataReceived):
                heard.put_nowait((event.stream_id, event.data))

    async def open_one(peer, number, data):
        stream = await peer.bytestream(
            protocol="quic-stream", headers={"quic-stream-id": str(number)}
        )
        stream.write(data)
        stream.write_eof()
        return stream

    async with (
        here(create_protocol=Server) as server,
        Session(url(server), tunnels={"quic-stream": echo}) as peer,
    ):
        for number in (6, 2):  # in any order
            stream = await open_one(peer, number, b"first")
            assert await heard.get() == (number, b"first")
            assert await heard.get() == (number, b"")
            again = await open_one(peer, number, b"again")
            with pytest.raises(ConnectionResetError):
                await again.read()
            stream.close()
        assert heard.empty()


def test_numbers_that_are_kept_are_bounded():
    numbers = quic.Numbers()
    for number in range(0, 400_000, 4):
        assert numbers.add(number)
    assert len(numbers._recent) <= quic.MAX_DISORDER
    assert not numbers.add(0)
    assert not numbers.add(399_996)
    assert numbers.add(400_000)


async def test_numbers_of_streams_that_are_not_there():
    async with Both() as (client, _):
        for stream_id in (1, 3, 4, 6, 8):
            with pytest.raises(ValueError):
                client._quic.send_stream_data(stream_id, b"x")


async def test_readers_and_writers():
    tasks = set()
    heard = asyncio.get_running_loop().create_future()

    def on_stream(reader, writer):
        async def handle():
            data = await reader.read()
            if writer.get_extra_info("stream_id") & 2:
                heard.set_result(data)
            else:
                writer.write(data.upper())
                writer.write_eof()

        task = asyncio.get_running_loop().create_task(handle())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async with here(stream_handler=on_stream) as server, quic.connect(url(server)) as client:
        reader, writer = await client.create_stream()
        writer.write(b"a long text " * 50_000)
        await writer.drain()
        writer.write_eof()
        assert await reader.read() == b"A LONG TEXT " * 50_000
        reader, writer = await client.create_stream(is_unidirectional=True)
        assert await reader.read() == b""
        writer.write(b"one way")
        writer.close()
        assert await heard == b"one way"


async def test_a_peer_with_numbers_of_its_own_making():
    """Numbers that are none, that are this end's, or taken: the stream is reset."""
    async with here() as server, Session(url(server), tunnels={"quic-stream": echo}) as peer:
        for number in ("", "x", "-4", "1", str(2**62), "9" * 30):
            stream = await peer.bytestream(
                protocol="quic-stream", headers={"quic-stream-id": number}
            )
            with pytest.raises(ConnectionResetError):
                await stream.read()
        assert peer.connected


async def echo(tunnel):
    async for data in tunnel:
        await tunnel.send(data)


# -- what waits, and what is lost -------------------------------------------------------------------


class Readers:
    """A `stream_handler` whose streams are read when the test says so."""

    def __init__(self):
        self.streams = asyncio.Queue()
        self.count = 0

    def __call__(self, reader, writer):
        self.count += 1
        self.streams.put_nowait((reader, writer))


@pytest.mark.parametrize("opened", [False, True])
async def test_a_writer_waits_for_a_reader(opened):
    """`drain` does so, from the first octet on: before the stream is open, too."""
    handler = Readers()
    written = 0

    async def write(writer):
        nonlocal written
        while written < 40_000_000:
            writer.write(bytes(100_000))
            written += 100_000
            await writer.drain()

    async with here(stream_handler=handler) as server, quic.connect(url(server)) as client:
        _, writer = await client.create_stream()
        if opened:
            writer.write(b"x")
            reader, _ = await handler.streams.get()
        writing = asyncio.create_task(write(writer))
        if not opened:
            await asyncio.sleep(0)
            assert written == 100_000
            reader, _ = await handler.streams.get()
        last = -1
        while written != last:  # until it stands still
            last = written
            await asyncio.sleep(0.2)
        assert written < 20_000_000
        size = 0
        while size < last:
            size += len(await reader.read(2**20))
        async with asyncio.timeout(5):
            while written == last:
                await asyncio.sleep(0.01)
        writing.cancel()
        await asyncio.wait([writing])
        client._quic.reset_stream(0, 0)


async def test_what_was_written_before_close_arrives():
    handler = Readers()
    octets = bytes(3_000_000)
    async with here(stream_handler=handler) as server:
        async with quic.connect(url(server)) as client:
            _, writer = await client.create_stream()
            writer.write(octets[:1])
            reader, _ = await handler.streams.get()
            reading = asyncio.create_task(reader.read())
            writer.write(octets[1:])
            writer.write_eof()
            client.close()
            client.close()
            await asyncio.sleep(0)
        assert await reading == octets


@pytest.mark.parametrize("whole", [True, False])
async def test_the_end_of_the_connection_comes_behind_what_arrived(whole, monkeypatch):
    """A reader that is slow has all of a stream that ended, and an error of one that did not."""
    monkeypatch.setattr(opener, "FAREWELL_S", 0.1)
    handler = Readers()
    octets = bytes(range(256)) * 600
    async with here(stream_handler=handler) as server:
        async with quic.connect(url(server)) as client:
            _, writer = await client.create_stream()
            writer.write(octets)
            reader, back = await handler.streams.get()
            channel = next(iter(back.transport._connection._channels.values()))
            channel.pause(True)
            if whole:
                writer.write_eof()
            else:
                await asyncio.sleep(0.1)
                client._quic._opener._wire.abort()
        while not channel.connection._gone or channel.connection._channels:
            await asyncio.sleep(0.01)
        if whole:
            assert await reader.read() == octets
        else:
            with pytest.raises(ConnectionResetError):
                await reader.read()
        assert handler.count == 1


async def test_a_writer_is_closed():
    handler = Readers()
    async with here(stream_handler=handler) as server, quic.connect(url(server)) as client:
        for one_way in (False, True):
            reader, writer = await client.create_stream(one_way)
            writer.write(b"x")
            writer.close()
            other, back = await handler.streams.get()
            assert await other.read() == b"x"
            if not one_way:
                back.close()
                assert await reader.read() == b""
            async with asyncio.timeout(5):
                await writer.wait_closed()
                await back.wait_closed()
        reader, writer = await client.create_stream()
        writer.write(b"x")
        await handler.streams.get()
        client._quic.reset_stream(4, 0x99)
        async with asyncio.timeout(5):
            with pytest.raises(ConnectionResetError):
                await reader.read()
            with pytest.raises(ConnectionResetError):
                await writer.wait_closed()


@pytest.mark.parametrize("http", ["h2", "auto"])
async def test_a_server_that_opens_at_once(http):
    class Greeter(quic.QuicConnectionProtocol):
        def quic_event_received(self, event):
            if isinstance(event, quic.HandshakeCompleted):
                self._quic.send_stream_data(1, b"hello", True)

    handler = Readers()
    async with (
        here(create_protocol=Greeter) as server,
        quic.connect(url(server), stream_handler=handler, http=http),
    ):
        reader, _ = await handler.streams.get()
        assert await reader.read() == b"hello"
