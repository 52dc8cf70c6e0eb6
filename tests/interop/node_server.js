"use strict";
// A server on Node's http2: echoes WebSockets, and answers requests.
// Arguments: certificate and key (or "-" for cleartext), 1 or 0 for enableConnectProtocol.
const fs = require("fs");
const http2 = require("http2");
const { frame, closing, reader } = require("./websocket.js");

const [cert, key, enabled] = process.argv.slice(2);
const settings = enabled === "1" ? { enableConnectProtocol: true } : {};
const server = cert === "-"
  ? http2.createServer({ settings })
  : http2.createSecureServer({ settings, cert: fs.readFileSync(cert), key: fs.readFileSync(key) });

server.on("stream", (stream, headers) => {
  stream.on("error", () => {});
  const path = headers[":path"];
  if (headers[":protocol"] !== "websocket") {
    stream.respond({ ":status": 200, "content-type": "text/plain" });
    stream.pipe(stream);
    return;
  }
  if (path === "/refuse") {
    stream.respond({ ":status": 403 });
    stream.end("not you");
    return;
  }
  const answer = { ":status": 200 };
  const offered = headers["sec-websocket-protocol"];
  if (offered) answer["sec-websocket-protocol"] = offered.split(",")[0].trim();
  stream.respond(answer);
  let closed = false;
  const close = payload => {
    if (closed) return;
    closed = true;
    stream.write(frame("close", payload));
  };
  stream.on("data", reader((kind, payload, masked) => {
    if (!masked) throw new Error("a client's frame without a mask");
    if (kind === "close") {
      close(payload);
      stream.end();
    } else if (kind === "ping") {
      stream.write(frame("pong", payload));
    } else if (kind !== "pong") {
      stream.write(frame(kind, payload));
    }
  }));
  stream.on("end", () => stream.end());
  if (path === "/close") close(closing(4001, "by node"));
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
