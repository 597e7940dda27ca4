#!/bin/bash
# Firefox ESR: createImageBitmap(video) of a film that its metadata turns (as phones hold them) is neither turned nor of the
# size that the element says; drawImage(video) is right. And new VideoFrame(video).timestamp counts whole seconds.
# Guess: createImageBitmap(video) gives what drawImage(video) draws, videoWidth x videoHeight, as in Chromium; a
# VideoFrame's timestamp is the frame's time in microseconds (WebCodecs), 2200000 at 2.2 s of a 10-frames-a-second film.
# Behaviour (firefox-esr 153.8.0, puppeteer-core 24.43.1, ffmpeg 5.1): the bitmap is the film as it is stored, its upper right
# blue instead of red; the timestamp at 2.25 s is 2.
# Output seen:
#   element 160x240, drawImage red, createImageBitmap blue, timestamp at 2.25 s: 2
# Needs firefox-esr, ffmpeg (Debian), Node and npm. Exits with 1 if the browser behaves otherwise.
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
echo '{"private":true,"type":"module"}' > package.json
npm i --no-audit --no-fund --loglevel error puppeteer-core@24.43.1 > /dev/null
# Upright, the film is red above blue; stored lying on its right side.
ffmpeg -nostdin -y -v error -f lavfi -i color=c=red:s=160x120:r=10:d=4 -f lavfi -i color=c=blue:s=160x120:r=10:d=4 \
  -filter_complex '[0][1]vstack,transpose=2' -pix_fmt yuv420p -c:v libx264 lying.mp4
ffmpeg -nostdin -y -v error -i lying.mp4 -c copy -metadata:s:v:0 rotate=270 film.mp4
cat > run.mjs <<'JS'
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import puppeteer from 'puppeteer-core';
const film = await readFile('film.mp4');
const server = createServer(({ url, headers }, response) => {
  if (url !== '/film.mp4') return response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><body>');
  const [, from = 0, to] = /bytes=(\d+)-(\d*)/.exec(headers.range ?? '') ?? [];
  const last = to ? Number(to) : film.length - 1;
  response.writeHead(headers.range ? 206 : 200, { 'content-type': 'video/mp4', 'accept-ranges': 'bytes', 'content-length': last + 1 - from, ...(headers.range && { 'content-range': `bytes ${from}-${last}/${film.length}` }) }).end(film.subarray(Number(from), last + 1));
});
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const browser = await puppeteer.launch({ browser: 'firefox', executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr', headless: true });
const page = await browser.newPage();
await page.goto(`http://127.0.0.1:${server.address().port}/`);
const seen = await page.evaluate(async () => {
  const video = Object.assign(document.createElement('video'), { muted: true, preload: 'auto', src: '/film.mp4' });
  await new Promise((done) => (video.onloadeddata = done));
  video.currentTime = 2.25;
  await new Promise((done) => (video.onseeked = done));
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  const corner = (source) => {
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(source, 0, 0);
    const [red, , blue] = context.getImageData(150, 8, 1, 1).data;
    return red > 150 && blue < 100 ? 'red' : blue > 150 && red < 100 ? 'blue' : `neither (${red}, ${blue})`;
  };
  const frame = new VideoFrame(video);
  const { timestamp } = frame;
  frame.close();
  return `element ${video.videoWidth}x${video.videoHeight}, drawImage ${corner(video)}, createImageBitmap ${corner(await createImageBitmap(video))}, timestamp at 2.25 s: ${timestamp}`;
});
console.log(await browser.version(), '\n' + seen);
await browser.close();
server.closeAllConnections();
server.close();
process.exitCode = seen === 'element 160x240, drawImage red, createImageBitmap blue, timestamp at 2.25 s: 2' ? 0 : 1;
JS
node run.mjs
