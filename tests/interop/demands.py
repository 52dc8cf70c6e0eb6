"""What a program in JavaScript may ask of WebSockets, in a browser or outside: what it saw of each
demand, and what the server saw. Tests run them in turn."""

import json

from tests.support.browser import OPEN

VERSIONS = {"h2": "2", "h1": "1.1"}

# 60 KB that compress well: to a fifth and less.
TEXT = json.dumps([{"id": number, "name": f"user{number}", "on": True} for number in range(1500)])

# Octets that no compression makes smaller.
RANDOM = """
const random = size => {
  const octets = new Uint8Array(size);
  for (let at = 0; at < size; at += 65536) crypto.getRandomValues(octets.subarray(at, at + 65536));
  return octets;
};
"""


class Page:
    """Where scripts run that open WebSockets to a Witness.

    `execute(script, *arguments)` runs one as the body of an async function. `http` is what they must
    be carried by, "h2" or "h1".
    """

    # What there is to say of those who do it in another way.
    has_origin = True
    compresses = True  # what it sends, too
    answers_with_reason = True  # or a server's Close with the code alone

    def __init__(self, execute, http, witness):
        self.http = http
        self.witness = witness
        self._execute = execute

    def run(self, count, script, *arguments):
        """What a script returns, and what the server saw of its WebSockets, so many."""
        returned = self._execute(OPEN + RANDOM + script, *arguments)
        seen = self.witness.take(count)
        assert {each.http for each in seen} <= {VERSIONS[self.http]}
        self.check_connections({each.connection for each in seen}, count)
        return returned, seen

    def check_connections(self, connections, count):
        """Check that so many WebSockets were on the right connections."""
        assert len(connections) == count if self.http == "h1" else len(connections) <= 1


# What a server may close with, and how a page may.
CODES = [1000, 1001, 1003, 1008, 1011, 1012, 3000, 4999]
CLOSES = [[], [1000], [1000, "done"], [3000], [3456, "naïve ☃"], [4999, "x" * 123]]


def clean(page, code, reason=""):
    ends = (page["opened"], page["errors"], page["clean"], page["code"], page["reason"])
    return ends == (True, 0, True, code, reason)


def messages_come_back_as_they_were_sent(page):
    page_saw, (server_saw,) = page.run(
        1,
        """
        const send = ["", "ascii", "naïve ☃ 🎉", new Uint8Array(0), random(70000), "é".repeat(1 << 19),
                      random(1 << 20)];
        const seen = await open("/", {send, close: [1000], after: send.length});
        return {...seen, messages: seen.messages.map(each => each.octets ?? each.length)};
        """,
    )
    assert page_saw["messages"] == [0, 5, 10, 0, 70_000, 1 << 19, 1 << 20]
    assert page_saw["same"] == 7 and clean(page_saw, 1000)
    assert server_saw.closed == (1000, "")
    assert server_saw.received > 70_000 + (1 << 20) < server_saw.sent


def messages_are_compressed(page, takes_over):
    page_saw, (server_saw,) = page.run(
        1,
        "return open('/', {send: [args[0], args[0]], close: [1000], after: 2})",
        TEXT,
    )
    assert page_saw["extensions"].split(";")[0] == "permessage-deflate"
    assert page_saw["same"] == 2 and clean(page_saw, 1000)
    agreed = server_saw.compression
    assert (agreed.sends, agreed.receives) == (takes_over, takes_over)
    assert 1000 < server_saw.sent < 2 * len(TEXT) / 4
    assert (1000 < server_saw.received < 2 * len(TEXT) / 4) == page.compresses


def messages_are_not_compressed(page):
    page_saw, (server_saw,) = page.run(
        1,
        "return open('/', {send: [args[0]], close: [1000], after: 1})",
        TEXT,
    )
    assert page_saw["extensions"] == "" and server_saw.compression is None
    assert "permessage-deflate" in server_saw.headers["sec-websocket-extensions"]
    assert page_saw["same"] == 1 and clean(page_saw, 1000)
    assert min(server_saw.received, server_saw.sent) > len(TEXT)


def the_request_is_what_the_version_demands(page):
    (seen, host), _ = page.run(
        1,
        """
        const seen = await open("/headers?a=b", {close: [1000], after: 1});
        return [seen.messages[0], location.host];
        """,
    )
    headers = json.loads(seen)
    assert headers[":scheme"] == "https" and headers[":authority"] == host
    assert headers[":path"] == "/headers?a=b"
    assert headers.get("origin") == (f"https://{host}" if page.has_origin else None)
    assert headers["sec-websocket-version"] == "13"
    if page.http == "h2":
        assert (headers[":method"], headers[":protocol"]) == ("CONNECT", "websocket")
        assert not {"connection", "upgrade", "host"} & set(headers)
    else:
        assert headers[":method"] == "GET" and headers["upgrade"] == "websocket"


def one_subprotocol_is_taken(page):
    page_saw, server_saw = page.run(
        3,
        """
        return [await open("/", {close: [1000]}, ["chat", "superchat"]),
                await open("/", {close: [1000]}, "superchat"), await open("/", {close: [1000]})];
        """,
    )
    assert [each["protocol"] for each in page_saw] == ["chat", "superchat", ""]
    assert [each.subprotocol for each in server_saw] == ["chat", "superchat", None]
    offered = [each.headers.get("sec-websocket-protocol", "") for each in server_saw]
    assert [each.replace(" ", "") for each in offered] == ["chat,superchat", "superchat", ""]


def the_server_closes(page):
    # Behind the answer at once, and later. Chromium holds back for seconds what would be the
    # sixteenth handshake under way.
    at_once = [f"/close?code={code}&reason=as%20{code}" for code in CODES]
    later = [f"/close?code={code}&after=0.1" for code in CODES]
    page_saw, server_saw = page.run(
        2 * len(CODES),
        """
        const all = paths => Promise.all(paths.map(path => open(path)));
        return [...await all(args[0]), ...await all(args[1])];
        """,
        at_once,
        later,
    )
    expected = [(code, f"as {code}") for code in CODES] + [(code, "") for code in CODES]
    for seen, (code, reason) in zip(page_saw, expected, strict=True):
        assert clean(seen, code, reason), seen
    answered = [(code, reason * page.answers_with_reason) for code, reason in expected]
    assert sorted(each.closed for each in server_saw) == sorted(answered)


def the_page_closes(page):
    page_saw, server_saw = page.run(
        len(CLOSES), "return Promise.all(args[0].map(close => open('/', {close})))", CLOSES
    )
    # The server answers with the code alone.
    codes = [each[0] if each else 1005 for each in CLOSES]
    assert all(clean(*each) for each in zip(page_saw, codes, strict=True)), page_saw
    told = [(code, each[1] if each[1:] else "") for code, each in zip(codes, CLOSES, strict=True)]
    assert sorted(each.closed for each in server_saw) == sorted(told)


def twenty_are_open_at_once(page):
    # Five at a time, as above.
    page_saw, server_saw = page.run(
        20,
        """
        const all = [], numbers = [...Array(20).keys()];
        while (all.length < 20) {
          await Promise.all([0, 1, 2, 3, 4].map(() => new Promise((resolve, reject) => {
            const ws = new WebSocket(`wss://${location.host}/${all.length}`);
            ws.onopen = resolve;
            ws.onerror = reject;
            all.push(ws);
          })));
        }
        const ends = all.map(ws => new Promise(resolve => {
          const heard = [];
          ws.onmessage = event => {
            heard.push(event.data);
            if (heard.length === 3) ws.close(1000);
          };
          ws.onclose = event => resolve([heard, event.wasClean, event.code]);
        }));
        for (const word of ["a", "b", "c"])
          for (const number of numbers) all[number].send(word + number);
        return Promise.all(ends);
        """,
    )
    assert page_saw == [[[f"a{i}", f"b{i}", f"c{i}"], True, 1000] for i in range(20)]
    assert sorted(each.path for each in server_saw) == sorted(f"/{i}" for i in range(20))
    assert {each.closed for each in server_saw} == {(1000, "")}
    assert max(each.beside for each in server_saw) == 20


def pushed_messages_arrive_beside_a_download(page):
    (pushed, body), _ = page.run(
        1,
        """
        const pushed = open("/push?count=20&size=1000&interval=0.01", {close: [1000], after: 20});
        const body = await (await fetch("/bytes/3000000")).arrayBuffer();
        return [await pushed, body.byteLength];
        """,
    )
    assert pushed["messages"] == [{"octets": 1000}] * 20 and clean(pushed, 1000)
    assert body == 3_000_000


def a_refusal_disturbs_nobody(page):
    page_saw, (server_saw, _) = page.run(
        2,
        """
        const other = new WebSocket(`wss://${location.host}/`);
        await new Promise((resolve, reject) => { other.onopen = resolve; other.onerror = reject; });
        const refused = [await open("/reject?status=403"), await open("/reject?status=503")];
        const heard = await new Promise(resolve => {
          other.onmessage = event => resolve(event.data);
          other.send("still here");
        });
        other.close(1000);
        return {refused, heard, later: await open("/", {send: ["again"], close: [1000], after: 1})};
        """,
    )
    for refused in page_saw["refused"]:
        assert (refused["opened"], refused["errors"]) == (False, 1)
        assert (refused["clean"], refused["code"]) == (False, 1006)
    assert page.witness.counters.refused == 2
    assert page_saw["heard"] == "still here"
    assert page_saw["later"]["same"] == 1 and clean(page_saw["later"], 1000)
    assert server_saw.closed == (1000, "")


def all_that_a_page_may_ask(page, takes_over):
    the_request_is_what_the_version_demands(page)
    messages_come_back_as_they_were_sent(page)
    messages_are_compressed(page, takes_over)
    one_subprotocol_is_taken(page)
    pushed_messages_arrive_beside_a_download(page)
    the_server_closes(page)
    the_page_closes(page)
    twenty_are_open_at_once(page)
    a_refusal_disturbs_nobody(page)
