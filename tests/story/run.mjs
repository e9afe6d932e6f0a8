// Two React apps behind the program, as a browser sees them: dev servers with hot reload, and what
// they build. tools/story starts it in a copy of this folder, with all packages installed, as it
// edits the apps; PELAYAN_BIN, CHROMIUM and MIME_TYPES say where those are.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const here = dirname(fileURLToPath(import.meta.url));
const program = process.env.PELAYAN_BIN;
const browserPath = process.env.CHROMIUM;
const WAIT_MS = 60000;

const place = mkdtempSync(join(tmpdir(), 'pelayan-story.'));
const children = [];

function freePort() {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function accepts(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
}

async function until(what, condition) {
  const deadline = Date.now() + WAIT_MS;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited ${WAIT_MS / 1000} s for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

// In a process group of its own: dev servers have children.
function start(name, command, args, options) {
  const log = [];
  const child = spawn(command, args, { ...options, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.on('data', (data) => log.push(data));
  child.stderr.on('data', (data) => log.push(data));
  child.on('error', (error) => log.push(Buffer.from(String(error))));
  children.push({ name, child, log });
  return child;
}

// The edit that a developer makes.
function edit(file, from, to) {
  const text = readFileSync(file, 'utf8');
  assert.ok(text.includes(from), `${file} has no ${from}`);
  writeFileSync(file, text.replace(from, to));
}

function fill(file, words) {
  const text = readFileSync(file, 'utf8').replace(/@(\w+)@/g, (_, word) => words[word]);
  writeFileSync(file, text);
}

async function makeSite() {
  const [PORT, PORT2, VITE, CRA] = [await freePort(), await freePort(), await freePort(), await freePort()];
  const words = { PORT, PORT2, VITE, CRA, SHOP: join(here, 'shop'), DUMBFLIX: join(here, 'dumbflix') };
  cpSync(join(here, 'nginx.conf'), join(place, 'nginx.conf'));
  cpSync(join(here, 'batch21'), join(place, 'batch21'), { recursive: true });
  cpSync(process.env.MIME_TYPES, join(place, 'mime.types'));
  for (const name of ['logs', 'tmp']) mkdirSync(join(place, name));
  for (const name of ['shop', 'dumbflix']) fill(join(place, 'batch21', `${name}.conf`), words);
  return words;
}

function runProgram(...args) {
  return execFileSync(program, ['-p', place, '-c', 'nginx.conf', ...args], { encoding: 'utf8', stdio: 'pipe' });
}

// ---- what a page must do

// A page whose every error is remembered.
async function openPage(browser, url) {
  const page = await browser.newPage();
  const troubles = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) troubles.push(message.text());
  });
  page.on('pageerror', (error) => troubles.push(String(error)));
  page.on('requestfailed', (request) => troubles.push(`${request.url()}: ${request.failure().errorText}`));
  page.on('response', (response) => {
    if (response.status() >= 400) troubles.push(`${response.url()}: ${response.status()}`);
  });
  await page.goto(url);
  return { page, troubles };
}

async function shows(page, selector, text) {
  await page.locator(selector, { hasText: text }).waitFor({ timeout: WAIT_MS });
}

// React Router's notes about its next version are not ours.
function assertQuiet(troubles) {
  assert.deepEqual(troubles.filter((text) => !text.includes('React Router Future Flag')), []);
}

async function clientRoutes(page) {
  await page.click('#to-item');
  await shows(page, '#page', 'One item');
  assert.match(page.url(), /\/items\/7$/);
  await page.reload();
  await shows(page, '#page', 'One item');
}

async function viteDev(browser, words) {
  const sockets = [];
  const { page, troubles } = await openPage(browser, 'about:blank');
  page.on('websocket', (socket) => sockets.push(socket.url()));
  await page.goto(`http://dev.shop.localhost:${words.PORT}/`);
  await shows(page, '#greeting', 'Welcome');
  await until('the socket of hot reload', () => sockets.some((url) => url.includes(`:${words.PORT}/`)));
  // the state of the page survives: the module was replaced, not the page loaded again
  await page.click('#count');
  await shows(page, '#count', '1');
  edit(join(here, 'shop/src/Greeting.jsx'), 'Welcome', 'Selamat datang');
  await shows(page, '#greeting', 'Selamat datang');
  assert.equal(await page.textContent('#count'), '1');
  edit(join(here, 'shop/src/style.css'), 'rgb(0, 100, 0)', 'rgb(0, 0, 200)');
  await until('the new colour', () =>
    page.evaluate(() => getComputedStyle(document.querySelector('#greeting')).color === 'rgb(0, 0, 200)'));
  // a reload of the program in between: the socket lives on
  runProgram('-s', 'reload');
  edit(join(here, 'shop/src/Greeting.jsx'), 'Selamat datang', 'Sugeng rawuh');
  await shows(page, '#greeting', 'Sugeng rawuh');
  assert.equal(await page.textContent('#count'), '1');
  await clientRoutes(page);
  assertQuiet(troubles);
  await page.close();
}

async function viteBuild(browser, words) {
  const { page, troubles } = await openPage(browser, `http://shop.localhost:${words.PORT}/`);
  await shows(page, '#greeting', 'Welcome');
  await shows(page, '#page', 'All items');
  await clientRoutes(page);
  assertQuiet(troubles);
  await page.close();
}

async function reactScriptsDev(browser, words) {
  const { page, troubles } = await openPage(browser, `http://dev.dumbflix.localhost:${words.PORT2}/`);
  await shows(page, '#greeting', 'Welcome');
  edit(join(here, 'dumbflix/src/Greeting.js'), 'Welcome', 'Selamat datang');
  await shows(page, '#greeting', 'Selamat datang');
  assertQuiet(troubles);
  await page.close();
}

async function reactScriptsBuild(browser, words) {
  const { page, troubles } = await openPage(browser, `http://dumbflix.localhost:${words.PORT2}/films/1`);
  await shows(page, '#greeting', 'Welcome');
  await shows(page, '#page', 'One film');
  assertQuiet(troubles);
  await page.close();
}

// ---- the whole

async function stop() {
  for (const { child } of children.reverse()) {
    try {
      process.kill(-child.pid, 'SIGTERM');
    } catch {
      // it has left already
    }
  }
}

function explain(error) {
  console.error(`\n${error.stack}\n${error.stderr ?? ''}`);
  for (const { name, log } of children)
    console.error(`\n---- ${name}\n${Buffer.concat(log).toString().slice(-3000)}`);
  try {
    console.error(`\n---- error log\n${readFileSync(join(place, 'logs/error.log'), 'utf8').slice(-5000)}`);
  } catch {
    // it did not come so far
  }
}

async function check(name, run) {
  const begin = Date.now();
  process.stdout.write(`  ${name} ... `);
  await run();
  console.log(`ok, ${((Date.now() - begin) / 1000).toFixed(1)} s`);
}

async function main() {
  const words = await makeSite();
  const vite = join(here, 'shop/node_modules/vite/bin/vite.js');
  const react = join(here, 'dumbflix/node_modules/react-scripts/bin/react-scripts.js');
  start('vite', process.execPath, [vite, '--port', words.VITE, '--strictPort', '--host', '127.0.0.1'], {
    cwd: join(here, 'shop'),
  });
  if (process.env.REACT_SCRIPTS === 'yes')
    start('react-scripts', process.execPath, [react, 'start'], {
      cwd: join(here, 'dumbflix'),
      env: { ...process.env, PORT: words.CRA, HOST: '127.0.0.1', BROWSER: 'none', CI: 'true' },
    });
  runProgram('-t');
  // root's own folders are closed to the usual user of the worker
  const user = process.getuid() === 0 ? ' user root;' : '';
  start('pelayan', program, ['-p', place, '-c', 'nginx.conf', '-g', `daemon off;${user}`]);
  await until('Pelayan', () => accepts(words.PORT));
  await until('Vite', () => accepts(words.VITE));
  const browser = await chromium.launch({
    executablePath: browserPath,
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync',
      '--disable-background-networking', '--disable-component-update'],
  });
  try {
    await check('Vite: dev server, hot reload', () => viteDev(browser, words));
    await check('Vite: what it built', () => viteBuild(browser, words));
    if (process.env.REACT_SCRIPTS === 'yes') {
      await until('react-scripts', () => accepts(words.CRA));
      await check('react-scripts: dev server, hot reload', () => reactScriptsDev(browser, words));
      await check('react-scripts: what it built', () => reactScriptsBuild(browser, words));
    }
  } finally {
    await browser.close();
  }
}

process.on('SIGINT', () => process.exit(130));
process.on('exit', () => {
  stop();
  rmSync(place, { recursive: true, force: true });
});
try {
  await main();
} catch (error) {
  explain(error);
  process.exitCode = 1;
}
process.exit();
