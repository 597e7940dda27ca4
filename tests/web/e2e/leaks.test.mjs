// Nothing piles up: recognizers that come and go, and frames without an end, on the CPU and on WebGPU.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { publish, readBundle } from '../bundle.mjs';
import { amount, isLong, PATIENCE } from '../long.mjs';
import { growth, watch } from '../memory.mjs';
import { serve } from '../server.mjs';

/**
 * Of rounds and frames the first part warms up: caches fill, code is compiled again, pools grow to their size. On WebGPU a page's process
 * rises by 5 MB between the 7,000th frame and the 12,000th, and then no more.
 */
const WARM = { rounds: 1 / 3, frames: { cpu: 1 / 3, webgpu: 2 / 3 } };
/** Samples of each run. */
const SAMPLES = 30;
/** Steps after which rubbish is collected: a frame leaves its pixels, 300 kB, and a browser waits for a hundred megabytes of it. */
const TIDY = 100;
/**
 * MB by which what is held may rise from the warm-up to the end: a megabyte kept at each start would pass it. The long form allows less,
 * about what a process's size is known to, and a heap's: lists of the browser's own grow by a third of a kilobyte a start on WebGPU (heap
 * snapshots of 12 and of 36 starts differ in no object of ours), and a table of its by 13 kB once, with bare workers and fetches too.
 */
const MOST = amount({ heap: 0.15, page: 12, gpu: 8 }, { heap: 0.03, page: 3, gpu: 3 });
/** In the long form more is no rise either if it is less than this share in a hundred rounds, or ten thousand frames. */
const SHARE = 0.01;
/** A small model with a temporal head. */
const SMALL = fileURLToPath(new URL('../../fixtures/temporal_bundle', import.meta.url));
/**
 * A software adapter takes half a second for a frame of the built-in model. What piles up on it is devices, pipelines and buffers,
 * whatever they hold: there the small model looks.
 */
const RUNS = {
  cpu: { rounds: amount(30, 300), frames: amount(300, 20_000) },
  webgpu: { rounds: amount(4, 300), frames: amount(60, 20_000), model: '/bundles/small/model.json' },
};

let server;
before(async () => {
  server = await serve();
  publish(server, 'small', await readBundle(SMALL));
});
after(() => server?.close());

/** A loop of so many steps for the page, with a sample every so often. */
const loop = (steps, step, more = '{}') => `
  const samples = ${Math.min(SAMPLES, steps)};
  for (let part = 0; part < samples; part++) {
    const [from, to] = [part, part + 1].map((part) => Math.round((part * ${steps}) / samples));
    for (let number = from; number < to; number++) {
      ${step}
      if (number % ${TIDY} === 0) await tidy();
    }
    await held(to, ${more});
  }`;

/** By how much each thing rises after the warm-up, a share of the steps: as a share in `span` steps, and in MB from its end to the run's. */
function risesOf(t, samples, steps, span, warmUp) {
  const warm = samples.filter(([step]) => step > warmUp * steps);
  const [first, last] = [warm[0], warm.at(-1)];
  const rises = Object.keys(MOST).map((what) => {
    const share = growth(
      warm.map(([step, held]) => [step, held[what]]),
      span,
    );
    return { what, share, total: ((share * (last[0] - first[0])) / span) * first[1][what] };
  });
  const shown = ([step, { heap, page, gpu }]) =>
    `${step}: heap ${heap.toFixed(2)}, page ${page.toFixed(0)}, GPU ${gpu.toFixed(0)} MB`;
  const told = rises.map(
    ({ what, share, total }) => `${what} ${(100 * share).toFixed(2)} % (${total.toFixed(2)} MB in all)`,
  );
  t.diagnostic(`${shown(first)}; ${shown(last)}; in ${span} steps ${told.join(', ')}`);
  return rises;
}

function assertFlat(rises) {
  for (const { what, share, total } of rises)
    assert.ok(total < MOST[what] || (isLong && share < SHARE), `${what} rises by ${total} MB`);
}

for (const [device, { rounds, frames, model }] of Object.entries(RUNS)) {
  const browser = { webgpu: device === 'webgpu' };
  const options = JSON.stringify({ device, model, faces: true });

  test(`${rounds} recognizers come and go on ${device}: no worker, no memory stays`, PATIENCE, async (t) => {
    const round = `
      const recognizer = await cliper.ExpressionRecognizer.create(${options});
      await recognizer.recognize(photo);
      recognizer.dispose();`;
    const samples = await watch(server, loop(rounds, round), browser);
    assertFlat(risesOf(t, samples, rounds, 100, WARM.rounds));
    // The last one may not have ended yet.
    for (const [step, { workers }] of samples) assert.ok(workers <= 1, `${workers} workers after ${step} rounds`);
  });

  test(
    `${frames} frames with faces on ${device}: wasm memory and the process stay as they are`,
    PATIENCE,
    async (t) => {
      const script = `
      const recognizer = await cliper.ExpressionRecognizer.create(${options});
      const portrait = await createImageBitmap(photo);
      const context = new OffscreenCanvas(320, 240).getContext('2d');
      let seen = 0;
      // Turned to and fro, and darker and lighter: every frame is looked at anew.
      const step = async (number) => {
        context.fillRect(0, 0, 320, 240);
        context.filter = \`brightness(\${1 + 0.3 * Math.sin(number)})\`;
        context.drawImage(portrait, 60 + 8 * Math.sin(number / 5), 20, 200, 200);
        const { faces } = await recognizer.push(context.canvas, { timestamp: 125 * number });
        seen += faces.length;
      };
      for (let number = -10; number < 0; number++) await step(number);
      ${loop(frames, 'await step(number)', '{ seen, ...(await recognizer.counters()) }')}`;
      const samples = await watch(server, script, browser);
      const [first, last] = [samples[0][1], samples.at(-1)[1]];
      t.diagnostic(
        `${last.passes} passes, ${first.memoryBytes} bytes of wasm memory at first, ${last.memoryBytes} at last`,
      );
      const rises = risesOf(t, samples, frames, 10_000, WARM.frames[device]);
      assert.ok(last.seen >= frames && last.passes > 0.9 * frames, `${last.seen} faces, ${last.passes} passes`);
      assert.equal(last.memoryBytes, first.memoryBytes);
      assert.equal(last.workers, 1);
      // A few hundred frames tell nothing of ten thousand.
      if (isLong) assertFlat(rises);
    },
  );
}
