"""picows: WebSockets over HTTP/1.1 in Cython, callbacks."""

import picows

from ._common import BACKLOG, arguments, context, ready, run


class Echo(picows.WSListener):
    def on_ws_frame(self, transport, frame):
        if frame.msg_type == picows.WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        else:
            # A fragment stays one: the last ends the message.
            transport.send(frame.msg_type, frame.get_payload_as_memoryview(), frame.fin)


async def main():
    port, *files = arguments()
    server = await picows.ws_create_server(
        lambda request: Echo(),
        "127.0.0.1",
        port,
        ssl=context(*files, "http/1.1"),
        backlog=BACKLOG,
    )
    ready()
    await server.serve_forever()


run(main)
