// Measures faces in Chromium on the CPU and prints JSON: the detector, frames with 1 to 8 faces, passes, memory.
// `cargo pkg build`, then `node tests/bench/faces.mjs > tests/bench/faces.json`.

import { readFile } from 'node:fs/promises';
import { cpus, loadavg } from 'node:os';
import { launch } from '../web/browser.mjs';
import { openLibrary } from '../web/library.mjs';
import { serve } from '../web/server.mjs';

const server = await serve();
const browser = await launch();
try {
  const { page } = await openLibrary(browser, server);
  const result = await page.evaluate(async () => {
    const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
    const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
    const portrait = await createImageBitmap(await sample());
    const create = () => cliper.ExpressionRecognizer.create({ device: 'cpu', faces: true, cache: false });

    /** A frame with the portrait at `[x, y, side]`s. */
    const draw = (width, height, places) => {
      const canvas = new OffscreenCanvas(width, height);
      const context = canvas.getContext('2d', { willReadFrequently: true });
      context.fillStyle = 'rgb(120 125 130)';
      context.fillRect(0, 0, width, height);
      for (const [x, y, side] of places) context.drawImage(portrait, x, y, side, side);
      return canvas;
    };
    const crowd = (count, shift = 0) =>
      Array.from({ length: count }, (_, index) => [(index % 4) * 158 + 4 + shift, Math.floor(index / 4) * 230 + 30, 150]);

    const recognizer = await create();
    const detector = {};
    for (const [width, height] of [[640, 480], [1280, 720], [1920, 1080]]) {
      const empty = draw(width, height, []);
      const times = [];
      for (let run = 0; run < 30; run++) times.push((await recognizer.recognize(empty)).timings);
      detector[`${width}x${height}`] = {
        readPixelsMs: median(times.map(({ decode }) => decode)),
        detectMs: median(times.map(({ engine }) => engine)),
      };
    }

    // Every frame detected anew and every face encoded: the dearest frame there is.
    const frames = {};
    for (const count of [1, 2, 4, 8]) {
      await recognizer.reset();
      const dearest = [];
      const usual = [];
      for (let frame = 0; frame < 40; frame++) {
        const faces = { every: 1, perFrame: 8, rate: 1000, leastChange: 0 };
        const { timings, faces: found } = await recognizer.push(draw(640, 480, crowd(count, frame % 2)), { timestamp: frame * 33, faces });
        if (found.length !== count) throw new Error(`${found.length} of ${count} faces`);
        dearest.push(timings.total);
      }
      await recognizer.reset();
      for (let frame = 0; frame < 90; frame++) {
        usual.push((await recognizer.push(draw(640, 480, crowd(count, frame % 2)), { timestamp: frame * 33 })).timings.total);
      }
      frames[count] = { everyFaceEncodedMs: median(dearest), usualMeanMs: mean(usual) };
    }

    /** Ten seconds of 30 frames a second, in media time: how much work they are. */
    const work = async (frameAt, faces) => {
      await recognizer.reset();
      const before = await recognizer.counters();
      let engine = 0;
      for (let frame = 0; frame < 300; frame++) {
        engine += (await recognizer.push(frameAt(frame), { timestamp: (frame * 1000) / 30, faces })).timings.engine;
      }
      const after = await recognizer.counters();
      return {
        passesASecond: (after.passes - before.passes) / 10,
        skippedASecond: (after.skippedPasses - before.skippedPasses) / 10,
        detectionsASecond: (after.detections - before.detections) / 10,
        engineMsASecond: engine / 10,
      };
    };
    let state = 1;
    const random = () => ((state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32);
    // A head that sways by two pixels before a sensor whose noise spreads by about three grey levels.
    const calm = (frame) => {
      const turn = (frame / 30) * 2 * Math.PI;
      const canvas = draw(480, 360, [[120 + Math.round(2 * Math.sin(turn)), 60 + Math.round(Math.cos(2 * turn)), 220]]);
      const context = canvas.getContext('2d');
      const pixels = context.getImageData(0, 0, 480, 360);
      for (let at = 0; at < pixels.data.length; at += 4) {
        const noise = (random() + random() + random() + random() - 2) * 3 * Math.sqrt(3);
        for (let channel = 0; channel < 3; channel++) pixels.data[at + channel] += noise;
      }
      context.putImageData(pixels, 0, 0);
      return canvas;
    };
    // The same head, going from side to side, nearer and farther, in a light that changes.
    const lively = (frame) => {
      const turn = (frame / 60) * 2 * Math.PI;
      const side = 200 + 40 * Math.sin(turn);
      const canvas = draw(480, 360, [[140 + 80 * Math.cos(turn), 60, side]]);
      const context = canvas.getContext('2d');
      context.fillStyle = `rgb(0 0 0 / ${0.15 + 0.15 * Math.sin(2 * turn)})`;
      context.fillRect(0, 0, 480, 360);
      return canvas;
    };
    const video = {};
    for (const [name, frameAt] of Object.entries({ calm, lively })) {
      video[name] = { skipping: await work(frameAt, true), notSkipping: await work(frameAt, { leastChange: 0 }) };
    }
    recognizer.dispose();

    const memory = {};
    for (const count of [0, 1, 8]) {
      const fresh = await create();
      for (let frame = 0; frame < 90; frame++) {
        await fresh.push(draw(640, 480, crowd(count, frame % 2)), { timestamp: frame * 33, faces: { leastChange: 0, perFrame: 8 } });
      }
      memory[count] = (await fresh.counters()).memoryBytes;
      fresh.dispose();
    }
    return { detector, framesWithFaces: frames, secondOfVideo: video, wasmMemoryBytesWithFaces: memory };
  });
  const sizes = await readFile(new URL('../../www/dist/sizes.json', import.meta.url), 'utf8').then(JSON.parse, () => ({}));
  const machine = { processor: cpus()[0]?.model, cores: cpus().length, load: loadavg()[0] };
  console.log(JSON.stringify({ browser: `Chromium ${browser.version()}`, machine, ...result, wasmBrotliBytes: sizes.cpu?.brotli }, null, 2));
} finally {
  await browser.close();
  await server.close();
}
