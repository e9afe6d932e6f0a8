// A browser at a page over HTTP/2: pictures, calls to a backend of HTTP/2 and a WebSocket share one
// connection, and nothing appears on the console. tools/story starts it; PELAYAN_BIN and CHROMIUM say
// where those are.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const place = mkdtempSync(join(tmpdir(), 'pelayan-story.'));
const WAIT_MS = 30000;

const PAGE = `<!doctype html><html><head><title>waiting</title><link rel="icon" href="/icon.svg"></head><body><script type="module">
const images = Array.from({ length: 20 }, (_, i) => new Promise((resolve, reject) => {
  const image = new Image();
  image.onload = resolve;
  image.onerror = reject;
  image.src = '/icon.svg?' + i;
  document.body.append(image);
}));
const calls = Array.from({ length: 20 }, (_, i) => fetch('/api/' + i).then((answer) => answer.json()));
const echo = new Promise((resolve, reject) => {
  const socket = new WebSocket('wss://' + location.host + '/ws');
  socket.onopen = () => socket.send('hello over one connection');
  socket.onmessage = ({ data }) => { resolve(data); socket.close(); };
  socket.onerror = reject;
});
await Promise.all(images);
const versions = (await Promise.all(calls)).map(({ version }) => version);
const protocols = performance.getEntries().map((entry) => entry.nextHopProtocol).filter(Boolean);
window.seen = { echo: await echo, versions, protocols: [...new Set(protocols)] };
document.title = 'done';
</script></body></html>`;

const ICON = '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8" height="8"/></svg>';

const CONF = (port, api, ws, user) => `daemon off; ${user} error_log logs/error.log info; pid p.pid; events {}
http { access_log logs/access.log; types { text/html html; image/svg+xml svg; }
  server { listen 127.0.0.1:${port} ssl; http2 on; ssl_certificate crt; ssl_certificate_key key; root html;
    location /api/ { proxy_pass http://127.0.0.1:${api}; proxy_http_version 2; }
    location /ws { proxy_pass http://127.0.0.1:${ws}; } } }`;

function freePort() {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function listening(server, port) {
  return new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
}

function apiServer() {
  return http2.createServer((request, response) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ version: request.httpVersion }));
  });
}

// One short frame, unmasked and sent back (RFC 6455, 5.2).
function echoFrame(socket, frame) {
  if ((frame[0] & 15) === 8) return socket.end(Buffer.from([0x88, 0]));
  const bytes = Buffer.from(frame.subarray(6, 6 + (frame[1] & 127)));
  bytes.forEach((byte, i) => (bytes[i] = byte ^ frame[2 + (i % 4)]));
  return socket.write(Buffer.concat([Buffer.from([0x81, bytes.length]), bytes]));
}

function socketServer() {
  return http.createServer().on('upgrade', (request, socket) => {
    const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const accept = createHash('sha1').update(key).digest('base64');
    socket.write(`HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
    socket.on('data', (frame) => echoFrame(socket, frame)).on('error', () => {});
  });
}

async function until(what, condition) {
  const deadline = Date.now() + WAIT_MS;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited ${WAIT_MS / 1000} s for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function makeFiles(port, api, ws) {
  for (const name of ['logs', 'html']) mkdirSync(join(place, name));
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
    '-subj', '/CN=localhost', '-keyout', join(place, 'key'), '-out', join(place, 'crt')], { stdio: 'pipe' });
  writeFileSync(join(place, 'html/index.html'), PAGE);
  writeFileSync(join(place, 'html/icon.svg'), ICON);
  // root's own folders are closed to the usual user of the worker
  writeFileSync(join(place, 'nginx.conf'), CONF(port, api, ws, process.getuid() === 0 ? 'user root;' : ''));
}

async function look(browser, port) {
  const page = await browser.newPage({ ignoreHTTPSErrors: true });
  const troubles = [];
  page.on('console', (message) => troubles.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => troubles.push(String(error)));
  await page.goto(`https://localhost:${port}/`);
  await page.waitForFunction(() => document.title === 'done', undefined, { timeout: WAIT_MS }).catch((error) => {
    throw new Error(`${error.message}: ${troubles.join('; ')}`);
  });
  assert.deepEqual(troubles, []);
  const seen = await page.evaluate(() => window.seen);
  assert.equal(seen.echo, 'hello over one connection');
  assert.deepEqual(new Set(seen.versions), new Set(['2.0']));
  assert.deepEqual(seen.protocols, ['h2']);
}

const [port, api, ws] = [await freePort(), await freePort(), await freePort()];
makeFiles(port, api, ws);
await listening(apiServer(), api);
await listening(socketServer(), ws);
const program = spawn(process.env.PELAYAN_BIN, ['-p', place, '-c', 'nginx.conf'], { stdio: 'inherit' });
process.on('exit', () => {
  program.kill('SIGTERM');
  rmSync(place, { recursive: true, force: true });
});
await until('Pelayan', () => new Promise((resolve) => {
  const socket = net.connect(port, '127.0.0.1');
  socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
  socket.on('connect', () => socket.destroy());
}));
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync',
    '--disable-background-networking', '--disable-component-update'],
});
await look(browser, port);
await browser.close();
// the WebSocket went over HTTP/2, as extended CONNECT
await until('the log', () => readFileSync(join(place, 'logs/access.log'), 'utf8').includes('"CONNECT /ws HTTP/2.0" 200'));
console.log('  HTTP/2 in Chromium: pictures, calls and a WebSocket ... ok');
process.exit();
