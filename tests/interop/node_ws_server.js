"use strict";
// A server on the library ws: echoes, compressed where it is agreed. Prints its port.
const { createServer } = require("http");
const { WebSocketServer } = require("ws");

const server = createServer((request, response) => response.writeHead(404).end("no"));
const options = { noServer: true, perMessageDeflate: { threshold: 100 }, maxPayload: 2 ** 24 };
const websockets = new WebSocketServer(options);

server.on("upgrade", (request, socket, head) => {
  if (request.url === "/no") {
    socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!");
    return;
  }
  websockets.handleUpgrade(request, socket, head, ws => {
    ws.on("message", (data, binary) => ws.send(data, { binary }));
    if (request.url === "/close") ws.close(4001, "by ws");
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
