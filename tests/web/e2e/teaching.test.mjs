// Teaching an expression from frames, and a person's own neutral face, in a real browser with the built-in model.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launch } from '../browser.mjs';
import { openLibrary } from '../library.mjs';
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

/** Defines `frames(count, kind, first)` on the page: the portrait a little shifted, scaled and lit; `wink` closes an eye. */
async function openFrames(browser, options = {}) {
  const opened = await openLibrary(browser, server, options);
  await opened.page.evaluate(async () => {
    const portrait = await createImageBitmap(await (await fetch('/demo/portrait.jpg')).blob());
    const { width, height } = portrait;
    const eye = await (async () => {
      const { faces } = await recognizer.recognize(portrait, { faces: true });
      const { leftEye, rightEye } = faces[0].keyPoints;
      return { ...leftEye, radius: 0.28 * Math.hypot(leftEye.x - rightEye.x, leftEye.y - rightEye.y) };
    })();
    globalThis.frames = (count, kind, first = 0) =>
      Array.from({ length: count }, (_, index) => {
        const number = first + index;
        const canvas = new OffscreenCanvas(width, height);
        const context = canvas.getContext('2d');
        context.filter = `brightness(${0.9 + 0.2 * ((number * 0.37) % 1)})`;
        const size = 1 + 0.06 * ((number * 0.61) % 1);
        const shift = (share) => 6 * (((number * share) % 1) - 0.5);
        context.setTransform(size, 0, 0, size, shift(0.29), shift(0.83));
        context.drawImage(portrait, 0, 0);
        if (kind === 'wink') {
          context.fillStyle = 'rgb(196 150 128)';
          context.beginPath();
          context.ellipse(eye.x, eye.y, eye.radius * 1.2, eye.radius * 0.7, 0, 0, 2 * Math.PI);
          context.fill();
        }
        return canvas;
      });
    globalThis.tops = async (pictures) => {
      const names = [];
      for (const picture of pictures) names.push((await recognizer.recognize(picture)).top.name);
      return names;
    };
  });
  return opened;
}

describe('teaching an expression', () => {
  test('it wins its own frames, others than it learned from, and leaves the others theirs', {
    timeout: 300_000,
  }, async () => {
    const { page, close } = await openFrames(browser);
    const seen = await page.evaluate(async () => {
      const before = { plain: await tops(frames(25, 'plain', 100)), wink: await tops(frames(25, 'wink', 100)) };
      const progress = [];
      const taught = await recognizer.teach(
        'wink',
        { shown: frames(20, 'wink'), neutral: frames(20, 'plain') },
        { onProgress: ({ done, total }) => progress.push(done / total) },
      );
      const untouched = await tops(frames(1, 'wink'));
      await recognizer.setDescriptors({ ...recognizer.descriptors, wink: taught });
      const answer = await recognizer.recognize(frames(1, 'wink', 100)[0]);
      const after = { plain: await tops(frames(25, 'plain', 100)), wink: await tops(frames(25, 'wink', 100)) };
      // The text that stands for it says it again.
      await recognizer.setDescriptors({ ...recognizer.descriptors });
      const again = await tops(frames(3, 'wink', 100));
      // Made one with another: their scores add up.
      const scores = async () => {
        const { expressions } = await recognizer.recognize(frames(1, 'wink', 101)[0]);
        return Object.fromEntries(expressions.map(({ name, score }) => [name, score]));
      };
      const apart = await scores();
      const { happiness, wink: _, ...others } = recognizer.descriptors;
      await recognizer.setDescriptors({ ...others, both: [taught, ...happiness] });
      const together = await scores();
      await recognizer.setDescriptors({ ...others, happiness, wink: taught });
      const names = recognizer.info.expressions;
      return { taught, progress, before, untouched, after, again, answer, names, apart, together };
    });
    const { taught, progress, before, after } = seen;
    assert.ok(!before.wink.includes('wink') && seen.untouched[0] !== 'wink', 'nothing changes until it is asked for');
    const share = (names, wanted) => names.filter((name) => name === wanted).length / names.length;
    assert.ok(share(after.wink, 'wink') >= 0.9, `wins ${share(after.wink, 'wink')} of its own frames`);
    assert.deepEqual(seen.again, after.wink.slice(0, 3), 'the text that stands for it says the same');
    const { apart, together } = seen;
    assert.ok(Math.abs(together.both - apart.wink - apart.happiness) < 1e-4, JSON.stringify({ apart, together }));
    // The recall of what the model knew moves by at most two points: of 25 frames, by none.
    assert.deepEqual(after.plain, before.plain);
    assert.deepEqual([taught.format, taught.version, taught.name], ['cliper-expression', 1, 'wink']);
    assert.deepEqual([taught.frames, taught.neutral], [20, 20]);
    assert.ok(taught.recognized >= 0.9 && taught.taken <= 0.006, JSON.stringify({ ...taught, descriptors: undefined }));
    assert.equal(seen.names.at(-1), 'wink');
    const wink = seen.answer.expressions.at(-1);
    assert.equal(wink.descriptors[0].text, taught.descriptors[0].text);
    assert.ok(wink.descriptors[0].strength > 0.5, `strength ${wink.descriptors[0].strength}`);
    assert.ok(progress.every((part, index) => index === 0 || part >= progress[index - 1]) && progress.at(-1) === 1);
    assert.ok(progress.length >= 40 + 20, 'a part of the progress for each frame, and for the learning');
    await close();

    // Saved as JSON, it is answered from another page's start.
    const other = await openFrames(browser, { taught: [JSON.parse(JSON.stringify(taught))] });
    assert.deepEqual(await other.page.evaluate(() => tops(frames(5, 'wink', 100))), after.wink.slice(0, 5));
    await other.close();
  });

  test('a stream goes on meanwhile, and an aborted lesson leaves nothing behind', { timeout: 300_000 }, async () => {
    const { page, close } = await openFrames(browser);
    const seen = await page.evaluate(async () => {
      const abort = new AbortController();
      const parts = [];
      const given = recognizer
        .teach(
          'wink',
          { shown: frames(5, 'wink'), neutral: frames(5, 'plain') },
          { signal: abort.signal, onProgress: ({ done }) => parts.push(done) && done === 12 && abort.abort() },
        )
        .catch(({ code }) => code);
      const between = [];
      for (let index = 0; index < 5; index++) between.push((await recognizer.push(frames(1, 'plain')[0], {})).top.name);
      const code = await given;
      const taught = await recognizer.teach('wink', { shown: frames(3, 'wink'), neutral: frames(3, 'plain') });
      return { code, parts, between, frames: taught.frames };
    });
    assert.equal(seen.code, 'aborted');
    assert.ok(Math.max(...seen.parts) < 30, 'it ended where it was');
    assert.deepEqual(new Set(seen.between), new Set(['happiness']));
    assert.equal(seen.frames, 3);
    await close();
  });

  test('what cannot be learned or used is refused by name', { timeout: 300_000 }, async () => {
    const { page, close } = await openFrames(browser, { faces: true });
    const failures = await page.evaluate(async () => {
      const reason = (promise) =>
        promise.then(
          () => 'no error',
          ({ code, message }) => `${code}: ${message}`,
        );
      const plain = frames(3, 'plain');
      const empty = new OffscreenCanvas(64, 64);
      empty.getContext('2d').fillRect(0, 0, 64, 64);
      const taught = await recognizer.teach('wink', { shown: frames(3, 'wink'), neutral: plain });
      const kept = recognizer.descriptors;
      return {
        few: await reason(recognizer.teach('wink', { shown: frames(2, 'wink'), neutral: plain })),
        rest: await reason(recognizer.teach('wink', { shown: frames(3, 'wink'), neutral: [] })),
        name: await reason(recognizer.teach(' ', { shown: plain, neutral: plain })),
        face: await reason(recognizer.teach('wink', { shown: [...frames(3, 'wink'), empty], neutral: plain })),
        foreign: await reason(recognizer.setDescriptors({ ...kept, wink: { ...taught, backbone: 'another' } })),
        newer: await reason(recognizer.setDescriptors({ ...kept, wink: { ...taught, version: 2 } })),
        broken: await reason(recognizer.setDescriptors({ ...kept, wink: { format: 'cliper-expression' } })),
        same: JSON.stringify(recognizer.descriptors) === JSON.stringify(kept),
        still: (await recognizer.recognize(plain[0])).faces[0].top.name,
      };
    });
    assert.match(failures.few, /^invalid-argument: .*2 frames that show it/);
    assert.match(failures.rest, /^invalid-argument: .*0 frames of the same face at rest/);
    assert.match(failures.name, /^invalid-argument: .*no name/);
    assert.match(failures.face, /^invalid-argument: .*no face in frame 4 of 'wink'/);
    assert.match(failures.foreign, /^foreign-descriptors: .*taught to another model/);
    assert.match(failures.newer, /^unsupported-bundle: .*teach it again/);
    assert.match(failures.broken, /^invalid-argument: /);
    assert.ok(failures.same, 'descriptors stay after an error');
    assert.equal(failures.still, 'happiness');
    await close();
    // The labels of another set have no spread of faces of their own.
    const labels = await openFrames(browser, { labels: 'FER2013' });
    const code = await labels.page.evaluate(() =>
      recognizer.teach('wink', { shown: frames(3, 'wink'), neutral: frames(3, 'plain') }).catch(({ code }) => code),
    );
    assert.equal(code, 'unsupported-bundle');
    await labels.close();
  });
});

test('on WebGPU the same frames teach the same', { timeout: 300_000 }, async () => {
  const own = await launch({ webgpu: true });
  const lesson = async (device) => {
    const { page, close } = await openFrames(device === 'webgpu' ? own : browser, { device });
    const seen = await page.evaluate(async () => {
      const taught = await recognizer.teach('wink', { shown: frames(3, 'wink'), neutral: frames(3, 'plain') });
      await recognizer.setDescriptors({ ...recognizer.descriptors, wink: taught });
      const tops = [
        await recognizer.recognize(frames(1, 'wink')[0]),
        await recognizer.recognize(frames(1, 'plain')[0]),
      ];
      return { device: recognizer.info.device, taught, tops: tops.map(({ top }) => top.name) };
    });
    await close();
    return seen;
  };
  const [cpu, webgpu] = [await lesson('cpu'), await lesson('webgpu')];
  await own.close();
  assert.deepEqual([cpu.device, webgpu.device], ['cpu', 'webgpu']);
  assert.deepEqual(webgpu.tops, ['wink', 'happiness']);
  assert.deepEqual(cpu.tops, webgpu.tops);
  const [one, other] = [cpu, webgpu].map(({ taught }) => taught.descriptors[0].embedding);
  const cosine = one.reduce((sum, value, index) => sum + value * other[index], 0);
  assert.ok(cosine > 0.99, `${cosine}`);
});

describe("a person's own neutral face", () => {
  test('who smiles at rest is neutral once calibrated, until reset', { timeout: 300_000 }, async () => {
    const { page, close } = await openFrames(browser);
    const seen = await page.evaluate(async () => {
      let now = 0;
      const push = async () => (await recognizer.push(frames(1, 'plain')[0], { timestamp: (now += 125) })).top.name;
      const before = await push();
      let looking = true;
      const camera = (async () => {
        while (looking) await push();
      })();
      const known = await recognizer.calibrate({ seconds: 1, share: 1 });
      looking = false;
      await camera;
      const calibrated = await push();
      const alone = (await recognizer.recognize(frames(1, 'plain')[0])).top.name;
      await recognizer.reset();
      return { before, known, calibrated, alone, after: await push() };
    });
    assert.deepEqual(seen, {
      before: 'happiness',
      known: 1,
      calibrated: 'neutral',
      // Pictures belong to nobody.
      alone: 'happiness',
      after: 'happiness',
    });
    await close();
  });

  test('nobody seen, and what is out of range, is an error that leaves all as it was', {
    timeout: 120_000,
  }, async () => {
    const { page, close } = await openFrames(browser);
    const codes = await page.evaluate(async () => {
      const code = (promise) =>
        promise.then(
          () => 'no error',
          ({ code }) => code,
        );
      const abort = new AbortController();
      setTimeout(() => abort.abort(), 50);
      return [
        await code(recognizer.calibrate({ seconds: 0.1 })),
        await code(recognizer.calibrate({ seconds: 0 })),
        await code(recognizer.calibrate({ seconds: Number.NaN })),
        await code(recognizer.calibrate({ share: 2 })),
        await code(recognizer.calibrate({ signal: abort.signal })),
      ];
    });
    assert.deepEqual(codes, [
      'invalid-argument',
      'invalid-argument',
      'invalid-argument',
      'invalid-argument',
      'aborted',
    ]);
    await close();
  });
});
