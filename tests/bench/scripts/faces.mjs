// Measures faces in Chromium on the CPU and prints JSON: the detector, frames with 1 to 8 faces, passes, memory.
// `cargo pkg build`, then `node tests/bench/scripts/faces.mjs > tests/bench/records/faces.json`. Linux only: it reads /proc.
//
// Milliseconds are the processor's, of all of Chromium's processes together: unlike a clock's, they hardly depend on
// what else the machine does. On a free core a frame takes about as long.

import { readdir, readFile } from 'node:fs/promises';
import { cpus, loadavg } from 'node:os';
import { launch } from '../../web/browser.mjs';
import { openLibrary } from '../../web/library.mjs';
import { serve } from '../../web/server.mjs';

/** Ticks of /proc, a second. */
const TICKS = 100;

/** Processor milliseconds that the children of this process have used, and theirs. */
async function used() {
  const processes = new Map();
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    // Behind the name, which may hold spaces: state, parent, ..., user time, system time.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    processes.set(Number(pid), { parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) });
  }
  const isOurs = (pid) => pid === process.pid || (processes.has(pid) && pid > 1 && isOurs(processes.get(pid).parent));
  let ticks = 0;
  for (const [pid, { ticks: own }] of processes) if (pid !== process.pid && isOurs(pid)) ticks += own || 0;
  return (ticks * 1000) / TICKS;
}

const server = await serve();
const browser = await launch();
try {
  const { page } = await openLibrary(browser, server, { device: 'cpu', faces: true, cache: false });
  await page.evaluate(async () => {
    const portrait = await createImageBitmap(await sample());
    /** A frame with the portrait at `[x, y, side]`s, as a bitmap; `change` may paint on it. */
    globalThis.draw = (width, height, places, change) => {
      const canvas = new OffscreenCanvas(width, height);
      const context = canvas.getContext('2d', { willReadFrequently: true });
      context.fillStyle = 'rgb(120 125 130)';
      context.fillRect(0, 0, width, height);
      for (const [x, y, side] of places) context.drawImage(portrait, x, y, side, side);
      change?.(context);
      return canvas.transferToImageBitmap();
    };
    const crowd = (count, side, shift) =>
      Array.from({ length: count }, (_, index) => [
        (index % 4) * 158 + 4 + shift,
        Math.floor(index / 4) * 230 + 30,
        side,
      ]);
    let state = 1;
    const random = () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
    const noise = (context) => {
      const pixels = context.getImageData(0, 0, 480, 360);
      for (let at = 0; at < pixels.data.length; at += 4) {
        const shift = (random() + random() + random() + random() - 2) * 3 * Math.sqrt(3);
        for (let channel = 0; channel < 3; channel++) pixels.data[at + channel] += shift;
      }
      context.putImageData(pixels, 0, 0);
    };
    const turn = (frame, length) => (frame / length) * 2 * Math.PI;
    globalThis.films = {
      crowd: Object.fromEntries(
        [1, 2, 4, 8].map((count) => [count, [0, 1].map((shift) => draw(640, 480, crowd(count, 150, shift)))]),
      ),
      large: [0, 1].map((shift) => draw(640, 480, [[200 + shift, 100, 280]])),
      // A head that sways by two pixels before a sensor whose noise spreads by about three grey levels.
      calm: Array.from({ length: 30 }, (_, frame) => {
        const [x, y] = [
          120 + Math.round(2 * Math.sin(turn(frame, 30))),
          60 + Math.round(Math.cos(2 * turn(frame, 30))),
        ];
        return draw(480, 360, [[x, y, 220]], noise);
      }),
      // The same head, going from side to side, nearer and farther, in a light that changes.
      lively: Array.from({ length: 60 }, (_, frame) => {
        const place = [140 + 80 * Math.cos(turn(frame, 60)), 60, 200 + 40 * Math.sin(turn(frame, 60))];
        return draw(480, 360, [place], (context) => {
          context.fillStyle = `rgb(0 0 0 / ${0.15 + 0.15 * Math.sin(2 * turn(frame, 60))})`;
          context.fillRect(0, 0, 480, 360);
        });
      }),
    };
    /** Pushes `frames` frames of a film, 30 a second of its own time, and says what was done. */
    globalThis.play = async (film, frames, faces, most = 0) => {
      await recognizer.reset();
      const before = await recognizer.counters();
      for (let frame = 0; frame < frames; frame++) {
        const answer = await recognizer.push(film[frame % film.length], { timestamp: (frame * 1000) / 30, faces });
        if (answer.faces.length < most) throw new Error(`${answer.faces.length} of ${most} faces`);
      }
      const after = await recognizer.counters();
      return Object.fromEntries(Object.keys(after).map((name) => [name, after[name] - before[name]]));
    };
  });
  const run = (script, argument) => page.evaluate(script, argument);
  /** Processor milliseconds of `script`, divided by `count`; it runs once before, to be warm. */
  const measure = async (count, script, argument) => {
    await run(script, argument);
    const before = await used();
    const result = await run(script, argument);
    return { ms: Number((((await used()) - before) / count).toFixed(2)), result };
  };

  const detector = {};
  for (const [width, height] of [
    [640, 480],
    [1280, 720],
    [1920, 1080],
  ]) {
    const look = async ([width, height, faces]) => {
      const empty = draw(width, height, []);
      for (let run = 0; run < 60; run++) await recognizer.recognize(empty, { faces });
    };
    const { ms: whole } = await measure(60, look, [width, height, true]);
    detector[`${width}x${height}`] = { pictureWithoutFaceMs: whole };
  }
  const { ms: large } = await measure(90, () =>
    play(films.large, 90, { detectInterval: 1, rate: 1000, minChange: 0 }, 1),
  );
  const { ms: tracked } = await measure(90, () =>
    play(films.large, 90, { detectInterval: 1000, rate: 1, minChange: 0 }, 1),
  );
  const frames = { oneLargeFace: { everyFaceEncodedMs: large, mostlyDrawnOutMs: tracked } };
  for (const count of [1, 2, 4, 8]) {
    const play90 = ([count, faces]) => play(films.crowd[count], 90, faces, faces === true ? 0 : count);
    const dearest = { detectInterval: 1, maxPerFrame: 8, rate: 1000, minChange: 0 };
    const { ms: everyFaceEncodedMs } = await measure(90, play90, [count, dearest]);
    const { ms: usualMs } = await measure(90, play90, [count, true]);
    frames[count] = { everyFaceEncodedMs, usualMs };
  }
  const video = {};
  for (const film of ['calm', 'lively']) {
    video[film] = {};
    for (const [name, minChange] of [
      ['skipping', 10],
      ['notSkipping', 0],
    ]) {
      const { ms, result } = await measure(10, ([film, minChange]) => play(films[film], 300, { minChange }), [
        film,
        minChange,
      ]);
      const { passes, skippedPasses, detections } = result;
      video[film][name] = {
        passes: passes / 10,
        skipped: skippedPasses / 10,
        detections: detections / 10,
        processorMs: ms,
      };
    }
  }
  const memory = {};
  for (const count of [0, 1, 8]) {
    memory[count] = await run(async (count) => {
      const fresh = await cliper.ExpressionRecognizer.create({ device: 'cpu', faces: true, cache: false });
      const film = films.crowd[count] ?? [draw(640, 480, [])];
      for (let frame = 0; frame < 90; frame++) {
        await fresh.push(film[frame % film.length], { timestamp: frame * 33, faces: { minChange: 0, maxPerFrame: 8 } });
      }
      const { memoryBytes } = await fresh.counters();
      fresh.dispose();
      return memoryBytes;
    }, count);
  }
  const sizes = await readFile(new URL('../../../www/dist/sizes.json', import.meta.url), 'utf8').then(
    JSON.parse,
    () => ({}),
  );
  const record = {
    browser: `Chromium ${browser.version()}`,
    machine: { processor: cpus()[0]?.model, cores: cpus().length, load: loadavg()[0] },
    detector,
    frameWithFaces: frames,
    secondOfVideo: video,
    wasmMemoryBytesWithFaces: memory,
    wasmBrotliBytes: sizes.cpu?.brotli,
  };
  console.log(JSON.stringify(record, null, 2));
} finally {
  await browser.close();
  await server.close();
}
