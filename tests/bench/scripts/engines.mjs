// Drives the benchmark's pages in Chromium: node engines.mjs ADDRESS CHOICE, prints JSON: what the page measured, and what each
// engine takes from a page's opening to its first answer in browsers of its own, with all that it fetches.

import { readdir, readFile, writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { promisify } from 'node:util';
import { brotliCompress } from 'node:zlib';
import { launch, openPage } from '../../web/browser.mjs';
import { DIST } from '../../web/server.mjs';

const [address, chosen] = process.argv.slice(2);
const choice = JSON.parse(chosen);
const ENGINES = ['cliper', 'litert', 'onnxruntime'];
/** Of these a visitor waits for the start; larger ones take minutes to compress. */
const BUILT_IN = 'built-in';
/** Bytes from which a file is named. */
const LARGE = 10_000;

const load = [];
// First what may fail soon.
const starts = [];
for (const model of choice.models.filter((model) => choice.started.includes(model)))
  for (const precision of choice.precisions) starts.push(...(await startsOf(model, precision)));
const compared = await comparison();
console.log(JSON.stringify({ ...compared, starts, load }));

/** The engines by turns in one page. */
async function comparison() {
  const browser = await launch({ webgpu: choice.devices.includes('webgpu') });
  try {
    const { page } = await openPage(browser, address);
    page.setDefaultTimeout(0);
    await page.exposeFunction('computedMs', await computed(browser));
    let last;
    const progress = setInterval(async () => {
      const status = await page.textContent('#status').catch(() => '');
      if (status !== last) console.error(status);
      last = status;
      load.push(loadavg()[0]);
    }, 5000);
    const results = await page.evaluate((choice) => run(choice), choice);
    clearInterval(progress);
    return { chromium: browser.version(), ...results };
  } finally {
    await browser.close();
  }
}

/** Milliseconds that all threads of the pages and of the GPU's process have computed, to the nanosecond: Linux tells. */
async function computed(browser) {
  const system = await browser.newBrowserCDPSession();
  return async () => {
    const { processInfo } = await system.send('SystemInfo.getProcessInfo');
    const computing = processInfo.filter(({ type }) => type === 'renderer' || type === 'GPU');
    const times = computing.map(async ({ id }) => {
      const threads = await readdir(`/proc/${id}/task`).catch(() => []);
      const each = threads.map((thread) => readFile(`/proc/${id}/task/${thread}/schedstat`, 'utf8').catch(() => '0'));
      return (await Promise.all(each)).reduce((sum, line) => sum + Number(line.split(' ')[0]) / 1e6, 0);
    });
    return (await Promise.all(times)).reduce((sum, time) => sum + time, 0);
  };
}

/** Every engine's starts on one thread, by turns, each in a fresh browser. */
async function startsOf(model, precision) {
  const found = ENGINES.map((engine) => ({ engine, model, precision, createMs: [], pageToFirstMs: [] }));
  for (let round = 0; round < choice.starts; round++)
    for (const one of found) {
      console.error(`${model}, ${precision}: ${one.engine} starts`);
      const query = new URLSearchParams({ engine: one.engine, model, precision, device: 'cpu', threads: '1' });
      const browser = await launch();
      try {
        const fetched = new Set();
        const { page, complaints } = await openPage(browser, 'about:blank');
        // A worker's requests too.
        page.context().on('request', (request) => fetched.add(new URL(request.url()).pathname));
        await page.goto(`${address}start.html?${query}`);
        const started = page.waitForFunction(() => globalThis.started, undefined, { timeout: 120_000 });
        const times = await (await started).jsonValue();
        if (complaints.length) throw new Error(complaints.join('; '));
        one.createMs.push(times.createMs);
        one.pageToFirstMs.push(times.pageToFirstMs);
        one.fetched = [...fetched].filter((path) => /\.(js|mjs|wasm|json|safetensors|onnx|tflite)$/.test(path));
      } finally {
        await browser.close();
      }
    }
  const results = [];
  for (const { fetched, createMs, pageToFirstMs, ...one } of found)
    results.push({
      ...one,
      createMs: median(createMs),
      pageToFirstMs: median(pageToFirstMs),
      ...(model === BUILT_IN && { bytes: await brotliBytes(fetched) }),
    });
  return results;
}

/** Bytes of what an engine fetched in brotli at its best, which takes a large file a minute: so each is compressed once. */
async function brotliBytes(paths) {
  const known = new URL('bench/peers/sizes.json', `file://${DIST}`);
  const sizes = JSON.parse(await readFile(known, 'utf8').catch(() => '{}'));
  const bytes = {};
  for (const path of paths.filter(
    (path) => !/\/bench\/(start|contenders|calls|gpu-counts)\.js$|expected\.json$/.test(path),
  )) {
    const content = await readFile(DIST + path.slice(1));
    const key = `${path} ${content.length}`;
    sizes[key] ??= (await promisify(brotliCompress)(content)).length;
    bytes[path] = sizes[key];
  }
  await writeFile(known, JSON.stringify(sizes));
  const large = Object.fromEntries(Object.entries(bytes).filter(([, size]) => size >= LARGE));
  return { brotli: Object.values(bytes).reduce((sum, size) => sum + size, 0), large };
}

function median(values) {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)];
}
