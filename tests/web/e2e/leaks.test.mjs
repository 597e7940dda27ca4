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
/** Shares by which a hundred rounds, or ten thousand frames, may raise what is held. Few rounds tell a share less well. */
const MOST = amount({ heap: 0.2, page: 0.15, gpu: 0.15 }, { heap: 0.01, page: 0.01, gpu: 0.01 });
const AMOUNTS = {
  cpu: { rounds: amount(30, 300), frames: amount(500, 20_000) },
  webgpu: { rounds: amount(6, 300), frames: amount(30, 2_000) },
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

/** Does `count` times what the page's `step(number)` does; fails if what is held rises after the warm-up. */
async function assertFlat(t, page, held, count, span) {
  const samples = [];
  for (let sample = 0; sample < Math.min(SAMPLES, count); sample++) {
    const [from, to] = [0, 1].map((more) => Math.round(((sample + more) * count) / Math.min(SAMPLES, count)));
    await page.evaluate(
      async ([from, to]) => {
        for (let number = from; number < to; number++) await step(number);
      },
      [from, to],
    );
    samples.push([to, await held()]);
  }
  const warm = samples.filter(([step]) => step > WARM * count);
  const risen = Object.fromEntries(
    Object.keys(MOST).map((what) => [
      what,
      growth(
        warm.map(([step, held]) => [step, held[what]]),
        span,
      ),
    ]),
  );
  const shown = ([step, { heap, page, gpu }]) =>
    `${step}: heap ${heap.toFixed(2)}, page ${page.toFixed(0)}, GPU ${gpu.toFixed(0)} MB`;
  const shares = Object.entries(risen).map(([what, share]) => `${what} ${(100 * share).toFixed(2)} %`);
  t.diagnostic(`${shown(warm[0])}; ${shown(warm.at(-1))}; in ${span} steps ${shares.join(', ')}`);
  return risen;
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
    const risen = await assertFlat(t, page, held, rounds, 100);
    await until(() => page.workers().length === 0, 'no worker is left');
    for (const [what, most] of Object.entries(MOST)) assert.ok(risen[what] < most, `${what} rises by ${risen[what]}`);
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
      const risen = await assertFlat(t, page, held, frames, 10_000);
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
      if (isLong)
        for (const [what, most] of Object.entries(MOST))
          assert.ok(risen[what] < most, `${what} rises by ${risen[what]}`);
      assert.deepEqual(complaints, []);
      await close();
    },
  );
}
