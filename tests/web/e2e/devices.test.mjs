// Each device for real: the CPU without any adapter, WebGPU on the software adapter, and the way from one to the other.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launch } from '../browser.mjs';
import { readBundle } from '../bundle.mjs';
import { assertFailure, openLibrary } from '../library.mjs';
import { serve } from '../server.mjs';

let server;
before(async () => (server = await serve()));
after(() => server?.close());

/** What a device says of the portrait: alone, and as three frames of a stream. */
async function look(page) {
  return page.evaluate(async () => {
    const picture = await sample();
    const alone = await recognizer.recognize(picture);
    const before = await recognizer.counters();
    const frames = [];
    for (const timestamp of [0, 40, 80]) frames.push(await recognizer.push(picture, { timestamp }));
    return { info: recognizer.info, alone, frames, before, after: await recognizer.counters() };
  });
}

function assertWhole({ info, alone, frames, before, after }) {
  assert.deepEqual(
    alone.expressions.map(({ name }) => name),
    info.expressions,
  );
  assert.ok(Math.abs(alone.expressions.reduce((sum, { score }) => sum + score, 0) - 1) < 1e-4);
  const best = alone.expressions.toSorted((a, b) => b.score - a.score)[0];
  assert.deepEqual(alone.top, { name: best.name, score: best.score });
  for (const { descriptors } of alone.expressions) {
    assert.ok(descriptors.length > 0);
    const similarities = descriptors.map(({ similarity }) => similarity);
    assert.deepEqual(
      similarities,
      similarities.toSorted((a, b) => b - a),
    );
  }
  assert.ok(info.selfTest.cosine > 0.999, `self-test ${info.selfTest.cosine}`);
  assert.ok(info.parameters > 0 && info.side > 0 && info.licence.length > 0);
  for (const time of Object.values(alone.timings)) assert.ok(time >= 0);
  assert.deepEqual(alone.window, { filled: 1, length: 1 });
  assert.deepEqual(
    frames.map(({ window }) => window.filled),
    [1, 2, 3].map((count) => Math.min(count, info.window)),
  );
  assert.equal(after.passes - before.passes, 3, 'one pass a frame');
  assert.equal(after.memoryBytes, before.memoryBytes, 'a frame allocates nothing that stays');
  assert.ok((after.readBytes - before.readBytes) / 3 <= 4 * 4096, 'one embedding read back a frame, at most');
}

const scores = ({ expressions }) => expressions.map(({ score }) => score);
const similarities = ({ expressions }) =>
  expressions.flatMap(({ descriptors }) =>
    descriptors.toSorted((a, b) => (a.text < b.text ? -1 : 1)).map(({ similarity }) => similarity),
  );

function assertClose(actual, expected, tolerance, what) {
  const worst = Math.max(...actual.map((value, index) => Math.abs(value - expected[index])));
  assert.ok(
    actual.length === expected.length && worst <= tolerance,
    `${what} differ by ${worst}, more than ${tolerance}`,
  );
}

describe('without any adapter', () => {
  let browser;
  before(async () => (browser = await launch()));
  after(() => browser?.close());

  test('auto takes the CPU, says so, and answers', async () => {
    const { page, complaints, close } = await openLibrary(browser, server, {});
    const seen = await look(page);
    assert.equal(seen.info.device, 'cpu');
    assert.match(seen.info.fallback, /no WebGPU adapter/);
    assertWhole(seen);
    assert.deepEqual(complaints, []);
    await close();
  });

  test('what was left out is said in whole sentences, one after the other', async () => {
    const open = await serve({ isIsolated: false });
    const seen = [];
    for (const host of [server, open]) {
      const { page, close } = await openLibrary(browser, host, { threads: 2 });
      seen.push(await page.evaluate(() => [recognizer.info.fallback, recognizer.info.adapter]));
      await close();
    }
    await open.close();
    const adapter = 'There is no WebGPU adapter here, so the CPU computes.';
    const threads =
      'This page is not cross-origin isolated, so one thread computes: serve it with Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp.';
    assert.deepEqual(seen, [
      [adapter, 'wasm, relaxed SIMD, 2 threads, 8-bit products'],
      [`${adapter} ${threads}`, 'wasm, relaxed SIMD, 1 thread, 8-bit products'],
    ]);
  });

  test('webgpu is refused before anything of it is downloaded', async () => {
    const { page, close } = await openLibrary(browser, server);
    const asked = [];
    page.on('request', (request) => asked.push(new URL(request.url()).pathname));
    assertFailure(
      assert,
      await page.evaluate(() => failure(() => cliper.ExpressionRecognizer.create({ device: 'webgpu' }))),
      'device-unavailable',
    );
    assert.deepEqual(
      asked.filter((path) => path.endsWith('.wasm')),
      [],
    );
    await close();
  });
});

describe('with the software adapter', () => {
  let browser;
  before(async () => (browser = await launch({ webgpu: true })));
  after(() => browser?.close());

  test('auto leaves the slow adapter and says why', async () => {
    const { page, close } = await openLibrary(browser, server, {});
    const info = await page.evaluate(() => recognizer.info);
    assert.equal(info.device, 'cpu');
    assert.match(info.fallback, /swiftshader.*software/i);
    await close();
  });

  test('WebGPU gives what the CPU gives', { timeout: 900_000 }, async () => {
    const cpu = await openLibrary(browser, server, { device: 'cpu', precision: 'f32' });
    const expected = await look(cpu.page);
    await cpu.close();
    const webgpu = await openLibrary(browser, server, { device: 'webgpu', precision: 'f32' });
    const seen = await look(webgpu.page);
    assert.equal(seen.info.device, 'webgpu');
    assert.equal(seen.info.fallback, undefined);
    assert.match(seen.info.adapter, /swiftshader/i);
    assertWhole(seen);
    assert.ok((seen.after.readBytes - seen.before.readBytes) / 3 < 1024, 'similarities alone are read back');
    // Two a convolution, the patches' product and positions, five a block, the tokens' mean and the projection, and the
    // cosines of the whole window: 64 of ViT-B/32.
    const { stem, layers } = JSON.parse((await readBundle()).get('model.json')).encoder;
    const frame = 2 * stem.length + 2 + 5 * layers + 2 + 1;
    assert.equal(seen.after.dispatches - seen.before.dispatches, 3 * frame);
    // Both compute in f32, in another order: cosines were seen to agree to 1e-6, and scores to 2e-9.
    for (const [one, other] of [
      [seen.alone, expected.alone],
      [seen.frames[2], expected.frames[2]],
    ]) {
      assertClose(similarities(one), similarities(other), 5e-5, 'similarities');
      assertClose(scores(one), scores(other), 1e-5, 'scores');
      assert.equal(one.top.name, other.top.name);
    }
    assert.deepEqual(webgpu.complaints, []);
    await webgpu.close();
  });

  test('8 bits, in which the built-in model is stored, answer as f32 does', async () => {
    const answers = [];
    for (const precision of ['f32', 'int8', undefined]) {
      const { page, close } = await openLibrary(browser, server, { device: 'cpu', precision });
      answers.push(await look(page));
      await close();
    }
    const [f32, int8, own] = answers;
    assert.match(int8.info.adapter, /8-bit products/);
    assert.doesNotMatch(f32.info.adapter, /8-bit/);
    assert.equal(own.info.adapter, int8.info.adapter);
    assert.deepEqual(scores(own.alone), scores(int8.alone));
    assert.equal(int8.alone.top.name, f32.alone.top.name);
    // A cosine of 0.999 between embeddings, as packing found on real faces.
    assertClose(similarities(int8.alone), similarities(f32.alone), 5e-3, 'similarities');
    assert.ok(int8.after.memoryBytes < f32.after.memoryBytes);
  });

  test('a hardware adapter that does not start leads to the CPU, with the reason', { timeout: 300_000 }, async () => {
    // The browser's edge is bent in the worker: the adapter passes for hardware, and then gives no device.
    server.own.set(
      '/bent/worker.js',
      Buffer.from(`
      Object.defineProperty(GPUAdapter.prototype, 'info', {
        get: () => ({ vendor: 'acme', architecture: 'broken', device: '', description: '', isFallbackAdapter: false }),
      });
      GPUAdapter.prototype.requestDevice = () => Promise.reject(new DOMException('out of order', 'OperationError'));
      const queue = [];
      const keep = (event) => queue.push(event.data);
      self.addEventListener('message', keep);
      await import('/src/worker/worker.js');
      self.removeEventListener('message', keep);
      for (const data of queue) self.dispatchEvent(new MessageEvent('message', { data }));
    `),
    );
    const { page, close } = await openLibrary(browser, server);
    const seen = await page.evaluate(async () => {
      const progress = [];
      globalThis.recognizer = await cliper.ExpressionRecognizer.create({
        createWorker: () => new Worker('/bent/worker.js', { type: 'module' }),
        onProgress: ({ loaded }) => progress.push(loaded),
      });
      return { info: recognizer.info, progress, answer: await recognizer.recognize(await sample()) };
    });
    assert.equal(seen.info.device, 'cpu');
    assert.match(
      seen.info.fallback,
      /^WebGPU was left out: .*acme broken.*gives no device \(OperationError: out of order\)\.$/,
    );
    assert.deepEqual(
      seen.progress,
      seen.progress.toSorted((a, b) => a - b),
    );
    assert.ok(seen.answer.top.score > 0);
    await close();
  });
});
