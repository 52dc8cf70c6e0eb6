"""HTTP/3 through HTTP/2: aioquic's client, whose UDP packets go through a proxy for connect-udp.

    pip install aioquic
    h2ws-fast serve-tunnels --cleartext --allow cloudflare-quic.com:443
    python examples/http3.py http://127.0.0.1:8443 cloudflare-quic.com 443

A fourth argument is a file of authorities to trust.
"""

import asyncio
import sys

from aioquic.asyncio import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

from h2ws_fast import Session
from h2ws_fast.masque import create_datagram_endpoint


class Client(QuicConnectionProtocol):
    """One GET: `await client.get(host)` gives the status and the body."""

    def __init__(self, quic):
        super().__init__(quic)
        self.http = H3Connection(quic)
        self.status = None
        self.body = b""
        self.done = asyncio.get_running_loop().create_future()

    async def get(self, host):
        stream_id = self._quic.get_next_available_stream_id()
        fields = {":method": "GET", ":scheme": "https", ":authority": host, ":path": "/"}
        self.http.send_headers(
            stream_id, [(name.encode(), value.encode()) for name, value in fields.items()], True
        )
        self.transmit()
        await self.done
        return self.status, self.body

    def quic_event_received(self, event):
        for happened in self.http.handle_event(event):
            if isinstance(happened, HeadersReceived):
                self.status = int(dict(happened.headers)[b":status"])
            elif isinstance(happened, DataReceived):
                self.body += happened.data
            if happened.stream_ended:
                self.done.set_result(None)


async def main(proxy, host, port, authorities=None):
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name=host)
    if authorities is not None:
        configuration.load_verify_locations(authorities)
    async with Session(proxy) as session:
        # A transport of asyncio's as QUIC knows it, only that it leads through a tunnel.
        _, client = await create_datagram_endpoint(
            session, lambda: Client(QuicConnection(configuration=configuration)), host, int(port)
        )
        client.connect((host, int(port)))
        await client.wait_connected()
        status, body = await client.get(host)
        print(f"{status}, {len(body)} octets")
        client.close()
        await client.wait_closed()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
