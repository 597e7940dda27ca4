// Nothing leaves the page and nothing of a frame stays: seen by the browser's own network log, with the network cut.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { launch } from '../browser.mjs';
import { openLibrary } from '../library.mjs';
import { amount, PATIENCE } from '../long.mjs';
import { serve } from '../server.mjs';

const readme = await readFile(new URL('../../../pkg-build/npm/README.md', import.meta.url), 'utf8');
const [POLICY] = readme.match(/^default-src .*$/m);
/** Seconds of stream, half of them without even a network to try. */
const SECONDS = amount(6, 600);

let folder;
before(async () => (folder = await mkdtemp(join(tmpdir(), 'cliper-log-'))));
after(() => rm(folder, { recursive: true, force: true }));

/** What the page keeps, in every place where a page can. */
const STORED = async () => {
  const cached = [];
  for (const name of await caches.keys()) {
    const cache = await caches.open(name);
    for (const request of await cache.keys()) {
      const bytes = await (await cache.match(request)).arrayBuffer();
      const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
      cached.push([name, request.url, bytes.byteLength, hash.join()]);
    }
  }
  const files = [];
  for await (const name of (await navigator.storage.getDirectory()).keys()) files.push(name);
  return {
    cached,
    files,
    databases: await indexedDB.databases(),
    local: Object.entries(localStorage),
    session: Object.entries(sessionStorage),
    cookies: document.cookie,
    address: location.href,
    workers: (await navigator.serviceWorker.getRegistrations()).length,
  };
};

/**
 * Addresses that pages began to ask for, in order, by the browser's network log: their workers', beacons and sockets too. What the
 * browser asks for by itself has no origin.
 */
async function readLog(path) {
  const { constants, events } = JSON.parse(await readFile(path, 'utf8'));
  const begun = constants.logEventTypes.URL_REQUEST_START_JOB;
  const asked = events.filter(({ type, params }) => type === begun && params?.url);
  return asked.filter(({ params }) => params.initiator !== 'not an origin').map(({ params }) => params.url);
}

for (const isIsolated of [true, false]) {
  const seconds = isIsolated ? SECONDS : 6;
  const name = `${seconds} seconds of stream under the printed policy, ${isIsolated ? '' : 'not '}isolated`;
  test(`${name}: 0 requests, nothing stored, no word in the console`, PATIENCE, async (t) => {
    const log = join(folder, `${isIsolated}.json`);
    const browser = await launch({ camera: 'clip', log });
    const server = await serve({ isIsolated, headers: { 'Content-Security-Policy': POLICY } });
    const { page, complaints } = await openLibrary(browser, server, { device: 'cpu', faces: true });
    const context = page.context();
    const [said, asked] = [[], []];
    context.on('console', (message) => said.push(message.text()));
    context.on('request', (request) => asked.push(request.url()));
    server.own.set('/probe.js', Buffer.from("console.log('heard'); fetch('/probe-worker'); postMessage(0);"));
    for (const path of ['/probe-page', '/probe-worker', '/probe-beacon', '/begin'])
      server.own.set(path, Buffer.from(''));

    // The instruments hear what they are to hear: a page, a worker, a beacon, a socket, a word, a thing stored.
    const before = await page.evaluate(STORED);
    await page.evaluate(async () => {
      const worker = new Worker('/probe.js');
      await new Promise((resolve) => (worker.onmessage = resolve));
      await fetch('/probe-page');
      navigator.sendBeacon('/probe-beacon', 'x');
      const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/probe-socket`);
      await new Promise((resolve) => (socket.onerror = resolve));
      worker.terminate();
      localStorage.setItem('probe', 'x');
      await fetch('/begin');
    });
    assert.notDeepEqual(await page.evaluate(STORED), before);
    await page.evaluate(() => localStorage.clear());
    assert.ok(said.includes('heard') && asked.some((url) => url.endsWith('/probe-page')), [...said, ...asked].join());
    said.length = asked.length = 0;

    await page.evaluate(async () => (globalThis.camera = await cliper.openCamera()));
    await server.close();
    const look = (half) =>
      page.evaluate(async (half) => {
        const states = { answers: 0 };
        const start = performance.now();
        for await (const { state } of recognizer.stream(camera.video)) {
          states.answers++;
          states[state] = (states[state] ?? 0) + 1;
          if (performance.now() - start > 1000 * half && states.recognized > 0) break;
        }
        return states;
      }, half);
    const cut = await look(seconds / 2);
    await context.setOffline(true);
    const offline = await look(seconds / 2);
    await page.evaluate(async () => {
      const picture = await new Promise((resolve) => {
        const canvas = Object.assign(document.createElement('canvas'), { width: 64, height: 64 });
        canvas.getContext('2d').drawImage(camera.video, 0, 0, 64, 64);
        canvas.toBlob(resolve);
      });
      await recognizer.recognize(picture, { faces: false, evidence: true });
      await recognizer.recognizeClip([picture, picture], { frames: 2, faces: false });
      camera.stop();
      recognizer.dispose();
    });
    const stored = await page.evaluate(STORED);
    await context.setOffline(false);
    await browser.close();

    const urls = await readLog(log);
    const probes = [
      '/probe-page',
      '/probe-worker',
      '/probe-beacon',
      '/probe-socket',
      '/begin',
      '/src/worker/worker.js',
    ];
    for (const probe of probes)
      assert.ok(
        urls.some((url) => url.endsWith(probe)),
        `${probe} is not in the log`,
      );
    const since = urls.slice(urls.findIndex((url) => url.endsWith('/begin')) + 1);
    const answers = cut.answers + offline.answers;
    t.diagnostic(`${answers} answers, ${urls.length - since.length} requests before, ${since.length} after`);
    assert.deepEqual(since, []);
    assert.deepEqual(asked, []);
    assert.deepEqual(said, []);
    assert.deepEqual(stored, before);
    assert.deepEqual(complaints, []);
  });
}
