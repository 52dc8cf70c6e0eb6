"""The server that is soaked: `python -m bench.soak.served callback|await [CERTIFICATE KEY]`.

It is the echo server of `h2ws-fast echo`, with an `echo` tunnel, and with `/stats` that tells what
the process holds. `/stats?settled` first collects garbage and gives free memory back: what is then
left is held by something. It prints `ready PORT`, serves until SIGTERM, and says as JSON what
outlived its shutdown.
"""

import asyncio
import collections
import ctypes
import gc
import json
import logging
import resource
import signal
import sys

from h2ws_fast import Response, StreamReset, serve
from h2ws_fast.aio import tls
from h2ws_fast.cli import loops
from h2ws_fast.cli.paths import Paths
from h2ws_fast.engine import Limits

from ..memory import resident

LIMITS = {
    "max_message": 2**20,
    "max_queued": 64 * 2**20,
    "close_timeout_s": 3.0,
    "preface_timeout_s": 6.0,  # longer than a busy machine keeps a client waiting
    "settings_timeout_s": 6.0,
    "header_block_timeout_s": 3.0,
}
KEPT = 20  # errors whose text is kept


class Errors(logging.Handler):
    """Whatever is logged as an error: a peer must not be able to cause one."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.count = 0
        self.texts = []
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))

    def emit(self, record):
        self.count += 1
        if len(self.texts) < KEPT:
            self.texts.append(self.format(record))


class Served(Paths):
    """The paths of `h2ws-fast echo`, and `/stats` of the whole process."""

    def __init__(self, api, errors):
        super().__init__(api)
        self.errors = errors
        self.server = None
        self.begun = None  # the task that runs the server

    async def on_request(self, request):
        path, _, query = request.path.partition("?")
        if path == "/stats":
            if query == "settled":
                await self.settle()
            body = json.dumps(self.account(settled=query == "settled"))
            return Response(200, {"content-type": "application/json"}, body)
        return await super().on_request(request)

    async def on_tunnel(self, tunnel):
        try:
            async for data in tunnel:
                await tunnel.send(data)
        except StreamReset:
            tunnel.abort()

    async def settle(self):
        """Let go of what is garbage, and of what only waits for it: generators to be closed."""
        self.counters.live()  # forgets the connections that are over
        for _ in range(2):
            gc.collect()
            await asyncio.sleep(0.01)
        give_back()

    def account(self, settled):
        """What this process has done and holds."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        tasks = asyncio.all_tasks() - {asyncio.current_task(), self.begun}
        stats = [wire.conn.stats() for wire in self.server._wires]
        messages, octets = self.counters.carried()
        account = {
            "resident": resident(),
            "cpu_s": used.ru_utime + used.ru_stime,
            "connections": len(stats),
            "streams": sum(each.get("open_streams", 0) for each in stats),
            "octets_buffered": sum(each.get("octets_buffered", 0) for each in stats),
            "octets_queued": sum(each.get("octets_queued", 0) for each in stats),
            "tasks": len(tasks),
            "messages": messages,
            "octets_received": octets,
            "errors": self.errors.count,
            "error_texts": self.errors.texts,
        }
        if settled:
            account["blocks"] = sys.getallocatedblocks()
            account["garbage"] = len(gc.garbage)
            account["objects"] = ours()
            account["pending_futures"] = sum(
                1
                for each in gc.get_objects()
                if isinstance(each, asyncio.Future) and not each.done()
            )
        return account


def ours():
    """How many objects of each of our types the collector knows."""
    counts = collections.Counter(
        type(each).__qualname__
        for each in gc.get_objects()
        if str(type(each).__module__).startswith("h2ws_fast")
    )
    return dict(sorted(counts.items()))


def give_back():
    """Let the C library return what is free."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        pass  # not glibc


async def run(api, context):
    errors = Errors()
    logging.getLogger().addHandler(errors)
    logging.getLogger().addHandler(logging.StreamHandler())
    logging.getLogger().setLevel(logging.ERROR)
    served = Served(api, errors)
    served.begun = asyncio.current_task()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_reader(sys.stdin, stop.set)  # at its end: whoever started us is gone
    async with serve(
        host="127.0.0.1",
        port=0,
        ssl=context,
        origins=None,
        select_subprotocol=served.select_subprotocol,
        process_request=served.process_request,
        on_request=served.on_request,
        tunnels={"echo": served.on_tunnel},
        limits=Limits(**LIMITS),
        **served.interface(),
    ) as served.server:
        print("ready", served.server.sockets[0].getsockname()[1], flush=True)
        await stop.wait()
        loop.remove_reader(sys.stdin)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    print(json.dumps({"tasks": len(left), "errors": errors.count}), flush=True)


def main():
    api, *files = sys.argv[1:]
    _, factory = loops.choose(None)
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(run(api, tls.server_context(*files) if files else None))


if __name__ == "__main__":
    main()
