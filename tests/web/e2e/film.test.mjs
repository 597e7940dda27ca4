// Clips: lists of pictures and films, forward and backward, cut, turned, stalled, broken and given up.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch } from '../browser.mjs';
import { publish, readBundle } from '../bundle.mjs';
import { assertFailure, openLibrary } from '../library.mjs';
import { serve } from '../server.mjs';

const TEMPORAL = fileURLToPath(new URL('../../fixtures/temporal_bundle', import.meta.url));

let server;
let browser;
before(async () => {
  server = await serve();
  browser = await launch({ camera: 'clip' });
  publish(server, 'temporal', await readBundle(TEMPORAL));
});
after(async () => {
  await browser?.close();
  await server?.close();
});

/** Opens the library with `fade(time)`, a frame of the portrait fading in, and `film(options)`, a recording. */
async function open(options) {
  const opened = await openLibrary(browser, server, options);
  await opened.page.evaluate(async () => {
    const portrait = await createImageBitmap(await sample());
    globalThis.fade = (time, frames = 8) => {
      const canvas = new OffscreenCanvas(portrait.width, portrait.height);
      const context = canvas.getContext('2d');
      context.fillStyle = 'rgb(128 128 128)';
      context.fillRect(0, 0, canvas.width, canvas.height);
      context.globalAlpha = time / (frames - 1);
      context.drawImage(portrait, 0, 0);
      return canvas;
    };
    /** Records the portrait, `turn` quarter turns to the left, for about `seconds`; the rate wavers. */
    globalThis.film = async ({ seconds = 1.2, type = 'video/webm', turn = 0 } = {}) => {
      const canvas = document.createElement('canvas');
      [canvas.width, canvas.height] = [224, 224];
      const context = canvas.getContext('2d');
      const recorder = new MediaRecorder(canvas.captureStream(), { mimeType: type });
      const pieces = [];
      recorder.ondataavailable = ({ data }) => pieces.push(data);
      recorder.start();
      const end = performance.now() + seconds * 1000;
      for (let frame = 0; performance.now() < end; frame++) {
        context.setTransform(1, 0, 0, 1, 112, 112);
        context.rotate((-turn * Math.PI) / 2);
        context.globalAlpha = 1;
        context.drawImage(portrait, -112, -112, 224, 224);
        context.fillStyle = `rgb(${frame % 256} 0 0)`;
        context.fillRect(-112, -112, 4, 4);
        await new Promise((resolve) => setTimeout(resolve, frame % 3 ? 20 : 90));
      }
      const stopped = new Promise((resolve) => (recorder.onstop = resolve));
      recorder.stop();
      await stopped;
      return new Blob(pieces, { type });
    };
  });
  return opened;
}

for (const device of ['cpu', 'webgpu']) {
  test(`${device}: a clip is told from its own frames backward, one pass a frame`, async () => {
    const own = device === 'webgpu' ? await launch({ webgpu: true }) : browser;
    const before = browser;
    browser = own;
    try {
      const { page, complaints, close } = await open({ device, model: '/bundles/temporal/model.json' });
      const [onset, offset, passes, progress] = await page.evaluate(async () => {
        const frames = Array.from({ length: 8 }, (_, time) => fade(time));
        const progress = [];
        const before = await recognizer.counters();
        const onset = await recognizer.recognizeClip(frames, { rate: 4, onProgress: (at) => progress.push(at) });
        const offset = await recognizer.recognizeClip(frames.toReversed());
        const after = await recognizer.counters();
        return [onset, offset, after.passes - before.passes, progress];
      });
      assert.equal(onset.top.name, 'onset', JSON.stringify(onset.expressions));
      assert.equal(offset.top.name, 'offset', JSON.stringify(offset.expressions));
      assert.equal(passes, 16);
      assert.deepEqual(
        onset.timeline.map(({ time }) => time),
        [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75],
      );
      assert.deepEqual(
        progress,
        Array.from({ length: 8 }, (_, done) => ({ done: done + 1, total: 8 })),
      );
      assert.deepEqual(onset.window, { filled: 8, length: 8 });
      assert.deepEqual([onset.from, onset.to], [0, 2]);
      assert.deepEqual(
        onset.timeline.toReversed().map(({ scores }) => scores),
        offset.timeline.map(({ scores }) => scores),
      );
      assert.deepEqual(complaints, []);
      await close();
    } finally {
      browser = before;
      if (own !== browser) await own.close();
    }
  });
}

describe('films', () => {
  test('a film is read by time in an element of its own; the part that is asked for, and no frame twice', async () => {
    const { page, complaints, close } = await open({ device: 'cpu' });
    const seen = await page.evaluate(async () => {
      const blob = await film({ seconds: 2 });
      const video = document.createElement('video');
      video.muted = true;
      video.src = URL.createObjectURL(blob);
      const shown = new Promise((resolve) => video.requestVideoFrameCallback(resolve));
      await video.play();
      await shown;
      video.pause();
      const place = video.currentTime;
      const window = await recognizer.push(video, { timestamp: 0 });
      const before = await recognizer.counters();
      const whole = await recognizer.recognizeClip(video, { frames: 6 });
      const after = await recognizer.counters();
      const part = await recognizer.recognizeClip(blob, { from: 0.5, to: 1, frames: 3 });
      const dense = await recognizer.recognizeClip(blob, { from: 0, to: 0.4, frames: 60 });
      const next = await recognizer.push(video, { timestamp: 40 });
      const { length } = dense.timeline;
      return {
        whole,
        part,
        passes: after.passes - before.passes,
        moved: video.currentTime - place,
        window,
        next,
        length,
      };
    });
    assert.equal(seen.whole.top.name, 'happiness');
    assert.equal(seen.passes, seen.whole.timeline.length);
    assert.equal(seen.moved, 0);
    const times = seen.whole.timeline.map(({ time }) => time);
    assert.deepEqual(
      times,
      times.toSorted((a, b) => a - b),
    );
    assert.ok(seen.whole.to > 1 && seen.whole.to < 4, `${seen.whole.to}`);
    assert.deepEqual([seen.part.from, seen.part.to], [0.5, 1]);
    assert.ok(
      seen.part.timeline.every(({ time }) => time > 0.3 && time < 1),
      JSON.stringify(seen.part.timeline.map(({ time }) => time)),
    );
    // Fewer frames were recorded in that time than were asked for.
    assert.ok(seen.length < 60, `${seen.length}`);
    assert.deepEqual([seen.window.window.filled, seen.next.window.filled], [1, 2], "the stream's window is left alone");
    assert.deepEqual(complaints, []);
    await close();
  });

  test('turned by its metadata, a film is seen as it is shown', async (context) => {
    const { page, close } = await open({ device: 'cpu' });
    const seen = await page.evaluate(async () => {
      const type = ['video/mp4;codecs=vp9', 'video/mp4;codecs=avc1.42E01E', 'video/mp4'].find((type) =>
        MediaRecorder.isTypeSupported(type),
      );
      if (!type) return null;
      const upright = await recognizer.recognizeClip(await film({ type }), { frames: 4 });
      const bytes = new Uint8Array(await (await film({ type, turn: 1 })).arrayBuffer());
      const lying = await recognizer.recognizeClip(new Blob([bytes], { type }), { frames: 4 });
      // The track header's matrix: a quarter turn to the right.
      const view = new DataView(bytes.buffer);
      const at = bytes.findIndex((_, index) => String.fromCharCode(...bytes.subarray(index, index + 4)) === 'tkhd') + 4;
      const matrix = at + (bytes[at] === 1 ? 4 + 32 : 4 + 20) + 16;
      [0, 1 << 16, 0, -(1 << 16), 0, 0, 224 << 16, 0, 1 << 30].forEach((value, index) =>
        view.setInt32(matrix + 4 * index, value),
      );
      const turned = await recognizer.recognizeClip(new Blob([bytes], { type }), { frames: 4 });
      const score = ({ expressions }) => expressions.find(({ name }) => name === 'happiness').score;
      return { upright: score(upright), lying: score(lying), turned: score(turned) };
    });
    if (!seen) return context.skip('this browser records no MP4');
    // How much a model minds a face that lies is its own affair; turned, it must be the upright one.
    const off = (score) => Math.abs(score - seen.upright);
    assert.ok(
      off(seen.turned) < 0.01 && off(seen.lying) > 10 * off(seen.turned) && off(seen.lying) > 0.1,
      JSON.stringify(seen),
    );
    await close();
  });

  test('what is no clip, has no end, or lies outside is refused with the reason', async () => {
    const { page, close } = await open({ device: 'cpu' });
    const failures = await page.evaluate(async () => {
      const camera = await cliper.openCamera();
      const blob = await film();
      const clip = (source, options) => failure(() => recognizer.recognizeClip(source, options));
      const failures = {
        camera: await clip(camera.video),
        nothing: await clip(document.createElement('video')),
        number: await clip(7),
        broken: await clip(new Blob(['no film'])),
        missing: await clip('/nowhere.webm'),
        late: await clip(blob, { from: 60 }),
        empty: await clip(blob, { from: 1, to: 1 }),
        none: await clip(blob, { frames: 0 }),
        picture: await clip([new Blob(['no picture'])]),
      };
      camera.stop();
      // The recognizer goes on.
      return { ...failures, top: (await recognizer.recognizeClip(blob, { frames: 2 })).top.name };
    });
    const { top, picture, broken, missing, ...refused } = failures;
    for (const [name, failed] of Object.entries(refused))
      assertFailure(
        { ...assert, ok: (value, text) => assert.ok(value, `${name}: ${text}`) },
        failed,
        'invalid-argument',
      );
    assertFailure(assert, broken, 'video-failed');
    assertFailure(assert, missing, 'video-failed');
    assertFailure(assert, picture, 'not-an-image');
    assert.equal(top, 'happiness');
    await close();
  });

  test('given up half way is aborted, and a new one starts from nothing; disposing ends it', async () => {
    const { page, complaints, close } = await open({ device: 'cpu' });
    const [aborted, early, passes, again, disposed] = await page.evaluate(async () => {
      const frames = Array.from({ length: 16 }, (_, time) => fade(time, 16));
      const controller = new AbortController();
      const before = await recognizer.counters();
      const aborted = await failure(() =>
        recognizer.recognizeClip(frames, {
          signal: controller.signal,
          onProgress: ({ done }) => done === 3 && controller.abort(),
        }),
      );
      const after = await recognizer.counters();
      const early = await failure(() => recognizer.recognizeClip(frames, { signal: AbortSignal.abort() }));
      const again = await recognizer.recognizeClip(frames.slice(0, 2), { frames: 2 });
      const disposed = failure(() => recognizer.recognizeClip(frames, { onProgress: () => recognizer.dispose() }));
      return [aborted, early, after.passes - before.passes, again.window, await disposed];
    });
    assertFailure(assert, aborted, 'aborted');
    assertFailure(assert, early, 'aborted');
    assertFailure(assert, disposed, 'disposed');
    assert.ok(passes < 16, `${passes}`);
    assert.deepEqual(again, { filled: 2, length: 2 });
    assert.deepEqual(complaints, []);
    await close();
  });

  test('a film whose connection goes quiet is `video-failed`, not a wait without end', async () => {
    const { page, close } = await open({ device: 'cpu' });
    const bytes = Buffer.from(await page.evaluate(async () => [...new Uint8Array(await (await film()).arrayBuffer())]));
    // The first half, then nothing more.
    server.own.set('/stalled.webm', (response, head) => {
      response.writeHead(200, { ...head, 'Content-Type': 'video/webm', 'Content-Length': bytes.length });
      response.write(bytes.subarray(0, 600));
    });
    const failed = await page.evaluate(() => failure(() => recognizer.recognizeClip('/stalled.webm')));
    assertFailure(assert, failed, 'video-failed');
    assert.match(failed.message, /nothing came/);
    await close();
  });
});
