#!/bin/bash
# npm @litertjs/core 2.5.3: loadLiteRt('/some/folder/') in a dedicated worker.
# Guess: it loads its script and its wasm from the folder that it is given, as it does on a page, in a classic worker and in a
# module's worker alike.
# Behaviour (with esbuild 0.28.2, puppeteer-core 24.43.1, Chromium 156): in a module's worker it throws, because it calls
# importScripts; in a classic one it takes the script from the folder, but asks for the wasm beside the worker's own script.
# Output seen:
#   page: loaded; /folder/litert_wasm_internal.js /folder/litert_wasm_internal.wasm
#   module worker: TypeError; nothing
#   classic worker: RuntimeError; /folder/litert_wasm_internal.js /litert_wasm_internal.wasm
# Needs chromium (Debian), Node and npm. Exits with 1 if it behaves otherwise.
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
echo '{"private":true,"type":"module"}' > package.json
npm i --no-audit --no-fund --loglevel error @litertjs/core@2.5.3 esbuild@0.28.2 puppeteer-core@24.43.1 > /dev/null
cat > load.js <<'JS'
import { loadLiteRt } from '@litertjs/core';
globalThis.said = loadLiteRt('/folder/').then(() => 'loaded', ({ name }) => name);
if (typeof WorkerGlobalScope !== 'undefined') globalThis.said.then((said) => postMessage(said));
JS
npx esbuild load.js --bundle --format=esm --outfile=module.js --log-level=warning
npx esbuild load.js --bundle --format=iife --outfile=classic.js --log-level=warning
cat > run.mjs <<'JS'
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import puppeteer from 'puppeteer-core';
let asked = [];
const types = { js: 'text/javascript', wasm: 'application/wasm' };
const server = createServer(async ({ url }, response) => {
  const type = types[url.split('.').pop()];
  if (!type) return response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><link rel="icon" href="data:,"><body>');
  if (url.includes('litert_wasm')) asked.push(url);
  const file = url.startsWith('/folder/') ? `node_modules/@litertjs/core/wasm/${url.slice(8)}` : url.slice(1);
  const bytes = await readFile(file).catch(() => null);
  response.writeHead(bytes ? 200 : 404, { 'content-type': type }).end(bytes);
});
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: true, args: ['--no-sandbox'] });
const page = await browser.newPage();
const seen = [];
for (const [name, type] of [['page'], ['module worker', 'module'], ['classic worker', 'classic']]) {
  asked = [];
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  const said = await page.evaluate((type) => type
    ? new Promise((done) => (new Worker(`/${type}.js`, { type }).onmessage = ({ data }) => done(data)))
    : import('/module.js').then(() => globalThis.said), type);
  seen.push(`${name}: ${said}; ${[...new Set(asked)].join(' ') || 'nothing'}`);
}
console.log(`${await browser.version()}\n${seen.join('\n')}`);
await browser.close();
server.closeAllConnections();
server.close();
const expected = [
  'page: loaded; /folder/litert_wasm_internal.js /folder/litert_wasm_internal.wasm',
  'module worker: TypeError; nothing',
  'classic worker: RuntimeError; /folder/litert_wasm_internal.js /litert_wasm_internal.wasm',
];
process.exitCode = seen.join() === expected.join() ? 0 : 1;
JS
node run.mjs
