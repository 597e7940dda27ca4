// Clips with faces, and films from servers that can't be sought in.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch } from '../browser.mjs';
import { assertFailure, openLibrary } from '../library.mjs';
import { serve } from '../server.mjs';

let server;
let browser;
let page;
let complaints;

before(async () => {
  server = await serve();
  browser = await launch();
  ({ page, complaints } = await openLibrary(browser, server, { device: 'cpu', faces: true }));
  await page.evaluate(async () => {
    const portrait = await createImageBitmap(await sample());
    /** A frame with the portrait small at places, on grey. */
    globalThis.frame = (...places) => {
      const canvas = new OffscreenCanvas(640, 360);
      const context = canvas.getContext('2d');
      context.fillStyle = 'rgb(120 120 120)';
      context.fillRect(0, 0, 640, 360);
      for (const [x, y] of places) context.drawImage(portrait, x, y, 200, 200);
      return canvas;
    };
    /** Records frames, each for 150 ms: `show(index)` gives one. */
    globalThis.film = async (count, show) => {
      const canvas = Object.assign(document.createElement('canvas'), { width: 640, height: 360 });
      const context = canvas.getContext('2d');
      const recorder = new MediaRecorder(canvas.captureStream(), { mimeType: 'video/webm', videoBitsPerSecond: 4e6 });
      const pieces = [];
      recorder.ondataavailable = ({ data }) => pieces.push(data);
      recorder.start();
      for (let index = 0; index < 3 * count; index++) {
        context.drawImage(show(Math.floor(index / 3)), 0, 0);
        context.fillRect(index, 0, 2, 2);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      const stopped = new Promise((resolve) => (recorder.onstop = resolve));
      recorder.stop();
      await stopped;
      return new Blob(pieces, { type: 'video/webm' });
    };
    globalThis.grey = await film(8, (index) => (index < 4 ? frame() : frame([220, 80])));
  });
  const bytes = await page.evaluate(async () => [...new Uint8Array(await grey.arrayBuffer())]);
  server.own.set('/grey.webm', (response, head) =>
    response
      .writeHead(200, { ...head, 'Content-Type': 'video/webm', 'Content-Length': bytes.length })
      .end(Buffer.from(bytes)),
  );
});

after(async () => {
  await browser?.close();
  await server?.close();
});

test('a clip follows its faces: one goes, one comes, and each has its time-line', async () => {
  const seen = await page.evaluate(async () => {
    // One walks off to the right at half time, the other comes at a third.
    const frames = Array.from({ length: 6 }, (_, index) =>
      frame(...(index < 3 ? [[30 + 25 * index, 40]] : []), ...(index > 1 ? [[400, 120]] : [])),
    );
    const progress = [];
    const before = await recognizer.counters();
    const clip = await recognizer.recognizeClip(frames, { rate: 2, frames: 6, onProgress: (at) => progress.push(at) });
    const after = await recognizer.counters();
    const one = await recognizer.recognize(frames[4]);
    const part = await recognizer.recognizeClip(frames, { frames: 6, box: { x: 320, y: 0, width: 320, height: 360 } });
    const nobody = await recognizer.recognizeClip([frame(), frame()], { frames: 2 });
    const whole = await recognizer.recognizeClip(frames, { frames: 6, faces: false });
    return { clip, passes: after.passes - before.passes, progress, one, part, nobody, whole };
  });
  const { clip, one, part } = seen;
  assert.equal(clip.state, 'recognized');
  assert.deepEqual([clip.from, clip.to, seen.progress.length], [0, 3, 6]);
  const [second, first] = clip.faces;
  assert.deepEqual([first.id, second.id], [0, 1]);
  assert.deepEqual(
    first.timeline.map(({ time }) => time),
    [0, 0.5, 1],
  );
  assert.deepEqual(
    second.timeline.map(({ time }) => time),
    [1, 1.5, 2, 2.5],
  );
  assert.deepEqual(
    [first.window, second.window],
    [
      { filled: 3, length: 6 },
      { filled: 4, length: 6 },
    ],
  );
  assert.equal(seen.passes, 7, 'one pass a face and frame');
  for (const { top } of clip.faces) assert.equal(top.name, 'happiness');
  const steps = first.timeline.map(({ box }) => Math.round((box.x - first.timeline[0].box.x) / 25));
  assert.deepEqual(steps, [0, 1, 2], 'places are those of the frames, unsmoothed');
  // A frame of the time-line is what `recognize` says of it.
  assert.ok(Math.abs(second.timeline[2].top.score - one.faces[0].top.score) < 0.01);
  assert.ok(Math.abs(second.timeline[2].box.x - one.faces[0].box.x) < 2);
  const [inPart] = part.faces;
  assert.deepEqual([part.faces.length, inPart.timeline.length], [1, 4]);
  assert.ok(Math.abs(inPart.box.x - second.box.x) < 8, 'a place in a part is one in the whole picture');
  assert.deepEqual([seen.nobody.state, seen.nobody.faces], ['no-face', []]);
  assert.equal(seen.whole.timeline.length, 6);
});

test('a film finds its faces too, and being given up leaves the recognizer as it was', async () => {
  const seen = await page.evaluate(async () => {
    const clip = await recognizer.recognizeClip(grey, { frames: 6 });
    const controller = new AbortController();
    const aborted = await failure(() =>
      recognizer.recognizeClip(grey, { frames: 6, signal: controller.signal, onProgress: () => controller.abort() }),
    );
    const again = await recognizer.recognizeClip(grey, { frames: 2 });
    const refused = await failure(() => recognizer.recognizeClip(grey, { faces: { most: 2 } }));
    return { clip, aborted, again: again.faces.length, refused };
  });
  const { clip } = seen;
  assert.equal(clip.faces.length, 1);
  assert.equal(clip.faces[0].top.name, 'happiness');
  assert.ok(
    clip.faces[0].timeline.every(({ time }) => time > clip.to / 3),
    'nobody is there in the first half',
  );
  assert.equal(seen.again, 1);
  assertFailure(assert, seen.aborted, 'aborted');
  assertFailure(assert, seen.refused, 'invalid-argument');
});

test('a film whose server answers no ranges is looked at as the same bytes in hand are', async () => {
  const seen = await page.evaluate(async () => {
    const options = { frames: 6, faces: false };
    const element = document.createElement('video');
    element.src = '/grey.webm';
    await new Promise((resolve) => (element.onloadeddata = resolve));
    const clips = [grey, '/grey.webm', new URL('/grey.webm', location.href), element];
    const answers = [];
    for (const clip of clips) answers.push(await recognizer.recognizeClip(clip, options));
    return answers.map(({ top, timeline, to }) => ({
      top,
      to,
      timeline: timeline.map(({ time, top }) => [time, top]),
    }));
  });
  const [blob, ...served] = seen;
  assert.equal(blob.timeline.length, 6);
  for (const answer of served) assert.deepEqual(answer, blob);
});

test('a browser that shows a place sought a little late is waited for', async () => {
  // Chromium does so of its own in one seek of a hundred; here every first look after a seek meets the frame before.
  const [plain, late, looks] = await page.evaluate(async () => {
    const options = { frames: 6, faces: false };
    const look = async () => {
      const { top, timeline } = await recognizer.recognizeClip(grey, options);
      return { top, timeline: timeline.map(({ time, top }) => [time, top]) };
    };
    const plain = await look();
    const Own = VideoFrame;
    let shown;
    let looks = 0;
    globalThis.VideoFrame = new Proxy(Own, {
      construct(target, [source, init]) {
        if (!(source instanceof HTMLVideoElement)) return new target(source, init);
        const frame = new target(source);
        const isLate = shown !== undefined && shown.place !== source.currentTime;
        const given = new target(isLate ? shown.frame : frame, init);
        if (isLate) looks += 1;
        shown?.frame.close();
        shown = { place: source.currentTime, frame };
        return given;
      },
    });
    const late = await look();
    globalThis.VideoFrame = Own;
    shown.frame.close();
    return [plain, late, looks];
  });
  assert.ok(looks >= 6, `${looks} first looks were late`);
  assert.deepEqual(late, plain);
});

test('nothing was left unhandled', () => assert.deepEqual(complaints, []));
