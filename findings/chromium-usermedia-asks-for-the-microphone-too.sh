#!/bin/bash
# Chromium's <usermedia>, the button of the browser's own that allows the camera, asks for the microphone with it, whatever it is
# told: a page that wants the camera alone can't offer it, and the demo page doesn't.
# Guess: setConstraints({ video: {} }), or type="camera" as <permission> had it, asks for the camera alone, as getUserMedia does.
# Behaviour (Chromium 156.0.8078.108, playwright-core 1.65.1): the button says "Use microphone and camera", and its stream has both.
# Output seen:
#   constraints: audio, video; type: audio, video; getUserMedia: video
# Needs chromium (Debian), Node and npm. Exits with 1 if the browser behaves otherwise.
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
echo '{"private":true,"type":"module"}' > package.json
npm i --no-audit --no-fund --loglevel error playwright-core@1.65.1 > /dev/null
cat > run.mjs <<'JS'
import { createServer } from 'node:http';
import { chromium } from 'playwright-core';
const page = `<!doctype html><body><usermedia id="constraints"></usermedia><br><usermedia id="type" type="camera"></usermedia>
  <script>constraints.setConstraints({ video: {} })</script>`;
const server = createServer((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end(page));
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const args = ['--no-sandbox', '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream'];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args });
const opened = await browser.newPage();
await opened.goto(`http://127.0.0.1:${server.address().port}/`);
// The browser takes no press before its button has stood still for a while.
await opened.waitForTimeout(2000);
const found = [];
for (const id of ['constraints', 'type']) {
  await opened.locator(`#${id}`).click();
  await opened.waitForFunction((id) => document.getElementById(id).stream, id);
  found.push(`${id}: ${await opened.evaluate((id) => document.getElementById(id).stream.getTracks().map(({ kind }) => kind).join(', '), id)}`);
}
const plain = await opened.evaluate(async () => (await navigator.mediaDevices.getUserMedia({ video: {} })).getTracks().map(({ kind }) => kind).join(', '));
const seen = `${found.join('; ')}; getUserMedia: ${plain}`;
console.log(`Chromium ${browser.version()}\n${seen}`);
await browser.close();
server.close();
process.exitCode = seen === 'constraints: audio, video; type: audio, video; getUserMedia: video' ? 0 : 1;
JS
node run.mjs
