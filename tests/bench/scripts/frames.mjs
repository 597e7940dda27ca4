// What taking a video's frame costs: as it is, and drawn in its shown size where it is turned, beside `createImageBitmap`, by turns
// in one page, each with its pixels read: node tests/bench/scripts/frames.mjs, after `cargo pkg build`.

import { cpus } from 'node:os';
import { launch } from '../../web/browser.mjs';
import { openLibrary } from '../../web/library.mjs';
import { serve } from '../../web/server.mjs';

const ROUNDS = 150;
const WARM_UP = 30;

const server = await serve();
const browser = await launch();
const { page } = await openLibrary(browser, server);
page.setDefaultTimeout(0);
const sizes = await page.evaluate(
  async ({ rounds, warmUp }) => {
    const { drawFrame, takeFrame } = await import('/src/page/video-frame.js');
    const { PixelReader } = await import('/src/worker/pixels.js');
    const middle = (times) => times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)];
    const sizes = {};
    for (const [width, height] of [
      [640, 480],
      [1280, 720],
    ]) {
      const canvas = Object.assign(document.createElement('canvas'), { width, height });
      const context = canvas.getContext('2d');
      let frame = 0;
      const timer = setInterval(() => {
        context.fillStyle = `hsl(${(frame += 7)} 60% 50%)`;
        context.fillRect(0, 0, width, height);
      }, 30);
      const video = Object.assign(document.createElement('video'), { muted: true });
      video.srcObject = canvas.captureStream(30);
      await video.play();
      const ways = {
        taken: () => takeFrame(video),
        drawn: () => drawFrame(video, width, height),
        bitmap: () => createImageBitmap(video),
      };
      const readers = { taken: new PixelReader(), drawn: new PixelReader(), bitmap: new PixelReader() };
      const times = { taken: [], drawn: [], bitmap: [] };
      for (let round = 0; round < warmUp + rounds; round++)
        for (const way of Object.keys(ways)) {
          const start = performance.now();
          const bitmap = await ways[way]();
          await readers[way].read(bitmap, { x: 0, y: 0, width, height });
          if (round >= warmUp) times[way].push(performance.now() - start);
          if (round % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 35));
        }
      clearInterval(timer);
      const [taken, drawn, bitmap] = Object.values(times).map(middle);
      sizes[`${width} x ${height}`] = {
        takenMilliseconds: taken,
        drawnMilliseconds: drawn,
        bitmapMilliseconds: bitmap,
        ratios: { taken: taken / bitmap, drawn: drawn / bitmap },
      };
    }
    return sizes;
  },
  { rounds: ROUNDS, warmUp: WARM_UP },
);
console.log(JSON.stringify({ machine: cpus()[0].model, chromium: browser.version(), ...sizes }, null, 2));
await browser.close();
await server.close();
