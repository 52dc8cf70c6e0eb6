"use strict";
// A client on Node's http2: opens a WebSocket, prints what it saw as JSON.
// Arguments: URL, path, messages (JSON), code of our Close (0: the server closes).
const http2 = require("http2");
const { frame, closing, reader } = require("./websocket.js");

const [url, path, list, code] = process.argv.slice(2);
const messages = JSON.parse(list);
const seen = { messages: [], masked: false, events: [] };
const session = http2.connect(url, { rejectUnauthorized: false });
session.on("error", error => { seen.error = String(error); finish(); });
session.on("goaway", number => { seen.goaway = number; });

session.once("remoteSettings", settings => {
  seen.enableConnectProtocol = settings.enableConnectProtocol;
  const stream = session.request({
    ":method": "CONNECT", ":protocol": "websocket", ":path": path,
    ":scheme": url.split(":")[0], ":authority": new URL(url).host,
    "sec-websocket-version": "13", "sec-websocket-protocol": "first, second",
  });
  stream.on("response", headers => {
    seen.status = headers[":status"];
    seen.protocol = headers["sec-websocket-protocol"];
    for (const message of messages) stream.write(frame("text", message, true));
    if (!messages.length && +code) stream.write(frame("close", closing(+code), true));
  });
  stream.on("data", reader((kind, payload, masked) => {
    seen.masked ||= masked;
    seen.events.push(kind);
    if (kind === "text") {
      const text = payload.toString();
      seen.messages.push(text.length > 1000 ? text.length : text);
      if (seen.messages.length === messages.length && +code)
        stream.write(frame("close", closing(+code, "from node"), true));
    } else if (kind === "close") {
      seen.close = [payload.readUInt16BE(0), payload.subarray(2).toString()];
      if (!+code) stream.write(frame("close", payload.subarray(0, 2), true));
    }
  }));
  stream.on("end", () => { seen.events.push("end"); stream.end(); });
  stream.on("error", error => { seen.streamError = String(error); });
  stream.on("close", () => { seen.rstCode = stream.rstCode; ordinary(); });
});

function ordinary() { // the same connection still answers
  const stream = session.request({ ":path": "/bytes/100000" });
  let octets = 0;
  stream.on("data", data => { octets += data.length; });
  stream.on("end", () => { seen.body = octets; finish(); });
}

function finish() {
  console.log(JSON.stringify(seen));
  session.close();
}
