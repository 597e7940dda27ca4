// Measures the built-in model in Chromium and prints JSON: start, milliseconds a frame and memory on each device, and
// the demo page's first answers.

import { readFile } from 'node:fs/promises';
import { launch } from '../../web/browser.mjs';
import { openLibrary } from '../../web/library.mjs';
import { serve } from '../../web/server.mjs';
import { firstAnswers } from './first-answer.mjs';

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

/** One fresh browser and page: from navigation to the first answer, then `frames` warm answers. */
async function measure(device, frames) {
  const server = await serve();
  const browser = await launch({ webgpu: device === 'webgpu' });
  try {
    const { page } = await openLibrary(browser, server);
    const result = await page.evaluate(
      async ({ device, frames }) => {
        const opened = performance.now();
        const recognizer = await cliper.ExpressionRecognizer.create({ device, cache: false });
        const ready = performance.now();
        const picture = await createImageBitmap(await sample());
        const first = await recognizer.recognize(picture);
        const answered = performance.now();
        const answers = [];
        for (let frame = 0; frame < frames; frame++) answers.push((await recognizer.recognize(picture)).timings);
        const { memoryBytes } = await recognizer.counters();
        const { info } = recognizer;
        recognizer.dispose();
        return {
          device: info.device,
          adapter: info.adapter,
          selfTest: info.selfTest.cosine,
          top: first.top,
          createMs: ready - opened,
          firstAnswerMs: answered - opened,
          // Since navigation: scripts, wasm, model and start.
          pageToFirstAnswerMs: answered,
          engine: answers.map((timings) => timings.engine),
          total: answers.map((timings) => timings.total),
          wasmMemoryBytes: memoryBytes,
        };
      },
      { device, frames },
    );
    const { engine, total, ...rest } = result;
    return { ...rest, frames, engineMs: median(engine), frameMs: median(total) };
  } finally {
    const version = browser.version();
    await browser.close();
    await server.close();
    measure.browser = version;
  }
}

// A software adapter takes seconds a frame: a few are enough.
const devices = [await measure('cpu', 50), await measure('webgpu', 3)];
const sizes = JSON.parse(await readFile(new URL('../../../www/dist/sizes.json', import.meta.url), 'utf8'));
const demo = await firstAnswers();
console.log(JSON.stringify({ browser: `Chromium ${measure.browser}`, devices, demo, sizes }));
