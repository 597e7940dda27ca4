// What a page holds where nothing watches it: a browser without DevTools, whose processes are read, and by how much that rises.

import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { flagsOf, programOf } from './browser.mjs';

/** The library's worker, which collects its rubbish when it is asked to. */
const COLLECTING = `
  import '/src/worker/worker.js';
  const channel = new BroadcastChannel('collect');
  channel.onmessage = async () => {
    await gc({ type: 'major', execution: 'async' });
    channel.postMessage('collected');
  };`;

/**
 * Opens a page of `server` that runs `script`, a module in which `held(step)` tells what is held after so many steps, and `tidy()`
 * collects rubbish in between: how much of it there ever was is how far an allocator's memory spreads, of which some stays. Resolves with
 * all that it told, once the script has ended: `[step, { heap, page, gpu, workers, ... }]`, MB each, and what else `held` is given.
 *
 * Nothing is attached to it: DevTools keeps every answer that a page fetches, a manifest of 135 kB at each start.
 */
export async function watch(server, script, { webgpu = false } = {}) {
  const profile = await mkdtemp(join(tmpdir(), 'cliper-held-'));
  const samples = [];
  let settle;
  const ended = new Promise((resolve, reject) => (settle = { resolve, reject }));
  const page = `<!doctype html><title>held</title><link rel="icon" href="data:,"><script type="module">
    const tell = (path, body) => fetch(path, { method: 'POST', body: JSON.stringify(body) });
    // Its workers' rubbish counts too, so each collects as well.
    const workers = new Set();
    globalThis.Worker = class extends Worker {
      constructor(_, options) {
        super('/collecting.js', options);
        workers.add(this);
      }
      terminate() {
        super.terminate();
        // It may not have answered.
        if (workers.delete(this)) answered();
      }
    };
    let left = 0;
    let collected;
    const answered = () => --left > 0 || collected?.();
    const channel = new BroadcastChannel('collect');
    channel.onmessage = answered;
    const tidy = async () => {
      left = workers.size;
      channel.postMessage('collect');
      if (left > 0) await new Promise((resolve) => (collected = resolve));
      await gc({ type: 'major', execution: 'async' });
    };
    const held = async (step, more) => {
      // Twice: what the first one finalizes, the second one frees.
      for (let times = 0; times < 2; times++) await tidy();
      await tell('/held', { step, heap: performance.memory.usedJSHeapSize / 2 ** 20, ...more });
    };
    const failed = (error) => tell('/ended', { error: String(error?.message ?? error) });
    addEventListener('error', ({ message }) => failed(message));
    addEventListener('unhandledrejection', ({ reason }) => failed(reason));
    const cliper = await import('/src/index.js');
    const photo = await (await fetch('/demo/portrait.jpg')).blob();
    (async () => { ${script} })().then(() => tell('/ended', {}), failed);
  </script>`;
  server.own.set('/held.html', Buffer.from(page));
  server.own.set('/collecting.js', Buffer.from(COLLECTING));
  const told = (take) => (response, head, request) => {
    const pieces = [];
    request.on('data', (piece) => pieces.push(piece));
    request.on('end', async () => {
      await take(JSON.parse(Buffer.concat(pieces)));
      response.writeHead(204, head).end();
    });
  };
  server.own.set(
    '/held',
    told(async ({ step, ...more }) => samples.push([step, { ...more, ...(await processesOf(browser.pid)) }])),
  );
  server.own.set(
    '/ended',
    told(async ({ error }) => (error ? settle.reject(new Error(error)) : settle.resolve())),
  );
  const flags = [
    '--headless=new',
    `--user-data-dir=${profile}`,
    '--js-flags=--expose-gc',
    '--enable-precise-memory-info',
  ];
  const browser = spawn(programOf(), [...flagsOf({ webgpu }), ...flags, `${server.url}/held.html`], {
    stdio: 'ignore',
  });
  browser.on('exit', () => settle.reject(new Error('the browser ended')));
  try {
    await ended;
    return samples;
  } finally {
    browser.removeAllListeners('exit');
    const gone = new Promise((resolve) => browser.on('exit', resolve));
    browser.kill();
    await gone;
    await rm(profile, { recursive: true, force: true, maxRetries: 10 });
  }
}

/** MB of a browser's page and GPU processes, and the workers that run in them. */
async function processesOf(browser) {
  const found = { page: 0, gpu: 0, workers: 0 };
  for (const id of await descendants(browser)) {
    const command = await readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '');
    const type = command.includes('--type=renderer')
      ? 'page'
      : command.includes('--type=gpu-process')
        ? 'gpu'
        : undefined;
    if (!type) continue;
    const status = await readFile(`/proc/${id}/status`, 'utf8').catch(() => '');
    // Pages of the browser's own program come in and go as the machine likes.
    const own = status.matchAll(/^Rss(?:Anon|Shmem):\s+(\d+) kB$/gm);
    const held = [...own].reduce((sum, [, kilobytes]) => sum + Number(kilobytes), 0) / 1024;
    // A spare process of the browser's holds less than one with a page.
    found[type] = Math.max(found[type], held);
    for (const thread of await readdir(`/proc/${id}/task`).catch(() => [])) {
      const name = await readFile(`/proc/${id}/task/${thread}/comm`, 'utf8').catch(() => '');
      if (name.startsWith('DedicatedWorker')) found.workers++;
    }
  }
  return found;
}

/** The processes that a process has begun, and they in turn. */
async function descendants(id) {
  const threads = await readdir(`/proc/${id}/task`).catch(() => []);
  const lists = await Promise.all(
    threads.map((thread) => readFile(`/proc/${id}/task/${thread}/children`, 'utf8').catch(() => '')),
  );
  const own = lists.join(' ').split(/\s+/).filter(Boolean);
  return [...own, ...(await Promise.all(own.map(descendants))).flat()];
}

/** By which share of their mean values rise in `span` steps, by the line of least squares through `[step, value]`s. */
export function growth(points, span) {
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [step, value] = [0, 1].map((place) => mean(points.map((point) => point[place])));
  const shared = points.reduce((sum, [x, y]) => sum + (x - step) * (y - value), 0);
  const spread = points.reduce((sum, [x]) => sum + (x - step) ** 2, 0);
  return ((shared / spread) * span) / value;
}
