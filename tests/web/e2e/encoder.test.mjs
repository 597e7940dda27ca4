// ImageEncoder for real: PyTorch's embeddings on the CPU and on both families of WebGPU kernels, its work counted, and
// devices that fail.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { launch } from '../browser.mjs';
import { publish, readBundle } from '../bundle.mjs';
import { assertFailure, openLibrary } from '../library.mjs';
import { readTensors, writeTensors } from '../safetensors.mjs';
import { serve } from '../server.mjs';

const fixture = (name, file) => readFile(new URL(`../../fixtures/${name}/${file}`, import.meta.url));

/** A bundle of a CLIP vision tower that PyTorch made, with descriptors that nobody asks for. */
async function fixtureBundle(name, change = () => {}) {
  const encoder = JSON.parse(await fixture(name, 'config.json'));
  const texts = writeTensors([
    ['embeddings', { shape: [2, encoder.embedding], data: new Float32Array(2 * encoder.embedding).fill(1) }],
  ]);
  const bundle = new Map([
    ['encoder.safetensors', await fixture(name, 'weights.safetensors')],
    ['descriptors.safetensors', texts],
    ['golden.safetensors', await fixture(name, 'golden.safetensors')],
  ]);
  const roles = ['weights', 'descriptors', 'golden'];
  const manifest = {
    format: 'cliper-bundle',
    version: 1,
    name,
    encoder,
    preprocess: { mean: [0.48145466, 0.4578275, 0.40821073], std: [0.26862954, 0.2613026, 0.2757771] },
    expressions: [
      { name: 'one', descriptors: ['a'] },
      { name: 'other', descriptors: ['b'] },
    ],
    aggregation: 'mean',
    calibration: { temperature: 1 },
    window: 1,
    backbone: '',
    licence: 'none',
    files: [...bundle].map(([path, bytes], index) => ({
      path,
      role: roles[index],
      bytes: bytes.length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
    })),
  };
  change(manifest);
  return bundle.set('model.json', Buffer.from(JSON.stringify(manifest)));
}

/** A worker that runs `bent` before the library's own script. */
function bend(server, name, bent) {
  server.own.set(
    `/bent/${name}.js`,
    Buffer.from(`
    const queue = [];
    const keep = (event) => queue.push(event.data);
    self.addEventListener('message', keep);
    ${bent}
    await import('/src/worker/worker.js');
    self.removeEventListener('message', keep);
    for (const data of queue) self.dispatchEvent(new MessageEvent('message', { data }));
  `),
  );
}

/** The adapter passes for hardware: the kernels for GPUs run, and 'auto' takes it. */
const AS_HARDWARE = `Object.defineProperty(GPUAdapter.prototype, 'info', {
  get: () => ({ vendor: 'acme', architecture: 'fine', device: '', description: '', isFallbackAdapter: false }),
});`;

/** Opens an encoder in the page and embeds `batch` of the fixture's pictures, `times` over. */
function encode(page, options, pixels, times = 1) {
  return page.evaluate(
    async ({ options: { bent, ...options }, pixels, times }) => {
      if (bent) options.createWorker = () => new Worker(`/bent/${bent}.js`, { type: 'module', name: bent });
      globalThis.encoder = await cliper.ImageEncoder.create(options);
      const outputs = [];
      for (let time = 0; time < times; time++) outputs.push([...(await encoder.encode(Float32Array.from(pixels)))]);
      return { info: encoder.info, outputs, counters: await encoder.counters() };
    },
    { options, pixels: [...pixels], times },
  );
}

/** Largest difference over the largest value. */
function relativeError(found, wanted) {
  assert.equal(found.length, wanted.length);
  const largest = Math.max(...wanted.map(Math.abs));
  return Math.max(...found.map((value, index) => Math.abs(value - wanted[index]))) / largest;
}

let server;
const models = {};
before(async () => {
  server = await serve();
  bend(server, 'hardware', AS_HARDWARE);
  bend(server, 'counted', `(await import('/bench/gpu-counts.js')).countGpu();`);
  bend(
    server,
    'small',
    `${AS_HARDWARE}
    Object.defineProperty(GPUSupportedLimits.prototype, 'maxStorageBufferBindingSize', { get: () => 1024 });
    const request = GPUAdapter.prototype.requestDevice;
    GPUAdapter.prototype.requestDevice = function () { return request.call(this); };`,
  );
  bend(
    server,
    'lost',
    `${AS_HARDWARE}
    const request = GPUAdapter.prototype.requestDevice;
    GPUAdapter.prototype.requestDevice = async function (...all) {
      const device = await request.apply(this, all);
      setTimeout(() => device.destroy(), 0);
      return device;
    };`,
  );
  bend(
    server,
    'losing',
    `
    const request = GPUAdapter.prototype.requestDevice;
    GPUAdapter.prototype.requestDevice = async function (...all) {
      const device = await request.apply(this, all);
      new BroadcastChannel('lose').onmessage = () => device.destroy();
      return device;
    };`,
  );
  bend(
    server,
    'wrong',
    `${AS_HARDWARE}
    const create = GPUDevice.prototype.createShaderModule;
    GPUDevice.prototype.createShaderModule = function (options) {
      return create.call(this, { ...options, code: options.code.replace('inverseSqrt', 'sqrt') });
    };`,
  );
  for (const name of ['clip_vision', 'clip_vision_gelu']) {
    const bundle = await fixtureBundle(name);
    const expected = readTensors(await fixture(name, 'expected.safetensors'));
    models[name] = {
      bundle,
      address: publish(server, name, bundle),
      pixels: expected.get('pixels').data,
      wanted: [...expected.get('embeddings').data],
    };
  }
});
after(() => server?.close());

// f32 in another order than PyTorch's f64: 2e-6 was seen.
const TOLERANCE = 1e-4;

describe('on the CPU', () => {
  let browser;
  before(async () => (browser = await launch()));
  after(() => browser?.close());

  test("a batch's embeddings are PyTorch's", async () => {
    const { page, complaints, close } = await openLibrary(browser, server);
    for (const { address, pixels, wanted } of Object.values(models)) {
      const { info, outputs, counters } = await encode(page, { model: address, device: 'auto' }, pixels);
      assert.ok(relativeError(outputs[0], wanted) < TOLERANCE);
      assert.equal(info.device, 'cpu');
      assert.match(info.fallback, /no WebGPU adapter/);
      assert.equal(info.channels * info.side ** 2 * (wanted.length / info.embedding), pixels.length);
      assert.deepEqual([info.mean.length, info.std.length, info.precision], [3, 3, 'f32']);
      assert.equal(counters.passes, wanted.length / info.embedding);
      assert.equal(counters.dispatches, 0);
    }
    assert.deepEqual(complaints, []);
    await close();
  });

  test('threads compute where the page may share memory; where it may not, one does, and says why', async () => {
    const { bundle, pixels, wanted } = models.clip_vision;
    const alone = await serve({ isIsolated: false });
    const model = publish(alone, 'clip_vision', bundle);
    for (const [host, fallback] of [
      [server, undefined],
      [alone, /not cross-origin isolated/],
    ]) {
      const { page, close } = await openLibrary(browser, host);
      const { info, outputs } = await encode(page, { model, device: 'cpu', threads: 2 }, pixels);
      assert.ok(relativeError(outputs[0], wanted) < TOLERANCE);
      if (fallback) assert.match(info.fallback, fallback);
      else assert.equal(info.fallback, undefined);
      assert.match(info.adapter, fallback ? /1 thread/ : /2 threads/);
      await close();
    }
    await alone.close();
  });

  test('a bundle may be given as bytes or as files', async () => {
    const { page, close } = await openLibrary(browser, server);
    const { bundle, pixels, wanted } = models.clip_vision;
    const asked = [];
    page.on('request', (request) => asked.push(new URL(request.url()).pathname));
    const found = await page.evaluate(
      async ({ files, pixels }) => {
        const bytes = Object.fromEntries(files.map(([name, bytes]) => [name, Uint8Array.from(bytes)]));
        const list = Object.entries(bytes).map(([name, bytes]) => new File([bytes], name));
        const outputs = [];
        for (const model of [bytes, list]) {
          const encoder = await cliper.ImageEncoder.create({ model, device: 'cpu' });
          outputs.push([...(await encoder.encode(Float32Array.from(pixels)))]);
          encoder.dispose();
        }
        return outputs;
      },
      { files: [...bundle].map(([name, bytes]) => [name, [...bytes]]), pixels: [...pixels] },
    );
    for (const output of found) assert.ok(relativeError(output, wanted) < TOLERANCE);
    assert.ok(!asked.some((path) => path.includes('safetensors')), asked.join());
    await close();
  });

  test('what can not be encoded is refused with a reason', async () => {
    const { page, close } = await openLibrary(browser, server);
    await page.evaluate(async (model) => {
      globalThis.encoder = await cliper.ImageEncoder.create({ model, device: 'cpu' });
      globalThis.values = encoder.info.channels * encoder.info.side ** 2;
    }, models.clip_vision.address);
    const cases = {
      short: () => encoder.encode(new Float32Array(values - 1)),
      empty: () => encoder.encode(new Float32Array(0)),
      list: () => encoder.encode([1, 2, 3]),
      nan: () => encoder.encode(new Float32Array(values).fill(NaN)),
      precision: () => cliper.ImageEncoder.create({ precision: 'f64' }),
      files: () => cliper.ImageEncoder.create({ model: { 'other.json': new Uint8Array(1) } }),
      missing: () =>
        cliper.ImageEncoder.create({
          device: 'cpu',
          model: { 'model.json': new Blob(['{"files":[{"path":"a","bytes":1,"sha256":""}]}']) },
        }),
      aborted: () => encoder.encode(new Float32Array(values), { signal: AbortSignal.abort() }),
      disposed: () => {
        encoder.dispose();
        return encoder.encode(new Float32Array(values));
      },
    };
    const codes = {
      ...Object.fromEntries(['short', 'empty', 'list', 'nan', 'precision'].map((name) => [name, 'invalid-argument'])),
      files: 'missing-file',
      missing: 'missing-file',
      aborted: 'aborted',
      disposed: 'disposed',
    };
    for (const [name, run] of Object.entries(cases)) {
      const failed = await page.evaluate(`failure(${run})`);
      assertFailure(assert, failed, codes[name]);
    }
    await close();
  });
});

describe('on WebGPU', () => {
  let browser;
  before(async () => (browser = await launch({ webgpu: true })));
  after(() => browser?.close());

  test("both families of kernels give PyTorch's embeddings, in batches of any size", { timeout: 300_000 }, async () => {
    const { page, complaints, close } = await openLibrary(browser, server);
    for (const { address, pixels, wanted } of Object.values(models)) {
      for (const bent of [undefined, 'hardware']) {
        const { info, outputs } = await encode(page, { model: address, device: 'webgpu', bent }, pixels);
        assert.equal(info.device, 'webgpu');
        assert.match(info.adapter, bent ? /acme/ : /swiftshader/);
        assert.ok(
          relativeError(outputs[0], wanted) < TOLERANCE,
          `${address} ${bent}: ${relativeError(outputs[0], wanted)}`,
        );
        // Eleven pictures are more than one pass takes.
        const { length } = pixels;
        const many = new Float32Array((length / (wanted.length / info.embedding)) * 11).map(
          (_, index) => pixels[index % length],
        );
        const repeated = await page.evaluate(
          async (many) => [...(await encoder.encode(Float32Array.from(many)))],
          [...many],
        );
        const expected = repeated.map((_, index) => wanted[index % wanted.length]);
        assert.equal(repeated.length, 11 * info.embedding);
        assert.ok(relativeError(repeated, expected) < TOLERANCE);
      }
    }
    assert.deepEqual(complaints, []);
    await close();
  });

  test('8-bit matrices stay near', { timeout: 300_000 }, async () => {
    const { page, close } = await openLibrary(browser, server);
    const { address, pixels, wanted } = models.clip_vision;
    const { info, outputs } = await encode(page, { model: address, device: 'webgpu', precision: 'int8' }, pixels);
    assert.equal(info.precision, 'int8');
    const width = info.embedding;
    for (let picture = 0; picture < wanted.length / width; picture++) {
      const [found, expected] = [outputs[0], wanted].map((values) =>
        values.slice(picture * width, (picture + 1) * width),
      );
      const dot = (a, b) => a.reduce((sum, value, index) => sum + value * b[index], 0);
      const cosine = dot(found, expected) / Math.sqrt(dot(found, found) * dot(expected, expected));
      assert.ok(cosine >= 0.9995 && cosine < 1, `cosine ${cosine}`);
    }
    await close();
  });

  test('a pass is one upload, one compute pass, one read-back and few dispatches', { timeout: 300_000 }, async () => {
    const { page, close } = await openLibrary(browser, server);
    const builtIn = JSON.parse((await readBundle()).get('model.json')).encoder;
    for (const [model, picture, dispatches] of [
      // The patches' product and the positions before the blocks of five, the projection after them.
      [models.clip_vision.address, 3 * 32 * 32, 2 + 2 * 5 + 1],
      // Convolutions of two before them; the tokens' mean and the projection after the blocks.
      [undefined, builtIn.side ** 2, 2 * builtIn.stem.length + 2 + 5 * builtIn.layers + 2],
    ]) {
      const options = { ...(model ? { model } : {}), device: 'webgpu', bent: 'counted' };
      const { info, counters } = await encode(page, options, new Float32Array(picture), 1);
      const seen = await page.evaluate(async (picture) => {
        const { takeCounts } = await import('/bench/gpu-counts.js');
        const start = await takeCounts('counted');
        await encoder.encode(new Float32Array(picture));
        const pass = await takeCounts('counted');
        encoder.dispose();
        return { start, pass };
      }, picture);
      // Burn submits the kernels, the read-back its copy into a buffer of its own. Each dispatch's sizes are 32 bytes.
      const expected = {
        dispatches,
        passes: 1,
        submits: 2,
        pipelines: 0,
        buffers: 1,
        uploadedBytes: 4 * picture + 32 * dispatches,
        readBytes: 4 * info.embedding,
      };
      assert.deepEqual(seen.pass, expected);
      assert.ok(seen.start.pipelines <= 10, `${seen.start.pipelines} pipelines`);
      // The engine's own count is the browser's, but for those sizes.
      assert.equal(counters.dispatches, dispatches);
      assert.equal(counters.uploadedBytes, 4 * picture);
      assert.equal(counters.readBytes, 4 * info.embedding);
    }
    await close();
  });

  for (const [bent, why] of [
    ['small', /WebGPU was left out: .*buffers of 1024 bytes/],
    ['lost', /WebGPU was left out: .*lost/],
    ['wrong', /WebGPU was left out: .*golden/],
  ]) {
    test(`a device that is ${bent} leads to the CPU, with the reason`, { timeout: 300_000 }, async () => {
      const { page, complaints, close } = await openLibrary(browser, server);
      const { address, pixels, wanted } = models.clip_vision;
      const { info, outputs } = await encode(page, { model: address, device: 'auto', bent }, pixels);
      assert.equal(info.device, 'cpu');
      assert.match(info.fallback, why);
      assert.ok(relativeError(outputs[0], wanted) < TOLERANCE);
      assert.deepEqual(complaints, []);
      await close();
    });
  }

  test('a device that is destroyed while it runs is opened again', { timeout: 300_000 }, async () => {
    const { page, complaints, close } = await openLibrary(browser, server);
    const { address, pixels, wanted } = models.clip_vision;
    await encode(page, { model: address, device: 'webgpu', bent: 'losing' }, pixels);
    const seen = await page.evaluate(
      async (pixels) => {
        new BroadcastChannel('lose').postMessage('now');
        await new Promise((resolve) => setTimeout(resolve, 200));
        return { found: [...(await encoder.encode(Float32Array.from(pixels)))], info: encoder.info };
      },
      [...pixels],
    );
    assert.ok(relativeError(seen.found, wanted) < TOLERANCE);
    assert.deepEqual([seen.info.device, seen.info.deviceLosses], ['webgpu', 1]);
    assert.deepEqual(complaints, []);
    await close();
  });

  test('an encoder that the kernels can not run leads to the CPU, with the reason', { timeout: 300_000 }, async () => {
    const { page, close } = await openLibrary(browser, server);
    // 32 values in 16 heads: two a head.
    const odd = publish(server, 'odd', await fixtureBundle('clip_vision_gelu', ({ encoder }) => (encoder.heads = 16)));
    const failed = await page.evaluate(
      (model) => failure(() => cliper.ImageEncoder.create({ model, device: 'webgpu' })),
      odd,
    );
    assertFailure(assert, failed, 'device-unavailable');
    assert.match(failed.message, /multiples of 4/);
    await close();
  });
});
