// A lost device: the browser's GPU process ends at each moment of the engine's life, and answers stay right.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launch } from '../browser.mjs';
import { assertFailure, openLibrary } from '../library.mjs';
import { serve } from '../server.mjs';

let server;
let browser;
/** Ends the browser's GPU process; pages call it as `endGpu()`. */
let endGpu;
before(async () => {
  server = await serve();
  browser = await launch({ webgpu: true });
  const devtools = await browser.newBrowserCDPSession();
  endGpu = () => devtools.send('Browser.crashGpuProcess');
});
after(async () => {
  await browser?.close();
  await server?.close();
});

const LONGEST = { timeout: 300_000 };
/** Scores of two devices agree to this. */
const TOLERANCE = 1e-5;

/**
 * A page with a recognizer on WebGPU, `endGpu`, `losses`, what it told of lost devices, `right(answer)`, how far its scores
 * are from those of the CPU for the portrait, and `film()`, a video element that plays it.
 */
async function open(options = {}) {
  const opened = await openLibrary(browser, server, { device: 'cpu', precision: 'f32', ...options });
  await opened.page.exposeFunction('endGpu', endGpu);
  await opened.page.evaluate(async (options) => {
    const scores = ({ expressions, faces }) => (faces?.[0] ?? { expressions }).expressions.map(({ score }) => score);
    const wanted = scores(await recognizer.recognize(await sample()));
    recognizer.dispose();
    globalThis.off = (answer) => Math.max(...scores(answer).map((score, index) => Math.abs(score - wanted[index])));
    globalThis.losses = [];
    const onDeviceLost = (loss) => losses.push(loss);
    globalThis.recognizer = await cliper.ExpressionRecognizer.create({
      device: 'webgpu',
      precision: 'f32',
      onDeviceLost,
      ...options,
    });
    globalThis.portrait = await createImageBitmap(await sample());
    globalThis.film = async () => {
      const canvas = Object.assign(document.createElement('canvas'), portrait);
      const context = Object.assign(canvas, { width: portrait.width, height: portrait.height }).getContext('2d');
      let frame = 0;
      setInterval(() => {
        context.drawImage(portrait, 0, 0);
        context.fillStyle = `hsl(${(frame += 7)} 80% 50%)`;
        context.fillRect(0, 0, 1, 1);
      }, 40);
      const video = Object.assign(document.createElement('video'), { muted: true });
      video.srcObject = canvas.captureStream(25);
      await video.play();
      return video;
    };
  }, options);
  return opened;
}

/** What must be true after `count` losses: told, in `info`, and nothing unhandled. */
function assertTold({ info, losses }, complaints, count = 1) {
  assert.equal(losses.length, count, JSON.stringify(losses));
  assert.equal(info.deviceLosses, count);
  for (const { reason } of losses) assert.match(reason, /lost|refused|no answer/);
  assert.equal(losses.at(-1).device, info.device);
  assert.deepEqual(complaints, []);
}

describe('the GPU process ends', () => {
  const MOMENTS = {
    'between two pictures': async () => {
      const before = await recognizer.recognize(portrait);
      await endGpu();
      return [before, await recognizer.recognize(portrait)];
    },
    'while a picture is looked at': async () => {
      const [answer] = await Promise.all([recognizer.recognize(portrait), endGpu()]);
      return [answer, await recognizer.recognize(portrait)];
    },
    'while several wait': async () => {
      const asked = [1, 2, 3, 4].map(() => recognizer.recognize(portrait));
      await Promise.all([asked[0].catch(() => {}), endGpu()]);
      // The loss may come after the first answers: then the next call meets it.
      return [...(await Promise.all(asked)), await recognizer.recognize(portrait)];
    },
    'while a picture with its mirror image and evidence is looked at': async () => {
      const [answer] = await Promise.all([recognizer.recognize(portrait, { evidence: true }), endGpu()]);
      return [answer, await recognizer.recognize(portrait)];
    },
    'between two frames that the page pushes': async () => {
      const first = await recognizer.push(portrait, { timestamp: 0 });
      await endGpu();
      const second = await recognizer.push(portrait, { timestamp: 40 });
      // The window went down with its device, and says so.
      if (second.window.filled !== 1) throw new Error(`${second.window.filled} frames are left of the window`);
      return [first, second];
    },
    'while a frame is pushed': async () => {
      const [frame] = await Promise.all([recognizer.push(portrait, { timestamp: 0 }), endGpu()]);
      return [frame, await recognizer.push(portrait, { timestamp: 40 })];
    },
    'while a clip is read': async () => {
      const clip = Array.from({ length: 6 }, () => portrait);
      let ends;
      const answer = await recognizer.recognizeClip(clip, {
        frames: 6,
        onProgress: ({ done }) => done === 3 && (ends ??= endGpu()),
      });
      await ends;
      if (answer.timeline.length !== 6) throw new Error(`${answer.timeline.length} moments of 6`);
      return [answer];
    },
    'at the start, before the first picture': async () => {
      await endGpu();
      return [await recognizer.recognize(portrait)];
    },
  };

  for (const [name, moment] of Object.entries(MOMENTS)) {
    test(name, LONGEST, async () => {
      const { page, complaints, close } = await open();
      const seen = await page.evaluate(`(async () => {
        const answers = await (${moment})();
        return { off: answers.map(off), info: recognizer.info, losses };
      })()`);
      for (const off of seen.off) assert.ok(off <= TOLERANCE, `scores are off by ${off}`);
      assertTold(seen, complaints);
      await close();
    });
  }

  test('while a stream runs: it goes on, its window begins anew, no answer is wrong', LONGEST, async () => {
    const { page, complaints, close } = await open();
    const seen = await page.evaluate(async () => {
      const stream = recognizer.stream(await film());
      const answers = [];
      for await (const answer of stream) {
        answers.push({ top: answer.top, filled: answer.window.filled });
        if (answers.length === 3) void endGpu();
        if (losses.length > 0 && answers.at(-1).filled > 1) break;
      }
      return { answers, stats: stream.stats, info: recognizer.info, losses };
    });
    for (const { top } of seen.answers) assert.equal(top.name, 'happiness');
    const filled = seen.answers.map(({ filled }) => filled);
    assert.deepEqual(filled.slice(-2), [1, 2], filled.join());
    assert.equal(seen.stats.answered, seen.answers.length);
    assertTold(seen, complaints);
    await close();
  });

  test('while faces are followed: their numbers are not given again', LONGEST, async () => {
    const { page, complaints, close } = await open({ faces: true });
    const seen = await page.evaluate(async () => {
      const ids = [[], []];
      for await (const { faces } of recognizer.stream(await film())) {
        const after = losses.length > 0;
        for (const { id } of faces) ids[Number(after)].push(id);
        if (ids[0].length === 3 && !after) void endGpu();
        if (ids[1].length > 2) break;
      }
      return { ids, info: recognizer.info, losses };
    });
    const [before, after] = seen.ids;
    assert.ok(before.length > 0 && after.length > 0);
    assert.ok(
      after.every((id) => !before.includes(id)),
      JSON.stringify(seen.ids),
    );
    assertTold(seen, complaints);
    await close();
  });

  test('again and again: the CPU goes on, options and words stay', LONGEST, async () => {
    const { page, complaints, close } = await open();
    const seen = await page.evaluate(async () => {
      await recognizer.setOptions({ window: 3 });
      await recognizer.describe(['the teeth can be seen']);
      const devices = [];
      for (let round = 0; round < 6 && recognizer.info.device === 'webgpu'; round++) {
        await endGpu();
        const answer = await recognizer.recognize(portrait);
        devices.push([recognizer.info.device, off(answer), answer.texts?.[0]?.strength]);
      }
      const frames = [0, 40, 80, 120].map((timestamp) => recognizer.push(portrait, { timestamp }));
      const { window } = (await Promise.all(frames)).at(-1);
      return { devices, window, info: recognizer.info, losses };
    });
    assert.ok(
      seen.devices.every(([, off]) => off <= TOLERANCE),
      JSON.stringify(seen.devices),
    );
    assert.ok(
      seen.devices.every(([, , strength]) => strength > 0.8),
      JSON.stringify(seen.devices),
    );
    assert.equal(seen.info.device, 'cpu');
    assert.match(seen.info.fallback, /^WebGPU was left: /);
    assert.ok(seen.devices.length <= 4, 'a device is opened again three times at most');
    assert.deepEqual(seen.window, { filled: 3, length: 3 });
    assertTold(seen, complaints, seen.devices.length);
    await close();
  });

  test('under an image encoder: the same batch is embedded by the next device', LONGEST, async () => {
    const { page, complaints, close } = await openLibrary(browser, server);
    await page.exposeFunction('endGpu', endGpu);
    const seen = await page.evaluate(async () => {
      const losses = [];
      const onDeviceLost = (loss) => losses.push(loss);
      const encoder = await cliper.ImageEncoder.create({ device: 'webgpu', onDeviceLost });
      const { channels, side } = encoder.info;
      const pixels = Float32Array.from({ length: channels * side ** 2 }, (_, index) => Math.sin(index));
      const before = await encoder.encode(pixels);
      await endGpu();
      const after = await encoder.encode(pixels);
      const off = Math.max(...before.map((value, index) => Math.abs(value - after[index])));
      return { off, largest: Math.max(...before.map(Math.abs)), info: encoder.info, losses };
    });
    assert.ok(seen.off <= TOLERANCE * seen.largest, `off by ${seen.off}`);
    assertTold(seen, complaints);
    await close();
  });

  test('while it starts: an error with a code, or an engine that answers', LONGEST, async () => {
    const { page, complaints, close } = await openLibrary(browser, server);
    await page.exposeFunction('endGpu', endGpu);
    const outcomes = await page.evaluate(async () => {
      const outcomes = [];
      for (const moment of ['download', 'warmup']) {
        let ended;
        const failed = await failure(async () => {
          const onProgress = ({ stage }) => stage === moment && (ended ??= endGpu());
          const recognizer = await cliper.ExpressionRecognizer.create({ device: 'webgpu', onProgress });
          await recognizer.recognize(await sample());
          recognizer.dispose();
        });
        outcomes.push(failed);
      }
      return outcomes;
    });
    for (const outcome of outcomes) {
      if (outcome !== 'nothing was thrown') assertFailure(assert, outcome, 'device-unavailable');
    }
    assert.deepEqual(complaints, []);
    await close();
  });

  test('and nothing can be fetched: the error says so, and the next call tries again', LONGEST, async () => {
    const { page, close } = await openLibrary(browser, server);
    await page.exposeFunction('endGpu', endGpu);
    const seen = await page.evaluate(async () => {
      let isCut = false;
      const fetchOnce = (url, options) => (isCut ? Promise.reject(new TypeError('cut')) : fetch(url, options));
      const recognizer = await cliper.ExpressionRecognizer.create({ device: 'webgpu', cache: false, fetch: fetchOnce });
      isCut = true;
      await endGpu();
      const failed = await failure(async () => recognizer.recognize(await sample()));
      isCut = false;
      const answer = await recognizer.recognize(await sample());
      return { failed, top: answer.top.name, info: recognizer.info };
    });
    assertFailure(assert, seen.failed, 'network');
    assert.equal(seen.top, 'happiness');
    assert.equal(seen.info.deviceLosses, 1);
    await close();
  });
});
