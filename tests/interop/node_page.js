"use strict";
// Runs scripts that were written for a page, with the WebSocket of a library.
// Arguments: "ws" or "undici", "h2" or "h1", the page's URL. Each line of the input is a script and
// its arguments as JSON; each line of the output what it returned.
const [library, http, url] = process.argv.slice(2);
const { WebSocket, Agent } = require(library);
const insecure = { rejectUnauthorized: false };

globalThis.location = new URL(url);
if (library === "ws") {
  globalThis.WebSocket = class extends WebSocket {
    constructor(url, protocols) { super(url, protocols, insecure); }
  };
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0"; // of Node's own fetch
  const { fetch } = globalThis;
  globalThis.fetch = path => fetch(new URL(path, url));
} else {
  const dispatcher = new Agent({ allowH2: http === "h2", connect: insecure });
  const { fetch } = require(library);
  globalThis.WebSocket = class extends WebSocket {
    constructor(url, protocols) { super(url, { protocols, dispatcher }); }
  };
  globalThis.fetch = path => fetch(new URL(path, url), { dispatcher });
}

const lines = require("readline").createInterface({ input: process.stdin });
lines.on("line", async line => {
  const { script, args } = JSON.parse(line);
  const run = Object.getPrototypeOf(async () => {}).constructor("...args", script);
  let answer;
  try {
    answer = { returned: await run(...args) ?? null };
  } catch (error) {
    answer = { failed: String(error?.stack ?? error?.error ?? error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
});
lines.on("close", () => process.exit());
