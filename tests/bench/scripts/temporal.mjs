// Measures in Chromium what a longer window costs a frame, and prints JSON. `node tests/bench/scripts/temporal.mjs [BUNDLE]`:
// the folder of a bundle with a temporal head is measured too.

import { launch } from '../../web/browser.mjs';
import { publish, readBundle } from '../../web/bundle.mjs';
import { openLibrary } from '../../web/library.mjs';
import { serve } from '../../web/server.mjs';

const [folder] = process.argv.slice(2);
const server = await serve();
const models = { mean: undefined };
if (folder) models.head = publish(server, 'head', await readBundle(folder));

async function measure(device, model, windows, frames) {
  const browser = await launch({ webgpu: device === 'webgpu' });
  try {
    const { page } = await openLibrary(browser, server, { device, cache: false, ...(model && { model }) });
    return await page.evaluate(
      async ({ windows, frames }) => {
        const picture = await createImageBitmap(await sample());
        const found = {};
        let time = 0;
        for (const window of windows.filter((window) => window <= 16 || !recognizer.info.model.includes('temporal'))) {
          await recognizer.setOptions({ window });
          await recognizer.reset();
          const before = await recognizer.counters();
          for (let frame = 0; frame < window; frame++) await recognizer.push(picture, { timestamp: (time += 40) });
          const engine = [];
          for (let frame = 0; frame < frames; frame++)
            engine.push((await recognizer.push(picture, { timestamp: (time += 40) })).timings.engine);
          const after = await recognizer.counters();
          found[window] = {
            engineMs: engine.toSorted((a, b) => a - b)[Math.floor(frames / 2)],
            passesAFrame: (after.passes - before.passes) / (window + frames),
          };
        }
        return found;
      },
      { windows, frames },
    );
  } finally {
    await browser.close();
  }
}

const found = {};
for (const [device, frames] of [
  ['cpu', 50],
  ['webgpu', 3],
]) {
  found[device] = {};
  for (const [name, model] of Object.entries(models))
    found[device][name] = await measure(device, model, [1, 16, 64], frames);
}
await server.close();
console.log(JSON.stringify(found, null, 2));
