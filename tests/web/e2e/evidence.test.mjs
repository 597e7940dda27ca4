// Where on a picture a similarity comes from, for real: the CPU and both families of WebGPU kernels give what Burn gave.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch, openPage } from '../browser.mjs';
import { publish, readBundle, withFile } from '../bundle.mjs';
import { assertFailure, openLibrary } from '../library.mjs';
import { serve } from '../server.mjs';

const folder = (name) => fileURLToPath(new URL(`../../fixtures/${name}/`, import.meta.url));

/** The adapter passes for hardware, so that the kernels for GPUs run. */
const AS_HARDWARE = `
  Object.defineProperty(GPUAdapter.prototype, 'info', {
    get: () => ({ vendor: 'acme', architecture: 'fine', device: '', description: '', isFallbackAdapter: false }),
  });
  const queue = [];
  const keep = (event) => queue.push(event.data);
  self.addEventListener('message', keep);
  await import('/src/worker/worker.js');
  self.removeEventListener('message', keep);
  for (const data of queue) self.dispatchEvent(new MessageEvent('message', { data }));
`;

const DEVICES = [
  { name: 'the CPU', device: 'cpu' },
  { name: "WebGPU's kernels for software", device: 'webgpu' },
  { name: "WebGPU's kernels for hardware", device: 'webgpu', worker: '/bent/hardware.js' },
];

let server;
let browser;
let expected;
const models = {};
before(async () => {
  server = await serve();
  server.own.set('/bent/hardware.js', Buffer.from(AS_HARDWARE));
  const files = await readBundle(folder('evidence'));
  expected = JSON.parse(files.get('expected.json'));
  models.mean = publish(server, 'mean', files);
  models.int8 = publish(
    server,
    'int8',
    withFile(files, 'weights', () => files.get('encoder-int8.safetensors'), { isListed: true }),
  );
  models.class = publish(server, 'class', await readBundle(folder('temporal_bundle')));
  browser = await launch({ webgpu: true });
});
after(async () => {
  await browser?.close();
  await server?.close();
});

/** The golden picture, or the portrait, looked at in several ways, each with what it cost. */
async function look({ device, worker, model, precision, picture, looks }) {
  const { page, complaints, close } = await openPage(browser, `${server.url}/blank.html`);
  const seen = await page.evaluate(
    async ({ device, worker, model, precision, picture, looks }) => {
      const { ExpressionRecognizer } = await import('/src/index.js');
      const createWorker = worker && (() => new Worker(worker, { type: 'module' }));
      const recognizer = await ExpressionRecognizer.create({
        device,
        ...(model && { model }),
        ...(precision && { precision }),
        ...(createWorker && { createWorker }),
      });
      // As src/bundle/mod.rs draws it.
      const golden = () => {
        const data = new ImageData(64, 64);
        for (let index = 0; index < 64 * 64; index++) {
          const [x, y] = [index % 64, Math.floor(index / 64)];
          const ring = Math.floor(((x - 32) ** 2 + (y - 32) ** 2) / 6);
          data.data.set([(x * 4) & 255, ring & 255, (y * 3 + x) & 255, 255], 4 * index);
        }
        return data;
      };
      const shown = picture === 'golden' ? golden() : await (await fetch('/demo/portrait.jpg')).blob();
      const answers = [];
      for (const options of looks) {
        const before = await recognizer.counters();
        const answer = await recognizer.recognize(shown, options);
        const after = await recognizer.counters();
        answers.push({
          answer,
          passes: after.passes - before.passes,
          dispatches: after.dispatches - before.dispatches,
        });
      }
      recognizer.dispose();
      return answers;
    },
    { device, worker, model, precision, picture, looks },
  );
  await close();
  assert.deepEqual(complaints, []);
  return seen;
}

const descriptors = ({ expressions }) =>
  expressions.flatMap(({ descriptors }) => descriptors).toSorted((a, b) => (a.text < b.text ? -1 : 1));
const sum = (values) => values.reduce((sum, value) => sum + value, 0);

/** Largest differences of two answers' similarities and of their grids' values. */
function differences(one, other) {
  const pairs = descriptors(one).map((descriptor, index) => [descriptor, descriptors(other)[index]]);
  for (const [a, b] of pairs) {
    assert.equal(a.text, b.text);
    assert.deepEqual([a.evidence.side, a.evidence.method], [b.evidence.side, b.evidence.method]);
  }
  return {
    similarities: Math.max(...pairs.map(([a, b]) => Math.abs(a.similarity - b.similarity))),
    values: Math.max(
      ...pairs.flatMap(([a, b]) => a.evidence.values.map((value, index) => Math.abs(value - b.evidence.values[index]))),
    ),
  };
}

function assertSums(answer) {
  for (const { text, similarity, evidence } of descriptors(answer)) {
    assert.deepEqual([evidence.side, evidence.method, evidence.values.length], [6, 'sum', 36]);
    assert.ok(Math.abs(sum(evidence.values) - similarity) < 1e-5, `${text}: ${sum(evidence.values)} for ${similarity}`);
  }
}

function assertSame(plain, evident) {
  assert.ok(descriptors(plain).every((descriptor) => !('evidence' in descriptor)));
  descriptors(evident).forEach(({ similarity }, index) => {
    assert.ok(Math.abs(similarity - descriptors(plain)[index].similarity) < 1e-5);
  });
  assert.equal(plain.top.name, evident.top.name);
}

const LOOKS = [
  {},
  { evidence: true },
  { evidence: true, mirror: true },
  { evidence: 'occlusion' },
  { evidence: false, mirror: true },
  {},
];

for (const { name, ...device } of DEVICES) {
  test(`${name}: what Burn says, sums, and passes that are counted`, { timeout: 300_000 }, async () => {
    const [plain, alone, mirrored, occlusion, plainMirrored, again] = await look({
      ...device,
      model: models.mean,
      picture: 'golden',
      looks: LOOKS,
    });
    for (const [kind, { answer }] of Object.entries({ alone, mirrored, occlusion })) {
      const found = differences(answer, expected[kind]);
      assert.ok(found.similarities < 2e-5 && found.values < 2e-5, `${kind}: ${JSON.stringify(found)}`);
    }
    assertSums(alone.answer);
    assertSums(mirrored.answer);
    assertSame(plain.answer, alone.answer);
    assertSame(plain.answer, occlusion.answer);
    assertSame(plainMirrored.answer, mirrored.answer);
    assertSame(again.answer, alone.answer);
    assert.deepEqual(
      [plain, alone, mirrored, occlusion, plainMirrored].map(({ passes }) => passes),
      [1, 1, 2, 37, 2],
    );
    // The same pass; on WebGPU the patches' own projection is one dispatch more.
    assert.equal(alone.dispatches - plain.dispatches, device.device === 'webgpu' ? 1 : 0);
  });

  test(`${name}: 8 bits add up too`, { timeout: 300_000 }, async () => {
    const [plain, alone] = await look({ ...device, model: models.int8, picture: 'golden', looks: LOOKS.slice(0, 2) });
    assertSums(alone.answer);
    assertSame(plain.answer, alone.answer);
    // Rounded weights, and on the CPU rounded tokens: near, but not the same.
    const { values } = differences(alone.answer, expected.alone);
    assert.ok(values > 1e-6 && values < 0.02, String(values));
  });

  test(`${name}: an encoder with a class token is asked by occlusion`, { timeout: 300_000 }, async () => {
    const [plain, alone] = await look({ ...device, model: models.class, picture: 'golden', looks: LOOKS.slice(0, 2) });
    assertSame(plain.answer, alone.answer);
    assert.equal(alone.passes, 37);
    for (const { evidence } of descriptors(alone.answer))
      assert.deepEqual([evidence.side, evidence.method, evidence.values.length], [6, 'occlusion', 36]);
  });
}

test('the built-in model gives one grid on the CPU and on WebGPU, and each face has its own', {
  timeout: 900_000,
}, async () => {
  const looks = [{}, { evidence: true }, { evidence: true, faces: true }];
  const precision = 'f32';
  const [cpu, webgpu] = [
    await look({ device: 'cpu', precision, looks }),
    await look({ device: 'webgpu', precision, looks }),
  ];
  for (const [plain, evident, faces] of [cpu, webgpu]) {
    assertSums(evident.answer);
    assertSame(plain.answer, evident.answer);
    assert.equal(faces.answer.faces.length, 1);
    assertSums(faces.answer.faces[0]);
  }
  const found = differences(cpu[1].answer, webgpu[1].answer);
  assert.ok(found.similarities < 5e-5 && found.values < 5e-5, JSON.stringify(found));
});

describe('where there is no evidence', () => {
  let opened;
  before(async () => (opened = await openLibrary(browser, server, { device: 'cpu', model: models.mean })));
  after(() => opened?.close());

  const REFUSED = {
    'a stream of frames': async () => recognizer.push(await sample(), { evidence: true }),
    'a stream of a video': () => recognizer.stream(document.createElement('video'), { evidence: 'occlusion' }),
    'a clip': () => recognizer.recognizeClip(['/demo/portrait.jpg'], { evidence: true }),
    'another word': async () => recognizer.recognize(await sample(), { evidence: 'sum' }),
  };
  for (const [name, run] of Object.entries(REFUSED)) {
    test(`${name}: invalid-argument`, async () => {
      assertFailure(assert, await opened.page.evaluate(`failure(${run})`), 'invalid-argument');
    });
  }

  test('after all that, the recognizer still answers', async () => {
    assert.ok((await opened.page.evaluate(async () => (await recognizer.recognize(await sample())).top.score)) > 0);
    assert.deepEqual(opened.complaints, []);
  });
});
