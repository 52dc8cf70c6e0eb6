"""TLS: contexts, ALPN, suites, names. RFC 9113 sections 3.2, 3.3 and 9.2."""

import asyncio
import ssl
import struct

import pytest

from h2ws_fast import AlpnError, InvalidHandshake, Session, connect, serve
from h2ws_fast.aio import tls
from tests.aio.conftest import Place
from tests.support import frames as f
from tests.support.raw import RawClient


async def echo(ws):
    async for message in ws:
        await ws.send(message)


def alpn_names(hello):
    """The protocol names in a ClientHello's ALPN extension, and its server name."""
    names, server_name = [], None
    at = 5 + 4 + 2 + 32
    at += 1 + hello[at]
    at += 2 + struct.unpack_from("!H", hello, at)[0]
    at += 1 + hello[at]
    end = at + 2 + struct.unpack_from("!H", hello, at)[0]
    at += 2
    while at < end:
        kind, size = struct.unpack_from("!HH", hello, at)
        body = hello[at + 4 : at + 4 + size]
        at += 4 + size
        if kind == 16:
            inner = 2
            while inner < len(body):
                names.append(body[inner + 1 : inner + 1 + body[inner]])
                inner += 1 + body[inner]
        elif kind == 0:
            server_name = body[5:].decode()
    return names, server_name


async def client_hello(uri_host, **options):
    """Let a Session connect to a socket that only listens; return the first octets it sends."""
    got = asyncio.get_running_loop().create_future()

    async def listen(reader, writer):
        got.set_result(await reader.read(4096))
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    session = Session(f"https://{uri_host}:{port}", ssl=tls.client_context(verify=False), **options)
    with pytest.raises((OSError, ssl.SSLError)):
        await session.connect()
    server.close()
    return await got


@pytest.mark.row("9113-3.2-1")
@pytest.mark.row("9113-9.2-2")
async def test_the_client_offers_h2_alone_and_names_the_server():
    names, server_name = alpn_names(await client_hello("localhost", host="127.0.0.1"))
    assert names == [b"h2"]
    assert server_name == "localhost"
    names, server_name = alpn_names(await client_hello("127.0.0.1"))
    assert names == [b"h2"]
    assert server_name is None


def client_of(certificate, *protocols):
    context = ssl.create_default_context(cafile=str(certificate[0]))
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


@pytest.mark.row("9113-3.2-1")
async def test_the_server_selects_h2(certificate, server_tls):
    async with serve(echo, "127.0.0.1", 0, ssl=server_tls) as server:
        port = server.sockets[0].getsockname()[1]
        for offer in (["h2"], ["http/1.1", "h2"], ["h2c", "h2"]):
            peer = await RawClient.connect(port, ssl=client_of(certificate, *offer))
            assert peer.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
            assert (await peer.websocket()).get(":status") == "200"
            peer.close()


@pytest.mark.row("9113-3.2-1")
@pytest.mark.row("9113-3.3-1")
@pytest.mark.parametrize("offer", [(), ("h2c",), ("http/1.1",)], ids=["none", "h2c", "h1"])
async def test_tls_without_alpn_h2_is_not_http2(certificate, server_tls, offer):
    opened = []

    async with serve(
        on_message=print, on_open=opened.append, host="127.0.0.1", port=0, ssl=server_tls, http="h2"
    ) as server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_of(certificate, *offer)
        )
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() is None
        writer.write(f.MAGIC + f.settings())
        # Not one octet of HTTP/2 comes back.
        try:
            assert await reader.read(100) == b""
        except ConnectionError:
            pass
        writer.close()
        async with asyncio.timeout(5):
            while server._wires:
                await asyncio.sleep(0.01)
    assert opened == []


@pytest.mark.row("9113-3.2-2")
async def test_a_server_without_h2_gets_no_preface(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.set_alpn_protocols(["http/1.1"])
    octets = []

    async def listen(reader, writer):
        try:
            octets.append(await reader.read(100))
        except ConnectionError:
            octets.append(b"")
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(AlpnError, match="does not speak HTTP/2") as caught:
        await connect(
            f"wss://127.0.0.1:{port}", ssl=tls.client_context(cafile=certificate[0]), http="h2"
        )
    assert caught.value.selected is None
    assert caught.value.error_code == f.HTTP_1_1_REQUIRED
    async with asyncio.timeout(5):
        while not octets:
            await asyncio.sleep(0.01)
    assert octets == [b""]
    server.close()


async def test_a_certificate_nobody_signed_is_refused(server_tls):
    async with serve(echo, "127.0.0.1", 0, ssl=server_tls) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(f"wss://127.0.0.1:{port}")
        async with connect(f"wss://127.0.0.1:{port}", ssl=tls.client_context(verify=False)) as ws:
            await ws.send("x")
            assert await ws.recv() == "x"


@pytest.mark.row("9113-9.2-1")
@pytest.mark.parametrize("server", [True, False], ids=["server", "client"])
def test_contexts_below_tls_1_2_are_refused(server, certificate):
    def make():
        kind = ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT
        return ssl.SSLContext(kind)

    context = make()
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ValueError, match=r"below 1\.2"):
        tls.prepare(context, server=server)
    context = make()
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ValueError, match=r"no TLS 1\.2"):
        tls.prepare(context, server=server)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = make()
        context.minimum_version = version
        assert tls.prepare(context, server=server) is context
    assert tls.server_context(*certificate).minimum_version >= ssl.TLSVersion.TLSv1_2
    assert tls.client_context().minimum_version >= ssl.TLSVersion.TLSv1_2


@pytest.mark.row("9113-9.2.1-1")
def test_compression_and_renegotiation_are_off(certificate):
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for context in (
        tls.server_context(*certificate),
        tls.client_context(),
        tls.prepare(bare, server=True),
    ):
        assert context.options & ssl.OP_NO_COMPRESSION
        assert context.options & ssl.OP_NO_RENEGOTIATION


@pytest.mark.row("9113-9.2.3-1")
def test_post_handshake_authentication_is_refused(certificate):
    assert not tls.server_context(*certificate).post_handshake_auth
    assert not tls.client_context().post_handshake_auth
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.post_handshake_auth = True
    with pytest.raises(ValueError, match="post_handshake_auth"):
        tls.prepare(context, server=True)


@pytest.mark.row("9113-9.2.2-2")
def test_the_mandatory_suite_is_among_the_defaults(certificate):
    for context in (tls.server_context(*certificate), tls.client_context()):
        suites = {cipher["name"]: cipher for cipher in context.get_ciphers()}
        assert "ECDHE-RSA-AES128-GCM-SHA256" in suites
        for name, cipher in suites.items():
            assert cipher["aead"], name
            assert name.startswith(("TLS_", "ECDHE-")), name


def tls_1_2(certificate, suites):
    context = ssl.create_default_context(cafile=str(certificate[0]))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(suites)
    context.set_alpn_protocols(["h2"])
    return context


@pytest.mark.row("9113-9.2.2-1")
@pytest.mark.row("9113-9.2.2-2")
async def test_the_mandatory_suite_works(rsa_certificate):
    context = tls.server_context(*rsa_certificate)
    async with serve(echo, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        client = tls_1_2(rsa_certificate, "ECDHE-RSA-AES128-GCM-SHA256")
        client.set_ecdh_curve("prime256v1")
        peer = await RawClient.connect(port, ssl=client)
        name, version, _ = peer.writer.get_extra_info("ssl_object").cipher()
        assert (name, version) == ("ECDHE-RSA-AES128-GCM-SHA256", "TLSv1.2")
        assert (await peer.websocket()).get(":status") == "200"
        peer.close()


@pytest.mark.row("9113-9.2.2-1")
@pytest.mark.parametrize("suite", ["ECDHE-RSA-AES128-SHA256", "AES128-GCM-SHA256"])
async def test_a_prohibited_suite_is_inadequate_security(rsa_certificate, suite):
    # A context of the user's own may allow what HTTP/2 prohibits.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*rsa_certificate)
    context.set_ciphers(suite + ":@SECLEVEL=1")
    async with serve(echo, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        client = tls_1_2(rsa_certificate, suite + ":@SECLEVEL=1")
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        peer = RawClient(reader, writer)
        frames = await peer.until_eof()
        assert [x.kind for x in frames][-1] == f.GOAWAY
        assert frames[-1].error_code == f.INADEQUATE_SECURITY
        writer.close()


async def test_the_client_refuses_a_prohibited_suite(rsa_certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*rsa_certificate)
    context.set_alpn_protocols(["h2"])
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    suite = "ECDHE-RSA-AES128-SHA256:@SECLEVEL=1"
    context.set_ciphers(suite)
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    client = ssl.create_default_context(cafile=str(rsa_certificate[0]))
    client.set_ciphers(suite)
    with pytest.raises(InvalidHandshake, match="prohibited"):
        await connect(f"wss://127.0.0.1:{port}", ssl=client)
    server.close()


def test_contexts_for_the_other_side_are_refused(certificate):
    with pytest.raises(ValueError, match="other side"):
        serve(echo, "127.0.0.1", 0, ssl=tls.client_context())
    with pytest.raises(ValueError, match="other side"):
        connect("wss://127.0.0.1", ssl=tls.server_context(*certificate))
    with pytest.raises(ValueError, match="cleartext"):
        connect("ws://127.0.0.1", ssl=tls.client_context())
    with pytest.raises(TypeError):
        serve(echo, ssl=True)


@pytest.mark.row("9113-9.1-1")
async def test_a_session_is_one_tcp_connection(certificate):
    place = Place(tls.server_context(*certificate), tls.client_context(cafile=certificate[0]))
    async with place.serve(echo) as server:
        async with Session(place.http, ssl=place.client_ssl) as session:
            sockets = await asyncio.gather(*(session.websocket(f"/{i}") for i in range(50)))
            assert len(server._wires) == 1
            assert len({ws.local_address for ws in sockets}) == 1
            assert len({ws.stream_id for ws in sockets}) == 50


async def test_octets_that_are_not_tls(server_tls):
    async with serve(echo, "127.0.0.1", 0, ssl=server_tls) as server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f.MAGIC + f.settings())
        try:
            await reader.read(100)
        except ConnectionError:
            pass
        writer.close()
        assert not server._wires


async def test_secrets_go_where_the_environment_says(certificate, tmp_path, monkeypatch):
    import ssl

    from h2ws_fast import connect, serve

    keys = tmp_path / "keys"
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.minimum_version = ssl.TLSVersion.TLSv1_2
    own.load_cert_chain(*certificate)
    client = tls.client_context(cafile=certificate[0])
    monkeypatch.setenv("SSLKEYLOGFILE", str(keys))

    async def handler(ws):
        await ws.send("hello")

    for context in (own, tls.server_context(*certificate)):
        async with serve(handler, "127.0.0.1", 0, ssl=context) as server:
            port = server.sockets[0].getsockname()[1]
            before = keys.read_text()
            async with connect(f"wss://127.0.0.1:{port}/", ssl=client, proxy=None) as ws:
                assert await ws.recv() == "hello"
            assert "CLIENT_TRAFFIC_SECRET_0" in keys.read_text()[len(before) :]
