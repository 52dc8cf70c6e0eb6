"""The WebSocket clients of Node's libraries, ws and undici, against a server that is asked."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.interop import demands
from tests.support.certificates import write_certificate
from tests.support.programs import end, node_module, program, read_line
from tests.support.witness import Witness

pytestmark = pytest.mark.timeout(120)

HERE = Path(__file__).parent


class Node:
    """A process of Node that runs scripts as a page would."""

    def __init__(self, library, http, url):
        node_module(library, HERE)
        self._process = subprocess.Popen(
            [program("node", "nodejs"), str(HERE / "node_page.js"), library, http, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )

    def run(self, script, *arguments):
        line = json.dumps({"script": script, "args": arguments})
        self._process.stdin.write(f"{line}\n".encode())
        answer = json.loads(read_line(self._process))
        assert "failed" not in answer, answer["failed"]
        return answer["returned"]

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        end(self._process, 5)
        self._process.stdin.close()
        self._process.stdout.close()


class Page(demands.Page):
    """What ws and undici do in another way than browsers."""

    has_origin = False

    def __init__(self, library, node, http, witness):
        super().__init__(node.run, http, witness)
        self.compresses = self.answers_with_reason = library == "ws"

    def check_connections(self, connections, count):
        # Over HTTP/2, too, each has one of its own.
        assert len(connections) == count


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return write_certificate(tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize("api", ["callback", "await"])
@pytest.mark.parametrize("library", ["ws", "undici"])
def test_over_http_1_1(library, api, certificate):
    with Witness(certificate, api=api) as witness, Node(library, "h1", witness.url) as node:
        demands.all_that_a_page_may_ask(Page(library, node, "h1", witness), takes_over=False)


def test_undici_over_http_2(certificate):
    # It never ends its side of a stream: the server resets it after close_timeout, and only then
    # undici tells of the close.
    with (
        Witness(certificate, close_timeout=0.1) as witness,
        Node("undici", "h2", witness.url) as node,
    ):
        page = Page("undici", node, "h2", witness)
        demands.the_request_is_what_the_version_demands(page)
        demands.messages_come_back_as_they_were_sent(page)
        demands.messages_are_compressed(page, takes_over=False)
        demands.one_subprotocol_is_taken(page)
        demands.pushed_messages_arrive_beside_a_download(page)
        demands.the_page_closes(page)
        demands.twenty_are_open_at_once(page)
        # A refusal it never tells its page of, Node's own server's neither.
    # Here the timeout is for its answer, too.
    with Witness(certificate) as witness, Node("undici", "h2", witness.url) as node:
        demands.the_server_closes(Page("undici", node, "h2", witness))
