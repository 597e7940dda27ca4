// Files that are not what they should be: damaged copies are dropped and fetched again, and two versions that meet are named.
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { VERSION } from '../../../www/dist/src/shared/version.js';
import { launch } from '../browser.mjs';
import { fileOf, publish, readBundle, withFile } from '../bundle.mjs';
import { assertFailure, openLibrary } from '../library.mjs';
import { DIST, serve } from '../server.mjs';

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

/** The same weights in other bytes: a safetensors header may end in spaces. */
const respaced = (spaces) => (bytes) => {
  const length = Number(bytes.readBigUInt64LE());
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(length + spaces));
  return Buffer.concat([size, bytes.subarray(8, 8 + length), Buffer.alloc(spaces, ' '), bytes.subarray(8 + length)]);
};

/** What is wrong with copies in the cache: each is made of a copy's own bytes and another one's. */
const DAMAGES = {
  truncated: (own) => own.slice(0, own.length / 2),
  empty: () => new Uint8Array(),
  'swapped with another file': (_, other) => other,
  'longer than it was': (own) => new Uint8Array([...own, 0]),
  'with one wrong bit': (own) => own.map((byte, place) => (place === own.length - 1 ? byte ^ 1 : byte)),
  'a web page': () => new TextEncoder().encode('<!doctype html>'),
};

for (const [name, damage] of Object.entries(DAMAGES)) {
  test(`every copy in the cache is ${name}: dropped, fetched again, and kept anew`, async () => {
    const { page, complaints, close } = await openLibrary(browser, server);
    const seen = await page.evaluate(`(async () => {
      const damage = ${damage};
      const use = async () => {
        const recognizer = await cliper.ExpressionRecognizer.create({ device: 'cpu', faces: true });
        await recognizer.describe(['the teeth can be seen']);
        const { faces } = await recognizer.recognize(await sample());
        recognizer.dispose();
        return [faces[0].top.name, faces[0].texts.length];
      };
      const kept = async () => {
        const cache = await caches.open('cliper');
        return Promise.all((await cache.keys()).map(async ({ url }) => {
          const bytes = new Uint8Array(await (await cache.match(url)).arrayBuffer());
          return { url, bytes };
        }));
      };
      await use();
      const before = await kept();
      const cache = await caches.open('cliper');
      for (const [place, { url, bytes }] of before.entries())
        await cache.put(url, new Response(damage(bytes, before[(place + 1) % before.length].bytes)));
      const answer = await use();
      const after = await kept();
      const same = (one, other) => one.length === other.length && one.every((byte, place) => byte === other[place]);
      const mended = before.map(({ url, bytes }) => same(bytes, after.find((other) => other.url === url)?.bytes ?? []));
      return { answer, mended, after: after.length };
    })()`);
    assert.deepEqual(seen.answer, ['happiness', 1]);
    // Encoder, descriptors, movements, golden embedding, detector, and the text side's two.
    assert.ok(seen.mended.length >= 6 && seen.mended.every(Boolean), JSON.stringify(seen));
    assert.equal(seen.after, seen.mended.length);
    assert.deepEqual(complaints, []);
    await close();
  });
}

test("a new version's weights under the old address: the browser's stale copy is passed by, ours replaced", async () => {
  const { path } = fileOf(bundle, 'weights');
  const asked = [];
  const show = (changed) => {
    const model = publish(server, 'renewed', changed);
    const bytes = changed.get(path);
    server.own.set(`/bundles/renewed/${path}`, (response, head) => {
      asked.push(bytes.length);
      response.writeHead(200, { ...head, 'Cache-Control': 'max-age=3600' }).end(bytes);
    });
    return model;
  };
  const { page, complaints, close } = await openLibrary(browser, server);
  const use = (model, cache) =>
    page.evaluate(
      async ([model, cache]) => {
        const recognizer = await cliper.ExpressionRecognizer.create({ model, cache, device: 'cpu' });
        const { top } = await recognizer.recognize(await sample());
        recognizer.dispose();
        const keys = cache ? await (await caches.open('cliper')).keys() : [];
        return [top.name, keys.filter(({ url }) => url.includes('encoder')).length];
      },
      [model, cache],
    );
  const [first, second, third] = [1, 2, 3].map((spaces) =>
    withFile(bundle, 'weights', respaced(8 * spaces), { isListed: true }),
  );
  const length = (bundle) => bundle.get(path).length;
  const model = show(first);
  assert.deepEqual(await use(model, false), ['happiness', 0]);
  assert.deepEqual(await use(model, false), ['happiness', 0]);
  assert.deepEqual(asked, [length(first)], "the browser's own cache has it");
  show(second);
  assert.deepEqual(await use(model, true), ['happiness', 1]);
  assert.deepEqual(asked, [length(first), length(second)]);
  show(third);
  assert.deepEqual(await use(model, true), ['happiness', 1], 'the earlier copy is gone');
  assert.deepEqual(asked, [length(first), length(second), length(third)]);
  assert.deepEqual(complaints, []);
  await close();
});

test('a server that has half of a file is asked twice, believed never, and nothing of it is kept', async () => {
  const { path } = fileOf(bundle, 'weights');
  let asked = 0;
  const model = publish(server, 'halved', bundle);
  server.own.set(`/bundles/halved/${path}`, (response, head) => {
    asked++;
    response.writeHead(200, head).end(bundle.get(path).subarray(0, 100_000));
  });
  const { page, close } = await openLibrary(browser, server);
  const [failed, kept] = await page.evaluate(async (model) => {
    const failed = await failure(() => cliper.ExpressionRecognizer.create({ model, device: 'cpu' }));
    return [failed, (await (await caches.open('cliper')).keys()).map(({ url }) => url)];
  }, model);
  assertFailure(assert, failed, 'damaged-file');
  assert.equal(asked, 2);
  assert.ok(!kept.some((url) => url.includes(path)), kept.join());
  await close();
});

const OTHER = '0.0.9';
/** Scripts and engines say their version in these bytes. */
const another = (content) => Buffer.from(content.toString('latin1').replaceAll(VERSION, OTHER), 'latin1');
/** The whole library again under `/other/`, as of another version. */
async function publishOther() {
  const names = await readdir(join(DIST, 'src'), { recursive: true });
  for (const name of names.filter((name) => name.endsWith('.js')))
    server.own.set(`/other/src/${name}`, another(await readFile(join(DIST, 'src', name))));
}

const MEETINGS = {
  'a worker of another version': [
    'worker',
    () =>
      cliper.ExpressionRecognizer.create({
        createWorker: () => new Worker('/other/src/worker/worker.js', { type: 'module' }),
      }),
  ],
  'a page of another version': [
    'worker',
    async () => {
      const other = await import('/other/src/index.js');
      const createWorker = () => new Worker('/src/worker/worker.js', { type: 'module' });
      // Its errors are of a class of its own.
      await other.ExpressionRecognizer.create({ createWorker, model: '/src/model/model.json' }).catch(
        ({ code, message }) => {
          throw new cliper.CliperError(code, message);
        },
      );
    },
  ],
  'a worker from before versions were told': [
    'worker',
    () => {
      const createWorker = () => new Worker('/before.js', { type: 'module' });
      return cliper.ExpressionRecognizer.create({ createWorker });
    },
  ],
  'an engine of another version': ['wasm', () => cliper.ExpressionRecognizer.create({ device: 'cpu' })],
  "another engine's wasm file": [
    'wasm',
    () => cliper.ExpressionRecognizer.create({ device: 'cpu', wasmUrl: '/foreign' }),
  ],
  'a wasm file of something else': [
    'wasm',
    () => cliper.ExpressionRecognizer.create({ device: 'cpu', wasmUrl: '/empty' }),
  ],
  "a text side's engine of another version": [
    'wasm',
    async () => {
      const recognizer = await cliper.ExpressionRecognizer.create({ device: 'cpu' });
      await recognizer.describe(['the teeth can be seen']);
    },
  ],
};

for (const [name, [part, meet]] of Object.entries(MEETINGS)) {
  test(`${name} is named: version-mismatch`, async (t) => {
    await publishOther();
    server.own.set('/foreign/cpu-relaxed/cliper_bg.wasm', await readFile(join(DIST, 'src/wasm/webgpu/cliper_bg.wasm')));
    server.own.set('/before.js', Buffer.from('onmessage = ({ data }) => postMessage({ id: data.id, answer: null });'));
    server.own.set('/empty/cpu-relaxed/cliper_bg.wasm', Buffer.from([0, 97, 115, 109, 1, 0, 0, 0]));
    const engine = { 'an engine of another version': 'cpu-relaxed', "a text side's engine of another version": 'text' }[
      name
    ];
    if (engine) {
      const path = `/src/wasm/${engine}/cliper_bg.wasm`;
      server.own.set(path, another(await readFile(join(DIST, path))));
      t.after(() => server.own.delete(path));
    }
    const { page, complaints, close } = await openLibrary(browser, server);
    const failed = await page.evaluate(`failure(${meet})`);
    assertFailure(assert, failed, 'version-mismatch');
    assert.match(failed.message, new RegExp(`${part}.*serve all files of one version`));
    assert.deepEqual(complaints, []);
    await close();
  });
}
