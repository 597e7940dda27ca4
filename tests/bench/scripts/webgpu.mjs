// Two builds on WebGPU side by side in one page, answering in turns, and the CPU's answer beside them; prints JSON.
//
//   node tests/bench/scripts/webgpu.mjs OTHER_DIST [BUNDLE] [ROUNDS]
//
// OTHER_DIST: the `www/dist` of the build to compare this one's with.

import { launch, openPage } from '../../web/browser.mjs';
import { publish, readBundle } from '../../web/bundle.mjs';
import { DIST, serve } from '../../web/server.mjs';

const [other, folder, rounds = '20'] = process.argv.slice(2);
if (!other) throw new Error('name the www/dist of another build');
const bundle = folder && (await readBundle(folder));
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

/** A worker that counts what it asks of WebGPU. */
const COUNTED = `
  const queue = [];
  const keep = (event) => queue.push(event.data);
  self.addEventListener('message', keep);
  (await import('/bench/gpu-counts.js')).countGpu();
  await import('/src/worker/worker.js');
  self.removeEventListener('message', keep);
  for (const data of queue) self.dispatchEvent(new MessageEvent('message', { data }));`;

/** A server of one build, whose library any page may load. */
async function host(dist) {
  const server = await serve({ folder: dist });
  server.own.set('/counted.js', Buffer.from(COUNTED));
  server.own.set('/frame.html', Buffer.from('<!doctype html><title>frame</title><link rel="icon" href="data:,">'));
  return { server, model: bundle && publish(server, 'compared', bundle) };
}

const hosts = { before: await host(other), after: await host(DIST) };
const browser = await launch({ webgpu: true });
try {
  // One page, with a frame for each build: workers must be of their page's origin.
  const { page } = await openPage(browser, `${hosts.after.server.url}/blank.html`);
  page.setDefaultTimeout(0);
  const frames = {};
  for (const [name, { server }] of Object.entries(hosts)) {
    await page.evaluate(
      ([name, url]) =>
        new Promise((resolve) => {
          const frame = document.createElement('iframe');
          Object.assign(frame, { name, src: `${url}/frame.html`, allow: 'cross-origin-isolated', onload: resolve });
          document.body.append(frame);
        }),
      [name, server.url],
    );
    frames[name] = page.frame({ name });
  }
  const open = (frame, model, device) =>
    frame.evaluate(
      async ({ model, device }) => {
        const { ExpressionRecognizer } = await import('/src/index.js');
        const picture = (globalThis.picture ??= await createImageBitmap(
          await (await fetch('/demo/portrait.jpg')).blob(),
        ));
        const createWorker = () => new Worker('/counted.js', { type: 'module', name: device + location.port });
        const start = performance.now();
        const recognizer = await ExpressionRecognizer.create({
          device,
          cache: false,
          ...(model && { model }),
          ...(device === 'webgpu' && { createWorker }),
        });
        const ready = performance.now();
        const first = await recognizer.recognize(picture);
        (globalThis.open ??= {})[device] = recognizer;
        return {
          createMs: ready - start,
          firstMs: performance.now() - ready,
          scores: first.expressions.map(({ name, score }) => [name, score]),
        };
      },
      { model, device },
    );
  const answer = (frame) =>
    frame.evaluate(async () => {
      const start = performance.now();
      await globalThis.open.webgpu.recognize(globalThis.picture);
      return performance.now() - start;
    });
  const count = (frame) =>
    frame.evaluate(async () => {
      const { takeCounts } = await import('/bench/gpu-counts.js');
      const name = `webgpu${location.port}`;
      await takeCounts(name);
      await globalThis.open.webgpu.recognize(globalThis.picture);
      return takeCounts(name);
    });
  // What all of the browser's processes computed: on a busy machine the only time that means anything.
  const system = await browser.newBrowserCDPSession();
  const cpuMs = async () => {
    const { processInfo } = await system.send('SystemInfo.getProcessInfo');
    return processInfo.reduce((sum, { cpuTime }) => sum + 1000 * cpuTime, 0);
  };
  const found = {};
  for (const name of ['before', 'after'])
    found[name] = { ...(await open(frames[name], hosts[name].model, 'webgpu')), ms: [], cpuMs: [] };
  const cpu = await open(frames.after, hosts.after.model, 'cpu');
  for (let round = 0; round < Number(rounds); round++) {
    // Each goes first as often as the other.
    for (const name of round % 2 ? ['before', 'after'] : ['after', 'before']) {
      const start = await cpuMs();
      found[name].ms.push(await answer(frames[name]));
      found[name].cpuMs.push((await cpuMs()) - start);
    }
  }
  const difference = (one, other) =>
    Math.max(...one.map(([name, score]) => Math.abs(score - new Map(other).get(name))));
  for (const name of ['before', 'after']) {
    const one = found[name];
    Object.assign(one, { medianMs: median(one.ms), leastMs: Math.min(...one.ms), medianCpuMs: median(one.cpuMs) });
    one.frame = await count(frames[name]);
    one.firstOverWarm = one.firstMs / one.medianMs;
    one.scoresFromCpu = difference(one.scores, cpu.scores);
    delete one.scores;
  }
  const ratios = found.after.ms.map((ms, round) => ms / found.before.ms[round]);
  console.log(
    JSON.stringify(
      {
        browser: `Chromium ${browser.version()}`,
        model: folder ?? 'built-in',
        rounds: Number(rounds),
        ...found,
        ratioOfMedians: found.after.medianMs / found.before.medianMs,
        medianOfRatios: median(ratios),
        ratioOfLeast: found.after.leastMs / found.before.leastMs,
        ratioOfCpuMedians: found.after.medianCpuMs / found.before.medianCpuMs,
      },
      null,
      2,
    ),
  );
} finally {
  await browser.close();
  for (const { server } of Object.values(hosts)) await server.close();
}
