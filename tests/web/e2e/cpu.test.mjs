// The CPU's files for real: relaxed SIMD, plain SIMD and threads give the same embeddings, in f32 and in 8 bits.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, openPage } from '../browser.mjs';
import { assertFailure } from '../library.mjs';
import { serve } from '../server.mjs';

let server;
let browser;
before(async () => {
  server = await serve();
  // A page that is not cross-origin isolated.
  server.own.set('/open.html', (response) => {
    response.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html><link rel="icon" href="data:,">');
  });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.close();
});

/** Embeddings of two drawn pictures, and of the first again, with what runs. `isOld`: a browser without relaxed SIMD. */
async function embed({ page: name = 'blank.html', isOld = false, ...options }) {
  const { page, complaints, close } = await openPage(browser, `${server.url}/${name}`);
  const asked = [];
  page.on('request', (request) => asked.push(new URL(request.url()).pathname));
  const seen = await page.evaluate(
    async ({ isOld, options }) => {
      if (isOld)
        WebAssembly.validate = (
          (validate) => (bytes) =>
            bytes.length < 33 && validate(bytes)
        )(WebAssembly.validate);
      const { ImageEncoder } = await import('/src/index.js');
      const encoder = await ImageEncoder.create({ device: 'cpu', ...options });
      const { channels, side, embedding } = encoder.info;
      const one = channels * side * side;
      const pixels = Float32Array.from({ length: 2 * one }, (_, index) => ((index * 7919) % 1013) / 506.5 - 1);
      const both = await encoder.encode(pixels);
      const before = await encoder.counters();
      const again = await encoder.encode(pixels.subarray(0, one));
      const after = await encoder.counters();
      return { info: encoder.info, embedding, both: [...both], again: [...again], before, after };
    },
    { isOld, options },
  );
  await close();
  assert.deepEqual(complaints, []);
  return { ...seen, files: asked.filter((path) => path.endsWith('.wasm')) };
}

function cosine(a, b) {
  const dot = (x, y) => x.reduce((sum, value, index) => sum + value * y[index], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

const FILES = [
  { file: 'cpu-relaxed', name: 'relaxed SIMD, 1 thread', options: {} },
  { file: 'cpu', name: 'SIMD, 1 thread', options: { isOld: true } },
  { file: 'cpu-threads', name: 'relaxed SIMD, 2 threads', options: { threads: 2 } },
  { file: 'cpu-threads', name: 'relaxed SIMD, 4 threads', options: { threads: 4 } },
];

let reference;
for (const { file, name, options } of FILES) {
  test(`${name}: the right file, and the same embeddings`, async () => {
    const full = await embed(options);
    assert.deepEqual(full.files, [`/src/wasm/${file}/cliper_bg.wasm`]);
    assert.equal(full.info.adapter, `wasm, ${name}`);
    assert.equal(full.info.fallback, undefined);
    assert.ok(full.info.selfTest.cosine > 0.999_999, String(full.info.selfTest.cosine));
    assert.deepEqual(full.again, full.both.slice(0, full.embedding), 'a picture alone and in a batch');
    assert.equal(full.after.passes - full.before.passes, 1);
    assert.equal(full.after.memoryBytes, full.before.memoryBytes, 'a warm pass takes no memory');

    const bytes = await embed({ ...options, precision: 'int8' });
    assert.equal(bytes.info.adapter, `wasm, ${name}, 8-bit products`);
    assert.ok(bytes.info.selfTest.cosine > 0.9995, String(bytes.info.selfTest.cosine));
    const found = cosine(bytes.both, full.both);
    assert.ok(found >= 0.9995 && found < 0.999_999_9, `8 bits against f32: ${found}`);

    reference ??= { full, bytes };
    assert.ok(cosine(full.both, reference.full.both) > 0.999_999_9);
    // Sums of whole numbers are the same everywhere; a value between two codes may fall to either.
    assert.ok(cosine(bytes.both, reference.bytes.both) > 0.9999, String(cosine(bytes.both, reference.bytes.both)));
  });
}

test('a page that is not isolated, and a browser without relaxed SIMD, compute with one thread and say why', async () => {
  const open = await embed({ page: 'open.html', threads: 2 });
  assert.equal(open.info.adapter, 'wasm, relaxed SIMD, 1 thread');
  assert.match(open.info.fallback, /not cross-origin isolated/);
  const old = await embed({ isOld: true, threads: 2 });
  assert.equal(old.info.adapter, 'wasm, SIMD, 1 thread');
  assert.match(old.info.fallback, /relaxed SIMD/);
});

/** What starting, or the first batch after it, throws where the second worker is `script`. */
async function withHelper(script) {
  server.own.set('/helper.js', Buffer.from(script));
  const { page, close } = await openPage(browser, `${server.url}/blank.html`);
  const failed = await page.evaluate(async () => {
    const { CliperError, ImageEncoder } = await import('/src/index.js');
    let started = 0;
    const createWorker = () => new Worker(started++ ? '/helper.js' : '/src/worker/worker.js', { type: 'module' });
    const run = async () => {
      const encoder = await ImageEncoder.create({ device: 'cpu', threads: 2, createWorker });
      const { channels, side } = encoder.info;
      for (;;) await encoder.encode(new Float32Array(channels * side * side));
    };
    return run().catch((error) => {
      const { name, code, message } = error;
      return { isOwn: error instanceof CliperError, name, code, message };
    });
  });
  await close();
  return failed;
}

test('a helper that does not start, or falls over later, ends the engine that would wait for it', async () => {
  const missing = await withHelper('this is no script');
  assertFailure(assert, missing, 'worker-failed');
  assert.match(missing.message, /worker/);
  const fallen = await withHelper(`self.onmessage = ({ data: { id, version } }) => {
    self.postMessage({ id, version, answer: null });
    setTimeout(() => { throw new Error('fell over'); }, 500);
  };`);
  assertFailure(assert, fallen, 'worker-failed');
  assert.match(fallen.message, /fell over/);
});
