// Words of the page's own: sentences beside every answer, expressions described anew, and how frequent ones weigh.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch } from '../browser.mjs';
import { publish, readBundle } from '../bundle.mjs';
import { assertFailure, openLibrary } from '../library.mjs';
import { serve } from '../server.mjs';

let server;
let browser;
before(async () => {
  server = await serve();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.close();
});

const TEXT_SIDE = /\/(text\.json|text\.safetensors|wasm\/text\/cliper_bg\.wasm)$/;

/** Runs on a page of its own with a recognizer, which must have nothing unhandled at the end. */
function onPage(name, run, options = { device: 'cpu' }) {
  test(name, { timeout: 300_000 }, async () => {
    const { page, complaints, close } = await openLibrary(browser, server, options);
    await run(page);
    assert.deepEqual(complaints, []);
    await close();
  });
}

const total = (expressions) => expressions.reduce((sum, { score }) => sum + score, 0);

onPage('sentences are where PyTorch puts them', async (page) => {
  const path = new URL('../../fixtures/text_side/embeddings.json', import.meta.url);
  const { sentences, embeddings } = JSON.parse(await readFile(path));
  const found = await page.evaluate(async (sentences) => {
    const { default: init, TextSide } = await import('/src/wasm/text/cliper.js');
    await init({ module_or_path: await fetch('/src/wasm/text/cliper_bg.wasm') });
    const [description, weights] = await Promise.all(
      ['text.json', 'text.safetensors'].map(
        async (name) => new Uint8Array(await (await fetch(`/src/model/${name}`)).arrayBuffer()),
      ),
    );
    return new TextSide(description, weights, 384).embed(sentences).map(({ embedding }) => embedding);
  }, sentences);
  const worst = found.flatMap((row, index) => row.map((value, place) => Math.abs(value - embeddings[index][place])));
  assert.ok(Math.max(...worst) < 2e-6, `off by ${Math.max(...worst)}`);
});

onPage(
  'the text side is fetched when words are first brought, and answers carry them until they are taken back',
  async (page) => {
    const asked = [];
    page.on('request', (request) => asked.push(new URL(request.url()).pathname));
    const seen = await page.evaluate(async () => {
      const picture = await sample();
      const before = await recognizer.recognize(picture);
      const texts = ['the teeth can be seen', 'mouth corners pulled down', 'mouth corners pulled up'];
      const parts = [];
      const understood = await recognizer.describe(texts, { onProgress: (part) => parts.push(part) });
      const alone = await recognizer.recognize(picture);
      const pushed = await recognizer.push(picture, { timestamp: 0 });
      await recognizer.describe(['brows drawn together']);
      const again = await recognizer.push(picture, { timestamp: 0 });
      await recognizer.describe([]);
      return { before, alone, pushed, again, understood, parts, after: await recognizer.recognize(picture) };
    });
    assert.equal(asked.filter((path) => TEXT_SIDE.test(path)).length, 3, asked.join());
    assert.equal(seen.before.texts, undefined);
    const [teeth, shut, corners] = seen.alone.texts;
    assert.deepEqual(
      [teeth.text, shut.text, corners.text],
      ['the teeth can be seen', 'mouth corners pulled down', 'mouth corners pulled up'],
    );
    assert.ok(teeth.strength > 0.8 && corners.strength > 0.8 && shut.strength < 0.3, JSON.stringify(seen.alone.texts));
    assert.deepEqual(seen.pushed.texts, seen.alone.texts);
    // A time that was answered already is answered anew where other words were asked for.
    assert.deepEqual(
      seen.again.texts.map(({ text }) => text),
      ['brows drawn together'],
    );
    assert.deepEqual(seen.understood, { foreign: [] });
    assert.ok(seen.parts.length > 1 && seen.parts.at(-1) === 1 && Math.max(...seen.parts) === 1, seen.parts.join());
    assert.deepEqual(
      seen.parts,
      seen.parts.toSorted((a, b) => a - b),
    );
    assert.equal(seen.after.texts, undefined);
    assert.deepEqual(seen.after.expressions, seen.before.expressions);
  },
);

onPage('expressions are left out, made one, added and taken back', async (page) => {
  const asked = [];
  page.on('request', (request) => asked.push(new URL(request.url()).pathname));
  const seen = await page.evaluate(async () => {
    const picture = await sample();
    const names = ['happiness', 'surprise', 'neutral'];
    const own = recognizer.descriptors;
    const look = async (descriptors) => {
      await recognizer.setDescriptors(descriptors);
      const { expressions, top } = await recognizer.recognize(picture);
      return { expressions, top, info: recognizer.info.expressions };
    };
    const before = await look(null);
    const same = await look(own);
    const some = await look(Object.fromEntries(names.map((name) => [name, own[name]])));
    const { happiness, surprise, ...rest } = own;
    const merged = await look({ ...rest, positive: [...happiness, ...surprise] });
    const knownOnly = performance.getEntriesByType('resource').map(({ name }) => name);
    const added = await look({ ...own, wink: ['one eye closed', 'a winking face'] });
    const described = await look({
      smile: ['mouth corners pulled up', 'the teeth can be seen'],
      frown: ['mouth corners pulled down', 'brows drawn together'],
    });
    return { before, same, some, merged, added, described, after: await look(null), knownOnly };
  });
  const score = ({ expressions }, name) => expressions.find((it) => it.name === name).score;
  assert.deepEqual(seen.after, seen.before);
  // Their embeddings are brought to unit length once more.
  assert.deepEqual(seen.same.info, seen.before.info);
  for (const name of seen.before.info)
    assert.ok(Math.abs(score(seen.same, name) - score(seen.before, name)) < 1e-6, name);
  assert.deepEqual(seen.some.info, ['happiness', 'surprise', 'neutral']);
  // What is left out is left out of the softmax.
  const ratio = (look) => score(look, 'happiness') / score(look, 'neutral');
  assert.ok(Math.abs(ratio(seen.some) / ratio(seen.before) - 1) < 1e-3);
  const both = score(seen.before, 'happiness') + score(seen.before, 'surprise');
  assert.ok(Math.abs(score(seen.merged, 'positive') - both) < 1e-5);
  assert.ok(!seen.knownOnly.some((name) => TEXT_SIDE.test(name)), 'known texts need no text side');
  assert.equal(seen.added.info.at(-1), 'wink');
  assert.equal(
    seen.added.top.name,
    'happiness',
    JSON.stringify(seen.added.expressions.map(({ name, score }) => [name, score])),
  );
  assert.deepEqual(seen.described.info, ['smile', 'frown']);
  assert.equal(seen.described.top.name, 'smile');
  for (const look of Object.values(seen)) if (look.expressions) assert.ok(Math.abs(total(look.expressions) - 1) < 1e-4);
});

onPage('a stream of faces answers in the new words at its next frame', async (page) => {
  const seen = await page.evaluate(async () => {
    const faces = await cliper.ExpressionRecognizer.create({ device: 'cpu', faces: true });
    const portrait = await createImageBitmap(await sample());
    const push = (timestamp) => faces.push(portrait, { timestamp });
    const before = await push(0);
    await faces.setDescriptors({ smile: ['mouth corners pulled up'], frown: ['mouth corners pulled down'] });
    await faces.describe(['the teeth can be seen']);
    // The face has not moved, and is not looked at again: its window is what answers.
    const { passes } = await faces.counters();
    const after = await push(20);
    const looked = (await faces.counters()).passes - passes;
    faces.dispose();
    return { before: before.faces[0], after: after.faces[0], looked };
  });
  assert.equal(seen.before.id, seen.after.id);
  assert.equal(seen.after.top.name, 'smile');
  assert.equal(seen.after.texts[0].text, 'the teeth can be seen');
  assert.equal(seen.looked, 0);
});

onPage('what can not be read is refused, and what was asked before stays', async (page) => {
  const seen = await page.evaluate(async () => {
    const picture = await sample();
    await recognizer.describe(['the mouth is open']);
    await recognizer.setDescriptors({ open: ['the mouth is open'], shut: ['the mouth is closed'] });
    const before = await recognizer.recognize(picture);
    const failures = {};
    const attempts = {
      'invalid-text 1': () => recognizer.describe(['lips parted', '']),
      'invalid-text 2': () => recognizer.describe(['open mouth '.repeat(1000)]),
      'invalid-text 3': () => recognizer.describe(['口を開けている']),
      'invalid-argument 1': () => recognizer.describe('lips parted'),
      'invalid-argument 2': () => recognizer.describe([7]),
      'invalid-argument 3': () => recognizer.setDescriptors('happiness'),
      'invalid-argument 4': () => recognizer.setDescriptors({ happiness: 'a smile', other: ['a frown'] }),
      'invalid-bundle 1': () => recognizer.setDescriptors({ only: ['a smile'] }),
      'invalid-bundle 2': () => recognizer.setDescriptors({ one: ['a smile'], other: [] }),
      'invalid-bundle 3': () => recognizer.setDescriptors({ one: ['a smile'], other: ['a smile'] }),
      'aborted 1': () => recognizer.describe(['a smile'], { signal: AbortSignal.abort() }),
    };
    for (const [name, run] of Object.entries(attempts)) failures[name] = await failure(run);
    const { foreign } = await recognizer.describe(['hochgezogene Augenbrauen und zusammengepresste Lippen']);
    await recognizer.describe(['the mouth is open']);
    return { before, after: await recognizer.recognize(picture), failures, foreign };
  });
  for (const [name, failed] of Object.entries(seen.failures)) assertFailure(assert, failed, name.split(' ')[0]);
  assert.equal(seen.foreign.length, 1);
  const { timings: _, ...before } = seen.before;
  const { timings: __, ...after } = seen.after;
  assert.deepEqual(after, before);
});

test('five hundred sentences at once are answered, each as it is alone', { timeout: 300_000 }, async () => {
  const { page, complaints, close } = await openLibrary(browser, server, { device: 'cpu' });
  const seen = await page.evaluate(async () => {
    const picture = await sample();
    const texts = Array.from({ length: 500 }, (_, index) => `${index % 7} lips and brow number ${index}`);
    await recognizer.describe(texts);
    const all = (await recognizer.recognize(picture)).texts;
    await recognizer.describe([texts[499]]);
    return { count: all.length, last: all[499], alone: (await recognizer.recognize(picture)).texts[0] };
  });
  assert.equal(seen.count, 500);
  assert.equal(seen.last.text, seen.alone.text);
  assert.ok(Math.abs(seen.last.similarity - seen.alone.similarity) < 2e-6);
  assert.deepEqual(complaints, []);
  await close();
});

test('a bundle without a text side says so, and one without shares has no balance', async () => {
  const { page, complaints, close } = await openLibrary(browser, server);
  const model = publish(
    server,
    'plain',
    await readBundle(fileURLToPath(new URL('../../fixtures/evidence', import.meta.url))),
  );
  const failures = await page.evaluate(async (model) => {
    const recognizer = await cliper.ExpressionRecognizer.create({ model, device: 'cpu' });
    return [
      await failure(() => recognizer.describe(['a smile'])),
      await failure(() => recognizer.setOptions({ balance: 0.5 })),
      await failure(() => recognizer.setOptions({ balance: 2 })),
    ];
  }, model);
  assertFailure(assert, failures[0], 'unsupported-bundle');
  assertFailure(assert, failures[1], 'unsupported-bundle');
  assertFailure(assert, failures[2], 'invalid-argument');
  assert.deepEqual(complaints, []);
  await close();
});

test('movements come with every answer where they are asked for, in faces and streams too', async () => {
  const { page, complaints, close } = await openLibrary(browser, server, {
    device: 'cpu',
    movements: true,
    faces: true,
  });
  const seen = await page.evaluate(async () => {
    const picture = await sample();
    const [face] = (await recognizer.recognize(picture)).faces;
    const plain = await recognizer.recognize(picture, { faces: false });
    const pushed = await recognizer.push(picture, { timestamp: 0, faces: false });
    const without = await cliper.ExpressionRecognizer.create({ device: 'cpu' });
    const { movements } = await without.recognize(picture);
    without.dispose();
    return { face: face.movements, plain: plain.movements, pushed: pushed.movements, movements };
  });
  for (const movements of [seen.face, seen.plain, seen.pushed]) {
    assert.ok(movements.length >= 20);
    assert.ok(movements.every(({ score }) => score >= 0 && score <= 1));
    const score = (name) => movements.find((movement) => movement.name === name).score;
    assert.ok(score('mouthSmile') > 0.3 && score('mouthFrown') < 0.2, JSON.stringify(movements));
  }
  assert.deepEqual(seen.pushed, seen.plain);
  assert.equal(seen.movements, undefined);
  assert.deepEqual(complaints, []);
  await close();
});

onPage('balance finds rare expressions more often', async (page) => {
  const [plain, half, created, back] = await page.evaluate(async () => {
    const picture = await sample();
    const look = async (from) => (await from.recognize(picture)).expressions;
    const plain = await look(recognizer);
    await recognizer.setOptions({ balance: 0.5 });
    const half = await look(recognizer);
    const other = await cliper.ExpressionRecognizer.create({ device: 'cpu', balance: 0.5 });
    const created = await look(other);
    other.dispose();
    await recognizer.setOptions({ balance: 0 });
    return [plain, half, created, await look(recognizer)];
  });
  const odds = (expressions, one, other) =>
    expressions.find(({ name }) => name === one).score / expressions.find(({ name }) => name === other).score;
  // Contempt is the rarest of FER+'s expressions, happiness among the most frequent.
  assert.ok(odds(half, 'contempt', 'happiness') > 2 * odds(plain, 'contempt', 'happiness'));
  assert.deepEqual(created, half);
  assert.deepEqual(back, plain);
});

onPage('what is disposed of while its words are fetched leaves nothing unheard', async (page) => {
  // Files that never come: each wait for them ends with the recognizer.
  for (const path of ['text.json', 'text.safetensors']) server.own.set(`/src/model/${path}`, () => {});
  server.own.set('/src/wasm/text/cliper_bg.wasm', () => {});
  const failed = await page.evaluate(async () => {
    const waiting = failure(() => recognizer.describe(['the teeth can be seen']));
    await new Promise((resolve) => setTimeout(resolve, 200));
    recognizer.dispose();
    const failed = await waiting;
    await new Promise((resolve) => setTimeout(resolve, 200));
    return failed;
  });
  for (const path of ['model/text.json', 'model/text.safetensors', 'wasm/text/cliper_bg.wasm'])
    server.own.delete(`/src/${path}`);
  assertFailure(assert, failed, 'disposed');
});

onPage('descriptors that are given up on their way: the page says what the engine answers', async (page) => {
  const seen = await page.evaluate(async () => {
    const { happiness, neutral } = recognizer.descriptors;
    const controller = new AbortController();
    const given = failure(() => recognizer.setDescriptors({ happiness, neutral }, controller));
    controller.abort();
    const failed = await given;
    const { expressions } = await recognizer.recognize(await sample());
    return [failed, recognizer.info.expressions, expressions.map(({ name }) => name)];
  });
  const [failed, told, answered] = seen;
  assertFailure(assert, failed, 'aborted');
  assert.deepEqual(told, answered);
});
