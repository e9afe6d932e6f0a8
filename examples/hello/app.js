// A small app without dependencies: says which instance answered, and echoes WebSocket messages.
//
//   PORT=3001 NAME=one node app.js
//
// Try: change GREETING, then start the instance again.
'use strict';

const http = require('http');
const crypto = require('crypto');

const GREETING = 'Hello';
const NAME = process.env.NAME || `pid ${process.pid}`;
const PORT = Number(process.env.PORT || 3000);

let answered = 0;

const server = http.createServer((request, response) => {
  const path = request.url.split('?')[0];
  if (path === '/health') {
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify({ ok: true, instance: NAME, pid: process.pid, answered }) + '\n');
    return;
  }
  if (path !== '/') {
    response.statusCode = 404;
    response.end(`Instance ${NAME} knows no ${path}\n`);
    return;
  }
  answered += 1;
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.end(`${GREETING} from instance ${NAME} (pid ${process.pid}), answer ${answered}\n`);
});

// ---- WebSocket (RFC 6455), by hand: /ws sends every message back

const sockets = new Set();

server.on('upgrade', (request, socket) => {
  const key = request.headers['sec-websocket-key'];
  if (request.url.split('?')[0] !== '/ws' || !key) {
    socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
    return;
  }
  const accept = crypto
    .createHash('sha1')
    .update(key + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11')
    .digest('base64');
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      `Sec-WebSocket-Accept: ${accept}\r\n\r\n`
  );
  sockets.add(socket);
  socket.on('close', () => sockets.delete(socket));
  socket.on('error', () => socket.destroy());
  let pending = Buffer.alloc(0);
  socket.on('data', (data) => {
    pending = Buffer.concat([pending, data]);
    for (let frame = takeFrame(pending); frame; frame = takeFrame(pending)) {
      pending = pending.subarray(frame.bytes);
      onFrame(socket, frame);
    }
    if (pending.length > 1024 * 1024) socket.destroy();
  });
});

// The first frame of `data`, unmasked, or null if it is not all there yet.
function takeFrame(data) {
  if (data.length < 2) return null;
  let length = data[1] & 0x7f;
  let at = 2;
  if (length === 126) {
    if (data.length < 4) return null;
    length = data.readUInt16BE(2);
    at = 4;
  } else if (length === 127) {
    if (data.length < 10) return null;
    length = Number(data.readBigUInt64BE(2));
    at = 10;
  }
  const mask = data[1] & 0x80 ? data.subarray(at, at + 4) : null;
  if (mask) at += 4;
  if (data.length < at + length) return null;
  const payload = Buffer.from(data.subarray(at, at + length));
  if (mask) for (let i = 0; i < length; i++) payload[i] ^= mask[i % 4];
  return { first: data[0], payload, bytes: at + length };
}

function makeFrame(first, payload) {
  const head = [first];
  if (payload.length < 126) head.push(payload.length);
  else if (payload.length < 65536) head.push(126, payload.length >> 8, payload.length & 0xff);
  else {
    const size = Buffer.alloc(8);
    size.writeBigUInt64BE(BigInt(payload.length));
    head.push(127, ...size);
  }
  return Buffer.concat([Buffer.from(head), payload]);
}

function onFrame(socket, { first, payload }) {
  const kind = first & 0x0f;
  if (kind === 0x8) socket.end(makeFrame(0x88, payload.subarray(0, 2)));
  else if (kind === 0x9) socket.write(makeFrame(0x8a, payload));
  else if (kind <= 0x2) socket.write(makeFrame(first, payload));
}

// ---- life

server.on('error', (error) => {
  console.error(`instance ${NAME} cannot listen on port ${PORT}: ${error.message}`);
  process.exit(1);
});
server.listen(PORT, '127.0.0.1', () => console.log(`instance ${NAME}: pid ${process.pid}, port ${PORT}`));

function leave() {
  // what is being answered is finished; idle connections are closed at once
  server.close(() => process.exit(0));
  if (server.closeIdleConnections) server.closeIdleConnections();
  for (const socket of sockets) socket.end(makeFrame(0x88, Buffer.from([0x03, 0xe9])));
  setTimeout(() => process.exit(0), 5000).unref();
}
process.on('SIGTERM', leave);
process.on('SIGINT', leave);
