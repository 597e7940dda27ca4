// Nothing piles up: recognizers that come and go, and frames without an end, on the CPU and on WebGPU.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch } from '../browser.mjs';
import { openLibrary } from '../library.mjs';
import { amount, isLong, PATIENCE, until } from '../long.mjs';
import { growth, watchMemory } from '../memory.mjs';
import { serve } from '../server.mjs';

/** Of rounds and frames the first part warms up: caches fill, code is compiled again, pools grow to their size. */
const WARM = 1 / 3;
/** Samples of each run. */
const SAMPLES = 30;
/**
 * By how much what is held may rise: in the long form by this share in a hundred rounds, or ten thousand frames. Few rounds tell no
 * such share: then by so many MB from the warm-up to the end, which a megabyte kept a round would pass.
 */
const MOST = amount({ heap: 0.15, page: 12, gpu: 8 }, { heap: 0.01, page: 0.01, gpu: 0.01 });
/** A software adapter takes six seconds to start and half a second for a frame. */
const AMOUNTS = {
  cpu: { rounds: amount(30, 300), frames: amount(500, 20_000) },
  webgpu: { rounds: amount(6, 60), frames: amount(30, 500) },
};

let server;
let browser;
before(async () => {
  server = await serve();
  browser = await launch({ webgpu: true });
});
after(async () => {
  await browser?.close();
  await server?.close();
});

/** Does `count` times what the page's `step(number)` does: by how much what is held rises after the warm-up, as `MOST` says it. */
async function risesIn(t, page, held, count, span) {
  const samples = [];
  const parts = Math.min(SAMPLES, count);
  for (let part = 0; part < parts; part++) {
    const [from, to] = [part, part + 1].map((part) => Math.round((part * count) / parts));
    await page.evaluate(
      async ([from, to]) => {
        for (let number = from; number < to; number++) await step(number);
      },
      [from, to],
    );
    samples.push([to, await held()]);
  }
  const warm = samples.filter(([step]) => step > WARM * count);
  const [first, last] = [warm[0], warm.at(-1)];
  const shares = {};
  const rises = {};
  for (const what of Object.keys(MOST)) {
    const points = warm.map(([step, held]) => [step, held[what]]);
    shares[what] = growth(points, span);
    rises[what] = isLong ? shares[what] : growth(points, last[0] - first[0]) * first[1][what];
  }
  const shown = ([step, { heap, page, gpu }]) =>
    `${step}: heap ${heap.toFixed(2)}, page ${page.toFixed(0)}, GPU ${gpu.toFixed(0)} MB`;
  const told = Object.entries(shares).map(([what, share]) => `${what} ${(100 * share).toFixed(2)} %`);
  t.diagnostic(`${shown(first)}; ${shown(last)}; in ${span} steps ${told.join(', ')}`);
  return rises;
}

function assertFlat(rises) {
  for (const [what, most] of Object.entries(MOST)) assert.ok(rises[what] < most, `${what} rises by ${rises[what]}`);
}

for (const [device, { rounds, frames }] of Object.entries(AMOUNTS)) {
  test(`${rounds} recognizers come and go on ${device}: no worker, no memory stays`, PATIENCE, async (t) => {
    const { page, complaints, close } = await openLibrary(browser, server);
    const held = await watchMemory(browser, page);
    await page.evaluate(async (device) => {
      const photo = await sample();
      globalThis.step = async () => {
        const recognizer = await cliper.ExpressionRecognizer.create({ device, faces: true });
        await recognizer.recognize(photo);
        recognizer.dispose();
      };
    }, device);
    const rises = await risesIn(t, page, held, rounds, 100);
    await until(() => page.workers().length === 0, 'no worker is left');
    assertFlat(rises);
    assert.deepEqual(complaints, []);
    await close();
  });

  test(
    `${frames} frames with faces on ${device}: wasm memory and the process stay as they are`,
    PATIENCE,
    async (t) => {
      const { page, complaints, close } = await openLibrary(browser, server, { device, faces: true });
      const held = await watchMemory(browser, page);
      await page.evaluate(async () => {
        const portrait = await createImageBitmap(await sample());
        const canvas = new OffscreenCanvas(320, 240);
        const context = canvas.getContext('2d');
        globalThis.step = async (number) => {
          // Turned to and fro, and darker and lighter: every frame is looked at anew.
          context.fillRect(0, 0, 320, 240);
          context.filter = `brightness(${1 + 0.3 * Math.sin(number)})`;
          context.drawImage(portrait, 60 + 8 * Math.sin(number / 5), 20, 200, 200);
          const { faces } = await recognizer.push(canvas, { timestamp: 125 * number });
          globalThis.seen = (globalThis.seen ?? 0) + faces.length;
        };
        for (let number = 0; number < 10; number++) await step(number - 10);
      });
      const wasm = () => page.evaluate(async () => (await recognizer.counters()).memoryBytes);
      const before = await wasm();
      const rises = await risesIn(t, page, held, frames, 10_000);
      const { seen, passes } = await page.evaluate(async () => ({
        seen,
        passes: (await recognizer.counters()).passes,
      }));
      t.diagnostic(`${passes} passes, ${before} bytes of wasm memory before, ${await wasm()} after`);
      assert.ok(seen >= frames, `${seen} faces in ${frames} frames`);
      assert.ok(passes >= frames, `${passes} passes in ${frames} frames`);
      assert.equal(await wasm(), before);
      assert.equal(page.workers().length, 1);
      // A few hundred frames tell nothing of ten thousand.
      if (isLong) assertFlat(rises);
      assert.deepEqual(complaints, []);
      await close();
    },
  );
}
