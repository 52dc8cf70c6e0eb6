"use strict";
// Node's http module, without any WebSocket library.
//   client URL PATH MESSAGES   upgrades by hand, prints what it saw as JSON
//   server                     accepts by hand and echoes; prints its port
const crypto = require("crypto");
const { frame, closing, reader } = require("./websocket.js");

const SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const accept = key => crypto.createHash("sha1").update(key + SUFFIX).digest("base64");

function client(url, path, messages) {
  const seen = { messages: [], masked: false };
  const key = crypto.randomBytes(16).toString("base64");
  const where = new URL(url);
  const request = require(where.protocol === "https:" ? "https" : "http").request({
    host: where.hostname, port: where.port, path, rejectUnauthorized: false,
    ALPNProtocols: ["http/1.1"],
    headers: {
      Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Key": key,
      "Sec-WebSocket-Version": "13", "Sec-WebSocket-Protocol": "first, second",
    },
  });
  request.on("response", response => {
    seen.status = response.statusCode;
    response.resume().on("end", () => { console.log(JSON.stringify(seen)); process.exit(); });
  });
  request.on("upgrade", (response, socket, head) => {
    seen.status = response.statusCode;
    seen.accepted = response.headers["sec-websocket-accept"] === accept(key);
    seen.protocol = response.headers["sec-websocket-protocol"];
    const read = reader((kind, payload, masked) => {
      seen.masked ||= masked;
      if (kind === "text") {
        const text = payload.toString();
        seen.messages.push(text.length > 1000 ? text.length : text);
        if (seen.messages.length === messages.length)
          socket.write(frame("close", closing(4321, "from node"), true));
      } else if (kind === "close") {
        seen.close = [payload.readUInt16BE(0), payload.subarray(2).toString()];
      }
    });
    if (head.length) read(head);
    socket.on("data", read);
    // The server closes TCP.
    socket.on("end", () => { seen.ended = true; socket.end(); });
    socket.on("close", () => console.log(JSON.stringify(seen)));
    for (const message of messages) socket.write(frame("text", message, true));
  });
  request.end();
}

function server() {
  const http = require("http").createServer((request, response) => {
    response.writeHead(404).end("no");
  });
  http.on("upgrade", (request, socket, head) => {
    if (request.url === "/no") {
      socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!");
      return;
    }
    // The first message comes with the head: nothing of it may be lost.
    socket.write(Buffer.concat([Buffer.from(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      `Sec-WebSocket-Accept: ${accept(request.headers["sec-websocket-key"])}\r\n` +
      `Sec-WebSocket-Protocol: ${request.headers["sec-websocket-protocol"].split(",")[0]}\r\n\r\n`),
      frame("text", request.url, false)]));
    const read = reader((kind, payload, masked) => {
      if (!masked) socket.destroy();
      if (kind === "text") socket.write(frame("text", payload.toString(), false));
      else if (kind === "close") socket.end(frame("close", payload.subarray(0, 2), false));
    });
    if (head.length) read(head);
    socket.on("data", read);
    socket.on("error", () => {});
  });
  http.listen(0, "127.0.0.1", () => console.log(http.address().port));
}

const [mode, url, path, messages] = process.argv.slice(2);
if (mode === "client") client(url, path, JSON.parse(messages));
else server();
