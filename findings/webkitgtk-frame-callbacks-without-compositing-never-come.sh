#!/bin/bash
# WebKitGTK with WEBKIT_DISABLE_COMPOSITING_MODE=1, a setting that people take where the graphics driver fails: a film plays,
# requestVideoFrameCallback is there and takes callbacks, and never calls one.
# Guess: where the function is there, a playing film's frames come, as they do without the setting.
# Behaviour (WebKitGTK 2.50.6, Debian's webkit2gtk-driver and MiniBrowser): 0 callbacks in 3 s of the film; without the
# setting about one a frame.
# Output seen:
#   compositing: played, callbacks came; without compositing: played, no callback came
# Needs webkit2gtk-driver, libwebkit2gtk-4.1 (MiniBrowser), xvfb, ffmpeg (Debian) and Node 20. Exits with 1 if it changes.
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
ffmpeg -nostdin -y -v error -f lavfi -i testsrc=s=160x120:r=10:d=6 -pix_fmt yuv420p -c:v libvpx -b:v 200k film.webm
cat > run.mjs <<'JS'
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
const film = await readFile('film.webm');
const server = createServer(({ url }, response) => {
  const isFilm = url === '/film.webm';
  response.writeHead(200, { 'content-type': isFilm ? 'video/webm' : 'text/html' }).end(isFilm ? film : '<!doctype html><body>');
});
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const screen = spawn('Xvfb', [':84', '-screen', '0', '1280x800x24'], { stdio: 'ignore' });
await pause(2000);
async function look(port, more) {
  const env = { ...process.env, DISPLAY: ':84', LIBGL_ALWAYS_SOFTWARE: '1', WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: '1', ...more };
  const driver = spawn('WebKitWebDriver', [`--port=${port}`], { stdio: 'ignore', env });
  await pause(2000);
  let session = '';
  const ask = async (method, path, body) => {
    const response = await fetch(`http://127.0.0.1:${port}${session}${path}`, { method, ...(body && { body: JSON.stringify(body) }) });
    const { value } = await response.json();
    if (!response.ok) throw new Error(value.message);
    return value;
  };
  const binary = '/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser';
  const { sessionId, capabilities } = await ask('POST', '/session', { capabilities: { alwaysMatch: { 'webkitgtk:browserOptions': { binary, args: ['--automation'] } } } });
  session = `/session/${sessionId}`;
  await ask('POST', '/url', { url: `http://127.0.0.1:${server.address().port}/` });
  const script = `const done = arguments[0];
    const video = Object.assign(document.createElement('video'), { muted: true, src: '/film.webm' });
    document.body.append(video);
    let calls = 0;
    const count = () => { calls++; video.requestVideoFrameCallback(count); };
    video.requestVideoFrameCallback(count);
    video.play();
    const timer = setInterval(() => {
      if (video.currentTime < 3) return;
      clearInterval(timer);
      done('played, ' + (calls > 5 ? 'callbacks came' : calls ? calls + ' callbacks' : 'no callback came'));
    }, 200);`;
  const seen = await ask('POST', '/execute/async', { script, args: [] });
  await ask('DELETE', '');
  driver.kill();
  return [seen, capabilities.browserVersion];
}
const [plain, version] = await look(31841, {});
const [without] = await look(31842, { WEBKIT_DISABLE_COMPOSITING_MODE: '1' });
const seen = `compositing: ${plain}; without compositing: ${without}`;
console.log(`WebKitGTK ${version}\n${seen}`);
screen.kill();
server.close();
server.closeAllConnections();
process.exitCode = seen === 'compositing: played, callbacks came; without compositing: played, no callback came' ? 0 : 1;
JS
node run.mjs
