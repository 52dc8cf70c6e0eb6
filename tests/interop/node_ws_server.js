"use strict";
// A server on the library ws: echoes, compressed where it is agreed. Prints its port. `/close` and
// `/no` end WebSockets as asked for, and `/seen` tells how each one ended: python_h1_server.py.
const { createServer } = require("http");
const { WebSocketServer } = require("ws");

const seen = [];
const server = createServer((request, response) =>
  response.end(request.url === "/seen" ? JSON.stringify(seen) : "a page"));
const options = { noServer: true, perMessageDeflate: { threshold: 100 }, maxPayload: 2 ** 24 };
const websockets = new WebSocketServer(options);

server.on("upgrade", (request, socket, head) => {
  const { pathname, searchParams } = new URL(request.url, "http://it");
  if (pathname === "/no") {
    socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!");
    return;
  }
  websockets.handleUpgrade(request, socket, head, ws => {
    ws.on("message", (data, binary) => ws.send(data, { binary }));
    ws.on("close", (code, reason) =>
      seen.push([code, reason.toString(), request.headers.via ?? null]));
    if (pathname === "/close")
      ws.close(Number(searchParams.get("code")), searchParams.get("reason") ?? "");
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
