"use strict";
// WebSocket frames as far as these tests need them: whole messages, one frame each.

const OPCODES = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

exports.frame = (kind, payload, masked) => {
  payload = Buffer.from(payload);
  const n = payload.length, size = n < 126 ? 0 : n < 65536 ? 2 : 8;
  const head = Buffer.alloc(2 + size);
  head[0] = 0x80 | OPCODES[kind];
  head[1] = (masked ? 0x80 : 0) | (size === 0 ? n : size === 2 ? 126 : 127);
  if (size === 2) head.writeUInt16BE(n, 2);
  if (size === 8) head.writeBigUInt64BE(BigInt(n), 2);
  if (!masked) return Buffer.concat([head, payload]);
  const mask = Buffer.from([0x12, 0x34, 0x56, 0x78]);
  return Buffer.concat([head, mask, payload.map((octet, i) => octet ^ mask[i & 3])]);
};

exports.closing = (code, reason = "") =>
  Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]);

// Calls found(kind, payload, masked) for each frame of a stream.
exports.reader = found => {
  let octets = Buffer.alloc(0);
  return data => {
    octets = Buffer.concat([octets, data]);
    for (;;) {
      if (octets.length < 2) return;
      if (!(octets[0] & 0x80)) throw new Error("a fragment");
      const masked = octets[1] & 0x80;
      let n = octets[1] & 0x7f, pos = 2;
      if (n >= 126) {
        const size = n === 126 ? 2 : 8;
        if (octets.length < pos + size) return;
        n = size === 2 ? octets.readUInt16BE(2) : Number(octets.readBigUInt64BE(2));
        pos += size;
      }
      const mask = masked ? octets.subarray(pos, pos + 4) : Buffer.alloc(4);
      if (masked) pos += 4;
      if (octets.length < pos + n) return;
      const payload = octets.subarray(pos, pos + n).map((octet, i) => octet ^ mask[i & 3]);
      const opcode = octets[0] & 15;
      octets = octets.subarray(pos + n);
      found(Object.keys(OPCODES).find(key => OPCODES[key] === opcode), payload, Boolean(masked));
    }
  };
};
