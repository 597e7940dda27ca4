// Bundles with something wrong, of which the page gets the engine's code, and with ways of their own, which are followed.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch } from '../browser.mjs';
import { fileOf, publish, readBundle, withFile, withManifest, withShards } from '../bundle.mjs';
import { assertFailure, openLibrary } from '../library.mjs';
import { half, serve } from '../server.mjs';

let server;
let browser;
let bundle;

before(async () => {
  server = await serve();
  browser = await launch();
  bundle = await readBundle();
});

after(async () => {
  await browser?.close();
  await server?.close();
});

const flip = (bytes) => {
  const copy = Buffer.from(bytes);
  copy[copy.length - 1] ^= 0x40;
  return copy;
};
/** Every value's sign turned: the last bytes of a safetensors file are its values. */
const negate = (bytes) => {
  const copy = Buffer.from(bytes);
  const header = Number(copy.readBigUInt64LE());
  const size = /"F16"/.test(copy.subarray(8, 8 + header)) ? 2 : 4;
  for (let at = 8 + header + size - 1; at < copy.length; at += size) copy[at] ^= 0x80;
  return copy;
};

const WRONG = {
  'a page instead of a manifest': [
    'invalid-bundle',
    () => new Map(bundle).set('model.json', Buffer.from('<!doctype html>')),
  ],
  'a manifest cut off': [
    'invalid-bundle',
    () => new Map(bundle).set('model.json', bundle.get('model.json').subarray(0, 300)),
  ],
  'a manifest of something else': [
    'invalid-bundle',
    () => new Map(bundle).set('model.json', Buffer.from('{"format":"onnx","version":1}')),
  ],
  'a future version': ['unsupported-bundle', () => withManifest(bundle, (manifest) => (manifest.version = 99))],
  'a way to resize that there is not': [
    'invalid-bundle',
    () => withManifest(bundle, (manifest) => (manifest.preprocess.resize = { mode: 'stretched' })),
  ],
  'a manifest without files': ['invalid-bundle', () => withManifest(bundle, (manifest) => (manifest.files = []))],
  'weights cut off': [
    'damaged-file',
    () => withFile(bundle, 'weights', (bytes) => bytes.subarray(0, bytes.length / 2)),
  ],
  'one wrong bit in the weights': ['damaged-file', () => withFile(bundle, 'weights', flip)],
  'one wrong bit in the descriptors': ['damaged-file', () => withFile(bundle, 'descriptors', flip)],
  'weights that are none': [
    'invalid-weights',
    () => withFile(bundle, 'weights', () => Buffer.from('no tensors here'), { isListed: true }),
  ],
  'descriptors of another encoder': [
    'foreign-descriptors',
    () => withManifest(bundle, (manifest) => (manifest.backbone = 'another')),
  ],
  'a golden embedding that no device gives': [
    'device-wrong',
    () => withFile(bundle, 'golden', negate, { isListed: true }),
  ],
  'a missing file': [
    'missing-file',
    () => {
      const copy = new Map(bundle);
      copy.delete(fileOf(bundle, 'descriptors').path);
      return copy;
    },
  ],
  'weights whose connection breaks half way': [
    'network',
    () => {
      const { path } = fileOf(bundle, 'weights');
      return new Map(bundle).set(path, half(bundle.get(path)));
    },
  ],
  'no manifest at all': ['missing-file', () => new Map()],
};

for (const [name, [code, make]] of Object.entries(WRONG)) {
  test(`${name}: ${code}`, async () => {
    const model = publish(server, name.replaceAll(' ', '-'), make());
    const { page, complaints, close } = await openLibrary(browser, server);
    const failed = await page.evaluate(
      (model) => failure(() => cliper.ExpressionRecognizer.create({ model, device: 'cpu' })),
      model,
    );
    assertFailure(assert, failed, code);
    assert.deepEqual(complaints, []);
    await close();
  });
}

test('the built-in model answers in FER2013’s labels where they are asked for, and knows no others', async () => {
  const { page, complaints, close } = await openLibrary(browser, server);
  const { names, sum } = await page.evaluate(async () => {
    const recognizer = await cliper.ExpressionRecognizer.create({ labels: 'FER2013', device: 'cpu', cache: false });
    const { expressions } = await recognizer.recognize(await sample());
    return { names: recognizer.info.expressions, sum: expressions.reduce((sum, { score }) => sum + score, 0) };
  });
  assert.deepEqual(names, ['neutral', 'happiness', 'surprise', 'sadness', 'anger', 'disgust', 'fear']);
  assert.ok(Math.abs(sum - 1) < 1e-5);
  const failed = await page.evaluate(() =>
    failure(() => cliper.ExpressionRecognizer.create({ labels: 'none', device: 'cpu' })),
  );
  assertFailure(assert, failed, 'invalid-argument');
  assert.match(failed.message, /FER2013/);
  assert.deepEqual(complaints, []);
  await close();
});

test('a bundle of format 5 prepares all of a picture as it says: alone, in a stream and in a clip', async () => {
  const bordered = withManifest(bundle, (manifest) => {
    manifest.version = 5;
    manifest.preprocess.resize = { mode: 'longest', fill: [250, 20, 120] };
  });
  const model = publish(server, 'format-5', bordered);
  const { page, complaints, close } = await openLibrary(browser, server, { device: 'cpu' });
  const { side, expected, cropped, answers } = await page.evaluate(async (model) => {
    const { side } = recognizer.info;
    const bitmap = await createImageBitmap(await sample());
    const context = new OffscreenCanvas(side, side).getContext('2d', { willReadFrequently: true });
    context.fillStyle = 'rgb(250 20 120)';
    context.fillRect(0, 0, side, side);
    context.drawImage(bitmap, 0, side / 4, side, side / 2);
    // Half as high as wide: the bundle's own border makes the square that is drawn here.
    const oblong = context.getImageData(0, side / 4, side, side / 2);
    const square = context.getImageData(0, 0, side, side);
    const similarities = ({ expressions }) =>
      expressions.flatMap(({ descriptors }) =>
        descriptors.toSorted((a, b) => (a.text < b.text ? -1 : 1)).map(({ similarity }) => similarity),
      );
    const own = await cliper.ExpressionRecognizer.create({ model, device: 'cpu' });
    const answers = {
      picture: await own.recognize(oblong),
      stream: await own.push(oblong, { timestamp: 0 }),
      clip: await own.recognizeClip([oblong, oblong]),
    };
    const found = Object.entries(answers).map(([name, answer]) => [name, similarities(answer)]);
    const expected = similarities(await recognizer.recognize(square));
    return { side, expected, cropped: similarities(await recognizer.recognize(oblong)), answers: found };
  }, model);
  assert.equal(side, 48);
  const difference = (one, other) => Math.max(...one.map((value, place) => Math.abs(value - other[place])));
  for (const [name, similarities] of answers) {
    assert.equal(similarities.length, expected.length);
    assert.ok(difference(similarities, expected) < 1e-5, `${name}: ${difference(similarities, expected)}`);
  }
  assert.ok(difference(cropped, expected) > 0.01, 'a model of the older formats sees the centre square alone');
  assert.deepEqual(complaints, []);
  await close();
});

test('a picture is looked at with its mirror image in two passes, and answered as its mirror image is', async () => {
  const { page, complaints, close } = await openLibrary(browser, server, { device: 'cpu' });
  const { passes, answers, alone } = await page.evaluate(async () => {
    const bitmap = await createImageBitmap(await sample(), { resizeWidth: 48, resizeHeight: 48 });
    const canvas = new OffscreenCanvas(48, 48);
    const context = canvas.getContext('2d', { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    const plain = context.getImageData(0, 0, 48, 48);
    context.setTransform(-1, 0, 0, 1, 48, 0);
    context.drawImage(bitmap, 0, 0);
    const mirrored = context.getImageData(0, 0, 48, 48);
    const scores = async (picture, options) =>
      (await recognizer.recognize(picture, options)).expressions.map(({ score }) => score);
    const before = await recognizer.counters();
    const answers = [await scores(plain, { mirror: true }), await scores(mirrored, { mirror: true })];
    const { passes } = await recognizer.counters();
    return { passes: passes - before.passes, answers, alone: [await scores(plain), await scores(mirrored)] };
  });
  assert.equal(passes, 4);
  const difference = ([one, other]) => Math.max(...one.map((score, place) => Math.abs(score - other[place])));
  assert.ok(difference(answers) < 1e-3, JSON.stringify(answers));
  assert.ok(difference(alone) > difference(answers));
  assert.deepEqual(complaints, []);
  await close();
});

test('a wasm file that breaks off is `network`, one that is none is `damaged-file`', async () => {
  const { page, close } = await openLibrary(browser, server);
  const wasm = await (await fetch(`${server.url}/src/wasm/cpu-relaxed/cliper_bg.wasm`)).arrayBuffer();
  server.own.set('/half/cpu-relaxed/cliper_bg.wasm', half(Buffer.from(wasm)));
  server.own.set('/text/cpu-relaxed/cliper_bg.wasm', Buffer.from('no engine'));
  const create = (wasmUrl) =>
    page.evaluate((wasmUrl) => failure(() => cliper.ExpressionRecognizer.create({ device: 'cpu', wasmUrl })), wasmUrl);
  assertFailure(assert, await create('/half'), 'network');
  assertFailure(assert, await create('/text'), 'damaged-file');
  await close();
});

test('after a broken start the next one succeeds, from where it broke off', async () => {
  const { path } = fileOf(bundle, 'weights');
  const model = publish(server, 'mended', new Map(bundle).set(path, half(bundle.get(path))));
  const { page, close } = await openLibrary(browser, server);
  const create = () =>
    page.evaluate(
      (model) => failure(async () => (await cliper.ExpressionRecognizer.create({ model, device: 'cpu' })).dispose()),
      model,
    );
  assertFailure(assert, await create(), 'network');
  publish(server, 'mended', bundle);
  assert.equal(await create(), 'nothing was thrown');
  await close();
});

test('a model of several shards answers as one of one file, with progress, and goes on where it broke off', async () => {
  const sharded = withShards(bundle, 4);
  const shards = [0, 1, 2, 3].map((index) => `shard-${index}.safetensors`);
  const asked = [];
  const model = publish(server, 'sharded', sharded);
  for (const path of shards) {
    server.own.set(`/bundles/sharded/${path}`, async (response, head) => {
      asked.push(path);
      if (path === shards[2] && asked.filter((other) => other === path).length === 1) {
        await othersKept();
        return half(sharded.get(path))(response, head);
      }
      response.writeHead(200, head).end(sharded.get(path));
    });
  }
  const { page, complaints, close } = await openLibrary(browser, server);
  const othersKept = () =>
    page.waitForFunction(async () => {
      const kept = await (await caches.open('cliper')).keys();
      return kept.filter(({ url }) => url.includes('/shard-')).length === 3;
    });
  const create = () =>
    page.evaluate(async (model) => {
      globalThis.loaded = [];
      const onProgress = ({ loaded, total }) => globalThis.loaded.push(loaded / total);
      globalThis.recognizer = await cliper.ExpressionRecognizer.create({ model, device: 'cpu', onProgress });
    }, model);
  await assert.rejects(create(), /half way/);
  await create();
  // All were asked for at once; the third, which broke off, twice: the others came from the cache.
  assert.deepEqual([asked.slice(0, 4).toSorted(), asked.slice(4)], [shards, [shards[2]]]);
  const [loaded, scores, wanted] = await page.evaluate(async () => {
    const picture = await sample();
    const whole = await cliper.ExpressionRecognizer.create({ device: 'cpu' });
    const [a, b] = await Promise.all([recognizer.recognize(picture), whole.recognize(picture)]);
    [recognizer, whole].forEach((one) => one.dispose());
    return [globalThis.loaded, a.expressions, b.expressions];
  });
  assert.deepEqual(scores, wanted);
  assert.deepEqual(
    loaded,
    loaded.toSorted((a, b) => a - b),
  );
  assert.equal(loaded.at(-1), 1);
  // A browser may tell of the connection that broke.
  assert.deepEqual(
    complaints.filter((text) => !/ERR_|Failed to load/.test(text)),
    [],
  );
  await close();
});

test('bytes damaged in the cache are fetched again', async () => {
  const { page, close } = await openLibrary(browser, server, { device: 'cpu' });
  const kept = await page.evaluate(async () => {
    const cache = await caches.open('cliper');
    const keys = await cache.keys();
    for (const key of keys) await cache.put(key, new Response('damaged'));
    const again = await cliper.ExpressionRecognizer.create({ device: 'cpu' });
    again.dispose();
    return keys.length;
  });
  assert.ok(kept > 0);
  await close();
});
