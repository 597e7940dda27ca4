// The built-in encoder in 8 bits beside f32, by turns in one page, and a sentence through the text side:
// node tests/bench/scripts/precision.mjs, after `cargo pkg build`.

import { cpus } from 'node:os';
import { launch } from '../../web/browser.mjs';
import { openLibrary } from '../../web/library.mjs';
import { serve } from '../../web/server.mjs';

const ROUNDS = 100;
const WARM_UP = 50;

const server = await serve();
const browser = await launch();
const { page } = await openLibrary(browser, server);
page.setDefaultTimeout(0);
const found = await page.evaluate(
  async ({ rounds, warmUp }) => {
    const middle = (times) => times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)];
    const timed = async (run) => {
      const start = performance.now();
      await run();
      return performance.now() - start;
    };
    const encoders = {};
    for (const precision of ['f32', 'int8'])
      encoders[precision] = await cliper.ImageEncoder.create({ device: 'cpu', precision });
    const { channels, side } = encoders.f32.info;
    const pixels = Float32Array.from({ length: channels * side ** 2 }, (_, index) => Math.sin(index));
    const times = { f32: [], int8: [] };
    for (let round = 0; round < warmUp + rounds; round++)
      for (const [precision, encoder] of Object.entries(encoders)) {
        const time = await timed(() => encoder.encode(pixels));
        if (round >= warmUp) times[precision].push(time);
      }
    const memory = {};
    for (const [precision, encoder] of Object.entries(encoders)) {
      memory[precision] = (await encoder.counters()).memoryBytes;
      encoder.dispose();
    }
    const recognizer = await cliper.ExpressionRecognizer.create({ device: 'cpu' });
    const loaded = await timed(() => recognizer.describe(['a smile']));
    const sentences = [];
    for (let round = 0; round < 30; round++)
      sentences.push(
        await timed(() => recognizer.describe([`the corners of the mouth are pulled up a little ${round}`])),
      );
    return {
      milliseconds: { f32: middle(times.f32), int8: middle(times.int8) },
      wasmMemoryBytes: memory,
      textSide: { firstMilliseconds: loaded, sentenceMilliseconds: middle(sentences) },
    };
  },
  { rounds: ROUNDS, warmUp: WARM_UP },
);
const ratio = found.milliseconds.int8 / found.milliseconds.f32;
console.log(
  JSON.stringify({ machine: cpus()[0].model, chromium: browser.version(), ...found, int8OverF32: ratio }, null, 2),
);
await browser.close();
await server.close();
